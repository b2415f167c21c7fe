"""Run the trainings of a study: on each device one at a time, resuming where an earlier command stopped."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import torch

from seisedge.runtime.errors import SeisedgeError
from seisedge.train.study.plan import Job
from seisedge.train.study.result import Result, read_result
from seisedge.train.study.work import ROWS, run_job

Report = Callable[[str], None]


def devices_from(name: str, workers: int) -> list[str]:
    """The devices of the workers: all GPUs for `auto` if there are any, else `workers` times the CPU."""
    if name == "auto" and torch.cuda.is_available():
        return [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    return ["cpu"] * workers if name in ("auto", "cpu") else [name]


def run_jobs(jobs: dict[str, Job], out: Path, devices: Sequence[str], report: Report) -> dict[str, Result | str]:
    """Result of each job by key; a text is the error of one that failed. Raises KeyboardInterrupt."""
    results: dict[str, Result | str] = {}
    for wave in _waves(jobs):
        todo = []
        for key in wave:
            finished = read_result(out / ROWS / key)
            if finished is None:
                todo.append(key)
            else:
                results[key] = finished
        if not todo:
            continue
        if len(devices) == 1:
            for key in todo:
                results[key] = _outcome(jobs[key], out, devices[0])
                report(_line(results, jobs, key))
            continue
        with ProcessPoolExecutor(
            len(devices), multiprocessing.get_context("spawn"), _begin, (_queue_of(devices), len(devices))
        ) as pool:
            futures: dict[Future[Result | str], str] = {pool.submit(_work, jobs[key], out): key for key in todo}
            try:
                for future in concurrent.futures.as_completed(futures):
                    results[futures[future]] = future.result()
                    report(_line(results, jobs, futures[future]))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return results


def _waves(jobs: dict[str, Job]) -> list[list[str]]:
    """The keys of the jobs that depend on no other, then those of the others."""
    return [[k for k, j in jobs.items() if not j.start], [k for k, j in jobs.items() if j.start]]


def _line(results: dict[str, Result | str], jobs: dict[str, Job], key: str) -> str:
    """A line of the progress of a study."""
    found = results[key]
    state = f"failed: {found}" if isinstance(found, str) else f"{found.seconds:.0f} s"
    return f"{len(results)}/{len(jobs)} {jobs[key].recipe.name}, seed {jobs[key].seed} ({key}): {state}"


def _outcome(job: Job, out: Path, device: str) -> Result | str:
    try:
        return run_job(job, out, torch.device(device))
    except SeisedgeError as error:
        return str(error)


_device = ""  # of this worker


def _queue_of(devices: Sequence[str]) -> multiprocessing.queues.Queue[str]:
    queue: multiprocessing.queues.Queue[str] = multiprocessing.get_context("spawn").Queue()
    for device in devices:
        queue.put(device)
    return queue


def _begin(queue: multiprocessing.queues.Queue[str], workers: int) -> None:
    """Start of a worker: it takes one of the devices, and its share of the cores."""
    global _device
    _device = queue.get()
    torch.set_num_threads(max((os.cpu_count() or 1) // workers, 1))


def _work(job: Job, out: Path) -> Result | str:
    return _outcome(job, out, _device)

"""One training of a study, from the selection of the data to its result; runs in this process or in a worker."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TextIO

import torch

from seisedge.runtime.errors import FailedError
from seisedge.train.fit.request import is_interrupted
from seisedge.train.fit.run import resume_training, run_training
from seisedge.train.fit.schedule import planned_windows
from seisedge.train.fit.stage import Settings
from seisedge.train.run_file import Run, load_run
from seisedge.train.study.measure import curve_of, measure
from seisedge.train.study.plan import Job, few_of, folders_of, items_of, used_items
from seisedge.train.study.result import Result, read_result, write_result
from seisedge.train.study.rows import Item, read_items, write_items
from seisedge.train.study.selection import leaking_events, selected
from seisedge.train.study.table import Selection
from seisedge.train.synthetic import Catalogue, write_dataset

DRAWS, DRAWS_SMOKE = 1000, 100
ROWS, RUN, DATA, LOG = "rows", "run", "data", "log.txt"


def run_job(job: Job, out: Path, device: torch.device) -> Result:
    """Train and measure; resumes an interrupted training, and returns the result of a finished one.

    Writes OUT/rows/KEY with the run, the data selection, the log and result.json. Raises InputError, FailedError,
    Interrupted.
    """
    folder = out / ROWS / job.key
    finished = read_result(folder)
    if finished is not None:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with (
        (folder / LOG).open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        folders, items = data_of(job, folder / DATA)
        check = None if job.leaks else partial(refuse_leak, items)
        run = _trained(job, folders, folder / RUN, device, out, log, Settings(check_split=check))
        draws = DRAWS_SMOKE if job.choice.smoke else DRAWS
        report, answers, gallery, note = (
            (None, [], [], "trained for another row only") if job.keep_weights
            else measure(run, folder / RUN, folders, device, draws)
        )  # fmt: skip
    steps, epochs = _steps(folder / RUN)
    o = run.recipe.optimisation
    windows = planned_windows(o, run.n_records)
    result = Result(
        key=job.key,
        recipe=job.recipe.name,
        seed=job.seed,
        smoke=job.choice.smoke,
        steps=steps,
        epochs=epochs,
        windows=windows,
        stopped=steps * o.batch < windows,
        seconds=round(time.perf_counter() - began, 1),
        device=str(device),
        date=dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d"),
        n_records=run.n_records,
        n_events=run.n_events,
        split_rule=run.split_rule,
        report=report,
        note=note,
        answers=answers,
        gallery=gallery,
        curve=curve_of(folder / RUN),
    )
    write_result(result, folder)
    if job.choice.smoke and not job.keep_weights:
        (folder / RUN / "checkpoint.pt").unlink(missing_ok=True)  # of a few steps: worthless, up to 500 MB
    return result


def data_of(job: Job, out: Path) -> tuple[list[Path], list[Item]]:
    """The data folders of a training, and their records under the names of the data that the user gave."""
    if job.selection.synthetic_events:
        made = out.with_name("synthetic")
        if not made.is_dir():
            write_dataset(made, Catalogue(events=job.selection.synthetic_events), seed=1)
        folders, items = [made], read_items([made], synthetic=True)
        for item in items:  # in a training of synthetic records only, some are held out for the calibration
            item.changed["trace_synthetic"] = ""
    else:
        folders = folders_of(job.choice)
        items = items_of(job.choice)
        few = few_of(job.choice)
        if few is None and not job.choice.shuffle_labels and job.selection == Selection():
            return folders, items
        items = selected(items, job.selection, job.choice.shuffle_labels, few, partial(used_items, job.recipe))
    if not out.is_dir():
        return write_items(items, folders, out), items
    kept = {item.folder for item in items}
    return [out / str(k) / f.resolve().name for k, f in enumerate(folders) if k in kept], items


def refuse_leak(items: list[Item], sides: Mapping[str, str]) -> None:
    """Raise FailedError if an event, or a group of events that share samples, has records on both sides of a split.
    items: with the events that the data name, whatever the selection calls them. sides: of the records, by name.
    """
    leaking = leaking_events(items, lambda name: sides.get(name, ""))
    if leaking:
        raise FailedError(
            f"event {leaking[0]} has records in the training and in the test data ({len(leaking)} such events), so the "
            "figures would be too good; correct the column split or source_id of the data"
        )


def _trained(
    job: Job, folders: list[Path], run: Path, device: torch.device, out: Path, log: TextIO, settings: Settings
) -> Run:
    """The finished run in the folder `run`."""

    def report(text: str) -> None:
        print(text, file=log, flush=True)

    draws = DRAWS_SMOKE  # of the figures of the run itself; `measure` computes those of the study
    if (run / "checkpoint.pt").is_file():
        return load_run(run)
    if is_interrupted(run):
        return resume_training(run, device, draws=draws, report=report, settings=settings)
    weights = out / ROWS / job.start / RUN if job.start else Path(job.weights) if job.weights else None
    return run_training(
        job.recipe, folders, run, job.seed, device,
        draws=draws, report=report, settings=settings, weights=weights, overwrite=True,
    )  # fmt: skip


def _steps(run: Path) -> tuple[int, float]:
    """Steps and epochs of the second training of a run."""
    with (run / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return (int(float(rows[-1]["step"])), float(rows[-1]["epoch"])) if rows else (0, 0.0)

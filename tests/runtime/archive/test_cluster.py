"""Workers of Dask: the same files, also where workers are killed, and one sentence where they cannot be used."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import fsspec
import pytest
from tests.runtime.archive.conftest import STATION, Recording
from tests.runtime.archive.test_run import content
from tests.waiting import wait_until

from seisedge.runtime.archive import cluster
from seisedge.runtime.archive.cluster import Context, DaskPool, Loaded, _check_versions
from seisedge.runtime.archive.inputs import LocalFiles
from seisedge.runtime.archive.pool import Answer, LocalPool, Pool
from seisedge.runtime.archive.progress import Progress
from seisedge.runtime.archive.run import ArchiveOptions, ArchiveRun
from seisedge.runtime.archive.schedule import run_schedule
from seisedge.runtime.config import StationConfig
from seisedge.runtime.errors import ConnectError, FailedError, InputError
from seisedge.runtime.inference.infer import Models


def run(out: Path, recording: Recording, models: Models, config: StationConfig, pool: Any) -> ArchiveRun:
    options = ArchiveOptions(out, (str(recording.path),), unit="10m", unit_ns=600 * 10**9)
    planned = ArchiveRun(options, models, {STATION: config}, None, LocalFiles())
    planned.run(lambda: pool(planned), Progress(planned.totals, "units"))
    return planned


def in_this_process(planned: ArchiveRun) -> Pool:
    return LocalPool(planned.models, planned.metadata, LocalFiles())


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
def test_killed_workers_change_nothing(
    recording: Recording, models: Models, config: StationConfig, tmp_path: Path
) -> None:
    """A scheduler with workers that are processes of their own; two are killed while they analyse."""
    run(tmp_path / "here", recording, models, config, in_this_process)
    address_file = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        stack.enter_context(
            started("scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(address_file))
        )
        wait_until(address_file.exists, 60)

        def worker() -> subprocess.Popen[bytes]:
            arguments = ("worker", "--scheduler-file", str(address_file), "--nthreads", "1", "--no-nanny")
            return stack.enter_context(started(*arguments, "--no-dashboard", "--local-directory", str(tmp_path)))

        workers = [worker(), worker()]

        class Killing(DaskPool):
            """Kills a worker before the first and before the second answer, and starts others."""

            def next(self) -> Answer:
                for process in workers[:1]:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
                    workers.remove(process)
                    if len(workers) < 2:
                        worker()
                return super().next()

        def pool(planned: ArchiveRun) -> Pool:
            address = __import__("json").loads(address_file.read_text())["address"]
            made = Killing(planned.models, "onnxruntime", planned.metadata, address=address)
            wait_until(lambda: made.workers == 2, 60)
            return made

        done = run(tmp_path / "there", recording, models, config, pool)
    assert not workers and done.totals.failures == []
    assert content(tmp_path / "there") == content(tmp_path / "here")


def test_a_scheduler_that_cannot_be_reached(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    with pytest.raises(ConnectError, match=r"--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler can be reached there"):
        DaskPool(models, "onnxruntime", {"": None}, address="tcp://127.0.0.1:9")
    for address in ("127.0.0.1", "nonsense://there:8786", "tcp://head:dask", "tcp://head:8786/x"):
        with pytest.raises(InputError, match=rf"--scheduler {address}: is not an address; write it as tcp://HOST:PORT"):
            DaskPool(models, "onnxruntime", {"": None}, address=address)


def _settings_of_worker() -> tuple[dict[str, str], Any, Any]:
    return dict(os.environ), dask.config.get("distributed.worker"), dask.config.get("distributed.admin")


def test_own_workers_have_one_thread_and_the_memory_settings_of_a_plain_process(models: Models) -> None:
    pool = DaskPool(models, "onnxruntime", {"": None}, workers=1)
    try:
        environment, worker, admin = pool._client.submit(_settings_of_worker).result(60)
    finally:
        pool.close()
    assert not worker["profile"]["enabled"]
    assert worker["memory"]["monitor-interval"] == "2s"
    assert admin["tick"]["interval"] == "1s"
    assert environment.keys().isdisjoint({"MALLOC_TRIM_THRESHOLD_"})
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX")
    assert [environment[name] for name in names] == ["1"] * 4


class Versions:
    """A client whose scheduler and workers state versions."""

    def __init__(self, scheduler: dict[str, Any], worker: dict[str, Any]) -> None:
        own = facts()
        self._found = {"client": own, "scheduler": scheduler, "workers": {"tcp://10.0.0.2:40001": worker}}

    def get_versions(self, check: bool) -> dict[str, Any]:
        return self._found


def facts(python: str = "", **packages: str) -> dict[str, Any]:
    here = ".".join(map(str, sys.version_info[:3]))
    own = {"dask": "2026.8.0", "distributed": "2026.8.0", "msgpack": "1.2", "cloudpickle": "3.1"}
    return {"host": {"python": python or here}, "packages": own | packages}


def test_other_versions_are_named() -> None:
    _check_versions(Versions(facts(), facts()), "tcp://head:8786")
    for scheduler, worker, words in (
        (facts(distributed="2025.1.0"), facts(), "the scheduler has distributed 2025.1.0, this process 2026.8.0"),
        (facts(), facts(dask="2025.1.0"), "worker tcp://10.0.0.2:40001 has dask 2025.1.0, this process 2026.8.0"),
        (facts(), facts(python="3.9.1"), "worker tcp://10.0.0.2:40001 has Python 3.9, this process 3"),
    ):
        with pytest.raises(InputError) as raised:
            _check_versions(Versions(scheduler, worker), "tcp://head:8786")
        assert str(raised.value).startswith(f"--scheduler tcp://head:8786: {words}")


class Installed:
    """A client whose scheduler and worker state their version of seisedge, or cannot import it."""

    status = "running"

    def __init__(self, scheduler: str | Exception, worker: str | Exception) -> None:
        self._scheduler, self._worker = scheduler, worker

    def nthreads(self) -> dict[str, int]:
        return {"tcp://10.0.0.2:40001": 1}

    def get_versions(self, check: bool) -> dict[str, Any]:
        return {"client": facts(), "scheduler": facts(), "workers": {}}

    def run_on_scheduler(self, _: object) -> str:
        if isinstance(self._scheduler, Exception):
            raise self._scheduler
        return self._scheduler

    def run(self, _: object, on_error: str) -> dict[str, str | Exception]:
        return {"tcp://10.0.0.2:40001": self._worker}

    def close(self) -> None:
        self.status = "closed"


HERE = version("seisedge")
MISSING = ModuleNotFoundError("No module named 'seisedge'")


@pytest.mark.parametrize(
    ("scheduler", "worker", "error", "words"),
    [
        (MISSING, HERE, FailedError, "the scheduler cannot import seisedge (No module named 'seisedge'); install the"),
        (HERE, MISSING, FailedError, "worker tcp://10.0.0.2:40001 cannot import seisedge (No module named 'seisedge')"),
        ("0.0.9", HERE, InputError, f"the scheduler has seisedge 0.0.9, this process {HERE}; install the same version"),
        (HERE, "0.0.9", InputError, f"worker tcp://10.0.0.2:40001 has seisedge 0.0.9, this process {HERE}; install"),
    ],
)
def test_a_scheduler_or_worker_without_the_package(
    scheduler: str | Exception,
    worker: str | Exception,
    error: type[Exception],
    words: str,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Installed(scheduler, worker)
    monkeypatch.setattr(cluster, "_connected", lambda _: client)
    with pytest.raises(error, match=re.escape(f"--scheduler tcp://10.0.0.1:8786: {words}")):
        DaskPool(models, "onnxruntime", {"": None}, address="tcp://10.0.0.1:8786")
    assert client.status == "closed"


@dataclass
class Day:
    """A request as far as a pool looks at it."""

    station_id: str
    number: int


class Days:
    """A schedule of a station of six days."""

    def __init__(self, station_id: str) -> None:
        self.plan = SimpleNamespace(station_id=station_id)
        self._to_come, self.left = [Day(station_id, number) for number in range(6)], 6

    @property
    def has_requests(self) -> bool:
        return bool(self._to_come)

    def requests(self) -> Iterator[Day]:
        while self._to_come:
            yield self._to_come.pop(0)

    def take(self, answered: Answer) -> None:
        self.left -= 1

    @property
    def finished(self) -> bool:
        return not self.left


class Turns(Installed):
    """A client that gives each request to the least busy worker, as Dask does; they end their requests in turn."""

    def __init__(self, workers: list[str]) -> None:
        super().__init__(HERE, HERE)
        self.given: dict[str, list[Any]] = {worker: [] for worker in workers}  # futures that are open
        self.did: dict[str, list[Day]] = {worker: [] for worker in workers}

    def register_plugin(self, plugin: Loaded) -> None:
        """Its workers load nothing."""

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.given, 1)

    def submit(self, _: Any, request: Day, *args: Any, **kwargs: Any) -> Any:
        assert "workers" not in kwargs  # a scheduler keeps what is lost for that worker, although others are allowed
        answered = Answer(request, None)  # type: ignore[arg-type]
        future = SimpleNamespace(key=f"{request}", status="finished", result=lambda: answered)
        future.add_done_callback = lambda note: setattr(future, "note", note)
        min(self.given.values(), key=len).append((request, future))
        return future

    def end_one(self) -> None:
        worker = min((worker for worker, given in self.given.items() if given), key=lambda name: len(self.did[name]))
        request, future = self.given[worker].pop(0)
        self.did[worker].append(request)
        future.note(future)


class TurnsPool(DaskPool):
    def next(self) -> Answer:
        self._client.end_one()
        return super().next()


@pytest.mark.parametrize("stations", [4, 1])
def test_a_worker_stays_with_a_station_unless_another_is_idle(
    stations: int, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the files of the days beside a unit already."""
    client = Turns(["tcp://10.0.0.2:1", "tcp://10.0.0.3:1"])
    monkeypatch.setattr(cluster, "_connected", lambda _: client)
    pool = TurnsPool(models, "onnxruntime", {"": None}, address="tcp://10.0.0.1:8786")
    names = [f"XX.S{number}" for number in range(stations)]
    run_schedule([Days(name) for name in names], pool, lambda: None)  # type: ignore[misc]
    first, second = client.did.values()
    assert len(first) == len(second) == 3 * stations
    for name in names if stations > 1 else []:
        assert sum(any(day.station_id == name for day in did) for did in (first, second)) == 1, name


def test_a_worker_keeps_its_files_in_its_own_folder(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask removes that folder, also when the worker was killed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "worker").mkdir()
    context = Context(models, "onnxruntime", {"": None})
    plugin, worker = Loaded(context), SimpleNamespace(local_directory=str(tmp_path / "worker"))
    plugin.setup(worker)
    loaded, local, _ = cluster._contexts[context.key]
    assert [engine.sha256 for engine in loaded.engines] == [engine.sha256 for engine in models.engines]
    with fsspec.open("memory://workers/file", "wb") as file:
        file.write(b"data")
    assert local("memory://workers/file").is_relative_to(tmp_path / "worker")
    del local
    plugin.teardown(worker)
    assert not list((tmp_path / "worker").iterdir()) and not list((tmp_path / "temporary").iterdir())

"""The workers of a Dask scheduler: an own one on this machine, or any that is reached by its address.

Workers receive the model files and the metadata once each, as a plugin, and a request per unit. They read the data
themselves; results come back to this process, which alone writes. A request of a worker that was lost is analysed by
another one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import re
import secrets
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed.client import Client, Future
from distributed.deploy.local import LocalCluster

from seisedge.runtime.archive.inputs import LocalFiles
from seisedge.runtime.archive.pool import Answer, Metadata, Pool, answer
from seisedge.runtime.archive.unit import UnitRequest
from seisedge.runtime.config import EngineName, ModelsConfig
from seisedge.runtime.errors import ConnectError, FailedError, InputError
from seisedge.runtime.inference.infer import Models

PER_WORKER = 3  # requests submitted for each worker, so that none waits for this process
LOST_WORKERS = 20  # workers that may be lost with a unit before it counts as failed: machines are switched off
CONNECT_S = 20
LOGGERS = ("distributed", "distributed.client", "distributed.comm", "distributed.core", "distributed.utils", "tornado")
ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx)://)?([^\s:/\[\]]+|\[[0-9a-fA-F:]+\]):\d+")
# Dask's profiler costs as much as all else Dask does, and its ticks, 50 a second in each process, most of the rest;
# then the memory of each worker is looked at 20 times a second.
# With MALLOC_TRIM_THRESHOLD_, which Dask sets, and the arena of a second thread, each temporary array is a new mapping
# of memory: an analysis takes twice the processor time.
OWN_WORKERS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "2s",
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "MALLOC_ARENA_MAX": 1,
    },
}
TASKS = ("event_type", "magnitude", "onset")
CHECKED = ("dask", "distributed", "msgpack", "cloudpickle")  # versions that must be those of the scheduler


class Context:
    """What is the same for all units, as it is sent to the workers: models by task, with their files' content."""

    def __init__(self, models: Models, engine: EngineName, metadata: Metadata) -> None:
        self.files = {e.card.task: (e.sha256, Path(e.path).read_bytes()) for e in models.engines}
        self.engine = engine
        self.metadata = metadata
        self.seisedge = version("seisedge")
        digest = hashlib.sha256(repr(sorted((task, sha) for task, (sha, _) in self.files.items())).encode())
        self.key = f"{digest.hexdigest()[:16]}-{secrets.token_hex(4)}"


_contexts: dict[str, tuple[Models, LocalFiles, Metadata]] = {}  # of this worker, by key


class Loaded(distributed.WorkerPlugin):  # type: ignore[misc]  # Dask has few types
    """Prepares each worker, also those that come later. Copies of files are in its folder, which Dask removes."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.name = f"seisedge-{context.key}"

    def setup(self, worker: Any) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        local = LocalFiles(worker.local_directory)
        _contexts[self.context.key] = load(self.context), local, self.context.metadata

    def teardown(self, worker: Any) -> None:
        _contexts.pop(self.context.key, None)


def load(context: Context) -> Models:
    """Load the models of a context in a worker."""
    with tempfile.TemporaryDirectory(prefix="seisedge-models-") as folder:
        paths = {}
        for task, (sha256, data) in context.files.items():
            paths[task] = Path(folder) / f"{task}-{sha256[:16]}.onnx"
            paths[task].write_bytes(data)
        names: dict[str, Any] = {task: str(paths[task]) if task in paths else "none" for task in TASKS}
        return Models.load(ModelsConfig(engine=context.engine, **names))


def analyse_there(request: UnitRequest, key: str) -> Answer:
    """Analyse a unit in a worker."""
    models, local, metadata = _contexts[key]
    return answer(request, models, local, metadata)


class DaskPool(Pool):
    """The workers of a scheduler.

    workers: of an own scheduler on this machine; else address is that of a running one. Raises ConnectError where it
    cannot be reached, InputError where the address is malformed or versions differ, FailedError where its workers
    cannot be used.
    """

    def __init__(
        self, models: Models, engine: EngineName, metadata: Metadata, *, workers: int = 0, address: str = ""
    ) -> None:
        self._cluster: LocalCluster | None = None
        dask.config.set({"distributed.scheduler.allowed-failures": LOST_WORKERS})
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # a lost connection is one sentence, not a traceback
        if address:
            self._client = _connected(address)
        else:
            dask.config.set(OWN_WORKERS)
            self._cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
                host="127.0.0.1", silence_logs="CRITICAL",
            )  # fmt: skip
            self._client = Client(self._cluster)
        try:
            if address:
                _check_versions(self._client, address)
            context = Context(models, engine, metadata)
            self._key = context.key
            self._check_package(context, address)
            self._prepare(context)
        except BaseException:
            self.close()
            raise
        self._answers: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._requests: dict[str, UnitRequest] = {}
        self._futures: dict[str, Future[Any]] = {}

    @property
    def dashboard(self) -> str:
        """Address of the scheduler's page."""
        return str(self._client.dashboard_link)

    @property
    def workers(self) -> int:
        return len(self._client.nthreads())

    @property
    def at_once(self) -> int:  # type: ignore[override]
        return PER_WORKER * max(self.workers, 1)

    def submit(self, request: UnitRequest) -> None:
        # bound to no worker: Dask takes the least busy one. A task that is bound to a worker waits forever if that one
        # is lost while there is no other.
        future = self._client.submit(analyse_there, request, self._key, pure=False, retries=0)
        self._requests[future.key] = request
        self._futures[future.key] = future
        future.add_done_callback(self._answers.put)

    def next(self) -> Answer:
        while True:
            try:
                future = self._answers.get(timeout=5.0)
            except queue.Empty:
                if self._client.status != "running":
                    raise FailedError(
                        "the connection to the Dask scheduler was lost; start the command again: it continues with "
                        "the units that are missing"
                    ) from None
                continue
            request = self._requests.pop(future.key, None)
            if request is None:
                continue
            self._futures.pop(future.key)
            if future.status == "finished":
                answered = future.result()
                assert isinstance(answered, Answer)
                return answered
            if future.status == "cancelled":
                raise FailedError(
                    "the Dask scheduler has ended or has dropped the work; start the command again: it continues with "
                    "the units that are missing"
                )
            error = future.exception()
            why = " ".join(str(error).split())
            return Answer(request, None, f"its worker was lost or failed: {type(error).__name__}: {why}")

    def close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _prepare(self, context: Context) -> None:
        try:
            self._client.register_plugin(Loaded(context))
        except Exception as error:
            raise FailedError(f"the workers cannot load the models: {type(error).__name__}: {error}") from error

    def _check_package(self, context: Context, address: str) -> None:
        if not address:
            if not self.workers:
                raise FailedError("no worker process has started")
            return  # they run this installation
        found: dict[str, str | Exception] = {}
        try:
            found["the scheduler"] = self._client.run_on_scheduler(_own_version)
        except Exception as error:
            found["the scheduler"] = error
        for worker, answered in self._client.run(_own_version, on_error="return").items():
            found[f"worker {worker}"] = answered
        for who, answered in found.items():
            if isinstance(answered, Exception):
                raise FailedError(
                    f"--scheduler {address}: {who} cannot import seisedge ({' '.join(str(answered).split())}); install "
                    f"the same version, {context.seisedge}, with the extra [archive]"
                ) from answered
            if answered != context.seisedge:
                raise InputError(
                    f"--scheduler {address}: {who} has seisedge {answered}, this process {context.seisedge}; install "
                    "the same version"
                )


def _own_version() -> str:
    return version("seisedge")


def _connected(address: str) -> Client:
    if not ADDRESS.fullmatch(address):
        raise InputError(f"--scheduler {address}: is not an address; write it as tcp://HOST:PORT")
    try:
        return Client(address, timeout=f"{CONNECT_S}s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConnectError(
            f"--scheduler {address}: no Dask scheduler can be reached there ({' '.join(str(error).split())[:200]}); "
            "start one with `dask scheduler`, or leave the option out for processes on this machine"
        ) from error


def _check_versions(client: Client, address: str) -> None:
    """Raises InputError where the scheduler or a worker has another Python or another version of Dask."""
    try:
        found = client.get_versions(check=False)
    except Exception as error:
        raise ConnectError(f"--scheduler {address}: its versions cannot be read: {error}") from error
    own = found["client"]
    others = {"the scheduler": found["scheduler"]} | {f"worker {k}": v for k, v in found["workers"].items()}
    for who, theirs in others.items():
        for name in CHECKED:
            here, there = own["packages"].get(name), (theirs or {}).get("packages", {}).get(name)
            if here != there:
                raise InputError(
                    f"--scheduler {address}: {who} has {name} {there}, this process {here}; install the same version"
                )
        python = (theirs or {}).get("host", {}).get("python", "").split(".")[:2]
        if python and python != [str(part) for part in sys.version_info[:2]]:
            raise InputError(
                f"--scheduler {address}: {who} has Python {'.'.join(python)}, this process "
                f"{sys.version_info[0]}.{sys.version_info[1]}; use the same version"
            )

"""Run work that may crash the process in a child process: a build, and the first opening of a model or an engine.

`in_child` runs a job and returns its answer. It raises EngineError with the job's own message, or with how the process
ended.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from seisedge.runtime.engines._base import Pair, are_probabilities
from seisedge.runtime.errors import EngineError, SeisedgeError
from seisedge.runtime.files import MIB
from seisedge.runtime.paths import path_from_stored, text_of_message
from seisedge.runtime.text import reason_of

BUILD_LIMIT_S = 3600.0  # a build takes minutes on the smallest Jetson
TRIAL_LIMIT_S = 120.0
OPEN_LIMIT_S = 60.0  # a Raspberry Pi opens a bundled model and runs it within 4 s, most of it for imports
MEMORY_MIB = 256  # for a model and one inference; a paper-sized one takes 80, the memory of a station is about 512
ADDRESSES_MIB = 4096  # address space beyond what the libraries use; threads reserve more of it than they use


class Build(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Build an engine from a model file into `out`."""

    model: str
    library: str
    compute_capability: str | None
    max_batch: int
    workspace_mb: int
    timing_cache: str | None
    out: str


class Try(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Load an engine and compare it with onnxruntime.

    windows: a file of `save_windows`.
    """

    model: str
    library: str
    engine: str
    windows: str


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Open a model file and run it, with a limit on the memory."""

    model: str


class Built(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    compute_capability: str
    build_s: float


class Tried(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    difference: float


class Ran(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    memory_mib: float


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    reason: str


Job = Build | Try | Open
Answer = Built | Tried | Ran | Failed


def in_child(
    job: Job, limit_s: float, code: str = "from seisedge.runtime.engines._child import main; main()"
) -> Answer:
    """Run a job. Raises EngineError if the job fails, the process ends without an answer, or `limit_s` is exceeded.

    The process reads the job from standard input and writes its answer to the path given as argument. Its standard
    output is ignored, since libraries write to it. Progress goes to standard error.
    """
    with tempfile.TemporaryDirectory(prefix="seisedge-") as folder:
        answer_path = Path(folder) / "answer.json"
        command = [sys.executable, "-P", "-c", code, str(answer_path)]
        trial = not isinstance(job, Build)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if trial else None,  # the library's messages about a bad file are in the answer
        )
        try:
            process.communicate(msgspec.json.encode(job), timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise EngineError(f"{_what(job)}: no result within {limit_s:.0f} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        try:
            answer: Answer = msgspec.json.decode(answer_path.read_bytes(), type=Answer)
        except (OSError, msgspec.MsgspecError):
            raise EngineError(f"{_what(job)}: {_ending(process.returncode)}") from None
    if isinstance(answer, Failed):
        raise EngineError(answer.reason)
    return answer


def save_windows(path: Path, windows: Iterable[Pair]) -> None:
    """Write the windows of a trial, each a waveform and its mask, (1, 3, n_samples). Raises EngineError for none."""
    pairs = list(windows)
    if not pairs:
        raise EngineError("no window to compare an engine with onnxruntime on")
    waveforms, masks = (np.stack([pair[k] for pair in pairs]) for k in range(2))
    np.savez(path, waveform=waveforms, valid=masks)


def load_windows(path: Path) -> list[Pair]:
    """The windows of a file of `save_windows`."""
    with np.load(path) as file:
        return list(zip(file["waveform"], file["valid"], strict=True))


def _what(job: Job) -> str:
    if isinstance(job, Open):
        return "opening the model"
    return f"{job.engine}: loading the engine" if isinstance(job, Try) else f"{job.model}: building its engine"


def _ending(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"the process was killed by {signal.Signals(-status).name}"
    return f"the process ended with status {status} and without a result"


def main() -> None:
    """The child process: read the job, run it, write the answer."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the libraries return to Python only after minutes
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        answer = _answer_to(job)
    except SeisedgeError as error:
        answer = Failed(reason=text_of_message(str(error)))
    except Exception as error:
        answer = Failed(reason=f"{_what(job)}: {type(error).__name__}: {reason_of(error)}")
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(answer))


def _answer_to(job: Job) -> Answer:
    if isinstance(job, Build):
        return _build(job)
    return _try(job) if isinstance(job, Try) else _open(job)


def _build(job: Build) -> Built:
    from seisedge.runtime.engines._build import Plan, build_engine
    from seisedge.runtime.engines._progress import ProgressPrinter
    from seisedge.runtime.engines._sidecar import write_whole

    plan = Plan(job.library, job.compute_capability, job.max_batch, job.workspace_mb)
    model = path_from_stored(job.model)
    began = perf_counter()
    cache = path_from_stored(job.timing_cache) if job.timing_cache is not None else None
    data, capability = build_engine(model, plan, ProgressPrinter(sys.stderr, f"{job.library}: {model.stem}"), cache)
    write_whole(path_from_stored(job.out), data)
    return Built(compute_capability=capability, build_s=round(perf_counter() - began, 2))


def _try(job: Try) -> Tried:
    from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
    from seisedge.runtime.engines.tensorrt import TensorRtEngine

    plain = OnnxRuntimeEngine(path_from_stored(job.model))
    engine = TensorRtEngine(
        path_from_stored(job.model), path_from_stored(job.engine), job.library, allow_fallback=False
    )
    worst = 0.0
    for waveform, valid in load_windows(Path(job.windows)):
        difference = float(np.abs(engine.infer(waveform, valid)[0] - plain.infer(waveform, valid)[0]).max())
        worst = max(worst, difference if np.isfinite(difference) else 1.0)
    return Tried(difference=worst)


def _open(job: Open) -> Ran:
    import resource

    from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine

    for limit, used, more_mib in (
        (resource.RLIMIT_DATA, "VmData", MEMORY_MIB),
        (resource.RLIMIT_AS, "VmSize", ADDRESSES_MIB),
    ):
        allowed = _memory_bytes(used) + more_mib * MIB
        resource.setrlimit(limit, (allowed, allowed))
    before = _memory_bytes("VmHWM")
    engine = OnnxRuntimeEngine(path_from_stored(job.model))
    shape = (1, 3, engine.card.n_samples)
    scale = 1000.0 if engine.card.unit == "counts" else 1e-6
    noise = (scale * np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    for waveform, valid in ((noise, np.ones(shape, np.float32)), (noise, np.zeros(shape, np.float32))):
        probabilities = engine.infer(waveform, valid)[0]
        if not are_probabilities(probabilities):
            raise EngineError("its probabilities are not all between 0 and 1")
    memory_mib = (_memory_bytes("VmHWM") - before) / MIB
    if memory_mib > MEMORY_MIB:
        raise EngineError(f"it takes {memory_mib:.0f} MiB")
    return Ran(memory_mib=round(memory_mib, 1))


def _memory_bytes(key: str) -> int:
    """A line of /proc/self/status: memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise EngineError(f"this system does not state {key} in /proc/self/status")

"""The engine of a model file on this machine: checked, rebuilt, tried, and the result of the trial stored."""

import functools
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.fake_tensorrt import FakeCuda, fake_library

from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines import _cache, _cuda, _library, _sidecar, open_engine
from seisedge.runtime.engines._base import Pair
from seisedge.runtime.engines._build import Plan
from seisedge.runtime.engines._cache import compile_engine, default_folder, usable_engine
from seisedge.runtime.engines._child import Answer, Build, Built, Job, Tried, Try, load_windows
from seisedge.runtime.engines._library import Here
from seisedge.runtime.engines._sidecar import check_engine, read_sidecar, save_engine, sidecar_path, trial_path
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import CardError, EngineError
from seisedge.runtime.inference.infer import bundled_model

MODEL = bundled_model("event_type")


class Children:
    """Replaces child processes: a build copies the model file, a trial returns `difference`."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.difference: float | str = 0.001  # or the message of a failure
        self.build_fails = ""

    def __call__(self, job: Job, limit_s: float) -> Answer:
        self.jobs.append(type(job).__name__)
        if isinstance(job, Build):
            if self.build_fails:
                raise EngineError(self.build_fails)
            Path(job.out).write_bytes(Path(job.model).read_bytes())
            return Built(compute_capability="sm87", build_s=1.0)
        assert isinstance(job, Try)
        found, expected = load_windows(Path(job.windows)), _windows(_plain().card)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
        if isinstance(self.difference, str):
            raise EngineError(self.difference)
        return Tried(difference=self.difference)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    """A Jetson with TensorRT 10.16.2, in host memory."""
    cuda, made = FakeCuda(), Children()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_library(cuda))
    monkeypatch.setattr(_cuda, "open_device", lambda: cuda)
    monkeypatch.setattr("seisedge.runtime.engines.tensorrt.open_device", lambda: cuda)
    monkeypatch.setattr(_library, "l4t_release", lambda: "38.2")
    monkeypatch.setattr(_cache, "in_child", made)
    return made


@functools.cache
def _plain() -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(MODEL)


def _windows(card: ModelCard) -> list[Pair]:
    rng, shape = np.random.default_rng(0), (1, 3, card.n_samples)
    return [
        (rng.normal(0, 1000, shape).astype(np.float32), (rng.random(shape) < 0.9).astype(np.float32)) for _ in range(3)
    ]


def test_without_windows_a_new_engine_is_not_used_and_no_result_is_stored(children: Children, tmp_path: Path) -> None:
    engine = open_engine(MODEL, "tensorrt", tmp_path)
    assert engine.name == "onnxruntime-cpu" and children.jobs == ["Build"]
    assert engine.reason.endswith("not yet tried on this machine, and no windows were given to try it on")
    assert open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows).name == "tensorrt"
    assert open_engine(MODEL, "tensorrt", tmp_path).name == "tensorrt"  # it has passed its trial


def test_the_first_start_builds_and_tries_and_later_ones_do_neither(children: Children, tmp_path: Path) -> None:
    path = usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    assert children.jobs == ["Build", "Try"]
    assert path.name == f"event-type-{_plain().sha256[:8]}.tensorrt-sm87.engine"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.json", f"{path.name}.tried.json"]
    facts = json.loads(sidecar_path(path).read_text())
    assert facts == {
        "library": "tensorrt", "version": "10.16.2", "compute_capability": "sm87", "l4t": "38.2", "driver": "12.6",
        "model": "event-type.onnx", "model_sha256": _plain().sha256,
        "engine_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "precision": "fp32",
        "min_batch": 1, "best_batch": 1, "max_batch": 1, "n_samples": _plain().card.n_samples, "workspace_mb": 256,
        "build_s": 1.0, "seisedge_version": facts["seisedge_version"], "schema": 1,
    }  # fmt: skip
    children.jobs.clear()
    assert usable_engine(_plain(), "tensorrt", tmp_path, _windows) == path
    assert children.jobs == []


def _edited(change: dict[str, Any]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        side = sidecar_path(path)
        side.write_text(json.dumps(json.loads(side.read_text()) | change))

    return edit


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another GPU": (_edited({"compute_capability": "sm86"}), "another GPU: built for sm86; needed is sm87"),
    "another version": (_edited({"version": "10.3.0"}), "another version of the library: built for 10.3.0; needed is"),
    "another library": (_edited({"library": "tensorrt-rtx"}), "another library: built for tensorrt-rtx; needed is"),
    "another system": (_edited({"l4t": "36.4.3"}), "another Jetson Linux: built for 36.4.3; needed is 38.2"),
    "another model": (_edited({"model_sha256": "0" * 64}), "another model: built for 00000000; needed is"),
    "another model, the same eight digits": (
        lambda path: _edited({"model_sha256": _plain().sha256[:8] + "0" * 56})(path),
        "built from another model file",
    ),
    "another precision": (_edited({"precision": "int8"}), "another precision: built for int8; needed is fp32"),
    "another window": (_edited({"n_samples": 7}), "another window: built for 7 samples; needed is"),
    "no batch of one": (
        _edited({"min_batch": 2, "best_batch": 2, "max_batch": 4}),
        "states batches 2 to 4; 1 is needed",
    ),
    "a newer sidecar": (_edited({"schema": 2}), "schema 2, this seisedge reads up to 1"),
    "an edited checksum": (_edited({"engine_sha256": "0" * 64}), "its checksum differs from its sidecar"),
    "no sidecar": (lambda path: sidecar_path(path).unlink(), "is missing, so the engine cannot be checked"),
    "half a sidecar": (
        lambda path: sidecar_path(path).write_text('{"library": "tens'),
        "not a valid sidecar of an engine",
    ),
    "a sidecar of bytes": (
        lambda path: sidecar_path(path).write_bytes(b"\xff\xfe\x00"),
        "not a valid sidecar of an engine",
    ),
    "a sidecar of other types": (_edited({"max_batch": "many"}), "not a valid sidecar of an engine"),
    "half an engine": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "incomplete or was changed"),
    "an empty engine": (lambda path: path.write_bytes(b""), "incomplete or was changed"),
    "one byte changed": (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "incomplete or was changed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_engine_that_does_not_match_is_rebuilt(
    children: Children, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    tamper, message = FAULTS[fault]
    path = usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    tamper(path)
    with pytest.raises(EngineError) as caught:
        check_engine(path, _library.examine("tensorrt"), _plain().sha256, _plain().card)
    assert message in str(caught.value) and "\n" not in str(caught.value) and path.name in str(caught.value)
    children.jobs.clear()
    assert usable_engine(_plain(), "tensorrt", tmp_path, _windows) == path
    assert children.jobs == ["Build", "Try"] and message in caplog.text
    check_engine(path, _library.examine("tensorrt"), _plain().sha256, _plain().card)


def test_a_failed_trial_is_stored_and_onnxruntime_used(
    children: Children, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    children.difference = "x.engine: loading the engine: the process was killed by SIGSEGV"
    engine = open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows)
    assert (engine.name, engine.instead_of) == ("onnxruntime-cpu", "tensorrt")
    assert engine.reason.startswith(children.difference) and "to try it again, delete" in engine.reason
    assert children.jobs == ["Build", "Try"] and "using onnxruntime-cpu instead of tensorrt" in caplog.text
    children.jobs.clear()
    assert open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows).reason == engine.reason
    assert children.jobs == []  # not repeated at each start
    with pytest.raises(EngineError, match="SIGSEGV"):
        open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows, allow_fallback=False)
    (memory,) = tmp_path.glob("*.tried.json")
    memory.unlink()
    children.difference = 0.0
    assert open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows).name == "tensorrt"


def test_an_engine_that_differs_from_onnxruntime_is_not_used(children: Children, tmp_path: Path) -> None:
    children.difference = 0.4
    engine = open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows)
    assert engine.name == "onnxruntime-cpu"
    assert "its probabilities are up to 0.4 from onnxruntime's" in engine.reason


def test_another_driver_needs_another_trial(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    children.jobs.clear()
    monkeypatch.setattr(FakeCuda, "driver", "13.0")
    usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    assert children.jobs == ["Try"]


def test_an_engine_built_elsewhere_that_fails_its_trial_is_rebuilt_once(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written by `seisedge compile` on a workstation, without a driver version."""
    path, sidecar = compile_engine(_plain(), Plan("tensorrt"), tmp_path)
    assert sidecar.driver is None and read_sidecar(path) == sidecar
    answers: list[float | str] = ["does not load", 0.001]
    answer = children.__call__

    def one_after_the_other(job: Job, limit_s: float) -> Answer:
        if isinstance(job, Try):
            children.difference = answers.pop(0)
        return answer(job, limit_s)

    monkeypatch.setattr(_cache, "in_child", one_after_the_other)
    children.jobs.clear()
    assert usable_engine(_plain(), "tensorrt", tmp_path, _windows) == path
    assert children.jobs == ["Try", "Build", "Try"] and read_sidecar(path).driver == "12.6"


def test_a_damaged_trial_file_needs_another_trial(children: Children, tmp_path: Path) -> None:
    path = usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    trial_path(path).write_text("{")
    children.jobs.clear()
    usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    assert children.jobs == ["Try"]


def test_an_engine_of_the_cache_runs(children: Children, tmp_path: Path) -> None:
    engine = open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows)
    assert engine.name == "tensorrt" and engine.instead_of is None
    shape = (1, 3, engine.card.n_samples)
    window = np.random.default_rng(0).normal(0, 1000, shape).astype(np.float32), np.ones(shape, np.float32)
    assert np.array_equal(engine.infer(*window)[0], _plain().infer(*window)[0])


def test_a_failed_build_is_stored_and_onnxruntime_used(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.build_fails = "event-type.onnx: tensorrt 10.16.2 cannot build it: out of memory"
    engine = open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows)
    assert engine.name == "onnxruntime-cpu" and engine.reason == children.build_fails
    (memory,) = tmp_path.iterdir()
    assert memory.name.endswith(".tensorrt-sm87.engine.tried.json") and children.jobs == ["Build"]
    engine = open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows)  # not repeated at each start
    assert engine.reason == f"{children.build_fails}; to try it again, delete {memory}"
    assert children.jobs == ["Build"]
    children.build_fails = ""
    monkeypatch.setattr(FakeCuda, "driver", "13.0")  # after an upgrade it is tried again
    assert open_engine(MODEL, "tensorrt", tmp_path, trial_windows=_windows).name == "tensorrt"


def test_a_folder_that_cannot_be_written(children: Children, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    engine = open_engine(MODEL, "tensorrt", blocked / "engines", trial_windows=_windows)
    assert engine.name == "onnxruntime-cpu" and children.jobs == []
    assert "cannot create this folder: Not a directory" in engine.reason


def test_engines_of_a_read_only_cache_are_used(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = compile_engine(_plain(), Plan("tensorrt"), tmp_path)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(_sidecar, "write_atomically", read_only)
    assert usable_engine(_plain(), "tensorrt", tmp_path, _windows) == path
    assert "Read-only file system; the engine is tried again at the next start" in caplog.text


def test_a_truncated_model_file_is_refused_before_any_engine(children: Children, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(MODEL.read_bytes()[:5000])
    with pytest.raises(CardError, match=r"half\.onnx: not an ONNX model"):
        open_engine(half, "tensorrt", tmp_path, trial_windows=_windows)
    assert children.jobs == []


def test_an_interrupted_write_leaves_the_old_engine_and_sidecar(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    sidecar, data = read_sidecar(path), path.read_bytes()

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(EngineError, match="cannot be written: No space left on device"):
            save_engine(path, b"new", msgspec.structs.replace(sidecar, engine_sha256="1" * 64))
    assert path.read_bytes() == data and read_sidecar(path) == sidecar
    assert len(list(tmp_path.iterdir())) == 3  # no temporary file is left


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/seisedge:/other", "XDG_CACHE_HOME": "/x"}, "/var/cache/seisedge"),
        ({"CACHE_DIRECTORY": "", "XDG_CACHE_HOME": "/x"}, "/x/seisedge/engines"),
        ({"HOME": "/home/station"}, "/home/station/.cache/seisedge/engines"),
    ],
)
def test_the_folder_of_built_engines(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str) -> None:
    for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_folder() == Path(folder)


def test_an_engine_for_any_gpu_is_used_if_there_is_none_for_this_one(children: Children, tmp_path: Path) -> None:
    path, sidecar = compile_engine(_plain(), Plan("tensorrt"), tmp_path)
    portable = path.with_name(path.name.replace("sm87", "any"))
    save_engine(portable, path.read_bytes(), msgspec.structs.replace(sidecar, compute_capability="any"))
    path.unlink()
    sidecar_path(path).unlink()
    assert usable_engine(_plain(), "tensorrt", tmp_path, _windows) == portable


def test_a_trial_stores_the_machine(children: Children, tmp_path: Path) -> None:
    path = usable_engine(_plain(), "tensorrt", tmp_path, _windows)
    trial = json.loads(trial_path(path).read_text())
    assert msgspec.convert(trial["here"], Here) == _library.examine("tensorrt")
    assert trial["reason"] == "" and trial["difference"] == 0.001

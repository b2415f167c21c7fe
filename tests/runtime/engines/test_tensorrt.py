"""The TensorRT engine on a device of host memory: order of calls, buffers, times, and what happens when it fails."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from tests.fake_tensorrt import COPY_MS, KERNELS_MS, FakeCuda, fake_library

from seisedge.runtime.engines import _child, _cuda
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.engines.tensorrt import TensorRtEngine
from seisedge.runtime.errors import EngineError
from seisedge.runtime.inference.infer import bundled_model

MODEL = bundled_model("event_type")


def _engine(monkeypatch: pytest.MonkeyPatch, path: Path = MODEL, **options: Any) -> tuple[TensorRtEngine, FakeCuda]:
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_library(cuda, **options))
    return TensorRtEngine(MODEL, path, "tensorrt", cuda=cuda), cuda


def _windows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (n, 3, OnnxRuntimeEngine(MODEL).card.n_samples)
    return rng.normal(0, 1000, shape).astype(np.float32), (rng.random(shape) < 0.9).astype(np.float32)


def test_the_result_is_a_copy_of_what_the_device_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = _engine(monkeypatch)
    plain = OnnxRuntimeEngine(MODEL)
    first = engine.infer(*_windows(1))[0]
    kept = first.copy()
    second = engine.infer(*_windows(1, seed=1))[0]
    assert np.array_equal(first, kept) and not np.array_equal(first, second)
    assert np.array_equal(first, plain.infer(*_windows(1))[0])
    assert np.array_equal(second, plain.infer(*_windows(1, seed=1))[0])
    assert (engine.name, engine.sha256, engine.card) == ("tensorrt", plain.sha256, plain.card)


def test_an_inference_is_copy_in_enqueue_copy_out_and_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, cuda = _engine(monkeypatch)
    cuda.log.clear()
    engine.infer(*_windows(1))
    one = ["record", "to device", "to device", "record", "execute", "record", "to host", "record", "wait"]
    assert cuda.log == ["shape waveform 1", "shape valid 1", *one]
    cuda.log.clear()
    engine.infer(*_windows(1, seed=1))
    assert cuda.log == one  # the shapes are set only once


def test_all_memory_is_allocated_when_the_engine_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, cuda = _engine(monkeypatch, max_batch=2)
    samples = 2 * 3 * engine.card.n_samples
    assert [line for line in cuda.log if line.startswith("allocate")] == [
        f"allocate {4 * samples}",
        f"allocate {4 * samples}",
        f"allocate {4 * 2 * len(engine.card.labels)}",
    ]
    assert cuda.pins == 3 and cuda.log.count("mark") == 4
    cuda.log.clear()
    for n in (1, 2, 1):
        engine.infer(*_windows(n))
    assert cuda.pins == 3 and not [line for line in cuda.log if line.startswith(("allocate", "mark"))]


def test_batches_up_to_the_largest_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = _engine(monkeypatch, max_batch=2)
    waveform, valid = _windows(2)
    assert np.allclose(engine.infer(waveform, valid)[0], OnnxRuntimeEngine(MODEL).infer(waveform, valid)[0], atol=1e-6)
    with pytest.raises(ValueError, match="built for a batch of at most 2; got 3"):
        engine.infer(*_windows(3))
    assert engine.name == "tensorrt"


def test_times_are_measured_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = _engine(monkeypatch)
    _, cost = engine.infer(*_windows(1))
    assert (cost.host_to_device_ms, cost.infer_ms, cost.device_to_host_ms) == (2 * COPY_MS, KERNELS_MS, COPY_MS)
    assert engine.inference_ms.total == KERNELS_MS


@pytest.mark.parametrize(("graphs", "strategy"), [(True, "WHOLE_GRAPH_CAPTURE"), (False, "None")])
def test_a_cuda_graph_is_used_if_the_library_captures_one(
    monkeypatch: pytest.MonkeyPatch, graphs: bool, strategy: str
) -> None:
    _, cuda = _engine(monkeypatch, graphs=graphs)
    assert f"context {strategy}" in cuda.log


@pytest.mark.parametrize("refuse", ["set_tensor_address", "create_execution_context"])
def test_failures_at_the_start(monkeypatch: pytest.MonkeyPatch, refuse: str) -> None:
    with pytest.raises(EngineError, match=r"event-type\.onnx: .*the library gave no reason"):
        _engine(monkeypatch, refuse=refuse)


def test_a_file_that_is_not_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "half.engine"
    path.write_bytes(MODEL.read_bytes()[:1000])
    with pytest.raises(EngineError, match=r"half\.engine: tensorrt cannot load it: Serialization assertion failed\.$"):
        _engine(monkeypatch, path)
    with pytest.raises(EngineError, match=r"none\.engine: cannot be read"):
        _engine(monkeypatch, tmp_path / "none.engine")


def test_an_engine_of_another_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"waveform has shape \[3, \d+\], and|probabilities has shape \[32\], and"):
        _engine(monkeypatch, bundled_model("magnitude"))
    graph = onnx.load(MODEL)
    for node in graph.graph.node:
        node.output[:] = ["logits" if name == "probabilities" else name for name in node.output]
    graph.graph.output[0].name = "logits"
    onnx.save(graph, tmp_path / "other.engine")
    with pytest.raises(EngineError, match="must have waveform, valid, probabilities; got logits, valid, waveform"):
        _engine(monkeypatch, tmp_path / "other.engine")


@pytest.mark.parametrize("refuse", ["execute_async_v3", "set_input_shape"])
def test_after_a_device_failure_the_station_uses_onnxruntime(monkeypatch: pytest.MonkeyPatch, refuse: str) -> None:
    engine, cuda = _engine(monkeypatch, refuse=refuse)
    plain = OnnxRuntimeEngine(MODEL)
    answer, cost = engine.infer(*_windows(1))
    assert np.array_equal(answer, plain.infer(*_windows(1))[0])
    assert (engine.name, engine.instead_of) == ("onnxruntime-cpu", "tensorrt")
    assert engine.reason.startswith("it failed during the run: ") and cost.host_to_device_ms == 0 and cost.infer_ms > 0
    cuda.log.clear()
    engine.infer(*_windows(1))
    assert cuda.log == []  # the device is not used again


def test_a_trial_runs_on_the_device_and_not_on_its_replacement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a trial a failed device must not be replaced by onnxruntime, which would be compared with itself."""
    windows = tmp_path / "windows.npz"
    _child.save_windows(windows, [_windows(1, seed) for seed in range(8)])
    job = _child.Try(model=str(MODEL), library="tensorrt", engine=str(MODEL), windows=str(windows))
    for refuse, answer in (("", _child.Tried(difference=0.0)), ("execute_async_v3", None)):
        cuda = FakeCuda()
        monkeypatch.setitem(sys.modules, "tensorrt", fake_library(cuda, refuse=refuse))
        monkeypatch.setattr("seisedge.runtime.engines.tensorrt.open_device", lambda cuda=cuda: cuda)
        if answer is not None:
            assert _child._try(job) == answer and cuda.log.count("execute") == 8
            continue
        with pytest.raises(EngineError, match=r"event-type\.onnx: it failed during the run: .*inference failed"):
            _child._try(job)


class _Driver(SimpleNamespace):
    """pycuda.driver, recording: names and order as in its documentation."""

    def __init__(self, devices: int = 1) -> None:
        self.log: list[str] = []
        log = self.log

        class Error(Exception): ...

        class Context:
            def push(self) -> None:
                log.append("push")

            def pop(self) -> None:
                log.append("pop")

        class Device:
            def __init__(self, number: int) -> None:
                log.append(f"device {number}")

            @staticmethod
            def count() -> int:
                return devices

            def compute_capability(self) -> tuple[int, int]:
                return 8, 7

            def name(self) -> str:
                return "Orin"

            def retain_primary_context(self) -> Context:
                return Context()

        class Stream:
            handle = 99

            def synchronize(self) -> None:
                log.append("synchronize")

        class Event:
            def record(self, stream: Stream) -> None:
                assert isinstance(stream, Stream)
                log.append("record")

            def time_since(self, earlier: "Event") -> float:
                assert isinstance(earlier, Event)
                return 2.5

        super().__init__(
            Error=Error, Device=Device, Stream=Stream, Event=Event, init=lambda: log.append("init"),
            get_driver_version=lambda: 12060, mem_alloc=lambda n_bytes: 4096 + n_bytes,
            pagelocked_zeros=np.zeros,
            memcpy_htod_async=lambda dest, src, stream: log.append(f"in {dest} {src.nbytes} {stream.handle}"),
            memcpy_dtoh_async=lambda dest, src, stream: log.append(f"out {src} {dest.nbytes} {stream.handle}"),
        )  # fmt: skip


def test_pycuda_is_called_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _Driver()
    monkeypatch.setattr("atexit.register", lambda call: driver.log.append(f"at exit {call.__name__}"))
    cuda = _cuda.PyCuda(driver)
    assert (cuda.compute_capability, cuda.name, cuda.driver, cuda.stream) == ("sm87", "Orin", "12.6", 99)
    host = cuda.pinned((1, 3))
    address = cuda.allocate(12)
    marks = [cuda.mark(), cuda.mark()]
    marks[0].record()
    cuda.to_device(address, host)
    cuda.to_host(host, address)
    cuda.wait()
    assert marks[1].ms_since(marks[0]) == 2.5
    assert driver.log == [
        "init", "device 0", "push", "at exit pop", "record", "in 4108 12 99", "out 4108 12 99", "synchronize",
    ]  # fmt: skip
    with pytest.raises(EngineError, match="the CUDA driver finds no device"):
        _cuda.PyCuda(_Driver(devices=0))


def test_a_machine_without_pycuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    _cuda.open_device.cache_clear()
    with pytest.raises(EngineError, match="pycuda"):
        _cuda.open_device()


def test_a_missing_model_file_is_reported_before_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = tmp_path / "whole.engine"
    shutil.copy(MODEL, engine)
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_library(cuda))
    with pytest.raises(Exception, match=r"gone\.onnx: the model file cannot be read"):
        TensorRtEngine(tmp_path / "gone.onnx", engine, "tensorrt", cuda=cuda)
    assert cuda.log == []

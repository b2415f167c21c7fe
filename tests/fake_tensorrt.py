"""TensorRT and CUDA in host memory: work in the stream is done at `wait`, not before, as on a device.

An engine file of the fake library is the model file itself, and its kernels are onnxruntime: so the answers are exact.
Names and parameters of the fake library are compared with those of the real one in test_library.py.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from seisedge.runtime.engines._cuda import Floats, Mark

COPY_MS, KERNELS_MS = 0.25, 1.5  # time that each step adds to the fake clock


class FakeCuda:
    """One device whose memory is arrays at invented addresses. `log` has all calls except `pinned`, in order."""

    compute_capability = "sm87"
    name = "Fake Orin"
    driver = "12.6"
    stream = 7

    def __init__(self) -> None:
        self.log: list[str] = []
        self.memory: dict[int, Floats] = {}
        self.pins = 0
        self.now_ms = 0.0
        self.queue: list[Callable[[], None]] = []

    def allocate(self, n_bytes: int) -> int:
        self.log.append(f"allocate {n_bytes}")
        address = 4096 * (len(self.memory) + 1)
        self.memory[address] = np.full(n_bytes // 4, np.nan, np.float32)
        return address

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        self.pins += 1
        return np.zeros(shape, np.float32)

    def mark(self) -> FakeMark:
        self.log.append("mark")
        return FakeMark(self)

    def to_device(self, address: int, host: Floats) -> None:
        assert host.flags.c_contiguous
        self.log.append("to device")

        def copy() -> None:
            self.memory[address][: host.size] = host.ravel()
            self.now_ms += COPY_MS

        self.queue.append(copy)

    def to_host(self, host: Floats, address: int) -> None:
        assert host.flags.c_contiguous
        self.log.append("to host")

        def copy() -> None:
            host[...] = self.memory[address][: host.size].reshape(host.shape)
            self.now_ms += COPY_MS

        self.queue.append(copy)

    def wait(self) -> None:
        self.log.append("wait")
        queue, self.queue = self.queue, []
        for work in queue:
            work()


class FakeMark:
    """Stores the time at which the stream reaches it."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.at_ms: float | None = None

    def record(self) -> None:
        self._cuda.log.append("record")
        self._cuda.queue.append(self._pass)

    def _pass(self) -> None:
        self.at_ms = self._cuda.now_ms

    def ms_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, FakeMark) and self.at_ms is not None and earlier.at_ms is not None
        return self.at_ms - earlier.at_ms


class ILogger:
    """Base of the engine's logger."""

    def __init__(self) -> None: ...

    def log(self, severity: int, msg: str) -> None: ...


def fake_library(cuda: FakeCuda, *, max_batch: int = 2, graphs: bool = False, refuse: str = "") -> ModuleType:  # noqa: C901 - one function that holds the classes of a whole fake module
    """A module that runs model files on `cuda`. refuse: the name of a method that fails."""

    class IExecutionContext:
        def __init__(self, session: onnxruntime.InferenceSession) -> None:
            self._session = session
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return refuse != "set_tensor_address"

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            cuda.log.append(f"shape {name} {shape[0]}")
            self._shapes[name] = shape
            return shape[0] <= max_batch and refuse != "set_input_shape"

        def execute_async_v3(self, stream_handle: int) -> bool:
            assert stream_handle == cuda.stream
            cuda.log.append("execute")
            if refuse == "execute_async_v3":
                return False

            def run() -> None:
                inputs = {
                    name: cuda.memory[self._addresses[name]][: np.prod(shape)].reshape(shape)
                    for name, shape in self._shapes.items()
                }
                (result,) = self._session.run(["probabilities"], inputs)
                cuda.memory[self._addresses["probabilities"]][: result.size] = result.ravel()
                cuda.now_ms += KERNELS_MS

            cuda.queue.append(run)
            return True

    class ICudaEngine:
        def __init__(self, model: bytes) -> None:
            self._session = onnxruntime.InferenceSession(model)
            self._nodes = [*self._session.get_inputs(), *self._session.get_outputs()]
            self.strategy: object = None

        @property
        def num_io_tensors(self) -> int:
            return len(self._nodes)

        def get_tensor_name(self, index: int) -> str:
            return str(self._nodes[index].name)

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            shape = next(node.shape for node in self._nodes if node.name == name)
            return (-1, *shape[1:])

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            window = self.get_tensor_shape(name)[1:]
            return [(n, *window) for n in (1, 1, max_batch)]

        def create_runtime_config(self) -> SimpleNamespace:
            return SimpleNamespace(cuda_graph_strategy="DISABLED")

        def create_execution_context(self, runtime_config: Any = None) -> IExecutionContext | None:
            self.strategy = getattr(runtime_config, "cuda_graph_strategy", None)
            cuda.log.append(f"context {self.strategy}")
            return None if refuse == "create_execution_context" else IExecutionContext(self._session)

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            try:
                return ICudaEngine(serialized_engine)
            except Exception:  # onnxruntime raises classes of its own
                self._logger.log(1, "Serialization assertion failed. In parsePlan at /_src/runtime/runtime.cpp:780")
                return None

    module = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", None, origin="fake")
    parts: dict[str, Any] = {
        "__version__": "10.16.2",
        "ILogger": ILogger,
        "Runtime": Runtime,
        "ICudaEngine": ICudaEngine,
        "IExecutionContext": IExecutionContext,
    }
    if graphs:
        parts["CudaGraphStrategy"] = SimpleNamespace(WHOLE_GRAPH_CAPTURE="WHOLE_GRAPH_CAPTURE")
    for name, part in parts.items():
        setattr(module, name, part)
    return module

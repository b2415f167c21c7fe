"""TensorRT and TensorRT-RTX, with the same calls: run a built engine on the first CUDA device.

All memory is allocated when the engine is loaded: device buffers and page-locked host buffers for the largest batch,
one stream, four events. An inference fills the page-locked buffers and puts copy, kernels and copy into the stream; it
allocates no device memory and no page-locked memory.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines._base import Array, Engine, InferenceCost
from seisedge.runtime.engines._cuda import Cuda, Floats, open_device
from seisedge.runtime.engines._library import load_library, make_logger, no_collection
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import EngineError

if TYPE_CHECKING:
    import tensorrt as trt  # only type stubs; at run time the module is that of the library, which may be TensorRT-RTX

logger = logging.getLogger(__name__)

COMPONENTS = 3
FLOAT_BYTES = 4
INPUTS = ("waveform", "valid")
OUTPUT = "probabilities"


class TensorRtEngine(Engine):
    """Runs a built engine. Use only from the thread that created it.

    If the device fails during the run, the engine logs a warning and continues with onnxruntime; `name`, `instead_of`
    and `reason` then change. With allow_fallback=False it raises EngineError instead.
    """

    def __init__(
        self,
        path: Path,
        engine_path: Path,
        library: str,
        *,
        plain: OnnxRuntimeEngine | None = None,
        cuda: Cuda | None = None,
        allow_fallback: bool = True,
    ) -> None:
        """path: the model file, for its card and for onnxruntime. plain: that file, if it is already open.

        Raises CardError for the model file, EngineError if the engine does not match it or does not load.
        """
        self.name = library
        self._engine_path = engine_path
        self._library = load_library(library)
        self._cuda = cuda or open_device()
        self._plain: OnnxRuntimeEngine | None = plain
        self._allow_fallback = allow_fallback
        self._times = (0.0, 0.0, 0.0)
        super().__init__(path)

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        plain = self._plain or OnnxRuntimeEngine(path)  # checks the file, its card and its graph
        self._plain = None
        try:
            data = self._engine_path.read_bytes()
        except OSError as error:
            raise EngineError(f"{self._engine_path}: cannot be read: {error.strerror}") from error
        self._logger, self._log = make_logger(self._library)
        api: Any = self._library.module
        with no_collection():
            self._runtime: trt.Runtime = api.Runtime(self._logger)  # kept: the runtime must outlive the engine
        engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError(f"{self._engine_path}: {self._library.name} cannot load it: {self._log.reason()}")
        self._engine = engine
        self._max_batch = self._check(engine, plain.card)
        context: trt.IExecutionContext | None = self._context(engine)
        if context is None:
            raise EngineError(f"{self._engine_path}: not enough memory to run it: {self._log.reason()}")
        self._execution = context
        self._allocate(plain.card)
        return plain.sha256, plain.card

    def _check(self, engine: trt.ICudaEngine, card: ModelCard) -> int:
        """The largest batch. Raises EngineError if inputs and outputs differ from the card."""
        names = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
        shapes = dict.fromkeys(INPUTS, (COMPONENTS, card.n_samples)) | {OUTPUT: card.output_shape}
        if names != shapes.keys():
            raise EngineError(f"{self._engine_path}: it must have {', '.join(shapes)}; got {', '.join(sorted(names))}")
        for name, shape in shapes.items():
            found = tuple(engine.get_tensor_shape(name))[1:]
            if found != shape:
                raise EngineError(f"{self._engine_path}: {name} has shape {list(found)}, and {list(shape)} in the card")
        largest = [tuple(engine.get_tensor_profile_shape(name, 0)[2]) for name in INPUTS]
        return min(int(shape[0]) for shape in largest)

    def _context(self, engine: trt.ICudaEngine) -> trt.IExecutionContext | None:
        """Uses a CUDA graph of all kernels if the library can capture one itself (TensorRT-RTX)."""
        api: Any = self._library.module
        if not hasattr(api, "CudaGraphStrategy"):
            return engine.create_execution_context()
        settings: Any = engine.create_runtime_config()
        settings.cuda_graph_strategy = api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return engine.create_execution_context(settings)

    def _allocate(self, card: ModelCard) -> None:
        shape = (self._max_batch, COMPONENTS, card.n_samples)
        shapes = dict.fromkeys(INPUTS, shape) | {OUTPUT: (self._max_batch, *card.output_shape)}
        self._host: dict[str, Floats] = {name: self._cuda.pinned(shape) for name, shape in shapes.items()}
        self._device = {name: self._cuda.allocate(FLOAT_BYTES * host.size) for name, host in self._host.items()}
        for name, address in self._device.items():
            if not self._execution.set_tensor_address(name, address):
                raise EngineError(f"{self._engine_path}: it refuses the buffer for {name}: {self._log.reason()}")
        self._marks = [self._cuda.mark() for _ in range(4)]
        self._batch = 0  # batch size set in the context

    def _infer(self, waveform: Array, valid: Array) -> Array:
        if self._plain is not None:
            return self._plain._infer(waveform, valid)
        if len(waveform) > self._max_batch:
            raise ValueError(f"the engine was built for a batch of at most {self._max_batch}; got {len(waveform)}")
        try:
            return self._run(waveform, valid)
        except Exception as error:  # pycuda's errors share no base class outside pycuda; ours are EngineError
            return self._fall_back(error)._infer(waveform, valid)

    def _run(self, waveform: Array, valid: Array) -> Array:
        """One inference on the device; returns a copy of the output buffer."""
        n, cuda, marks = len(waveform), self._cuda, self._marks
        if n != self._batch:
            self._set_batch(n)
        for name, values in zip(INPUTS, (waveform, valid), strict=True):
            np.copyto(self._host[name][:n], values)
        marks[0].record()
        for name in INPUTS:
            cuda.to_device(self._device[name], self._host[name][:n])
        marks[1].record()
        if not self._execution.execute_async_v3(cuda.stream):
            raise EngineError(f"{self._engine_path}: inference failed: {self._log.reason()}")
        marks[2].record()
        cuda.to_host(self._host[OUTPUT][:n], self._device[OUTPUT])
        marks[3].record()
        cuda.wait()
        self._times = (
            marks[1].ms_since(marks[0]),
            marks[2].ms_since(marks[1]),
            marks[3].ms_since(marks[2]),
        )
        return self._host[OUTPUT][:n].copy()

    def _set_batch(self, n: int) -> None:
        for name in INPUTS:
            if not self._execution.set_input_shape(name, (n, COMPONENTS, self.card.n_samples)):
                raise EngineError(f"{self._engine_path}: it refuses a batch of {n}: {self._log.reason()}")
        self._batch = n

    def _cost(self, elapsed_ms: float) -> InferenceCost:
        if self._plain is not None:
            return self._plain._cost(elapsed_ms)
        to_device_ms, infer_ms, to_host_ms = self._times
        return InferenceCost(to_device_ms, infer_ms, to_host_ms)

    def _fall_back(self, error: Exception) -> OnnxRuntimeEngine:
        reason = f"it failed during the run: {_first_line(error)}"
        if not self._allow_fallback:
            raise EngineError(f"{self._engine_path}: {reason}") from error
        plain = OnnxRuntimeEngine(self.path)
        self.instead_of, self.reason = self.name, reason
        self.name = plain.name
        self._plain = plain
        logger.warning("%s: using %s instead of %s from now on: %s", self.path, self.name, self.instead_of, self.reason)
        return plain


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

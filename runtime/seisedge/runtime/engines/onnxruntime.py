"""onnxruntime on the CPU, one thread: the engine every station has.

This is the only module of seisedge that imports onnxruntime.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import numpy as np

from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines._base import Array, Engine
from seisedge.runtime.engines._model_file import read_model
from seisedge.runtime.errors import CardError, EngineError
from seisedge.runtime.text import quoted, reason_of, shortened

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime 1.29 and later send usage data when imported
import onnxruntime as ort  # after the variable is set

FLOAT = "tensor(float)"
ERRORS_ONLY = 3  # onnxruntime's log level
BATCH_SIZES = (16, 4)  # larger ones gain nothing, and need more memory
TRIAL_WINDOWS = 16


def session_from(model: bytes, threads: int = 1) -> ort.InferenceSession:
    """A session on the CPU with a fixed number of threads, so that the same input gives the same bits.

    Raises classes of onnxruntime that share only the base Exception where it cannot run the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena never frees the memory of the largest batch
    options.log_severity_level = ERRORS_ONLY
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _trial_windows(n: int, n_samples: int) -> tuple[Array, Array]:
    """Waveforms like noise and masks, (n, 3, n_samples) each: amplitudes from 1e-2 to 1e6, every second with a gap."""
    place = np.arange(3 * n_samples).reshape(3, n_samples)
    window = np.arange(n)[:, None, None]
    waveform = np.sin(0.731 * (place + 7.0 * window) ** 2) * 10.0 ** (8.0 * window / max(n - 1, 1) - 2.0)
    valid = np.ones(waveform.shape, dtype=np.float32)
    for k in range(1, n, 2):
        begin = n_samples * k // (n + 1)
        valid[k, k % 3, begin : begin + n_samples // 3] = 0.0
    return waveform.astype(np.float32), valid


class OnnxRuntimeEngine(Engine):
    """Runs the graph on the CPU with a fixed number of threads, so that the same input gives the same bits."""

    name = "onnxruntime-cpu"

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._threads = threads
        super().__init__(path)

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        data, card = read_model(path)
        try:
            self._session = session_from(data, self._threads)
        except Exception as error:  # onnxruntime raises classes of its own that share only this base
            raise CardError(f"{path}: not an ONNX model this engine can run: {reason_of(error)}") from error
        self._check(card, path)
        return hashlib.sha256(data).hexdigest(), card

    def _check(self, card: ModelCard, path: Path) -> None:
        """Compare the shapes in the card with those of the graph. Raises CardError."""
        window = [3, card.n_samples]
        nodes = (*self._session.get_inputs(), *self._session.get_outputs())
        graph = {node.name: node.shape for node in nodes}
        wanted = {"waveform": window, "valid": window, "probabilities": list(card.output_shape)}
        if graph.keys() != wanted.keys():
            raise CardError(f"{path}: the graph must have {', '.join(wanted)}; got {shortened(', '.join(graph))}")
        for node in nodes:
            if node.type != FLOAT:
                raise CardError(f"{path}: {node.name} must be a {FLOAT} in the graph; got a {shortened(node.type)}")
        for name, shape in wanted.items():
            if list(graph[name][1:]) != shape:
                raise CardError(
                    f"{path}: {name} has shape {shape} in the card and {quoted(list(graph[name][1:]))} in the graph"
                )

    @functools.cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """See `Engine.batch_sizes`. Tried on `TRIAL_WINDOWS` windows of many kinds when it is first needed.

        onnxruntime promises nothing of the kind: a version, a processor or a model may take another way through a
        kernel for a batch. Which way depends on the shapes and not on the values.
        """
        waveform, valid = _trial_windows(TRIAL_WINDOWS, self.card.n_samples)
        alone = self._in_batches_of(1, waveform, valid)
        return (*(size for size in BATCH_SIZES if self._in_batches_of(size, waveform, valid) == alone), 1)

    def _in_batches_of(self, size: int, waveform: Array, valid: Array) -> bytes | None:
        """The outputs for all windows; None where the graph does not take batches of this size."""
        begins = range(0, len(waveform), size)
        try:
            return b"".join(self._infer(waveform[k : k + size], valid[k : k + size]).tobytes() for k in begins)
        except EngineError:
            return None

    def _infer(self, waveform: Array, valid: Array) -> Array:
        try:
            result: Array = self._session.run(["probabilities"], {"waveform": waveform, "valid": valid})[0]
        except Exception as error:  # onnxruntime raises classes of its own that share only this base
            raise EngineError(f"{self.path}: the model failed on a window: {reason_of(error)}") from error
        return np.asarray(result, dtype=np.float32)

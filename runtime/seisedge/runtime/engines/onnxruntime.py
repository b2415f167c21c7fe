"""onnxruntime on the CPU, one thread: the engine every station has.

This is the only module of seisedge that imports onnxruntime.
"""

from __future__ import annotations

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

    def _infer(self, waveform: Array, valid: Array) -> Array:
        try:
            result: Array = self._session.run(["probabilities"], {"waveform": waveform, "valid": valid})[0]
        except Exception as error:  # onnxruntime raises classes of its own that share only this base
            raise EngineError(f"{self.path}: the model failed on a window: {reason_of(error)}") from error
        return np.asarray(result, dtype=np.float32)

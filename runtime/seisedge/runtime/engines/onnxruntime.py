"""onnxruntime on the CPU, one thread: the engine every station has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime as ort

from seisedge.runtime.card import CARD_KEY, ModelCard, card_from_json
from seisedge.runtime.engines._base import Array, Engine
from seisedge.runtime.errors import CardError, InputError

ERRORS_ONLY = 3  # onnxruntime's log level


class OnnxRuntimeEngine(Engine):
    """Runs the graph on the CPU with a fixed number of threads, so that the same input gives the same bits."""

    name = "onnxruntime-cpu"

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._threads = threads
        super().__init__(path)

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: the model file cannot be read: {error.strerror}") from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # the arena keeps the peak of the largest batch for ever
        options.log_severity_level = ERRORS_ONLY
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share only this base
            raise CardError(f"{path}: not an ONNX model this engine can run: {_first_line(error)}") from error
        card = card_from_json(self._session.get_modelmeta().custom_metadata_map.get(CARD_KEY), str(path))
        self._check(card, path)
        return hashlib.sha256(data).hexdigest(), card

    def _check(self, card: ModelCard, path: Path) -> None:
        """Compare the shapes in the card with those of the graph. Raises CardError."""
        window = [3, card.n_samples]
        graph = {node.name: node.shape for node in (*self._session.get_inputs(), *self._session.get_outputs())}
        wanted = {"waveform": window, "valid": window, "probabilities": [len(card.labels)]}
        if graph.keys() != wanted.keys():
            raise CardError(f"{path}: the graph must have {', '.join(wanted)}; got {', '.join(graph)}")
        for name, shape in wanted.items():
            if list(graph[name][1:]) != shape:
                raise CardError(
                    f"{path}: {name} has shape {shape} in the card and {list(graph[name][1:])} in the graph"
                )

    def _infer(self, waveform: Array, valid: Array) -> Array:
        result: Array = self._session.run(["probabilities"], {"waveform": waveform, "valid": valid})[0]
        return np.asarray(result, dtype=np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

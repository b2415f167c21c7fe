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
TIME_AXES = {"waveform": 2, "valid": 2, "probabilities": 1}  # of the graph of an onset detector
ERRORS_ONLY = 3  # onnxruntime's log level
# Larger ones gain nothing, and need more memory; up to three, functions of one value a window are not vectorised
BATCH_SIZES = (16, 4, 3)
TRIAL_WINDOWS = 48
RUN_LENGTHS = (32, 16, 8, 4)  # of consecutive blocks; longer ones gain nothing


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


def _is_free(shape: list[int | str | None], axis: int) -> bool:
    """True for an axis without a fixed length."""
    return len(shape) == 3 and not isinstance(shape[axis], int)


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
        # the window of an onset detector may be longer by whole blocks: a free number of samples, and of hops
        free = card.onset is not None and not any(
            isinstance(graph[name][axis], int) for name, axis in TIME_AXES.items()
        )
        self._longer = free
        for name, shape in wanted.items():
            found = list(graph[name])
            if free:
                found[TIME_AXES[name]] = shape[TIME_AXES[name] - 1]
            if found[1:] != shape:
                raise CardError(
                    f"{path}: {name} has shape {shape} in the card and {quoted(list(graph[name][1:]))} in the graph"
                )

    @functools.cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """See `Engine.batch_sizes`. Tried on `TRIAL_WINDOWS` windows of many kinds when it is first needed.

        onnxruntime promises nothing of the kind: a version, a processor or a model may take another way through a
        kernel for a batch. Which way depends on the shapes and not on the values, but only some values then differ in
        their last bit: with 16 windows a size was accepted that changed one window in eight.
        """
        waveform, valid = _trial_windows(TRIAL_WINDOWS, self.card.n_samples)
        alone = self._in_batches_of(1, waveform, valid)
        return (*(size for size in BATCH_SIZES if self._in_batches_of(size, waveform, valid) == alone), 1)

    @functools.cached_property
    def run_lengths(self) -> tuple[int, ...]:
        """See `Engine.run_lengths`. Tried as `batch_sizes`, on one waveform of the longest run."""
        if not self._longer:
            return ()
        card, longest = self.card, max(RUN_LENGTHS)
        waveform, valid = _trial_windows(1, card.n_samples + (longest - 1) * card.block_n)
        waveform *= np.geomspace(1.0, 1e6, waveform.shape[-1], dtype=np.float32)
        alone = self._in_runs_of(1, waveform, valid)
        return tuple(length for length in RUN_LENGTHS if self._in_runs_of(length, waveform, valid) == alone)

    def _in_runs_of(self, length: int, waveform: Array, valid: Array) -> bytes | None:
        """The outputs for all blocks of a waveform; None where the graph does not take runs of this length."""
        step, n = length * self.card.block_n, self.card.n_samples + (length - 1) * self.card.block_n
        spans = [slice(begin, begin + n) for begin in range(0, waveform.shape[-1] - n + 1, step)]
        try:
            return b"".join(self._infer(waveform[..., span], valid[..., span]).tobytes() for span in spans)
        except EngineError:
            return None

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

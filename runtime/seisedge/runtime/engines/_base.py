"""Engine: runs a model file. Each engine is a subclass with two hooks, in a file of its own."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.counters import Histogram
from seisedge.runtime.errors import EngineError

Array = npt.NDArray[np.float32]
Pair = tuple[Array, Array]  # waveform and valid, (batch, 3, n_samples) each
TOLERANCE = 0.01  # of a probability, for int8 models
TrialWindows = Callable[[ModelCard], Iterable[Pair]]  # real windows for a model, to compare engines on


@dataclass(frozen=True, slots=True)
class InferenceCost:
    """Time of the parts of one inference, in milliseconds; transfers are 0 on the CPU."""

    host_to_device_ms: float
    infer_ms: float
    device_to_host_ms: float


def are_probabilities(values: Array) -> bool:
    """Is every value finite and, apart from rounding, between 0 and 1?"""
    return bool(((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)).all())  # False for nan


class Engine(abc.ABC):
    """Base of all engines: checks and timing here, the inference in `_infer`.

    inference_ms: histogram over all windows, without transfers; the time of a batch is divided by its windows.
    instead_of, reason: the requested engine that this one replaces, and why; None and '' if this is the requested one.
    """

    name: str
    instead_of: str | None = None
    reason: str = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inference_ms = Histogram()
        self.sha256, self.card = self._load(path)

    @abc.abstractmethod
    def _load(self, path: Path) -> tuple[str, ModelCard]:
        """Open the model file; returns its sha256 and card. Raises CardError."""

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Sizes of batches in which each window has the bits that it has alone; in descending order, the last is 1."""
        return (1,)

    @property
    def run_lengths(self) -> tuple[int, ...]:
        """Numbers of consecutive blocks that `infer_run` takes, each block with the bits that it has alone.

        In descending order; empty where the engine or the graph takes blocks one by one, each with its context.
        """
        return ()

    @abc.abstractmethod
    def _infer(self, waveform: Array, valid: Array) -> Array:
        """Run the network: probabilities (batch, *card.output_shape), (1, blocks · block_hops, labels) of a run."""

    def _cost(self, elapsed_ms: float) -> InferenceCost:
        """Cost of the last inference, for which `elapsed_ms` were measured on the host."""
        return InferenceCost(0.0, elapsed_ms, 0.0)

    def infer(self, waveform: Array, valid: Array) -> tuple[Array, InferenceCost]:
        """Probabilities (batch, *card.output_shape) of `waveform` and `valid`, (batch, 3, n_samples) each; the cost.

        Raises ValueError for other shapes, EngineError where the model fails or its output has another shape. The
        values are not checked, see `are_probabilities`.
        """
        expected = (3, self.card.n_samples)
        if waveform.shape != valid.shape or waveform.shape[1:] != expected:
            raise ValueError(
                f"waveform and valid must be (batch, {expected[0]}, {expected[1]}); "
                f"got {waveform.shape} and {valid.shape}"
            )
        return self._timed(waveform, valid, (len(waveform), *self.card.output_shape), len(waveform))

    def infer_run(self, waveform: Array, valid: Array) -> tuple[Array, InferenceCost]:
        """As `infer`, of consecutive blocks of an onset detector: probabilities (blocks, *card.output_shape).

        waveform, valid: (1, 3, n), the samples of the blocks with the context of the first; `blocks` is one of
        `run_lengths`.
        """
        card = self.card
        blocks = 1 + (waveform.shape[-1] - card.n_samples) // max(card.block_n, 1)
        expected = (1, 3, card.n_samples + (blocks - 1) * card.block_n)
        if waveform.shape != valid.shape or waveform.shape != expected or blocks not in self.run_lengths:
            raise ValueError(
                f"waveform and valid must have {card.n_samples} samples and whole blocks of {card.block_n} more, "
                f"{', '.join(map(str, self.run_lengths)) or 'no'} blocks in all; got {waveform.shape} and {valid.shape}"
            )
        hops, labels = card.output_shape
        probabilities, cost = self._timed(waveform, valid, (1, blocks * hops, labels), blocks)
        return probabilities.reshape(blocks, hops, labels), cost

    def _timed(
        self, waveform: Array, valid: Array, shape: tuple[int, ...], windows: int
    ) -> tuple[Array, InferenceCost]:
        """Probabilities of this shape and their cost. Raises EngineError for another shape."""
        start = perf_counter_ns()
        probabilities = self._infer(waveform, valid)
        if probabilities.shape != shape:
            raise EngineError(f"{self.path}: the probabilities must be {shape}; got {probabilities.shape}")
        cost = self._cost((perf_counter_ns() - start) / 1e6)
        self.inference_ms.add(cost.infer_ms / max(windows, 1), windows)
        return probabilities, cost

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

    @abc.abstractmethod
    def _infer(self, waveform: Array, valid: Array) -> Array:
        """Run the network: probabilities (batch, *card.output_shape)."""

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
        start = perf_counter_ns()
        probabilities = self._infer(waveform, valid)
        shape = (len(waveform), *self.card.output_shape)
        if probabilities.shape != shape:
            raise EngineError(f"{self.path}: the probabilities must be {shape}; got {probabilities.shape}")
        cost = self._cost((perf_counter_ns() - start) / 1e6)
        self.inference_ms.add(cost.infer_ms / max(len(waveform), 1), len(waveform))
        return probabilities, cost

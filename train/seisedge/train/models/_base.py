"""What every model is: front end, network and calibrated probabilities, from `waveform` and `valid`."""

from __future__ import annotations

import abc
import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Geometry:
    """The window a model looks at: length, clock and nominal place of the onset."""

    n_samples: int
    rate_hz: float
    onset_s: float


class Model(nn.Module, abc.ABC):
    """Base of all models.

    temperature: fitted on validation data; softens (above 1) or sharpens the probabilities.
    """

    task: Literal["event_type", "magnitude"]
    unit: Literal["counts", "m/s"]
    temperature: Tensor

    def __init__(self, geometry: Geometry, labels: list[str], band_hz: tuple[float, float]) -> None:
        super().__init__()
        self.geometry, self.labels, self.band_hz = geometry, labels, band_hz
        self.register_buffer("temperature", torch.ones(()))

    @abc.abstractmethod
    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """waveform, valid: (batch, 3, n_samples) → what the network says, before calibration: (batch, k)."""

    def probabilities(self, raw: Tensor) -> Tensor:
        """`raw` at the model's temperature as probabilities (batch, n_labels): here a softmax of logits."""
        return torch.softmax(raw / self.temperature, dim=-1)

    def forward(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """waveform, valid: (batch, 3, n_samples) → probabilities (batch, n_labels)."""
        return self.probabilities(self.raw(waveform, valid))


class EventTypeModel(Model):
    """A model whose labels are kinds of events; `raw` gives their logits."""

    task = "event_type"
    unit = "counts"


EVENT_TYPES = ["tectonic", "non-tectonic", "noise"]


def magnitude_bins(outer: bool) -> tuple[list[str], list[float | None]]:
    """Labels and edges: 30 bins (0.0, 0.1] to (2.9, 3.0], and with `outer` the two beyond them."""
    marks = [k / 10 for k in range(31)]
    labels = [f"({low:.1f},{high:.1f}]" for low, high in itertools.pairwise(marks)]
    if not outer:
        return labels, list(marks)
    return ["≤0.0", *labels, ">3.0"], [None, *marks, None]


class MagnitudeModel(Model):
    """A model whose labels are bins of magnitude; label k covers (edges[k], edges[k + 1]]."""

    task = "magnitude"
    unit = "m/s"
    inner_edges: Tensor

    def __init__(
        self, geometry: Geometry, labels: list[str], edges: list[float | None], band_hz: tuple[float, float]
    ) -> None:
        super().__init__(geometry, labels, band_hz)
        self.edges = edges
        inner = [edge for edge in edges[1:-1] if edge is not None]
        self.register_buffer("inner_edges", torch.tensor(inner), persistent=False)

    def bin_of(self, magnitude: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Label (n,) of magnitudes; beyond closed outer edges the nearest label."""
        first = 0 if self.edges[0] is None else 1
        inner = np.array([edge for edge in self.edges if edge is not None])
        return np.clip(np.digitize(magnitude, inner, right=True) - first, 0, len(self.labels) - 1)

    @abc.abstractmethod
    def losses(
        self, waveform: Tensor, valid: Tensor, magnitude: Tensor, station_term: Tensor, log_distance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(batch,) each: negative log likelihood of the magnitude, and the error of the distance.

        magnitude, log_distance (log10 km): (batch,), nan where not known, and the loss is then 0;
        station_term: (batch,), log10 of an unknown gain. A model without a distance gives zeros for it.
        """

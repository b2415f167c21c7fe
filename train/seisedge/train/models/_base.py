"""Base classes of models: front end, network and calibrated probabilities, from `waveform` and `valid`."""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus


@dataclass(frozen=True, slots=True)
class Geometry:
    """The input window of a model: length, sampling rate and nominal time of the onset from its start."""

    n_samples: int
    rate_hz: float
    onset_s: float


class Model(nn.Module, abc.ABC):
    """Base of all models.

    temperature: fitted on validation data; above 1 it flattens the probabilities, below 1 it sharpens them.
    """

    task: Literal["event_type", "magnitude", "onset"]
    unit: Literal["counts", "m/s"]
    temperature: Tensor

    def __init__(self, geometry: Geometry, labels: list[str], band_hz: tuple[float, float]) -> None:
        super().__init__()
        self.geometry, self.labels, self.band_hz = geometry, labels, band_hz
        self.register_buffer("temperature", torch.ones(()))

    @abc.abstractmethod
    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """waveform, valid: (batch, 3, n_samples) → output of the network before calibration: (batch, k)."""

    def probabilities(self, raw: Tensor) -> Tensor:
        """Probabilities (batch, n_labels) for `raw` at the temperature of the model; default: a softmax of logits."""
        return torch.softmax(raw / self.temperature, dim=-1)

    def last_layer(self) -> nn.Module:
        """The last linear layer, which is trained when only the last layer is transferred."""
        return [m for m in self.modules() if isinstance(m, nn.Linear)][-1]

    def late_layers(self) -> list[nn.Module]:
        """The last block and what follows it; by default the last layer."""
        return [self.last_layer()]

    def forward(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """waveform, valid: (batch, 3, n_samples) → probabilities (batch, n_labels)."""
        return self.probabilities(self.raw(waveform, valid))


class EventTypeModel(Model):
    """A model whose labels are event types; `raw` returns their logits."""

    task = "event_type"
    unit = "counts"


class PictureModel(Model):
    """A model that converts the waveform to a picture, its input.

    distort: an augmentation of pictures (batch, channels, height, width), applied in training mode only.
    wants_marks: the picture contains the times of P, S and the end of the signal; `marks` are those of the next batch,
        (batch, 3), as samples of the window, nan if unknown.
    """

    distort: Callable[[Tensor], Tensor] | None = None
    wants_marks: bool = False
    marks: Tensor | None = None


ONSET_LABELS = ["P", "S", "noise", "tectonic", "non-tectonic"]


class OnsetModel(Model):
    """A detector: `raw` returns logits (batch, block_hops, 5) for the hops of a block; P and S are independent of the
    classes and of each other.

    waveform and valid may be longer by whole blocks: of consecutive blocks with the context of the first. `raw` then
    returns the hops of all of them, (batch, blocks · block_hops, 5), equal to those of each block alone.

    delay_hops: an output is for the hop this much earlier. picks: scale and offset (2, 2) that calibrate the logits of
    P and of S, fitted on validation data like the temperature of the classes. thresholds: (2,), probabilities of P and
    of S from which the station acts; they do not change the output.
    """

    task = "onset"
    unit = "counts"
    picks: Tensor
    thresholds: Tensor

    def __init__(
        self, geometry: Geometry, band_hz: tuple[float, float], block_hops: int, hop_n: int, delay_hops: int
    ) -> None:
        super().__init__(geometry, list(ONSET_LABELS), band_hz)
        self.block_hops, self.hop_n, self.delay_hops = block_hops, hop_n, delay_hops
        self.block_n = block_hops * hop_n  # samples
        self.register_buffer("picks", torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        self.register_buffer("thresholds", torch.tensor([0.5, 0.5]))

    def probabilities(self, raw: Tensor) -> Tensor:
        """(…, 5): sigmoids of P and S, softmax of the classes."""
        picks = torch.sigmoid(raw[..., :2] * self.picks[0] + self.picks[1])
        return torch.cat([picks, torch.softmax(raw[..., 2:] / self.temperature, dim=-1)], dim=-1)


EVENT_TYPES = ["tectonic", "non-tectonic", "noise"]


def event_types(n_classes: int) -> list[str]:
    """The labels of a model with two classes (without noise) or three. Raises ValueError."""
    if n_classes not in (2, 3):
        raise ValueError(f"n_classes must be 2 or 3; got {n_classes}")
    return EVENT_TYPES[:n_classes]


def magnitude_bins(outer: bool) -> tuple[list[str], list[float | None]]:
    """Labels and edges: 30 bins (0.0, 0.1] to (2.9, 3.0], and with `outer` two open bins below and above."""
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

    @abc.abstractmethod
    def losses(
        self, waveform: Tensor, valid: Tensor, magnitude: Tensor, station_term: Tensor, log_distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Negative log likelihood of the magnitude, loss of the distance, and expected magnitude, (batch,) each; and
        the output of `raw`.

        magnitude, log_distance (log10 km): (batch,), nan if unknown; the loss is then 0. station_term: (batch,), log10
        of an unknown gain. A model without a distance returns zeros for its loss.
        """


class BinnedMagnitudeModel(MagnitudeModel):
    """A magnitude model with one logit for each bin; `criterion` is the loss, (logits, labels) → (batch,)."""

    centres: Tensor

    def __init__(
        self, geometry: Geometry, labels: list[str], edges: list[float | None], band_hz: tuple[float, float]
    ) -> None:
        super().__init__(geometry, labels, edges, band_hz)
        self.criterion: Callable[[Tensor, Tensor], Tensor] = functools.partial(cross_entropy, reduction="none")
        inner = self.inner_edges
        centres = torch.cat([inner[:1] - 0.05, (inner[1:] + inner[:-1]) / 2, inner[-1:] + 0.05])
        self.register_buffer("centres", centres, persistent=False)

    @abc.abstractmethod
    def logits(self, waveform: Tensor, valid: Tensor, station_term: Tensor | None = None) -> Tensor:
        """(batch, n_labels), before temperature; station_term: (batch,), log10 of an unknown gain."""

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """Logits (batch, n_labels)."""
        return self.logits(waveform, valid)

    def losses(
        self, waveform: Tensor, valid: Tensor, magnitude: Tensor, station_term: Tensor, log_distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The criterion of the bin; a magnitude outside all bins counts as the nearest bin. The distance loss is 0."""
        known = torch.isfinite(magnitude)
        target = torch.bucketize(torch.where(known, magnitude, 0.0), self.inner_edges, right=False)
        logits = self.logits(waveform, valid, station_term).float()
        loss = self.criterion(logits, target)
        expected = torch.softmax(logits, -1) @ self.centres
        return torch.where(known, loss, 0.0), torch.zeros_like(loss), expected, logits


class LogisticMagnitudeModel(MagnitudeModel):
    """A magnitude model whose `raw` is the location and the scale (batch, 2) of a logistic distribution over magnitude,
    which is cut into the bins.
    """

    def probabilities(self, raw: Tensor) -> Tensor:
        """Differences of the logistic distribution at the bins' edges, its scale times the temperature."""
        location, scale = raw[:, 0], raw[:, 1]
        z = (self.inner_edges - location[:, None]) / (scale * self.temperature)[:, None]
        below = torch.sigmoid(z)  # (batch, n_labels - 1)
        first, last = below[:, :1], torch.sigmoid(-z[:, -1:])
        p = torch.cat([first, below[:, 1:] - below[:, :-1], last], dim=1).clamp(min=1e-7)
        return p / p.sum(1, keepdim=True)


def logistic_loss(location: Tensor, scale: Tensor, magnitude: Tensor) -> Tensor:
    """(batch,): negative log of the logistic density at the magnitude, the limit of narrow bins; 0 if it is nan."""
    known = torch.isfinite(magnitude)
    z = (torch.where(known, magnitude, 0.0) - location) / scale
    return torch.where(known, z + 2 * softplus(-z) + scale.log(), 0.0)

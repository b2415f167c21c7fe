"""ResNet18 with CBAM and residual shrinkage, in one dimension: magnitude bins (paper A).

`resnet18_cbam_1d` keeps the paper's widths (64 to 512, two blocks each) and its 30 bins with a softmax, on the
waveform instead of a picture of it. `resnet18_cbam_small` is the network for the station: narrow, and with an ordinal
head, because a softmax with 32 independent labels learns little from a thousand records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seisedge.train.models._base import (
    BinnedMagnitudeModel,
    Geometry,
    LogisticMagnitudeModel,
    MagnitudeModel,
    logistic_loss,
    magnitude_bins,
)
from seisedge.train.models._registry import register_model
from seisedge.train.models.cbam import CBAM
from seisedge.train.models.filterbank import Filterbank
from seisedge.train.models.frontend import MagnitudeFrontEnd, MaskedHighpass
from seisedge.train.models.masking import masked_max, masked_mean, pool_mask
from seisedge.train.models.shrinkage import Shrinkage


class ResidualBlock(nn.Module):
    """Two convolutions, shrinkage and CBAM on their output, parallel to the shortcut."""

    def __init__(self, channels_in: int, inner: int, channels_out: int, stride: int, kernel: int = 3) -> None:
        super().__init__()
        self.stride = stride
        pad = kernel // 2
        self.body = nn.Sequential(
            nn.Conv1d(channels_in, inner, kernel, stride, pad, bias=False),
            nn.BatchNorm1d(inner),
            nn.ReLU(),
            nn.Conv1d(inner, channels_out, kernel, 1, pad, bias=False),
            nn.BatchNorm1d(channels_out),
        )
        self.shrink = Shrinkage(channels_out)
        self.attend = CBAM(channels_out)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == channels_out
            else nn.Sequential(
                nn.Conv1d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm1d(channels_out)
            )
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, channels_in, n), mask (batch, 1, n) → the same at the stride."""
        mask_out = pool_mask(mask, self.stride)
        y = self.attend(self.shrink(self.body(x) * mask_out, mask_out), mask_out)
        return torch.relu(y + self.shortcut(x)) * mask_out, mask_out


@dataclass(frozen=True, slots=True)
class ResidualShape:
    """Widths that pruning changes: of each stage, and for each block of a stage between its convolutions."""

    widths: Sequence[int]
    inner: Sequence[Sequence[int]]


def unpruned_shape(widths: Sequence[int]) -> ResidualShape:
    """The shape with two blocks for each stage, whose inner width is that of the stage."""
    return ResidualShape(widths, [(width, width) for width in widths])


class ResidualTrunk(nn.Module):
    """Stem, residual blocks, masked mean and maximum: (batch, channels_in, n) → (batch, 2 · widths[-1])."""

    def __init__(self, channels_in: int, shape: ResidualShape, stem_stride: int) -> None:
        super().__init__()
        self.stem_stride, self.shape = stem_stride, shape
        widths = shape.widths
        self.stem = nn.Sequential(
            nn.Conv1d(channels_in, widths[0], 2 * stem_stride - 1, stem_stride, stem_stride - 1, bias=False),
            nn.BatchNorm1d(widths[0]),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList()
        previous = widths[0]
        for i, (width, inner) in enumerate(zip(widths, shape.inner, strict=True)):
            for k, between in enumerate(inner):
                self.blocks.append(ResidualBlock(previous, between, width, 2 if k == 0 and i > 0 else 1))
                previous = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """mask: (batch, 1, n)."""
        mask = pool_mask(mask, self.stem_stride)
        x = self.stem(x) * mask
        for block in self.blocks:
            x, mask = block(x, mask)
        return torch.cat([masked_mean(x, mask), masked_max(x, mask)], dim=1).flatten(1)


TYPICAL_LOG_KM = 1.4
SIZE_S = 12.0  # after the onset: includes S of a local event, but rarely the next event of a swarm


def record_size(envelope: Tensor, mask: Tensor, geometry: Geometry) -> Tensor:
    """(batch,): the largest log10 envelope of each component up to SIZE_S after the nominal onset, averaged over
    the present components. envelope, mask: (batch, 3, points).
    """
    end = round((geometry.onset_s + SIZE_S) * geometry.rate_hz * envelope.shape[-1] / geometry.n_samples)
    envelope, mask = envelope[..., :end], mask[..., :end]
    live = mask.amax(-1)  # (batch, 3)
    peak = torch.where(mask > 0.5, envelope, -1e4).amax(-1)
    return (peak * live).sum(1) / live.sum(1).clamp(min=1.0)


def network_input(
    front: MagnitudeFrontEnd, waveform: Tensor, valid: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Waveform, envelope less the record's size, and mask as nine channels; the union mask; the size."""
    x, envelope, mask, _ = front(waveform, valid)
    size = record_size(envelope, mask, geometry)
    centred = ((envelope - size[:, None, None]) * mask).clamp(min=-6.0)
    return torch.cat([x, centred, mask], dim=1), mask.amax(1, keepdim=True), size


class ResNetPaper(BinnedMagnitudeModel):
    """The paper's widths and free softmax over the bins."""

    def __init__(self, outer: bool) -> None:
        labels, edges = magnitude_bins(outer)
        super().__init__(Geometry(6_000, 100.0, 5.0), labels, edges, (1.0, 40.0))
        self.front = MagnitudeFrontEnd(MaskedHighpass(100.0, pool=10), 100.0, pool=1)
        self.trunk = ResidualTrunk(9, unpruned_shape((64, 128, 256, 512)), 4)
        self.classify = nn.Linear(2 * 512 + 1, len(labels))

    def logits(self, waveform: Tensor, valid: Tensor, station_term: Tensor | None = None) -> Tensor:
        """(batch, n_labels), before temperature."""
        x, mask, size = network_input(self.front, waveform, valid, self.geometry)
        if station_term is not None:
            size = size - station_term
        features = torch.cat([self.trunk(x, mask), size[:, None] + 6.0], dim=1)
        out: Tensor = self.classify(features)
        return out


class ResNetOrdinal(LogisticMagnitudeModel):
    """A logistic distribution over magnitude, cut into the bins.

    location = slope · size + decay · log10(distance) + offset + residual: the classical formula, but distance and
    residual, and the scale, are computed from the record without its size: log power in bands and the log envelope,
    four frames a second. The distance is trained on all records with a known distance, also those without a
    magnitude. A gain moves the location by slope · log10(gain) and has no other effect.

    noise_floor: amplitude, as a share of the largest of the record (envelope) and of each band, that is added in power
    to both; weaker noise, as that of another sensor, has no effect then.
    """

    def __init__(
        self, shape: ResidualShape, n_bands: int, hidden: int, dropout: float, noise_floor: float = 0.0
    ) -> None:
        labels, edges = magnitude_bins(outer=True)
        geometry = Geometry(1_400, 40.0, 5.0)
        super().__init__(geometry, labels, edges, (1.0, 15.0))
        self.front = MagnitudeFrontEnd(MaskedHighpass(geometry.rate_hz), geometry.rate_hz)
        self.least = noise_floor**2  # power
        self.bank = Filterbank(geometry.rate_hz, n_bands, least=self.least)
        self.trunk = ResidualTrunk(2 * n_bands + 4, shape, 1)
        last = nn.Linear(hidden, 3)
        nn.init.zeros_(last.weight)  # start as a regression on size alone
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * shape.widths[-1], hidden), nn.ReLU(), nn.Dropout(dropout), last
        )
        self.slope = nn.Parameter(torch.tensor(0.9))
        self.offset = nn.Parameter(torch.tensor(6.9))
        self.decay = nn.Parameter(torch.tensor(1.0))

    def features(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bands, log envelopes less the size, and masks (batch, channels, frames); union mask; size (batch,)."""
        x, envelope, mask, present = self.front(waveform, valid)
        size = record_size(envelope, present, self.geometry)
        bands, frames, _ = self.bank(x, mask)
        points = (
            self.bank.stride * envelope.shape[-1] // self.geometry.n_samples
        )  # points of the envelope for each frame
        share = nn.functional.avg_pool1d(present, points)
        steps = nn.functional.avg_pool1d((envelope - size[:, None, None]) * present, points)
        steps = (steps / share.clamp(min=1e-3)).clamp(min=-6.0, max=1.0)  # (batch, 3, frames)
        absent = (share[:, 1:] < 0.5).to(steps.dtype) * 6.0
        horizontal = (steps[:, 1:] - absent).amax(1, keepdim=True)
        pair = torch.cat([steps[:, :1], horizontal], dim=1)
        if self.least:
            pair = 0.5 * (100.0**pair + self.least).log10()
        pair = pair * frames
        return torch.cat([bands, pair, frames], dim=1), frames.amax(1, keepdim=True), size

    def from_features(self, x: Tensor, mask: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch,) each: location and scale of the logistic distribution, before temperature, and log10 km."""
        residual, width, distance = self.head(self.trunk(x, mask)).unbind(1)
        distance = distance + TYPICAL_LOG_KM
        decay = self.decay * (distance - TYPICAL_LOG_KM)
        location = self.slope * size + decay + self.offset + residual
        scale = 0.04 + 0.2 * nn.functional.softplus(width)
        return location, scale, distance

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """(batch, 2): location and scale."""
        location, scale, _ = self.from_features(*self.features(waveform, valid))
        return torch.stack([location, scale], dim=1)

    def losses(
        self, waveform: Tensor, valid: Tensor, magnitude: Tensor, station_term: Tensor, log_distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The likelihood is the logistic density at the catalogued magnitude: the limit of narrow bins.

        The loss of the distance is a smooth L1 loss of log10 km.
        """
        x, mask, size = self.features(waveform, valid)
        location, scale, distance = self.from_features(x, mask, size - station_term)
        placed = torch.isfinite(log_distance)
        error = nn.functional.smooth_l1_loss(
            distance, torch.where(placed, log_distance, 0.0), reduction="none", beta=0.1
        )
        raw = torch.stack([location, scale], dim=1)
        return logistic_loss(location, scale, magnitude), torch.where(placed, error, 0.0), location, raw


@register_model
def resnet18_cbam_1d(outer: bool = False) -> MagnitudeModel:
    """ResNet18 of the paper's widths, 60 s at 100 Hz; 30 bins, with `outer` also two open bins."""
    return ResNetPaper(outer)


@register_model
def resnet18_cbam_small(
    width: int = 16,
    n_bands: int = 8,
    hidden: int = 32,
    dropout: float = 0.3,
    noise_floor: float = 0.0,
    shape: dict[str, Any] | None = None,
) -> MagnitudeModel:
    """ResNet18 for the station: 35 s at 40 Hz, filterbank in front, widths from `width` to four times it.

    noise_floor: see `ResNetOrdinal`. shape: of a pruned network, replaces `width`. Raises ValueError.
    """
    if not 0 <= noise_floor < 1:
        raise ValueError(f"noise_floor must be from 0 to below 1, a share of the peak; got {noise_floor:g}")
    unpruned = unpruned_shape((width, width * 3 // 2, width * 5 // 2, width * 4))
    return ResNetOrdinal(unpruned if shape is None else ResidualShape(**shape), n_bands, hidden, dropout, noise_floor)

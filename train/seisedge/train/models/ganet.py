"""GA-Net: tectonic, non-tectonic or noise: paper B, X. Liu, T. Ren, H. Chen, P. Wang and F. Meng (2024), A
ghost-attention network for discriminating tectonic and non-tectonic events on a small and imbalanced dataset, IEEE
Access, https://doi.org/10.1109/ACCESS.2024.3401009.

`ganet_paper` keeps the paper's geometry: three components, 10,000 samples at 100 Hz from the P onset, tenth-degree
polynomial removed, standardised.

| layer | kernel | stride | filters | samples |
|---|---|---|---|---|
| convolution, ReLU | 7 | 2 | 16 | 5000 |
| ghost bottleneck 1 to 5, CBAM after each | 1, 3; 5 with the stride | 2 | 32, 64, 128, 256, 512 | 2500 to 157 |
| convolution, ReLU | 1 | 1 | 696 | 157 |
| global average pooling, CBAM, dropout 0.2, fully connected | | | n_classes | |

The paper states the 16 filters, the five bottlenecks and their order, and 1.57 M parameters. The other widths are
chosen to have as many; the first ghost module of a bottleneck expands to three times its filters. `ganet_small` is the
network for the station: 45 s at 40 Hz, a filterbank before the stem.

The rows of the paper's tables 2 and 3 and of its figure 5 are arguments of `ganet_paper`: `ghost = false`, `cbam` with
the locations of the attention, and `bottlenecks`, 1 to 8. The paper does not state what replaces a ghost module in the
ablation, where CBAM is at the input, or the widths beyond the fifth bottleneck. Here these are an ordinary 1×1
convolution with as many maps; the output of the stem, with 16 channels; and 512.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seisedge.train.models._base import EVENT_TYPES, EventTypeModel, Geometry, event_types
from seisedge.train.models._registry import register_model
from seisedge.train.models.cbam import CBAM
from seisedge.train.models.filterbank import Filterbank
from seisedge.train.models.frontend import MaskedDetrend, MaskedHighpass, TypeFrontEnd
from seisedge.train.models.ghost import GhostBottleneck
from seisedge.train.models.masking import masked_mean, pool_mask
from seisedge.train.models.p_over_s import POverS

CBAM_PLACES = ("input", "bottleneck", "flatten")


@dataclass(frozen=True, slots=True)
class Ablation:
    """What differs from GA-Net. ghost: ghost modules, not ordinary convolutions. cbam: of CBAM_PLACES."""

    ghost: bool = True
    cbam: Sequence[str] = ("bottleneck", "flatten")


GA_NET = Ablation()


class NoAttention(nn.Module):
    """Returns its input."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (batch, channels, n), mask (batch, 1, n)."""
        return x


def attention_at(place: str, channels: int, ablation: Ablation) -> nn.Module:
    """CBAM, if the ablation contains the place."""
    return CBAM(channels) if place in ablation.cbam else NoAttention()


class GhostTrunk(nn.Module):
    """Ghost bottlenecks with CBAM after each, 1×1 convolution, pooling, CBAM, fully connected."""

    def __init__(
        self,
        channels_in: int,
        widths: Sequence[int],
        strides: Sequence[int],
        expanded: Sequence[int],
        last: int,
        n_labels: int,
        dropout: float,
        ablation: Ablation = GA_NET,
    ) -> None:
        super().__init__()
        self.input_attention = attention_at("input", channels_in, ablation)
        self.bottlenecks = nn.ModuleList()
        self.attentions = nn.ModuleList()
        for width, stride, inner in zip(widths, strides, expanded, strict=True):
            self.bottlenecks.append(GhostBottleneck(channels_in, inner, width, stride, ghost=ablation.ghost))
            self.attentions.append(attention_at("bottleneck", width, ablation))
            channels_in = width
        self.last = nn.Sequential(nn.Conv1d(channels_in, last, 1, bias=False), nn.BatchNorm1d(last), nn.ReLU())
        self.attention = attention_at("flatten", last, ablation)
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(last, n_labels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (batch, channels, n), mask (batch, 1, n) → logits (batch, n_labels)."""
        x = self.input_attention(x, mask)
        for bottleneck, attention in zip(self.bottlenecks, self.attentions, strict=True):
            x, mask = bottleneck(x, mask)
            x = attention(x, mask)
        x = masked_mean(self.last(x), mask)  # (batch, last, 1)
        x = self.attention(x, x.new_ones(1, 1, 1))
        out: Tensor = self.classify(self.drop(x.flatten(1)))
        return out


class GANetPaper(EventTypeModel):
    """The paper's network on the standardised waveform."""

    def __init__(self, labels: list[str], bottlenecks: int, ablation: Ablation) -> None:
        super().__init__(Geometry(10_000, 100.0, 1.0), labels, (0.0, 40.0))
        self.front = TypeFrontEnd(MaskedDetrend(10_000))
        self.stem = nn.Sequential(nn.Conv1d(3, 16, 7, stride=2, padding=3, bias=False), nn.BatchNorm1d(16), nn.ReLU())
        widths = (32, 64, 128, 256, 512, 512, 512, 512)[:bottlenecks]
        self.trunk = GhostTrunk(
            16, widths, (2,) * bottlenecks, [3 * w for w in widths], 696, len(labels), 0.2, ablation
        )

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """(batch, 3, 10000) each → (batch, n_labels)."""
        x, mask = self.front(waveform, valid)
        either = pool_mask(mask.amax(1, keepdim=True), 2)
        out: Tensor = self.trunk(self.stem(x) * either, either)
        return out


@dataclass(frozen=True, slots=True)
class GhostShape:
    """Widths of the station's network, which pruning changes; one entry a bottleneck, widths and expanded even."""

    stem: int
    widths: Sequence[int]
    expanded: Sequence[int]
    strides: Sequence[int]
    last: int


class GANetSmall(EventTypeModel):
    """The station's network: filterbank, stem, ghost trunk. p_over_s: the evidence of `POverS` is added to the logit of
    non-tectonic.
    """

    def __init__(
        self, shape: GhostShape, n_bands: int, dropout: float, labels: list[str], p_over_s: bool = False
    ) -> None:
        geometry = Geometry(1_800, 40.0, 5.0)
        super().__init__(geometry, labels, (1.0, 15.0))
        self.front = TypeFrontEnd(MaskedHighpass(geometry.rate_hz))
        self.bank = Filterbank(geometry.rate_hz, n_bands, stride=20)
        self.stem = nn.Sequential(
            nn.Conv1d(2 * n_bands + 2, shape.stem, 3, padding=1, bias=False), nn.BatchNorm1d(shape.stem), nn.ReLU()
        )
        self.p_over_s = POverS(self.bank.centres_hz, geometry.onset_s) if p_over_s else None
        self.shape = shape
        self.trunk = GhostTrunk(
            shape.stem, shape.widths, shape.strides, shape.expanded, shape.last, len(labels), dropout
        )

    def late_layers(self) -> list[nn.Module]:
        """The last bottleneck with its attention, and what follows."""
        t = self.trunk
        return [t.bottlenecks[-1], t.attentions[-1], t.last, t.attention, t.classify]

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """(batch, 3, 1800) each → (batch, n_labels)."""
        x, mask = self.front(waveform, valid)
        x, frames, power = self.bank(x, mask)
        either = frames.amax(1, keepdim=True)
        out: Tensor = self.trunk(self.stem(torch.cat([x, frames], dim=1)) * either, either)
        if self.p_over_s is None:
            return out
        evidence = self.p_over_s(power, frames)[:, None]
        return torch.cat([out[:, :1], out[:, 1:2] + evidence, out[:, 2:]], dim=1)


@register_model
def ganet_paper(
    n_classes: int = 3, ghost: bool = True, cbam: Sequence[str] = ("bottleneck", "flatten"), bottlenecks: int = 5
) -> EventTypeModel:
    """GA-Net in the paper's geometry; two classes (tectonic, non-tectonic) or three. ghost, cbam, bottlenecks: of the
    paper's ablation and depth study; cbam: places of CBAM, of `input`, `bottleneck`, `flatten`.
    """
    labels = event_types(n_classes)
    if isinstance(cbam, str) or not set(cbam) <= set(CBAM_PLACES):
        raise ValueError(f"cbam must be a list of {', '.join(CBAM_PLACES)}; got {cbam!r}")
    if not 1 <= bottlenecks <= 8:
        raise ValueError(f"bottlenecks must be from 1 to 8; got {bottlenecks}")
    return GANetPaper(labels, bottlenecks, Ablation(ghost, cbam))


@register_model
def ganet_small(
    width: int = 24,
    n_bands: int = 16,
    dropout: float = 0.3,
    shape: dict[str, Any] | None = None,
    n_classes: Literal[2, 3] = 3,
    p_over_s: bool = False,
) -> EventTypeModel:
    """GA-Net for the station: 45 s at 40 Hz, filterbank in front. shape: of a pruned network, replaces `width`.
    n_classes: 2 for tectonic and non-tectonic without noise. p_over_s: with the evidence of P over S for a blast.
    """
    if shape is None:
        widths = (width, width * 3 // 2, width * 3 // 2, width * 2, width * 2)
        chosen = GhostShape(width, widths, [2 * w for w in widths], (2, 1, 1, 2, 1), width * 4)
    else:
        chosen = GhostShape(**shape)
    return GANetSmall(chosen, n_bands, dropout, EVENT_TYPES[:n_classes], p_over_s)

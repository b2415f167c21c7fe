"""The input that paper B gives to all networks of its table 1, and the convolution that they share.

Three components, 10,000 samples at 100 Hz from the P onset, without a polynomial of tenth degree, standardised. Samples
that are not valid are 0. The networks of the cited papers take such a record without a mask.
"""

from __future__ import annotations

from torch import Tensor, nn

from seisedge.train.models._base import EventTypeModel, Geometry, event_types
from seisedge.train.models.frontend import MaskedDetrend, TypeFrontEnd

N_SAMPLES = 10_000


class StandardisedModel(EventTypeModel):
    """Front end of paper B, and a network (batch, 3, 10000) → logits (batch, n_classes)."""

    def __init__(self, n_classes: int, network: nn.Module) -> None:
        super().__init__(Geometry(N_SAMPLES, 100.0, 1.0), event_types(n_classes), (0.0, 40.0))
        self.front = TypeFrontEnd(MaskedDetrend(N_SAMPLES))
        self.network = network

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """(batch, 3, 10000) each → (batch, n_classes)."""
        x, _ = self.front(waveform, valid)
        out: Tensor = self.network(x)
        return out


def convolution(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution with batch norm and ReLU; ceil(n / stride) samples."""
    return nn.Sequential(
        nn.Conv1d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(channels_out),
        nn.ReLU(),
    )


class MeanOverTime(nn.Module):
    """Global average pooling: (batch, channels, n) → (batch, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each channel."""
        return x.mean(-1)

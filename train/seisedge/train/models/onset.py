"""Onset detector: the probabilities of a P and of an S onset, and of what is there, in each hop of a block of 1 s.

The network works on the log energies of a bank of short band filters in hops of 0.1 s. Dilated convolutions without
padding (temporal convolutional network, Bai et al. 2018, https://arxiv.org/abs/1803.01271; WaveNet, van den Oord et al.
2016, https://arxiv.org/abs/1609.03499) see the last seconds at the rate of the hops; a second branch sees the whole
context at a coarse rate, once for each block. It is without state: a block with its context is the whole input, so that
each block can be computed alone. The P and S targets are those of pickers such as PhaseNet (Zhu and Beroza 2019,
https://doi.org/10.1093/gji/ggy423); unlike a picker, an output looks only `DELAY_HOPS` ahead.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seisedge.train.models._base import Geometry, OnsetModel
from seisedge.train.models._registry import register_model

RATE_HZ = 40.0
HOP_N = 4  # samples
BLOCK_HOPS = 10
DELAY_HOPS = 20  # an output is for the hop this much earlier, so that the network sees what follows an onset
CONTEXT_HOPS = 230
TAPS = 40  # of the filters
CENTRES_HZ = (1.5, 2.7, 4.5, 7.0, 10.0, 13.0)
LENGTHS_S = (1.0, 0.8, 0.6, 0.4, 0.4, 0.4)  # of the filters; two to four cycles
FLOOR = 1e-12  # smallest power relative to the largest in the window
TINY = 1e-36
RARE = -3.0  # first logit of P and S: onsets are rare
POOL = 8  # hops averaged in the coarse branch
N_SAMPLES = (CONTEXT_HOPS + BLOCK_HOPS) * HOP_N
HOPS = (N_SAMPLES - TAPS) // HOP_N + 1  # of a block with its context


def onset_kernels() -> Tensor:
    """(2 · bands, 1, TAPS): Hann-windowed cosines and sines, each orthogonal to a parabola: blind to slow drifts.

    All end with the last sample of their hop.
    """
    rows = []
    t = (torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1)) / RATE_HZ
    for centre, length in zip(CENTRES_HZ, LENGTHS_S, strict=True):
        middle = t + length / 2
        inside = middle.abs() < length / 2 + 0.5 / RATE_HZ
        window = torch.where(inside, 0.5 + 0.5 * torch.cos(2 * math.pi * middle / (length + 1 / RATE_HZ)), 0.0)
        basis = torch.linalg.qr(torch.stack([window**0.5 * middle**k for k in range(3)], dim=1)).Q
        for wave in (torch.cos, torch.sin):
            kernel = wave(2 * math.pi * centre * middle) * window**0.5
            kernel = (kernel - basis @ (basis.T @ kernel)) * window**0.5
            rows.append(kernel / kernel.pow(2).sum().sqrt())
    return torch.stack(rows)[:, None].float()


class HopEnergies(nn.Module):
    """Log energy of Z and of the horizontals in bands, in each hop, relative to the mean over the window."""

    kernels: Tensor
    gather: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = len(CENTRES_HZ)
        self.n_features = 2 * n
        gather = torch.zeros(2 * n, 3, n, 2)  # sums of squares: Z, then both horizontals
        spread = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
        for band in range(n):
            gather[band, 0, band] = 1.0
            gather[n + band, 1:, band] = 1.0
        kernels = onset_kernels().reshape(n, 2, 1, TAPS)
        self.register_buffer("kernels", kernels.reshape(2 * n, 1, TAPS), persistent=False)
        self.register_buffer("gather", gather.reshape(2 * n, 6 * n, 1), persistent=False)
        self.register_buffer("spread", spread[:, :, None], persistent=False)

    def forward(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """waveform, valid: (batch, 3, n) → features and mask of each block with its context.

        n: of `blocks` consecutive blocks with the context of the first. features: (batch · blocks, 12, HOPS), log10 of
        the energies less their mean over the valid hops of the window; 0 where not valid. mask: (batch · blocks, 2,
        HOPS), of Z and of the horizontals. A hop is valid where all `TAPS` samples up to its end exist; the first hop
        is that which ends with sample TAPS. What neighbouring windows share is computed once.
        """
        batch, n = waveform.shape[0], waveform.shape[-1]
        there = valid > 0.5
        x = torch.where(there, waveform, 0.0)
        bands = F.conv1d(x.reshape(3 * batch, 1, n), self.kernels, stride=HOP_N)
        hops = bands.shape[-1]
        bands = bands.reshape(batch, 3, self.kernels.shape[0], hops)
        whole = F.avg_pool1d(there.to(x.dtype), TAPS, HOP_N).floor()
        squares = bands * bands * whole[:, :, None]
        power = F.conv1d(squares.reshape(batch, 3 * self.kernels.shape[0], hops), self.gather)
        mask = F.conv1d(whole, self.spread).clamp(max=1.0)
        log = windows_of(power.clamp(min=TINY).log())
        side = windows_of(torch.cat([mask, power.amax(1, keepdim=True)], dim=1))
        mask = side[:, :2, None]
        low = (side[:, 2:].amax(-1, keepdim=True) * FLOOR).clamp(min=TINY)  # an exported graph loses "+ TINY"
        # as many values as vector instructions take, so that each block has the same bits in any number of them
        low = low.expand(-1, 4, 4).log()[:, :1, :1]
        half = self.n_features // 2
        of_components: Tensor = log.maximum(low).unflatten(1, (2, half))  # type: ignore[no-untyped-call]  # torch's
        log = of_components * (mask * (1 / math.log(10)))
        mean = log.flatten(1).sum(-1) / (half * mask.flatten(1).sum(-1) + 1e-3)
        return ((log - mean[:, None, None, None]) * mask).flatten(1, 2), mask[:, :, 0]


def windows_of(x: Tensor) -> Tensor:
    """(batch, k, hops) → (batch · blocks, k, HOPS): the hops of each block with its context."""
    batch, k, hops = x.shape
    pieces = -(-HOPS // BLOCK_HOPS)
    x = F.pad(x, (pieces * BLOCK_HOPS - HOPS, 0))
    blocks = (hops - HOPS) // BLOCK_HOPS + 1
    x = x.reshape(batch, k, blocks + pieces - 1, BLOCK_HOPS)
    places = torch.arange(blocks, device=x.device)[:, None] + torch.arange(pieces, device=x.device)
    x = torch.index_select(x, 2, places.flatten()).reshape(batch, k, blocks, pieces * BLOCK_HOPS)
    return x[..., -HOPS:].transpose(1, 2).flatten(0, 1)


class OnsetNet(OnsetModel):
    """See the module. width: channels of the fine branch; coarse: of the coarse one."""

    def __init__(self, width: int, coarse: int, dropout: float) -> None:
        geometry = Geometry(N_SAMPLES, RATE_HZ, CONTEXT_HOPS * HOP_N / RATE_HZ)
        super().__init__(geometry, (1.0, 15.0), BLOCK_HOPS, HOP_N, DELAY_HOPS)
        self.front = HopEnergies()
        inputs = self.front.n_features + 2
        self.dilations = (1, 2, 4, 8)
        self.fine_hops = BLOCK_HOPS + 2 * sum(self.dilations)
        self.coarse_dilations = (1, 3, 9)
        self.coarse_frames = 1 + 2 * sum(self.coarse_dilations)
        self.enter = nn.Conv1d(inputs, width, 1)
        self.fine = nn.ModuleList([nn.Conv1d(width, width, 3, dilation=d) for d in self.dilations])
        sizes = [inputs, coarse, coarse, coarse]
        self.coarse = nn.ModuleList(
            [nn.Conv1d(a, b, 3, dilation=d) for a, b, d in zip(sizes, sizes[1:], self.coarse_dilations, strict=False)]
        )
        self.join = nn.ModuleList([nn.Conv1d(coarse, width, 1) for _ in range(2)])
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv1d(width, len(self.labels), 1)
        for module in self.modules():
            if isinstance(module, nn.Conv1d) and module is not self.head:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            assert self.head.bias is not None
            self.head.bias[:2] = RARE

    def network(self, features: Tensor, mask: Tensor) -> Tensor:
        """Output of `HopEnergies` → logits (batch · blocks, BLOCK_HOPS, 5)."""
        x = torch.cat([features, mask], dim=1)
        y = F.avg_pool1d(x[..., HOPS - self.coarse_frames * POOL :], POOL)
        for layer in self.coarse:
            y = torch.relu(layer(y))
        y = self.dropout(y)
        x = torch.relu(self.enter(x[..., HOPS - self.fine_hops :]) + self.join[0](y))
        for layer in self.fine[:-1]:
            x = torch.relu(layer(x))
        x = torch.relu(self.fine[-1](x) + self.join[1](y))
        x = torch.relu(self.mix(self.dropout(x)))
        logits: Tensor = self.head(x)
        return logits.transpose(1, 2)

    def last_layer(self) -> nn.Module:
        """The convolution that gives the logits."""
        return self.head

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """Logits (batch, blocks · BLOCK_HOPS, 5); waveform, valid: (batch, 3, n), see `OnsetModel`."""
        logits = self.network(*self.front(waveform, valid))
        return logits.reshape(waveform.shape[0], -1, logits.shape[-1])


@register_model
def onset_tcn(width: int = 40, coarse: int = 24, dropout: float = 0.1) -> OnsetModel:
    """Onset detector for the station: 24 s at 40 Hz, 1-15 Hz, one block of 1 s a call."""
    return OnsetNet(width, coarse, dropout)

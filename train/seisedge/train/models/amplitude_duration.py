"""The traditional magnitude of paper A: a regression on amplitude and duration, with three coefficients.

    M = a · log10 A + b · log10 τ + c

A is the largest smoothed envelope of ground velocity in m/s within 12 s after the onset (Richter 1935, An instrumental
earthquake magnitude scale). τ is the duration in s from the onset to the last time at which the envelope is twice the
noise before the onset (Lee, Bennett and Meagher 1972, U.S. Geological Survey Open-File Report 72-223). Each is averaged
over the present components. The paper does not state its formula. The distance is omitted: a single station does not
have it. The error is a logistic distribution with one scale for all records: 4 parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seisedge.train.models._base import Geometry, LogisticMagnitudeModel, MagnitudeModel, logistic_loss, magnitude_bins
from seisedge.train.models._registry import register_model
from seisedge.train.models.frontend import MagnitudeFrontEnd, MaskedHighpass
from seisedge.train.models.masking import masked_mean
from seisedge.train.models.resnet import record_size

NOISE_S = 4.5  # from the start of the window; windows begin 5 to 10 s before P
ABOVE = math.log10(2.0)
SHORTEST_S = 0.1


class AmplitudeDuration(LogisticMagnitudeModel):
    """60 s at 100 Hz, as for the networks of paper A; 30 bins."""

    times_s: Tensor

    def __init__(self, onset_s: float) -> None:
        if not NOISE_S < onset_s < 60:
            raise ValueError(f"onset_s must be above {NOISE_S:g}, the noise before the onset, and below 60")
        labels, edges = magnitude_bins(outer=False)
        geometry = Geometry(6_000, 100.0, onset_s)
        super().__init__(geometry, labels, edges, (1.0, 40.0))
        self.front = MagnitudeFrontEnd(MaskedHighpass(geometry.rate_hz, pool=10), geometry.rate_hz, pool=10)
        self.register_buffer("times_s", (torch.arange(600) + 0.5) / 10 - geometry.onset_s, persistent=False)
        self.regress = nn.Linear(2, 1)  # a, b; c
        with torch.no_grad():
            self.regress.weight.copy_(torch.tensor([[0.9, 0.1]]))
            self.regress.bias.fill_(6.9)
        self.spread = nn.Parameter(torch.zeros(()))

    def features(self, waveform: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """(batch,) each: log10 of A in m/s and of τ in s."""
        _, envelope, _, present = self.front(waveform, valid)  # (batch, 3, 600)
        end = round(NOISE_S * 10)
        noise = masked_mean(envelope[..., :end], present[..., :end])
        above = (envelope > noise + ABOVE).to(envelope.dtype) * present
        last_s = (above * self.times_s.clamp(min=0.0)).amax(-1)  # (batch, 3)
        live = present.amax(-1)
        duration_s = (last_s * live).sum(1) / live.sum(1).clamp(min=1.0)
        return record_size(envelope, present, self.geometry), duration_s.clamp(min=SHORTEST_S).log10()

    def location_and_scale(self, amplitude: Tensor, duration: Tensor) -> tuple[Tensor, Tensor]:
        """(batch,) each: of the logistic distribution, before temperature."""
        location = self.regress(torch.stack([amplitude, duration], dim=1))[:, 0]
        return location, (0.04 + 0.2 * softplus(self.spread)).expand_as(location)

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """(batch, 2): location and scale."""
        return torch.stack(self.location_and_scale(*self.features(waveform, valid)), dim=1)

    def losses(
        self, waveform: Tensor, valid: Tensor, magnitude: Tensor, station_term: Tensor, log_distance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logistic loss of the magnitude; there is no distance, so its loss is 0."""
        amplitude, duration = self.features(waveform, valid)
        location, scale = self.location_and_scale(amplitude - station_term, duration)
        raw = torch.stack([location, scale], dim=1)
        return logistic_loss(location, scale, magnitude), torch.zeros_like(location), location, raw


@register_model
def amplitude_duration(onset_s: float = 7.5) -> MagnitudeModel:
    """Regression of the magnitude on log amplitude and log duration; 30 bins. onset_s: nominal P in the window."""
    return AmplitudeDuration(onset_s)

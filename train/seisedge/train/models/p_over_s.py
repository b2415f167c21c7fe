"""P over S by frequency as evidence of a blast: fixed, not trained.

Quarry blasts have less P over S than earthquakes at low frequencies, where their surface waves are, and more at high
ones, where they radiate little S (Kim, Simpson and Richards 1993, doi:10.1785/BSSA0830010240). Mass movements are also
"non-tectonic", and have the opposite sign: a network with one label for both does not learn this number from a few
events of one region, and learns another one. So it is added to its logits, with a weight chosen by cross-validation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOW_HZ, HIGH_HZ = (1.4, 3.4), (9.0, 14.0)  # bands are used whose centre is inside
P_S, QUIET_S, FRAME_S = 1.5, 1.0, 0.5  # length of P; the noise ends so long before the onset; length of a frame
LEAST_S = 7.0  # after the onset: in a window that ends by then S is not expected, and the evidence is 0
FLOOR = 1e-9  # power, for a record of unit power
BETWEEN = 0.8  # contrast, in powers of ten, from which on it is evidence of a blast
WEIGHT = 1.3  # by cross-validation 1 to 2 are equally good
UNSURE, SURE = 0.3, 1.0  # signal over noise, in powers of ten, between which the weight rises from 0 to 1


class POverS(nn.Module):
    """Power of Z and of the horizontals, and the frames that exist → evidence for a blast, against an earthquake.

    The contrast is log10 of P over S at high less that at low frequencies, each the mean over bands; P is the mean of
    1.5 s from the onset, S the largest frame after that. The evidence, in units of a logit, is `WEIGHT` times the
    contrast less `BETWEEN`; smaller where P at high or S at low frequencies is not well above the noise. Samples
    that are missing before the onset count as no noise.
    """

    def __init__(self, centres_hz: Tensor, onset_s: float) -> None:
        super().__init__()
        self.low, self.high = (_inside(centres_hz, span) for span in (LOW_HZ, HIGH_HZ))
        if self.low.start == self.low.stop or self.high.start == self.high.stop:
            raise ValueError(f"p_over_s needs bands in {LOW_HZ} and {HIGH_HZ} Hz; increase n_bands")
        self.onset, self.length = round(onset_s / FRAME_S), round(P_S / FRAME_S)
        self.quiet = round((onset_s - QUIET_S) / FRAME_S)
        self.least = self.onset + round(LEAST_S / FRAME_S)

    def forward(self, power: Tensor, frame: Tensor) -> Tensor:
        """power: (batch, 2, bands, frames), 0 where there is no sample; frame: (batch, 2, frames) → (batch,)."""
        both = power[:, 0] + 2 * power[:, 1]  # (batch, bands, frames)
        begin = self.onset + self.length
        p = _log(F.avg_pool1d(both[..., self.onset : begin], self.length))  # (batch, bands, 1)
        s = _log(F.max_pool1d(both[..., begin:], both.shape[-1] - begin))
        noise = _log(F.avg_pool1d(both[..., : self.quiet], self.quiet))
        contrast = _mean(p - s, self.high) - _mean(p - s, self.low)
        weight = _rising(_mean(p - noise, self.high)) * _rising(_mean(s - noise, self.low))
        later = frame[..., self.least :].amax((1, 2))
        return WEIGHT * ((contrast - BETWEEN) * weight)[:, 0, 0] * later


def _inside(centres_hz: Tensor, span: tuple[float, float]) -> slice:
    """The bands, which ascend, whose centre is inside the span."""
    first, end = (int((centres_hz < edge).sum()) for edge in span)
    return slice(first, end)


def _mean(x: Tensor, bands: slice) -> Tensor:
    """(batch, bands, 1) → (batch, 1, 1)."""
    chosen = x[:, bands].transpose(1, 2)
    return F.avg_pool1d(chosen, bands.stop - bands.start)


def _log(power: Tensor) -> Tensor:
    return power.clamp(min=FLOOR).log10()


def _rising(ratio: Tensor) -> Tensor:
    return torch.clamp((ratio - UNSURE) / (SURE - UNSURE), 0.0, 1.0)

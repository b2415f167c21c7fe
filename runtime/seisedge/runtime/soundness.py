"""Soundness: what of one component's raw samples is no ground motion, by rules that need no flag of the digitizer.

The rules look at samples as the digitizer counted them, before any filter: a filter turns a spike into a wavelet.
Each compares a sample with its neighbours only, so that gain, units and the size of an earthquake do not matter:

- *Spike*: up to `SPIKE_N` samples that stand `SPIKE_RATIO` times further from the line between the samples
  around them than any other sample within `SPIKE_SIDE_S` on either side, and at least so many quanta.
- *Step*: the mean of the `STEP_SIDE_S` after a jump differs from that of those before it by `STEP_RATIO` times the
  whole range of either, and `STEP_SHARE` of that lies between two samples. `STEP_N` samples to either side may ring.
- *Flat*: the same value for `FLAT_S` or longer: a held value, padding, a dead component. Training masks the same.
- *Clipped*: the largest or the smallest value is held for `CLIP_N` samples or more and is reached with a slope of at
  least `CLIP_SLOPE` quanta a sample, in all for `CLIP_TOTAL_N` samples: a wave that is cut off. A smooth crest that
  long has no slope beside it, and a rough one does not hold a value.

A quantum is the smallest difference between successive samples, one count of a digitizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPIKE_N = 3
SPIKE_RATIO = 8.0
SPIKE_SIDE_S = 0.25
MIN_SIDE_N = 10  # of slow channels
STEP_N = 6
STEP_SHARE = 0.3
STEP_RATIO = 6.0
STEP_SIDE_S = 0.5
FLAT_S = 0.5
CLIP_N = 3
CLIP_TOTAL_N = 4
CLIP_SLOPE = 8.0
CLIP_MIN_QUANTA = 1000.0  # from crest to trough; a faint trace holds its extremes by chance
CANDIDATES = 6  # of each kind, the largest ones; more of them are no longer few bad samples

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Unsound:
    """What was found on one component; runs [n0, n1) of samples, each kind in order."""

    spikes: list[Run]
    steps: list[Run]
    flats: list[Run]
    clipped: bool

    @property
    def any(self) -> bool:
        return bool(self.spikes or self.steps or self.flats or self.clipped)


def unsound(x: Float, ok: Mask, rate_hz: float) -> Unsound:
    """Look at the samples `x` (n,), counts, of which those of `ok` (n,) exist, at `rate_hz`."""
    both = ok[1:] & ok[:-1]
    rise = np.where(both, x[1:] - x[:-1], 0.0)
    size = np.abs(rise)
    largest = float(size.max(initial=0.0))
    flats = _flats(rise, both, round(FLAT_S * rate_hz))
    if not largest:
        return Unsound([], [], flats, False)
    moving = size > 0
    quantum = float(size[moving].min())
    mean = float(size.sum()) / len(size)
    if largest < SPIKE_RATIO * mean:  # nothing stands out; a record that is mostly flat has a small mean
        return Unsound([], [], flats, _clipped(x, ok, rise, both, flats, quantum))
    spikes = _spikes(x, ok, rate_hz, quantum)
    steps = _steps(x, ok, size, rate_hz, quantum)
    return Unsound(spikes, steps, flats, _clipped(x, ok, rise, both, flats, quantum))


def repaired(x: Float, found: Unsound) -> Float:
    """`x` with a straight line through each spike and without its steps: to ask what else there is, not for a model."""
    y = x.copy()
    for n0, n1 in found.steps:
        y[n1:] -= y[n1 : n1 + MIN_SIDE_N].mean() - y[n0 - MIN_SIDE_N : n0].mean()
    for n0, n1 in sorted(found.spikes + found.steps):
        y[n0:n1] = np.linspace(y[n0 - 1], y[n1], n1 - n0 + 2)[1:-1]
    return y


def _flats(rise: Float, both: Mask, shortest: int) -> list[Run]:
    same = both & (rise == 0)
    if np.count_nonzero(same) < shortest - 1:
        return []
    return [(n0, n1 + 1) for n0, n1 in _runs(same, shortest - 1)]


def _runs(mask: Mask, shortest: int) -> list[Run]:
    """Runs [n0, n1) of True of at least that length."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    begins, ends = edges[::2], edges[1::2]
    long = ends - begins >= shortest
    return list(zip(begins[long].tolist(), ends[long].tolist(), strict=True))


def _largest(size: Float, apart: int) -> Iterator[int]:
    """Places of the largest values, largest first, at most `CANDIDATES`, none within `apart` of a larger one."""
    left = size.copy()
    for _ in range(CANDIDATES):
        place = int(left.argmax())
        if not left[place]:
            return
        yield place
        left[max(place - apart, 0) : place + apart + 1] = 0.0


def _spikes(x: Float, ok: Mask, rate_hz: float, quantum: float) -> list[Run]:
    n = len(x)
    lag = SPIKE_N
    if n <= 2 * lag:
        return []
    whole = ok[2 * lag :] & ok[lag:-lag] & ok[: -2 * lag]
    bulge = np.zeros(n)  # of each sample over the middle of those `lag` before and after
    bulge[lag:-lag] = np.where(whole, np.abs(x[lag:-lag] - (x[2 * lag :] + x[: -2 * lag]) / 2), 0.0)
    near = 2 * lag  # so far a spike shows in the bulge of others
    side = max(round(SPIKE_SIDE_S * rate_hz), MIN_SIDE_N)
    found: list[Run] = []
    for place in _largest(bulge, near):
        low, high = place - near - side, place + near + side + 1
        if low < 0 or high > n or not ok[low:high].all():
            continue
        others = max(bulge[low : place - near].max(), bulge[place + near + 1 : high].max(), quantum)
        returns = abs(x[place - lag] - x[place + lag]) <= bulge[place] / 2  # a step does not
        if returns and bulge[place] >= SPIKE_RATIO * others:
            around = x[place - near : place + near + 1]
            off = np.flatnonzero(np.abs(around - np.linspace(around[0], around[-1], len(around))) > 2 * others)
            found.append((place - near + int(off[0]), place - near + int(off[-1]) + 1))
    return sorted(found)


def _steps(x: Float, ok: Mask, size: Float, rate_hz: float, quantum: float) -> list[Run]:
    n = len(x)
    side = max(round(STEP_SIDE_S * rate_hz), MIN_SIDE_N)
    found: list[Run] = []
    for place in _largest(size, side):
        n0, n1 = place - STEP_N + 1, place + STEP_N + 1  # a filter before the digitizer's output rings that long
        low, high = n0 - side, n1 + side
        if low < 0 or high > n or not ok[low:high].all():
            continue
        before, after = x[low:n0], x[n1:high]
        jump = abs(float(after.mean() - before.mean()))
        spread = max(float(np.ptp(before)), float(np.ptp(after)), quantum)
        if jump >= STEP_RATIO * spread and size[place] >= STEP_SHARE * jump:
            found.append((n0, n1))
    return sorted(found)


def _clipped(x: Float, ok: Mask, rise: Float, both: Mask, flats: list[Run], quantum: float) -> bool:
    same = both & (rise == 0)
    if np.count_nonzero(same) < CLIP_TOTAL_N - 2:
        return False
    if flats:
        ok = ok.copy()
        for n0, n1 in flats:
            ok[n0:n1] = False
        if not ok.any():
            return False
    top, bottom = float(x[ok].max()), float(x[ok].min())
    if top - bottom < CLIP_MIN_QUANTA * quantum:
        return False
    for rail in (top, bottom):
        held = 0
        for n0, n1 in _runs(ok & (x == rail), CLIP_N):
            if max(_slope(rise, both, n0 - 1), _slope(rise, both, n1 - 1)) >= CLIP_SLOPE * quantum:
                held += n1 - n0
        if held >= CLIP_TOTAL_N:
            return True
    return False


def _slope(rise: Float, both: Mask, at: int) -> float:
    return abs(float(rise[at])) if 0 <= at < len(rise) and both[at] else 0.0

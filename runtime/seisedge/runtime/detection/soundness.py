"""Soundness: samples of one component, as recorded, that are not ground motion, by rules without the digitizer's flags.

The rules are applied to samples as recorded, before any filter: a filter turns a spike into a wavelet. Each rule
compares a sample with its neighbours only, so that gain, units and the size of an earthquake have no influence:

- *Spike*: up to `SPIKE_N` samples that are `SPIKE_RATIO` times further from the line between the samples
  around them than any other sample within `SPIKE_SIDE_S` on either side, and at least as many quanta.
- *Step*: the mean of the `STEP_SIDE_S` after a jump differs from that of those before it by `STEP_RATIO` times the
  range of either, and `STEP_SHARE` of it lies between two samples. `STEP_N` samples on either side may ring.
- *Flat*: the same value for `FLAT_S` or longer: a held value, padding, a dead component. Training masks these runs
  through `resample_sound`. At the largest or the smallest value of strong shaking it is a *plateau*, and clipping:
  within `FLAT_S` of it the samples range over `PLATEAU_SHARE` of the whole range.
- *Clipped*: the largest or the smallest value is held for `CLIP_N` samples or more and is reached with a slope of at
  least `CLIP_SLOPE` quanta per sample, for `CLIP_TOTAL_N` samples in total. A smooth crest of this length has no such
  slope beside it, and a rough crest does not hold a value.

A quantum is the smallest difference between successive samples: one count of most digitizers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from seisedge.runtime.timeline.masks import runs
from seisedge.runtime.timeline.resample import Resampler

SPIKE_N = 3
SPIKE_RATIO = 8.0
SPIKE_SIDE_S = 0.25
MIN_SIDE_N = 10  # smallest number of samples on either side, for low sampling rates
STEP_N = 6
STEP_SHARE = 0.3
STEP_RATIO = 4.0
STEP_SIDE_S = 0.5
FLAT_S = 0.5
CLIP_N = 3
CLIP_TOTAL_N = 4
CLIP_SLOPE = 8.0
CLIP_MIN_QUANTA = 1000.0  # range of the samples; with fewer quanta an extreme may be held by chance
PLATEAU_SHARE = 0.5
CANDIDATES = 6  # largest number of spikes and of steps; a record with more has other problems

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rails:
    """Extremes of a stretch of samples, and the number of samples held at each with a slope beside them.

    spans: of the top and the bottom the first sample there, and the last + 1; (0, 0) where none is held.
    """

    top: float
    bottom: float
    held_top: int
    held_bottom: int
    quantum: float
    spans: tuple[Run, Run] = field(default=((0, 0), (0, 0)), compare=False)


@dataclass(frozen=True, slots=True)
class Unsound:
    """Findings on one component: runs [n0, n1) of samples, in order for each kind."""

    spikes: list[Run]
    steps: list[Run]
    flats: list[Run]
    rails: Rails | None = None  # None if all samples are equal


def unsound(x: Float, ok: Mask, rate_hz: float) -> Unsound:
    """Apply the rules to samples as recorded; x: (n,), counts, at `rate_hz`; ok: (n,), True where a sample exists."""
    size = x[1:] - x[:-1]
    np.abs(size, out=size)
    whole = bool(ok.all())
    if whole:
        same = size == 0
    else:
        both = ok[1:] & ok[:-1]
        size[~both] = 0.0
        same = both & (size == 0)
    largest = float(size.max(initial=0.0))
    held = int(np.count_nonzero(same))
    flats = _flats(same, held, rate_hz)
    if not largest:
        return Unsound([], [], flats)
    quantum = float((size if whole and not held else size[size > 0]).min())
    plateaus = [run for run in flats if _is_plateau(x, ok, run, rate_hz, quantum)]
    rails = _rails(x, None if whole else ok, size, held, [run for run in flats if run not in plateaus], quantum)
    if largest < SPIKE_RATIO * float(size.sum()) / len(
        size
    ):  # cheap test: no difference is large enough for a spike or a step
        return Unsound([], [], flats, rails)
    return Unsound(_spikes(x, ok, rate_hz, quantum), _steps(x, ok, size, rate_hz, quantum), flats, rails)


def clipped(parts: list[Rails]) -> bool:
    """True if the top or the bottom of all parts together is held by `CLIP_TOTAL_N` samples or more."""
    return any(rail is not None for rail in clipped_rails(parts))


def clipped_rails(parts: list[Rails]) -> tuple[float | None, float | None]:
    """Value of the top and of the bottom of all parts together; None for one that is not held, see `clipped`."""
    if not parts:
        return None, None
    top, bottom = max(part.top for part in parts), min(part.bottom for part in parts)
    if top - bottom < CLIP_MIN_QUANTA * min(part.quantum for part in parts):
        return None, None
    held_top = sum(part.held_top for part in parts if part.top == top)
    held_bottom = sum(part.held_bottom for part in parts if part.bottom == bottom)
    return top if held_top >= CLIP_TOTAL_N else None, bottom if held_bottom >= CLIP_TOTAL_N else None


def repaired(x: Float, found: Unsound) -> Float:
    """`x` without its steps, and with a straight line in place of each spike and step; for the trigger, not a model."""
    y = x.copy()
    for n0, n1 in found.steps:
        y[n1:] -= y[n1 : n1 + MIN_SIDE_N].mean() - y[n0 - MIN_SIDE_N : n0].mean()
    for n0, n1 in sorted(found.spikes + found.steps):
        y[n0:n1] = np.linspace(y[n0 - 1], y[n1], n1 - n0 + 2)[1:-1]
    return y


def flat_runs(x: npt.NDArray[np.generic], ok: Mask, rate_hz: float) -> list[Run]:
    """Runs [n0, n1) of equal samples, `FLAT_S` or longer, of those of `x` (n,) that exist in `ok` (n,)."""
    same = ok[1:] & ok[:-1] & (x[1:] == x[:-1])
    return _flats(same, int(np.count_nonzero(same)), rate_hz)


def resample_sound(
    x: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    ok: Mask,
    starttime_ns: int,
    rate_in_hz: float,
    rate_out_hz: float,
    pass_hz: float,
    *,
    integrates: bool = False,
) -> tuple[Float, Mask, int]:
    """As `resample_record`, with every output masked that has a sample of a flat run under its kernel.

    A station masks the same outputs: it looks for flat runs among the samples under each run of valid outputs.
    """
    resampler = Resampler(rate_in_hz, rate_out_hz, pass_hz, starttime_ns, integrates=integrates)
    first, end = resampler.outputs_from(0, len(x))
    if end <= first:
        return np.zeros(0), np.zeros(0, dtype=bool), first
    values, valid = resampler(np.asarray(x, dtype=np.float64), ok, 0, first, end)
    for begin, end in runs(valid):
        n0, n1 = resampler.inputs_for(first + begin, first + end)
        for flat0, flat1 in flat_runs(x[n0:n1], ok[n0:n1], rate_in_hz):
            low, high = resampler.outputs_under(n0 + flat0, n0 + flat1)
            valid[max(low - first, 0) : max(high - first, 0)] = False
    values[~valid] = 0.0
    return values, valid, first


def _flats(same: Mask, held: int, rate_hz: float) -> list[Run]:
    """Flat runs, from `same` (n - 1,): True, `held` times, where a sample equals the one before it."""
    shortest = round(FLAT_S * rate_hz)
    if held < shortest - 1:
        return []
    return [(n0, n1 + 1) for n0, n1 in runs(same, shortest - 1)]


def _largest(size: Float, places: npt.NDArray[np.intp], apart: int) -> Iterator[int]:
    """Of `places` those of the largest values in descending order, at most `CANDIDATES`, `apart` from larger ones."""
    found: list[int] = []
    for place in places[np.argsort(-size[places], kind="stable")].tolist():
        if all(abs(place - larger) > apart for larger in found):
            yield place
            found.append(place)
            if len(found) == CANDIDATES:
                return


def _standing_out(size: Float, ratio: float, gap: int, side: int) -> npt.NDArray[np.intp]:
    """Indices where `size` is not 0 and at least `ratio` times that of a few samples at distances from `gap` on.

    The distances lie in [gap, gap + side) on either side. This cheap test leaves only a few candidates for the full
    rule; the caller ignores those at the ends of the record.
    """
    n = len(size)
    scaled = ratio * size
    out = size > 0
    for offset in _offsets(gap, side):
        if offset < n:
            out[offset:] &= size[offset:] >= scaled[: n - offset]
            out[: n - offset] &= size[: n - offset] >= scaled[offset:]
            if not out.any():
                break
    return out.nonzero()[0]


@functools.lru_cache(maxsize=64)
def _offsets(gap: int, side: int) -> tuple[int, ...]:
    """A few distances in [gap, gap + side), the smallest first."""
    return tuple(dict.fromkeys(round(gap + (side - 1) * part) for part in (0.0, 0.08, 0.2, 0.45, 1.0)))


def _spikes(x: Float, ok: Mask, rate_hz: float, quantum: float) -> list[Run]:
    n = len(x)
    lag = SPIKE_N
    if n <= 2 * lag:
        return []
    bulge = np.zeros(n)  # distance of each sample from the mean of those `lag` before and after it
    bulge[lag:-lag] = np.abs(x[lag:-lag] - (x[2 * lag :] + x[: -2 * lag]) / 2)
    if not ok.all():
        bulge[lag:-lag][~(ok[2 * lag :] & ok[lag:-lag] & ok[: -2 * lag])] = 0.0
    near = 2 * lag  # a spike changes the bulge of samples up to this far away
    side = max(round(SPIKE_SIDE_S * rate_hz), MIN_SIDE_N)
    found: list[Run] = []
    for place in _largest(bulge, _standing_out(bulge, SPIKE_RATIO, near + 1, side), near):
        low, high = place - near - side, place + near + side + 1
        if low < 0 or high > n or not ok[low:high].all():
            continue
        others = max(bulge[low : place - near].max(), bulge[place + near + 1 : high].max(), quantum)
        returns = abs(x[place - lag] - x[place + lag]) <= bulge[place] / 2  # unlike a step
        if returns and bulge[place] >= SPIKE_RATIO * others:
            around = x[place - near : place + near + 1]
            off = np.flatnonzero(np.abs(around - np.linspace(around[0], around[-1], len(around))) > 2 * others)
            found.append((place - near + int(off[0]), place - near + int(off[-1]) + 1))
    return sorted(found)


def _steps(x: Float, ok: Mask, size: Float, rate_hz: float, quantum: float) -> list[Run]:
    n = len(x)
    side = max(round(STEP_SIDE_S * rate_hz), MIN_SIDE_N)
    found: list[Run] = []
    if not _may_have_step(x, side):
        return found
    # the largest difference is at least `STEP_SHARE` of a jump, which is `STEP_RATIO` times the range on either side
    for place in _largest(size, _standing_out(size, STEP_SHARE * STEP_RATIO, STEP_N + 1, side - 1), side):
        n0, n1 = place - STEP_N + 1, place + STEP_N + 1  # the filter of the digitizer rings for this long
        low, high = n0 - side, n1 + side
        if low < 0 or high > n or not _levels_differ(x, low, n0, n1, high) or not ok[low:high].all():
            continue
        before, after = x[low:n0], x[n1:high]
        jump = abs(float(after.mean() - before.mean()))
        spread = max(float(np.ptp(before)), float(np.ptp(after)), quantum)
        if jump >= STEP_RATIO * spread and size[place] >= STEP_SHARE * jump:
            found.append((n0, n1))
    return sorted(found)


def _may_have_step(x: Float, side: int) -> bool:
    """False if the levels of `x` show that it has no step.

    `x` is cut into parts of half a side. Each side of a step contains at least one whole part, and the nearest two are
    `apart` or one more from each other. The means of both sides differ by `STEP_RATIO` times the range of either side,
    so that their ranges do not overlap, and `STEP_RATIO - 2` times the larger one lies between them.
    """
    length = (side + 1) // 2
    parts = x[: len(x) // length * length].reshape(-1, length)
    top, bottom = parts.max(axis=1), parts.min(axis=1)
    spread = (STEP_RATIO - 2) * (top - bottom)
    apart = 1 + -(-2 * STEP_N // length)
    for between in (apart, apart + 1):
        if between < len(parts):
            gap = np.maximum(bottom[between:] - top[:-between], bottom[:-between] - top[between:])
            if (gap >= np.maximum(spread[between:], spread[:-between])).any():
                return True
    return False


def _levels_differ(x: Float, low: int, n0: int, n1: int, high: int) -> bool:
    """False if a few samples of [low, n0) and [n1, high) already show that the means are too close to each other.

    The difference of the means exceeds that of any two samples of the sides by at most twice the range of a side.
    """
    before, after = x[n0 - 1], x[n1]
    spread = max(
        abs(before - x[low]),
        abs(before - x[(low + n0) // 2]),
        abs(after - x[high - 1]),
        abs(after - x[(n1 + high) // 2]),
    )
    return bool(abs(after - before) >= (STEP_RATIO - 2) * spread)


def _is_plateau(x: Float, ok: Mask, run: Run, rate_hz: float, quantum: float) -> bool:
    """True if a flat run is strong shaking that was clipped, not a held value: see *Flat* above."""
    here, value = x[ok], x[run[0]]
    top, bottom = float(here.max()), float(here.min())
    if value not in (top, bottom) or top - bottom < CLIP_MIN_QUANTA * quantum:
        return False
    side = max(round(FLAT_S * rate_hz), MIN_SIDE_N)
    n0, n1 = run
    for low, high in ((max(n0 - side, 0), n0), (n1, n1 + side)):
        beside = x[low:high][ok[low:high]]
        if len(beside) >= MIN_SIDE_N and np.ptp(beside) >= PLATEAU_SHARE * (top - bottom):
            return True
    return False


def _rails(x: Float, ok: Mask | None, size: Float, held_n: int, flats: list[Run], quantum: float) -> Rails:
    """ok: None where all samples exist. held_n: number of samples that equal the one before them."""
    if flats:
        ok = np.ones(len(x), dtype=bool) if ok is None else ok.copy()
        for n0, n1 in flats:
            ok[n0:n1] = False
    here = x if ok is None else x[ok]
    if not len(here):
        return Rails(-np.inf, np.inf, 0, 0, quantum)
    top, bottom = float(here.max()), float(here.min())
    if held_n < CLIP_N - 1:
        return Rails(top, bottom, 0, 0, quantum)
    held = [0, 0]
    spans: list[Run] = [(0, 0), (0, 0)]
    for rail, value in enumerate((top, bottom)):
        there = x == value if ok is None else ok & (x == value)
        if np.count_nonzero(there) < CLIP_N:
            continue
        for n0, n1 in runs(there, CLIP_N):
            beside = size[max(n0 - 1, 0) : n0].sum(), size[n1 - 1 : n1].sum()
            if max(beside) >= CLIP_SLOPE * quantum:
                held[rail] += n1 - n0
        if held[rail]:
            places = np.flatnonzero(there)
            spans[rail] = int(places[0]), int(places[-1]) + 1
    return Rails(top, bottom, held[0], held[1], quantum, (spans[0], spans[1]))

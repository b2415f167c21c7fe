"""Picture: the waveform of an event as inline SVG, from the minimum and the maximum of each of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, ns_from_iso, ns_from_s
from seisedge.runtime.event import Event
from seisedge.runtime.records.channelcode import COMPONENTS

if TYPE_CHECKING:
    from seisedge.runtime.timeline.timeline import Timeline

COLUMNS = 400  # of a waveform, at most
FULL = 127  # the largest amplitude of a component
WIDTH, LEFT, RIGHT, TOP, ROW, AXIS = 640, 40, 40, 16, 64, 22
PHASE_COLOURS = {"P": "#c8553d", "S": "#0b6e99", "onset": "#c8553d"}


@dataclass(frozen=True, slots=True)
class Waveform:
    """What the models received, reduced to columns.

    low, high: int8 (3, n_columns), ZNE, in units of `peak / FULL`; low > high where no sample exists.
    peak: (3,), largest amplitude of each component, in counts.
    """

    start_ns: int
    length_s: float
    low: npt.NDArray[np.int8]
    high: npt.NDArray[np.int8]
    peak: npt.NDArray[np.float32]


def waveform_of(event: Event, timelines: Sequence[Timeline]) -> Waveform | None:
    """The window of an event; None if no sample of it is in memory any more. timelines: those of its station."""
    timeline = timelines[-1]
    start_ns = ns_from_iso(event.window.start)
    k0 = timeline.k_at(start_ns)
    k1 = timeline.k_at(start_ns + ns_from_s(event.window.length_s))
    if k1 <= k0:
        return None
    wave, valid = timeline.window(k0, k1)
    if not valid.any():
        return None
    return reduced(wave, valid, start_ns, (k1 - k0) / timeline.spec.rate_hz)


def reduced(wave: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], start_ns: int, length_s: float) -> Waveform:
    """Columns of samples (3, n) with their mask; the mean of each component is removed.

    A column reaches to the first sample of the next one, so that the columns make a line.
    """
    n = wave.shape[1]
    count = valid.sum(axis=1, keepdims=True)
    mean = np.where(valid, wave, 0.0).sum(axis=1, keepdims=True, dtype=np.float64) / np.maximum(count, 1)
    wave = np.where(valid, wave - mean, 0.0)
    peak = np.abs(wave).max(axis=1, keepdims=True)
    scaled = wave / np.where(peak > 0, peak, 1.0) * FULL
    begins = np.unique(np.linspace(0, n, min(n, COLUMNS), endpoint=False, dtype=np.int64))
    lows, highs = np.where(valid, scaled, FULL), np.where(valid, scaled, -FULL)
    low, high = np.minimum.reduceat(lows, begins, axis=1), np.maximum.reduceat(highs, begins, axis=1)
    low[:, :-1] = np.minimum(low[:, :-1], lows[:, begins[1:]])
    high[:, :-1] = np.maximum(high[:, :-1], highs[:, begins[1:]])
    empty = ~np.maximum.reduceat(valid, begins, axis=1)
    low[empty], high[empty] = FULL, -FULL
    return Waveform(start_ns, length_s, np.rint(low).astype(np.int8), np.rint(high).astype(np.int8), peak[:, 0])


def svg_of(event: Event, waveform: Waveform) -> str:
    """An SVG element without references to anything outside it; text and lines have the colour of the page."""
    plot_w, height = WIDTH - LEFT - RIGHT, TOP + 3 * ROW + AXIS
    onset_ns = ns_from_iso(event.onset)
    before_s = (onset_ns - waveform.start_ns) / NS_PER_S

    def x_of(seconds: float) -> float:
        return LEFT + plot_w * min(max((seconds + before_s) / waveform.length_s, 0.0), 1.0)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'style="max-width:100%;height:auto" font-family="sans-serif" font-size="11" fill="currentColor" role="img">',
        f"<title>{escape(f'Waveform of {event.id}')}</title>",
    ]
    parts.append(f'<text x="{WIDTH - 4}" y="12" text-anchor="end" opacity="0.7">counts</text>')
    for row, component in enumerate(COMPONENTS):
        parts += _row(waveform, row, component, plot_w)
    parts += [_mark(name, x_of(at_s), height) for name, at_s in _marks(event, onset_ns)]
    for tick in _ticks(-before_s, waveform.length_s - before_s):
        parts.append(f'<text x="{x_of(tick):.1f}" y="{height - 6}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - 4}" y="{height - 6}" text-anchor="end">s</text></svg>')
    return "".join(parts)


def _row(waveform: Waveform, row: int, component: str, plot_w: float) -> list[str]:
    """One component: its name, its peak, and a band from the minimum to the maximum of each column."""
    middle, half, step = TOP + ROW * (row + 0.5), ROW * 0.46, plot_w / waveform.low.shape[1]
    low, high = waveform.low[row], waveform.high[row]
    columns = np.flatnonzero(low <= high).tolist()
    lines = [f"M{column} {-int(high[column]) - 1}V{-int(low[column]) + 1}" for column in columns]
    text = f'<text x="4" y="{middle + 4:.1f}">{component}</text>'
    if not lines:
        return [text, f'<text x="{LEFT + 4}" y="{middle + 4:.1f}" opacity="0.6">no samples</text>']
    peak = f'<text x="{WIDTH - 4}" y="{middle - half + 9:.1f}" text-anchor="end" opacity="0.7">'
    peak += f"{waveform.peak[row]:.3g}</text>"
    place = f"translate({LEFT + step / 2:.2f} {middle:.1f}) scale({step:.4f} {half / FULL:.4f})"
    path = f'<path transform="{place}" d="{"".join(lines)}" stroke="currentColor" stroke-width="1" fill="none"/>'
    return [text, peak, path]


def _marks(event: Event, onset_ns: int) -> list[tuple[str, float]]:
    """Name and seconds after the onset of each pick, or of the onset where there is none."""
    picks = [(pick.phase, (ns_from_iso(pick.time) - onset_ns) / NS_PER_S) for pick in event.picks or []]
    return [(str(phase), at_s) for phase, at_s in picks] or [("onset", 0.0)]


def _mark(name: str, x: float, height: int) -> str:
    colour = PHASE_COLOURS.get(name, "#4c956c")
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - AXIS}" stroke="{colour}" stroke-width="1.5"/>'
    return f'{line}<text x="{x:.1f}" y="12" text-anchor="middle" fill="{colour}">{escape(name)}</text>'


def _ticks(first_s: float, last_s: float) -> list[float]:
    """Round seconds within a span, at most ten or so."""
    step = next(step for step in (1, 2, 5, 10, 20, 60, 120, 300, 600, 3600) if (last_s - first_s) / step <= 10)
    begin = int(np.ceil(first_s / step))
    return [float(k * step) for k in range(begin, int(np.floor(last_s / step)) + 1)]

"""Terminal: one readable line per revision, or one line of JSON.

Two layouts: a narrow one of 80 columns, with a line for each new date, and a wide one with the date in every line. All
times are onsets in UTC. What does not fit stands in a further line, indented, so that the terminal wraps nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import msgspec

from seisedge.runtime.event import Event, Hop, MagnitudeEstimate
from seisedge.runtime.screen import PLAIN, Screen, Style
from seisedge.runtime.sinks._base import Sink

WIDE = 112  # columns that the wide layout needs
NARROW = "{:10} {:8} {:9} {:>5} {:12} {:4}  {:16}".format
WIDE_FORMAT = "{:21}  {:9}  {:9}  {:>5}  {:12}  {:4}  {:16}  {:9}  {:>7}".format
NARROW_HEAD = NARROW("onset UTC", "station", "status", "after", "type", "prob", "magnitude [90 %]")
WIDE_HEAD = WIDE_FORMAT(
    "onset UTC", "station", "status", "after", "type", "prob", "magnitude [90 %]", "distance", "work ms"
)
STYLES: dict[str, tuple[Style, ...]] = {"new": ("bold",), "update": (), "final": ("green",), "retracted": ("red",)}


def magnitude_text(size: MagnitudeEstimate | None) -> str:
    """A magnitude with its 90 % interval, `2.11 [1.3, 2.9]`, or the bin where there is no value.

    A limit in an open outer class is written in words: `2.37 [over 1.6]`. Without a gain the bin is provisional.
    """
    if size is None:
        return ""
    if size.value is None or size.interval_90 is None:
        return f"{size.label}{' no gain' if size.provisional else ''}"
    return f"{size.value:4.2f} {interval_text(size.interval_90)}"


def interval_text(interval: tuple[float | None, float | None]) -> str:
    """An interval of magnitudes, in which None is an open end.

    >>> interval_text((1.3, 2.9)), interval_text((1.6, None)), interval_text((None, 0.7))
    ('[1.3, 2.9]', '[over 1.6]', '[under 0.7]')
    """
    low, high = interval
    if low is None or high is None:
        return "[any]" if low is high else f"[over {low:.1f}]" if high is None else f"[under {high:.1f}]"
    return f"[{low:.1f}, {high:.1f}]"


def _remarks(event: Event) -> list[str]:
    """The limitations of an event, without the one that "no gain" in the column of the magnitude states already."""
    size = event.magnitude
    stated = "uncalibrated" if size is not None and size.value is None and size.provisional else "ok"
    return list(dict.fromkeys(remark.code for remark in event.quality if remark.code not in ("ok", stated)))


def _distance(event: Event) -> str:
    if event.distance_km is None or event.distance_uncertainty_km is None:
        return ""
    return f"{event.distance_km:.0f}±{event.distance_uncertainty_km:.0f} km"


def _common(event: Event) -> tuple[str, ...]:
    """The columns from the station to the magnitude."""
    kind = event.event_type
    return (
        event.station,
        "RETRACTED" if event.status == "retracted" else event.status,
        f"+{event.window.answer_s:g} s",
        kind.label if kind else "unknown",
        f"{kind.probability:.2f}" if kind else "",
        magnitude_text(event.magnitude),
    )


def narrow_lines(event: Event, columns: int = 80) -> list[str]:
    """An event for a terminal of `columns` characters, without its date.

    `08:16:25.3 PB.B918  new        +3 s tectonic     0.97  1.80 [1.5, 2.1]  overlap`
    """
    line = NARROW(event.onset[11:21], *_common(event))
    return _with_notes(line, [_distance(event), *_remarks(event)], columns, " " * 11)


def wide_lines(event: Event, columns: int | None = None) -> list[str]:
    """An event with its date, distance and latency; one line where `columns` is None.

    `2019-07-07 08:16:25.3  PB.B918    new         +3 s  tectonic      0.97  1.80 [1.5, 2.1]   27±4 km         4.1`
    """
    latency = event.latency_ms  # from the arrival of the packet: the share of the station itself
    work_ms = latency.total - (latency.record_fill or 0.0) - (latency.transport or 0.0)
    when = f"{event.onset[:10]} {event.onset[11:21]}"
    line = WIDE_FORMAT(when, *_common(event), _distance(event), f"{work_ms:.1f}")
    return _with_notes(line, _remarks(event), columns, " " * 23)


def _with_notes(line: str, notes: Sequence[str], columns: int | None, indent: str) -> list[str]:
    """A line with notes at its end, or in further lines if they do not fit."""
    text = ", ".join(filter(None, notes))
    whole = f"{line}  {text}".rstrip()
    if columns is None or len(whole) <= columns:
        return [whole]
    width = max(columns - len(indent), 20)
    further = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.rstrip(), *(indent + part for part in further)]


class TerminalSink(Sink):
    """Passes readable lines to `echo`: a header first, then the events. Hops of continuous mode are skipped."""

    def __init__(self, echo: Callable[[str], None], screen: Screen = PLAIN) -> None:
        self._echo = echo
        self._screen = screen
        self._head = ""
        self._date = ""

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        columns = self._screen.columns
        wide = columns is None or columns >= WIDE
        lines = wide_lines(line, columns) if wide or columns is None else narrow_lines(line, columns)
        painted = [self._screen.painted(text, *STYLES[line.status]) for text in lines]
        self._echo("\n".join([*self._above(line.onset[:10], wide), *painted]))

    def _above(self, date: str, wide: bool) -> Sequence[str]:
        """What stands above the next line: the header, once for each layout, and in the narrow one a new date."""
        found = []
        head = WIDE_HEAD if wide else NARROW_HEAD
        if head != self._head:
            found.append(self._screen.painted(f"{head}  remarks", "dim"))
        if not wide and (date != self._date or head != self._head):
            found.append(self._screen.painted(f"── {date} UTC ──", "dim"))
        self._head, self._date = head, date
        return found


class JsonTerminalSink(Sink):
    """Passes lines of JSON to `echo`."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo

    def write(self, line: Event | Hop) -> None:
        self._echo(msgspec.json.encode(line).decode())

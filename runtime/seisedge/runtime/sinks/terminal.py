"""Terminal: one readable line per revision, or one line of JSON."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks._base import Sink


def sentence_from_event(event: Event) -> str:
    """An event as one line.

    `08:16:25.3  PB.B918  new    tectonic 0.97  M 1.8 [1.5, 2.1]  27±4 km  at +3 s  4.1 ms  overlap`
    """
    kind, size = event.event_type, event.magnitude
    parts = [event.onset[11:21], f"{event.station:9}", f"{event.status:9}"]
    parts.append(f"{kind.label:12} {kind.probability:.2f}" if kind else f"{'no label':17}")
    if size is None:
        parts.append(" " * 21)
    elif size.expected is not None and size.interval_90 is not None:
        low, high = size.interval_90
        bounds = f"[{'' if low is None else format(low, '.1f')}, {'' if high is None else format(high, '.1f')}]"
        parts.append(f"M {size.expected:4.2f} {bounds:12}  ")
    else:
        parts.append(f"M {size.label:10}{'?' if size.provisional else ' ':8} ")
    if event.distance_km is not None and event.distance_uncertainty_km is not None:
        parts.append(f"{f'{event.distance_km:.0f}±{event.distance_uncertainty_km:.0f} km':9}")
    else:
        parts.append(" " * 9)
    parts.append(f"at +{event.window.answer_s:<4g}s")
    latency = event.latency_ms  # from the arrival of the packet: the share of the station itself
    total = latency.total - (latency.record_fill or 0.0) - (latency.transport or 0.0)
    parts.append(f"{total:6.1f} ms")
    remarks = ",".join(dict.fromkeys(remark.code for remark in event.quality if remark.code != "ok"))
    return "  ".join([*parts, remarks]).rstrip()


class TerminalSink(Sink):
    """Passes readable lines to `echo`; hops of continuous mode are skipped."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self._echo(sentence_from_event(line))


class JsonTerminalSink(Sink):
    """Passes lines of JSON to `echo`."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo

    def write(self, line: Event | Hop) -> None:
        self._echo(msgspec.json.encode(line).decode())

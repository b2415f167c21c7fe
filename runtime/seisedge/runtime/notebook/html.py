"""HTML of events for a notebook: self-contained, without a script, in the colours of the page it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from seisedge.runtime.event import Event
from seisedge.runtime.notebook.picture import Waveform, svg_of
from seisedge.runtime.sinks.terminal import magnitude_text

MAX_ROWS = 200  # of a table
MAX_PICTURES = 5  # below a table
CELL = "text-align:left;padding:.15em .7em;white-space:nowrap"
BAR_PX = 120


def event_html(event: Event, waveform: Waveform | None, remarks: Sequence[str]) -> str:
    """One event: its facts, its probabilities as bars, its waveform, and its limitations."""
    head = f"<b>{escape(event.station)}</b> {escape(_time(event.onset))} <i>{escape(event.status)}</i>"
    size = magnitude_text(event.magnitude).strip()
    facts = [f"magnitude {size} (90 %)" if "[" in size else f"magnitude {size}"] if size else []
    if event.distance_km is not None:
        facts.append(f"{event.distance_km:.0f} ± {event.distance_uncertainty_km or 0:.0f} km from S − P")
    parts = [f"<p>{', '.join([head, *map(escape, facts)])}</p>", _bars(event)]
    parts.append(svg_of(event, waveform) if waveform is not None else "<p>The samples are no longer in memory.</p>")
    limits = [f"{remark.code}: {remark.reason}" for remark in event.quality if remark.code != "ok"]
    parts += [f'<p style="margin:.2em 0;opacity:.8">{escape(text)}</p>' for text in dict.fromkeys([*limits, *remarks])]
    return f"<div>{''.join(parts)}</div>"


def _bars(event: Event) -> str:
    """A table of the event types with their probabilities."""
    if event.event_type is None:
        return "<p>No event type.</p>"
    rows = []
    for label, probability in event.event_type.probabilities.items():
        bar = f'<div style="width:{BAR_PX * probability:.0f}px;height:.8em;background:#0b6e99"></div>'
        cells = (escape(label), f"{probability:.2f}", bar)
        rows.append("<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def events_html(found: Sequence[tuple[Event, Waveform | None]], remarks: Sequence[str]) -> str:
    """A table of events, and below it the pictures of the first ones, each behind its title."""
    names = ("station", "onset UTC", "type", "probability", "magnitude [90 %]", "distance", "quality")
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in names)
    rows = [
        "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in _cells(event)) + "</tr>"
        for event, _ in found[:MAX_ROWS]
    ]
    parts = [f"<p>{len(found)} event{'' if len(found) == 1 else 's'}</p>"]
    if rows:
        parts.append(f"<table><tr>{head}</tr>{''.join(rows)}</table>")
    if len(found) > MAX_ROWS:
        parts.append(f"<p>and {len(found) - MAX_ROWS} more</p>")
    for event, waveform in found[:MAX_PICTURES]:
        title = escape(f"{event.station} {_time(event.onset)}")
        parts.append(f"<details><summary>{title}</summary>{event_html(event, waveform, ())}</details>")
    parts += [f'<p style="margin:.2em 0;opacity:.8">{escape(remark)}</p>' for remark in remarks]
    return f"<div>{''.join(parts)}</div>"


def _cells(event: Event) -> tuple[str, ...]:
    kind = event.event_type
    return (
        event.station,
        _time(event.onset),
        kind.label if kind is not None else "",
        f"{kind.probability:.2f}" if kind is not None else "",
        magnitude_text(event.magnitude).strip(),
        f"{event.distance_km:.0f} km" if event.distance_km is not None else "",
        " ".join(dict.fromkeys(remark.code for remark in event.quality if remark.code != "ok")),
    )


def _time(iso: str) -> str:
    """A time for people, to the millisecond."""
    return iso.replace("T", " ")[:-4]

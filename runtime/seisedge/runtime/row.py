"""Row: an event as the columns of a table, for `seisedge archive` and for data frames."""

from __future__ import annotations

from typing import Any

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.event import Event

TIMES = ("onset", "p_time", "s_time")  # columns of nanoseconds
COLUMNS = (
    "id", "onset", "revision", "status", "trigger", "snr", "onset_probability", "p_time", "p_uncertainty_s", "s_time",
    "s_uncertainty_s", "distance_km", "distance_uncertainty_km", "type", "type_probability", "magnitude",
    "magnitude_label", "magnitude_type", "magnitude_probability", "magnitude_low_90", "magnitude_high_90",
    "magnitude_provisional", "coverage", "gaps", "window_s", "timing", "quality", "overlaps",
)  # fmt: skip


def row_of_event(event: Event) -> dict[str, Any]:
    """The columns of one revision; None where the event has no value. Times are nanoseconds."""
    picks = {pick.phase: pick for pick in event.picks or []}
    p, s = picks.get("P"), picks.get("S")
    kind, size, window = event.event_type, event.magnitude, event.window
    low, high = size.interval_90 if size is not None and size.interval_90 is not None else (None, None)
    return {
        "id": event.id,
        "onset": ns_from_iso(event.onset),
        "revision": event.revision,
        "status": event.status,
        "trigger": event.trigger.kind,
        "snr": event.trigger.snr,
        "onset_probability": event.trigger.probability,
        "p_time": ns_from_iso(p.time) if p is not None else None,
        "p_uncertainty_s": p.uncertainty_s if p is not None else None,
        "s_time": ns_from_iso(s.time) if s is not None else None,
        "s_uncertainty_s": s.uncertainty_s if s is not None else None,
        "distance_km": event.distance_km,
        "distance_uncertainty_km": event.distance_uncertainty_km,
        "type": kind.label if kind is not None else None,
        "type_probability": kind.probability if kind is not None else None,
        "magnitude": size.value if size is not None else None,
        "magnitude_label": size.label if size is not None else None,
        "magnitude_type": size.type if size is not None else None,
        "magnitude_probability": size.probability if size is not None else None,
        "magnitude_low_90": low,
        "magnitude_high_90": high,
        "magnitude_provisional": bool(size.provisional) if size is not None else None,
        "coverage": window.coverage,
        "gaps": window.gaps,
        "window_s": window.length_s,
        "timing": event.timing,
        "quality": [remark.code for remark in event.quality],
        "overlaps": event.overlaps,
    }

"""State of the page: the health of the run and of each station, in the words of `/healthz`, without private texts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from importlib.metadata import version
from time import time_ns
from typing import Any

from seisedge.runtime.clock import NS_PER_S, duration_text, iso_from_ns
from seisedge.runtime.page.curves import Curves
from seisedge.runtime.page.events import EventBook
from seisedge.runtime.page.privacy import Privacy, shown_sinks
from seisedge.runtime.records.channelcode import COMPONENTS
from seisedge.runtime.service.health import Health

MAX_STATIONS = 200  # in one document
DAY_NS = 86_400 * NS_PER_S
GAP_STEP_S = 60.0  # interval at which gaps are counted
GAP_STEPS = 60  # an hour
RECORDED_S = 3600.0  # data that are older were recorded before: a replay, a file, or what an outage has left


@dataclass(slots=True)
class GapCount:
    """Gaps of the last hour, from a counter that only grows."""

    counts: deque[int] = field(default_factory=lambda: deque(maxlen=GAP_STEPS + 1))

    def note(self, count: int) -> None:
        if self.counts and count < self.counts[-1]:  # the timelines began anew
            self.counts.clear()
        self.counts.append(count)

    def last_hour(self, count: int) -> int:
        return max(count - self.counts[0], 0) if self.counts else count


class StateDocument:
    """Makes the document of `/api/state`."""

    def __init__(self, health: Health, events: EventBook, curves: dict[str, Curves], privacy: Privacy) -> None:
        self._health, self._events, self._curves, self._privacy = health, events, curves, privacy
        self._gaps: dict[str, GapCount] = {}
        self._next_gaps_s = 0.0

    def note_gaps(self, now_s: float) -> None:
        """Count the gaps, at most once a minute. now_s: of the monotonic clock."""
        if now_s >= self._next_gaps_s:
            self._next_gaps_s = now_s + GAP_STEP_S
            for station_id in list(self._health.report.stations)[:MAX_STATIONS]:
                self._gaps.setdefault(station_id, GapCount()).note(self._gap_count(station_id))

    def document(self) -> dict[str, Any]:
        """The document, without the settings of the page."""
        whole = self._health.document()
        sinks = shown_sinks(drain.name for drain in list(self._health.drains))
        whole["reasons"] = [self._privacy.shown(reason, sinks) for reason in whole["reasons"]]
        reasons = whole["reasons"]
        ids = list(whole["stations"])
        stations = [self._station(station_id, whole) for station_id in ids[:MAX_STATIONS]]
        health = {
            "status": whole["status"], "reasons": reasons, "engines": whole["engines"], "slot": whole["slot"],
            "dropping": whole["dropping"], "resident_mib": whole["resident_mib"], **self._outputs(sinks),
            "storage": [{k: v for k, v in one.items() if k != "folder"} for one in whole["storage"]],
        }  # fmt: skip
        return {
            "now_ms": time_ns() // 1_000_000,
            "version": version("seisedge"),
            "health": health,
            "sentence": _sentence(whole["status"], reasons, [s["data_age_s"] for s in stations]),
            "stations": stations,
            "stations_left_out": max(len(ids) - MAX_STATIONS, 0),
        }

    def _outputs(self, names: dict[str, str]) -> dict[str, Any]:
        """What waits in each sink, free bytes on the disk, the delay behind the stream."""
        sinks: dict[str, dict[str, Any]] = {}
        disk = None
        for sample in self._health.outbox_samples():
            name = sample.name.removeprefix("sink_")
            if sample.name == "disk_free_bytes":
                disk = sample.value
            elif (
                name in ("connected", "waiting_lines", "oldest_waiting_seconds", "down_seconds") and name != sample.name
            ):
                sinks.setdefault(sample.labels["sink"], {})[name] = sample.value
        shown = [{"sink": names.get(name, "sink"), **values} for name, values in sinks.items()]
        return {"sinks": shown, "disk_free_bytes": disk, "behind_s": self._health.backlog.behind_s}

    def _station(self, station_id: str, whole: dict[str, Any]) -> dict[str, Any]:
        document, curves = whole["stations"][station_id], self._curves.get(station_id)
        prefix = f"{station_id}: "
        of_all = [reason for reason in whole["reasons"] if not _is_of_station(reason, whole["stations"])]
        own = [reason.removeprefix(prefix) for reason in whole["reasons"] if reason.startswith(prefix)]
        reasons = own + of_all
        status = whole["status"] if whole["status"] == "outage" or reasons else "ok"
        components = curves.components if curves is not None else {}
        newest_ns = self._events.newest_ns(station_id)
        running = self._health.report.stations.get(station_id)
        data_ns = running.last_ns if running is not None and running.last_ns is not None else time_ns()
        gaps = self._gaps.get(station_id, GapCount())
        return {
            "station": station_id,
            "status": status,
            "sentence": _sentence(status, reasons, [document["data_age_s"]]),
            "reasons": reasons,
            "data_age_s": document["data_age_s"],
            "state_of_health": document["state_of_health"],
            "components": [c for c in COMPONENTS if c in components],
            "channels": {c: ".".join(filter(None, components[c].code)) for c in COMPONENTS if c in components},
            "sampling_rate_hz": max((one.rate_hz for one in components.values()), default=None),
            "clock": curves.clock if curves is not None else None,
            "curves": curves is not None,
            "gaps_last_hour": gaps.last_hour(self._gap_count(station_id)),
            "events_24h": self._events.count_since(station_id, data_ns - DAY_NS),
            "last_event_ms": None if newest_ns is None else newest_ns // 1_000_000,
        }

    def _gap_count(self, station_id: str) -> int:
        station = self._health.report.stations.get(station_id)
        timelines = station.timelines[:1] if station is not None else []
        return sum(track.counters.gaps for timeline in timelines for track in list(timeline.tracks.values()))


def _is_of_station(reason: str, stations: dict[str, Any]) -> bool:
    return reason.partition(": ")[0] in stations


def _sentence(status: str, reasons: list[str], ages_s: list[float | None]) -> str:
    """One sentence with the status and its first reason, or the age of the data, or the time of recorded ones."""
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"{status}: {reasons[0]}{more}"
    known = [age_s for age_s in ages_s if age_s is not None]
    if not known:
        return f"{status}: no data yet"
    age_s = min(known)
    if age_s > RECORDED_S:
        newest = iso_from_ns(time_ns() - round(age_s * NS_PER_S))
        return f"{status}: recorded data arrive, the newest of {newest[:10]} {newest[11:16]} UTC"
    return f"{status}: the newest data are {_age(age_s)} old"


def _age(seconds: float) -> str:
    return f"{max(seconds, 0):.1f} s" if seconds < 10 else duration_text(seconds)

"""Health: is the station at work, and what it has done. Read by `/healthz`, `/metrics` and the watchdog.

The loop calls `turn` for every packet and every tick; all else is looked up when somebody asks, from another thread,
in counters that only grow.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Literal

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.histogram import Histogram
from seisedge.runtime.machine import resident_mib, temperatures_c
from seisedge.runtime.service.notify import Notifier
from seisedge.runtime.sources import Source

if TYPE_CHECKING:
    from seisedge.runtime.inference.infer import Models
    from seisedge.runtime.journal.journal import Journal
    from seisedge.runtime.service.dead_letters import DeadLetters
    from seisedge.runtime.sinks._drain import Drain
    from seisedge.runtime.station.backlog import Backlog
    from seisedge.runtime.station.run_report import RunReport

Condition = Literal["ok", "degraded", "outage"]

# Longer than any source waits for data before it makes its connection anew (120 s) and has tried that.
SILENT_S = 300.0
STUCK_S = 30.0  # without a packet or a tick; ticks come every half second


class Health:
    """What is known of a run. `source` and `report` are set when they are there."""

    def __init__(self, notifier: Notifier | None = None, now_s: Callable[[], float] = monotonic) -> None:
        self.work_ms = Histogram()  # of a revision: from the packet in hand to the finished line
        self.report: RunReport | None = None
        self.source: Source | None = None
        self.journal: Journal | None = None
        self.backlog: Backlog | None = None
        self.models: Models | None = None
        self.drains: list[Drain] = []
        self.dead_letters: DeadLetters | None = None
        self._notifier = notifier
        self._now_s = now_s
        self._began_s = self._turned_s = now_s()
        self._heard_s: dict[str, float] = {}

    def turn(self, station_id: str | None) -> None:
        """The loop has come round, with a packet of a station or without.

        The watchdog is kept quiet while packets come, or while the source knows that it has none to give: it is
        not connected, or the silence is not yet longer than it would bear.
        """
        self._turned_s = now_s = self._now_s()
        if station_id is not None:
            self._heard_s[station_id] = now_s
        if self._notifier is not None and (station_id is not None or self.outage_known):
            self._notifier.ping()

    @property
    def outage_known(self) -> bool:
        """True where silence is accounted for."""
        state = getattr(self.source, "state", None)
        if not self._heard_s or (state is not None and state.name != "STREAMING"):
            return True
        return self._now_s() - max(self._heard_s.values()) < SILENT_S

    def arrival_age_s(self, station_id: str) -> float | None:
        """Seconds since the last packet of a station came."""
        heard_s = self._heard_s.get(station_id)
        return None if heard_s is None else self._now_s() - heard_s

    def condition(self) -> tuple[Condition, list[str]]:
        """`outage`: nothing is being analysed; `degraded`: events are, but something is amiss."""
        outage: list[str] = []
        amiss: list[str] = []
        stuck_s = self._now_s() - self._turned_s
        if stuck_s > STUCK_S:
            outage.append(f"the loop has not come round for {stuck_s:.0f} s")
        ages = {station: self._now_s() - heard_s for station, heard_s in list(self._heard_s.items())}
        silent = [f"{station}: no packet for {age:.0f} s" for station, age in ages.items() if age > SILENT_S]
        (outage if len(silent) == len(ages) else amiss).extend(silent)
        state = getattr(self.source, "state", None)
        if state is not None and state.name != "STREAMING":
            (amiss if ages and not outage else outage).append(f"the source is {state.value}")
        if self.backlog is not None and self.backlog.dropping:
            amiss.append(f"{self.backlog.behind_s:.0f} s behind the stream: windows are dropped")
        if self.journal is not None and self.journal.failing:
            amiss.append("the journal cannot be written")
        if self.models is not None:
            amiss += self.models.stand_ins
        for drain in self.drains:
            if drain.down_since_s is not None:
                waiting = self.journal.undelivered(drain.name) if self.journal is not None else 0
                amiss.append(f"{drain.name}: down for {monotonic() - drain.down_since_s:.0f} s, {waiting} lines wait")
        return ("outage" if outage else "degraded" if amiss else "ok"), outage + amiss

    def document(self) -> dict[str, Any]:
        """For `/healthz`."""
        condition, reasons = self.condition()
        stations = {
            station_id: {
                "arrival_age_s": _rounded(self.arrival_age_s(station_id)),
                "data_age_s": _rounded(_data_age_s(station.last_ns)),
                "events": station.counters.events,
            }
            for station_id, station in list(self.report.stations.items() if self.report is not None else ())
        }
        models = self.models.engines if self.models is not None else []
        engines = {engine.card.name: engine.name for engine in models}
        return {"status": condition, "reasons": reasons, "stations": stations, "engines": engines}

    def samples(self) -> list[Sample]:
        """For `/metrics`."""
        found = [*self._of_process(), *self._of_source(), *self._of_stations(), *self._of_outbox()]
        return [sample for sample in found if sample.value is not None]

    def _of_process(self) -> list[Sample]:
        up_s = self._now_s() - self._began_s
        stream_s = self.report.stream_s if self.report is not None else 0.0
        condition, _ = self.condition()
        memory = resident_mib()
        found = [
            Sample("up", "gauge", "1 where events can be made, 0 in an outage.", 0.0 if condition == "outage" else 1.0),
            Sample("run_seconds", "gauge", "Since the run began.", up_s),
            Sample("real_time_factor", "gauge", "Seconds of data a second.", stream_s / up_s if up_s else None),
            Sample(
                "behind_seconds",
                "gauge",
                "Behind a live stream: work less data since it last had nothing more to give.",
                None if self.backlog is None else self.backlog.behind_s,
            ),
            Sample("resident_bytes", "gauge", "Memory.", None if memory is None else memory * 2**20),
        ]
        for zone, celsius in temperatures_c().items():
            found.append(Sample("temperature_celsius", "gauge", "Of a thermal zone.", celsius, {"zone": zone}))
        return found

    def _of_source(self) -> list[Sample]:
        if self.source is None:
            return []
        counters = dataclasses.asdict(self.source.counters)
        found = [
            Sample(f"source_{name}_total", "counter", f"Source: {name.replace('_', ' ')}.", float(count))
            for name, count in counters.items()
        ]
        if self.dead_letters is not None:
            kept = float(self.dead_letters.kept)
            found.append(Sample("dead_letters_total", "counter", "Records kept in the dead-letter file.", kept))
        return found

    def _of_stations(self) -> list[Sample]:
        found: list[Sample] = []
        for station_id, station in list(self.report.stations.items() if self.report is not None else ()):
            of = {"station": station_id}
            age, arrival = _data_age_s(station.last_ns), self.arrival_age_s(station_id)
            found.append(Sample("data_age_seconds", "gauge", "From the newest sample to now.", age, of))
            found.append(Sample("arrival_age_seconds", "gauge", "Since the last packet came.", arrival, of))
            for name, count in dataclasses.asdict(station.counters).items():
                found.append(Sample(f"{name}_total", "counter", f"Station: {name.replace('_', ' ')}.", count, of))
            for timeline in station.tracks[:1]:
                for component, track in timeline.tracks.items():
                    which = of | {"component": component}
                    for name, count in dataclasses.asdict(track.counters).items():
                        text = f"Component: {name.replace('_', ' ')}."
                        found.append(Sample(f"component_{name}_total", "counter", text, count, which))
        return found

    def _of_outbox(self) -> list[Sample]:
        journal = self.journal
        if journal is None:
            return []
        found = [
            Sample("journal_up", "gauge", "1 where the journal can be written.", float(not journal.failing)),
            Sample("journal_commits_total", "counter", "Transactions.", float(journal.counters.commits)),
            Sample("journal_failures_total", "counter", "Transactions failed.", float(journal.counters.failures)),
            Sample("journal_dropped_lines_total", "counter", "Lines dropped.", float(journal.counters.dropped_lines)),
        ]
        for drain in self.drains:
            of = {"sink": drain.name}
            waiting, age_s = float(journal.undelivered(drain.name)), journal.oldest_waiting_s(drain.name)
            down_s = 0.0 if drain.down_since_s is None else monotonic() - drain.down_since_s
            found += [
                Sample("sink_waiting_lines", "gauge", "Lines that a sink has yet to take.", waiting, of),
                Sample("sink_oldest_waiting_seconds", "gauge", "Age of the oldest of them.", age_s, of),
                Sample("sink_down_seconds", "gauge", "Since a sink stopped taking lines.", down_s, of),
                Sample("sink_delivered_total", "counter", "Lines delivered.", float(drain.counters.delivered), of),
                Sample("sink_refused_total", "counter", "Lines refused.", float(drain.counters.refused), of),
            ]
        if journal.folder is not None and journal.folder.exists():
            free = float(shutil.disk_usage(journal.folder).free)
            found.append(Sample("disk_free_bytes", "gauge", "On the disk of the state folder.", free))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric; None is left out."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    value: float | None
    labels: dict[str, str] = dataclasses.field(default_factory=dict)


def _data_age_s(last_ns: int | None) -> float | None:
    return None if last_ns is None else (time_ns() - last_ns) / NS_PER_S


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

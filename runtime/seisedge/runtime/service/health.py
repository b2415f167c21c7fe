"""Health: the condition and the counters of a run, for `/healthz`, `/metrics` and the systemd watchdog.

The loop calls `record_item` for every packet and every tick. Everything else is read on request, from another thread,
from counters that only grow.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Literal

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.counters import Histogram
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.machine import resident_mib, temperatures_c
from seisedge.runtime.service.notify import Notifier
from seisedge.runtime.sources import LinkState, Source
from seisedge.runtime.station.backlog import Backlog
from seisedge.runtime.station.run_report import RunReport

if TYPE_CHECKING:
    from seisedge.runtime.inference.infer import Models
    from seisedge.runtime.service.dead_letters import DeadLetters
    from seisedge.runtime.sinks._drain import Drain

Condition = Literal["ok", "degraded", "outage"]

# Longer than any source waits for data (120 s) and then needs to reconnect.
SILENT_S = 300.0
STUCK_S = 30.0  # without a packet or a tick; a source gives a tick every half second


class Health:
    """What is observed of a run. Its attributes are set as soon as the parts of the run exist."""

    def __init__(self, notifier: Notifier | None = None, now_s: Callable[[], float] = monotonic) -> None:
        self.work_ms = Histogram()  # per line: from the start of the work on its packet to the finished line
        self.report = RunReport()
        self.source: Source | None = None
        self.journal: BaseJournal = MemoryJournal()
        self.backlog = Backlog()
        self.models: Models | None = None
        self.drains: list[Drain] = []
        self.dead_letters: DeadLetters | None = None
        self._notifier = notifier
        self._now_s = now_s
        self._began_s = self._last_item_s = now_s()
        self._last_packet_s: dict[str, float] = {}  # by station

    def record_item(self, station_id: str | None) -> None:
        """Note a packet of a station, or a tick (None) of the source.

        Notifies the watchdog for a packet, and for a tick if the silence is explained. A connected source that gives
        no packets for longer than it should is restarted by the watchdog.
        """
        self._last_item_s = now_s = self._now_s()
        if station_id is not None:
            self._last_packet_s[station_id] = now_s
        if self._notifier is not None and (station_id is not None or self._silence_explained):
            self._notifier.ping()

    @property
    def _link(self) -> LinkState:
        return LinkState.STREAMING if self.source is None else self.source.state

    @property
    def _silence_explained(self) -> bool:
        """True before the first packet, without a connection, and within SILENT_S of the last packet."""
        if not self._last_packet_s or self._link is not LinkState.STREAMING:
            return True
        return self._now_s() - max(self._last_packet_s.values()) < SILENT_S

    def arrival_age_s(self, station_id: str) -> float | None:
        """Seconds since the last packet of a station arrived; None before the first."""
        last_s = self._last_packet_s.get(station_id)
        return None if last_s is None else self._now_s() - last_s

    def condition(self) -> tuple[Condition, list[str]]:
        """`outage`: no data are analysed; `degraded`: they are, but not everything works. With the reasons."""
        outage: list[str] = []
        degraded: list[str] = []
        stuck_s = self._now_s() - self._last_item_s
        if stuck_s > STUCK_S:
            outage.append(f"the loop has been stuck for {stuck_s:.0f} s")
        ages = {station: self._now_s() - last_s for station, last_s in list(self._last_packet_s.items())}
        silent = [f"{station}: no packet for {age:.0f} s" for station, age in ages.items() if age > SILENT_S]
        (outage if len(silent) == len(ages) else degraded).extend(silent)
        if self._link is not LinkState.STREAMING:
            (degraded if ages and not outage else outage).append(f"the source is {self._link.value}")
        if self.backlog.dropping:
            degraded.append(f"{self.backlog.behind_s:.0f} s behind the stream: windows are dropped")
        failure = self.source.recent_failure if self.source is not None else None
        if failure is not None:
            degraded.append(failure)
        if self.journal.failing:
            degraded.append("the journal cannot be written")
        if self.models is not None:
            degraded += self.models.stand_ins
        for drain in self.drains:
            if drain.down_since_s is not None:
                waiting = self.journal.outbox.undelivered(drain.name)
                degraded.append(
                    f"{drain.name}: down for {monotonic() - drain.down_since_s:.0f} s, {waiting} lines waiting"
                )
        return ("outage" if outage else "degraded" if degraded else "ok"), outage + degraded

    def document(self) -> dict[str, Any]:
        """The JSON document of `/healthz`."""
        condition, reasons = self.condition()
        stations = {
            station_id: {
                "arrival_age_s": _rounded(self.arrival_age_s(station_id)),
                "data_age_s": _rounded(_data_age_s(station.last_ns)),
                "events": station.counters.events,
            }
            for station_id, station in list(self.report.stations.items())
        }
        models = self.models.engines if self.models is not None else []
        engines = {engine.card.name: engine.name for engine in models}
        return {"status": condition, "reasons": reasons, "stations": stations, "engines": engines}

    def samples(self) -> list[Sample]:
        """The values of `/metrics`, without the histograms."""
        found = [*self._of_process(), *self._of_source(), *self._of_stations(), *self._of_outbox()]
        return [sample for sample in found if sample.value is not None]

    def _of_process(self) -> list[Sample]:
        up_s = self._now_s() - self._began_s
        stream_s = self.report.stream_s
        condition, _ = self.condition()
        memory = resident_mib()
        found = [
            Sample("up", "gauge", "1 if data are analysed, 0 in an outage.", 0.0 if condition == "outage" else 1.0),
            Sample("run_seconds", "gauge", "Seconds since the run began.", up_s),
            Sample(
                "real_time_factor", "gauge", "Seconds of data analysed per second.", stream_s / up_s if up_s else None
            ),
            Sample(
                "behind_seconds",
                "gauge",
                "Seconds behind a live stream: work minus data since the stream last had nothing more to send.",
                self.backlog.behind_s,
            ),
            Sample(
                "resident_bytes", "gauge", "Resident memory of the process.", None if memory is None else memory * 2**20
            ),
        ]
        for zone, celsius in temperatures_c().items():
            found.append(
                Sample("temperature_celsius", "gauge", "Temperature of a thermal zone.", celsius, {"zone": zone})
            )
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
        for station_id, station in list(self.report.stations.items()):
            of = {"station": station_id}
            age, arrival = _data_age_s(station.last_ns), self.arrival_age_s(station_id)
            found.append(Sample("data_age_seconds", "gauge", "Seconds from the newest sample to now.", age, of))
            found.append(Sample("arrival_age_seconds", "gauge", "Seconds since the last packet arrived.", arrival, of))
            for name, count in dataclasses.asdict(station.counters).items():
                found.append(Sample(f"{name}_total", "counter", f"Station: {name.replace('_', ' ')}.", count, of))
            for timeline in station.timelines[:1]:
                for component, track in timeline.tracks.items():
                    which = of | {"component": component}
                    for name, count in dataclasses.asdict(track.counters).items():
                        text = f"Component: {name.replace('_', ' ')}."
                        found.append(Sample(f"component_{name}_total", "counter", text, count, which))
        return found

    def _of_outbox(self) -> list[Sample]:
        journal = self.journal
        if journal.folder is None and not self.drains:
            return []
        found = [
            Sample("journal_up", "gauge", "1 if the journal can be written.", float(not journal.failing)),
            Sample(
                "journal_commits_total",
                "counter",
                "Transactions, including failed ones.",
                float(journal.counters.commits),
            ),
            Sample("journal_failures_total", "counter", "Failed transactions.", float(journal.counters.failures)),
            Sample(
                "journal_dropped_lines_total",
                "counter",
                "Lines dropped from the outbox before every sink had received them.",
                float(journal.counters.dropped_lines),
            ),
        ]
        for drain in self.drains:
            of = {"sink": drain.name}
            down_s = 0.0 if drain.down_since_s is None else monotonic() - drain.down_since_s
            counters = drain.counters
            for name, text, value in (
                ("waiting_lines", "Lines that a sink has yet to receive.", drain.waiting),
                (
                    "oldest_waiting_seconds",
                    "Age of the oldest line that a sink has yet to receive.",
                    drain.oldest_waiting_s,
                ),
                ("last_delivery_seconds", "Seconds since a sink last accepted a line.", drain.last_delivery_s),
                ("alive", "1 while the thread of a sink works.", drain.alive),
                ("down_seconds", "Seconds since a sink began to fail; 0 if it works.", down_s),
                ("delivered_total", "Lines delivered to a sink.", counters.delivered),
                ("refused_total", "Lines that a sink has refused.", counters.refused),
                ("undecodable_total", "Damaged lines that a sink cannot receive.", counters.undecodable),
                (
                    "dead_lettered_total",
                    "Refused and damaged lines stored in the dead-letter file.",
                    counters.dead_lettered,
                ),
                ("restarts_total", "Restarts of the thread of a sink.", counters.restarts),
            ):
                kind: Literal["gauge", "counter"] = "counter" if name.endswith("_total") else "gauge"
                found.append(Sample(f"sink_{name}", kind, text, None if value is None else float(value), of))
        if journal.folder is not None and journal.folder.exists():
            free = float(shutil.disk_usage(journal.folder).free)
            found.append(Sample("disk_free_bytes", "gauge", "Free bytes on the disk of the state folder.", free))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric. A metric with the value None is omitted."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    value: float | None
    labels: dict[str, str] = dataclasses.field(default_factory=dict)


def _data_age_s(last_ns: int | None) -> float | None:
    return None if last_ns is None else (time_ns() - last_ns) / NS_PER_S


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

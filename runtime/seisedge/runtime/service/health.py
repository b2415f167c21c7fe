"""Health: the condition and the counters of a run, for `/healthz`, `/metrics` and the systemd watchdog.

The loop calls `record_item` for every packet and every tick, and `arrivals.note` for every packet of a station.
Everything else is read on request, from another thread, from counters that only grow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from platform import python_version
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Literal

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.counters import Histogram
from seisedge.runtime.event import Event
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.machine import resident_mib, temperatures_c
from seisedge.runtime.notify import Notifier
from seisedge.runtime.output import STALLED_S, OutputStream
from seisedge.runtime.service.arrivals import SILENT_S, Arrivals, Fault
from seisedge.runtime.service.metric_help import HELP
from seisedge.runtime.service.state_of_health import StateOfHealth
from seisedge.runtime.sources import LinkState, Source
from seisedge.runtime.station.backlog import Backlog
from seisedge.runtime.station.run_report import RunReport
from seisedge.runtime.threads import workers

if TYPE_CHECKING:
    from seisedge.runtime.inference.infer import Models
    from seisedge.runtime.service.dead_letters import DeadLetters
    from seisedge.runtime.sinks._drain import Drain
    from seisedge.runtime.snippets import Recorder

logger = logging.getLogger(__name__)

Condition = Literal["ok", "degraded", "outage"]

HEALTH_SCHEMA = "seisedge.health/1"
STUCK_S = 30.0  # without a packet or a tick; a source gives a tick every half second
READY_WITHIN_S = 30.0  # systemd is not left without READY longer, whatever the server does
REPORT_EVERY_S = 10.0  # the log and systemd's status line follow the condition this fast
LOCK_WAIT_S = 1.0  # for a transaction of the journal, before `/healthz` answers without the sinks
UNDELIVERED_S = 60.0  # while lines wait; longer than any sink waits for the answer to one line
REFUSED_SHARE = 0.1  # of the last lines of a sink
FAILED_S = 300.0  # a thread that failed is reported for so long after its restart
MAX_SHOWN = 500  # stations in `/metrics` and `/healthz`
MAX_READINGS = 6  # of the state of health, in the status of systemd
MAX_REASONS = 20  # in one document, and faults in the log at a time


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
        self.recorder: Recorder | None = None
        self.streams: Sequence[OutputStream] = ()
        self.page_faults: Callable[[], list[str]] = list  # why there is no page that the settings ask for
        self.last_event_ns: dict[str, int] = {}  # onset of the newest event, by station
        self._notifier = notifier
        self._now_s = now_s
        self._began_s = self._last_item_s = now_s()
        self._last_packet_s: float | None = None  # of any station
        self._opened_s: float | None = None  # when the source was opened
        self._ready = False  # READY was sent
        self.arrivals = Arrivals(now_s)
        self.state_of_health = StateOfHealth()
        self._report_s = self._began_s + REPORT_EVERY_S
        self._reported: dict[tuple[str, str], Fault] = {}
        self._warned_of: set[tuple[str, str]] = set()
        self._progress: dict[str, tuple[int, float]] = {}  # by sink: lines that left the outbox, and since when

    def note_opened(self) -> None:
        """Note that the source is open: READY follows as soon as its first attempt to connect has ended."""
        self._opened_s = self._now_s()
        self._notify_ready(self._opened_s)

    def record_item(self, arrived: bool) -> None:
        """Note a packet (True), or a tick (False) of the source.

        Notifies the watchdog for a packet, and for a tick if the silence is explained. A connected source that gives
        no packets for longer than it should is restarted by the watchdog. A restart does not correct a wrong channel
        or station code: while packets arrive the watchdog is notified even if none can be analysed; `/healthz`, the
        log and systemd's status line report the outage.
        """
        self._last_item_s = now_s = self._now_s()
        if arrived:
            self._last_packet_s = now_s
        self._notify_ready(now_s)
        if self._notifier is not None and (arrived or self._silence_explained):
            self._notifier.ping()
        for stream in self.streams:
            with contextlib.suppress(OSError):  # reported by who writes events to it
                stream.pump()
        if now_s >= self._report_s:
            self._report_s = now_s + REPORT_EVERY_S
            self._report()

    def _notify_ready(self, now_s: float) -> None:
        """Send READY once: the source is connected, or is retried, or has not answered for READY_WITHIN_S."""
        if self._ready or self._notifier is None or self._opened_s is None:
            return
        waited_s = now_s - self._opened_s
        if self._link is LinkState.STREAMING:
            status = self._sentence
        elif self.source is not None and self.source.retrying:
            status = f"{self._source_name}: {self._link_text}; retrying"
        elif waited_s >= READY_WITHIN_S:
            status = f"{self._source_name}: {self._link_text}, no answer for {waited_s:.0f} s"
        else:
            return
        self._ready = True
        self._notifier.ready(status)

    def note_event(self, event: Event) -> None:
        """An event was emitted."""
        onset_ns = ns_from_iso(event.onset)
        self.last_event_ns[event.station] = max(onset_ns, self.last_event_ns.get(event.station, onset_ns))

    def _report(self) -> None:
        """Log faults of the arrivals that are new or have ended, and pass the condition to systemd."""
        faults = {
            (fault.subject, fault.kind): fault for fault in self.arrivals.faults(self._link is LinkState.STREAMING)
        }
        fresh = [key for key in faults if key not in self._reported]
        for key in fresh[:MAX_REASONS]:
            level = logging.DEBUG if key in self._warned_of else logging.WARNING
            self._warned_of.add(key)
            logger.log(level, "%s: %s", faults[key].subject or self._source_name, faults[key].text)
        if len(fresh) > MAX_REASONS:
            logger.warning("%s: %d more stations or channels are missing", self._source_name, len(fresh) - MAX_REASONS)
        for key in [key for key in self._reported if key not in faults][:MAX_REASONS]:
            subject, kind = key
            text = "usable packets arrive again" if kind == "unusable" else f"no longer {kind}"
            logger.info("%s: %s", subject or self._source_name, text)
        self._reported = faults
        if self._notifier is not None:
            condition, reasons = self.condition()
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            self._notifier.status(f"{condition}: {reasons[0]}{more}" if reasons else self._sentence)

    @property
    def _sentence(self) -> str:
        """The status of a run without faults, with the state of health of the first station."""
        readings = [str(one) for name in list(self.report.stations)[:1] for one in self.state_of_health.of(name)]
        return ", ".join([f"reading {self._source_name}", *readings[:MAX_READINGS]])

    @property
    def _source_name(self) -> str:
        return "the source" if self.source is None else self.source.url

    @property
    def _link(self) -> LinkState:
        return LinkState.STREAMING if self.source is None else self.source.state

    @property
    def _link_text(self) -> str:
        return self._link.value if self.source is None else self.source.link_text

    @property
    def _silence_explained(self) -> bool:
        """True before the first packet, without a connection, and within SILENT_S of the last packet."""
        if self._last_packet_s is None or self._link is not LinkState.STREAMING:
            return True
        return self._now_s() - self._last_packet_s < SILENT_S

    def condition(self) -> tuple[Condition, list[str]]:
        """`outage`: no data are analysed; `degraded`: they are, but not everything works. With the reasons."""
        outage: list[str] = []
        degraded: list[str] = []
        stuck_s = self._now_s() - self._last_item_s
        if stuck_s > STUCK_S:
            outage.append(f"the loop has been stuck for {stuck_s:.0f} s")
        faults = self.arrivals.faults(self._link is LinkState.STREAMING)
        unusable = [fault for fault in faults if fault.outage]
        (outage if len(unusable) >= self.arrivals.count else degraded).extend(map(str, unusable))
        degraded += [str(fault) for fault in faults if not fault.outage]
        if self._link is not LinkState.STREAMING:
            analysed = self._last_packet_s is not None and not outage
            (degraded if analysed else outage).append(f"the source is {self._link_text}")
        degraded += self.state_of_health.faults()
        if self.backlog.dropping:
            degraded.append(f"{self.backlog.behind_s:.0f} s behind the stream: windows are dropped")
        failure = self.source.recent_failure if self.source is not None else None
        if failure is not None:
            degraded.append(failure)
        if self.journal.failing:
            degraded.append("the journal cannot be written")
        if self.recorder is not None:
            degraded += self.recorder.faults()
        if self.models is not None:
            degraded += self.models.stand_ins
        with self._outbox_lock() as free:
            if free:
                degraded += [reason for drain in self.drains for reason in self._of_drain(drain)]
            else:
                degraded.append(f"a transaction of the journal takes longer than {LOCK_WAIT_S:g} s: the disk may hang")
        degraded += _of_workers(monotonic())
        degraded += self.page_faults()
        for stream in self.streams:
            if (stalled_s := stream.stalled_s) > STALLED_S:
                degraded.append(f"{stream.name}: not read for {stalled_s:.0f} s, {stream.dropped} lines dropped")
        reasons = outage + degraded
        if len(reasons) > MAX_REASONS:
            reasons[MAX_REASONS:] = [f"and {len(reasons) - MAX_REASONS} more"]
        return ("outage" if outage else "degraded" if degraded else "ok"), reasons

    @contextlib.contextmanager
    def _outbox_lock(self) -> Iterator[bool]:
        """True with the lock of the outbox, which a transaction holds; False if it is not free in time."""
        lock = self.journal.outbox.lock
        free = lock.acquire(timeout=LOCK_WAIT_S)
        try:
            yield free
        finally:
            if free:
                lock.release()

    def _of_drain(self, drain: Drain) -> list[str]:
        """What is wrong with the delivery to a sink. Progress counts, not what the sink reports of itself."""
        waiting, delivered = drain.waiting, drain.counters.delivered + drain.counters.left_out + drain.refused
        seen, since_s = self._progress.get(drain.name, (-1, 0.0))
        if not waiting or delivered != seen:
            since_s = self._now_s()
            self._progress[drain.name] = (delivered, since_s)
        stalled_s = self._now_s() - since_s
        reasons = []
        if not drain.alive and not drain.closing:
            reasons.append(
                f"{drain.name}: its thread has failed: {drain.fault or 'not started'}, {waiting} lines waiting"
            )
        elif drain.down_since_s is not None:
            down_s = monotonic() - drain.down_since_s
            why = f": {drain.down_reason}" if drain.down_reason else ""
            reasons.append(f"{drain.name}: down for {down_s:.0f} s{why}; {waiting} lines waiting")
        elif stalled_s > UNDELIVERED_S:
            reasons.append(f"{drain.name}: nothing delivered for {stalled_s:.0f} s, {waiting} lines waiting")
        if drain.refused_share > REFUSED_SHARE:
            share = round(100 * drain.refused_share)
            reasons.append(f"{drain.name}: {share} % of its last lines were refused, {drain.refused} in all")
        return reasons

    def document(self) -> dict[str, Any]:
        """The JSON document of `/healthz`."""
        condition, reasons = self.condition()
        usable_s = self.arrivals.usable_ages_s()
        channels: dict[str, dict[str, float]] = {}
        for (station_id, location, code), age_s in self.arrivals.channel_ages_s().items():
            channels.setdefault(station_id, {})[f"{location}.{code}"] = round(age_s, 3)
        stations = {}
        for station_id in list(dict.fromkeys([*self.report.stations, *usable_s]))[:MAX_SHOWN]:
            stations[station_id] = self._station_document(station_id, usable_s.get(station_id)) | {
                "channel_age_s": channels.get(station_id, {})
            }
        models = self.models.engines if self.models is not None else []
        engines = {engine.card.name: engine.name for engine in models}
        return {
            "status": condition,
            "reasons": reasons,
            "stations": stations,
            "engines": engines,
            "dropping": self.backlog.dropping,
            "storage": self.recorder.document() if self.recorder is not None else [],
            "resident_mib": resident_mib(),
            "slot": os.environ.get("SEISEDGE_SLOT"),  # of the installed version, set by the launcher
        }

    def _station_document(self, station_id: str, usable_s: float | None) -> dict[str, Any]:
        station = self.report.stations.get(station_id)
        return {
            "arrival_age_s": _rounded(self.arrivals.age_s(station_id)),
            "usable_age_s": _rounded(usable_s),
            "data_age_s": _rounded(_data_age_s(station.last_ns if station is not None else None)),
            "events": station.counters.events if station is not None else 0,
            "state_of_health": {
                f"{one.location}.{one.channel}": {"what": one.what, "value": one.value, "unit": one.unit}
                for one in self.state_of_health.of(station_id)
            },
        }

    def station_document(self, station_id: str) -> dict[str, Any]:
        """The health of one station, schema `seisedge.health/1`. status and reasons are those of the process."""
        condition, reasons = self.condition()
        event_ns = self.last_event_ns.get(station_id)
        return {
            "schema": HEALTH_SCHEMA,
            "station": station_id,
            "time": iso_from_ns(time_ns()),
            "status": condition,
            "reasons": reasons,
            **self._station_document(station_id, self.arrivals.usable_ages_s().get(station_id)),
            "last_event": None if event_ns is None else iso_from_ns(event_ns),
        }

    def samples(self) -> list[Sample]:
        """The values of `/metrics`, without the histograms."""
        parts = (self._of_process, self._of_source, self._of_arrivals, self._of_stations, self._of_recorder)
        found = [sample for part in parts for sample in part()]
        return [sample for sample in found if sample.value is not None] + self.outbox_samples()

    def outbox_samples(self) -> list[Sample]:
        """Those of the values of `samples` that are about the journal and the sinks."""
        with self._outbox_lock() as free:
            found = self._of_outbox() if free else []
        return [sample for sample in found if sample.value is not None]

    def _of_process(self) -> list[Sample]:
        up_s = self._now_s() - self._began_s
        condition, _ = self.condition()
        memory = resident_mib()
        found = [
            Sample("up", "gauge", 0.0 if condition == "outage" else 1.0),
            Sample("safe_mode", "gauge", 0.0),
            Sample("build_info", "gauge", 1.0, _versions()),
            Sample("run_seconds", "gauge", up_s),
            Sample("real_time_factor", "gauge", self.report.stream_s / up_s if up_s else None),
            Sample("behind_seconds", "gauge", self.backlog.behind_s),
            Sample("resident_bytes", "gauge", None if memory is None else memory * 2**20),
        ]
        for engine in self.models.engines if self.models is not None else []:
            of = {"model": engine.card.name, "sha256": engine.sha256, "engine": engine.name}
            found.append(Sample("model_info", "gauge", 1.0, of | {"precision": engine.card.precision}))
        for worker in workers():
            of = {"thread": worker.name}
            found += [
                Sample("thread_up", "gauge", float(worker.up), of),
                Sample("thread_failures_total", "counter", float(worker.failures), of),
            ]
        for stream in self.streams:
            of = {"stream": stream.name}
            found += [
                Sample("output_waiting_lines", "gauge", stream.waiting, of),
                Sample("output_dropped_lines_total", "counter", float(stream.dropped), of),
                Sample("output_stalled_seconds", "gauge", stream.stalled_s, of),
            ]
        zones = temperatures_c().items()
        return found + [Sample("temperature_celsius", "gauge", celsius, {"zone": zone}) for zone, celsius in zones]

    def _of_source(self) -> list[Sample]:
        if self.source is None:
            return []
        found = [Sample("source_connected", "gauge", float(self._link is LinkState.STREAMING))]
        counters = dataclasses.asdict(self.source.counters)
        found += [Sample(f"source_{name}_total", "counter", float(count)) for name, count in counters.items()]
        if self.dead_letters is not None:
            found.append(Sample("dead_letters_total", "counter", float(self.dead_letters.kept)))
        return found

    def _of_arrivals(self) -> list[Sample]:
        found = [
            Sample("usable_age_seconds", "gauge", age_s, {"station": station_id})
            for station_id, age_s in list(self.arrivals.usable_ages_s().items())[:MAX_SHOWN]
        ]
        for (station_id, location, code), age_s in list(self.arrivals.channel_ages_s().items())[: 3 * MAX_SHOWN]:
            of = {"station": station_id, "location": location, "channel": code}
            found.append(Sample("channel_age_seconds", "gauge", age_s, of))
        return found

    def _of_stations(self) -> list[Sample]:
        others = dict(self.report.other_stations)
        found = [
            Sample("stations", "gauge", float(len(self.report.stations))),
            Sample("ignored_packets_total", "counter", float(sum(others.values()))),
        ]
        for station_id, station in list(self.report.stations.items())[:MAX_SHOWN]:
            of = {"station": station_id}
            last_ns, event_ns = station.last_ns, self.last_event_ns.get(station_id)
            found += [
                Sample("last_sample_timestamp_seconds", "gauge", None if last_ns is None else last_ns / NS_PER_S, of),
                Sample("last_event_timestamp_seconds", "gauge", None if event_ns is None else event_ns / NS_PER_S, of),
                Sample("data_age_seconds", "gauge", _data_age_s(last_ns), of),
                Sample("arrival_age_seconds", "gauge", self.arrivals.age_s(station_id), of),
            ]
            for one in self.state_of_health.of(station_id):
                which = of | {"location": one.location, "channel": one.channel, "what": one.what, "unit": one.unit}
                found.append(Sample("state_of_health", "gauge", one.value, which))
            counters = dataclasses.asdict(station.counters)
            found += [Sample(f"{name}_total", "counter", count, of) for name, count in counters.items()]
            for timeline in station.timelines[:1]:
                for component, track in timeline.tracks.items():
                    which = of | {"component": component}
                    counters = dataclasses.asdict(track.counters)
                    found += [Sample(f"component_{n}_total", "counter", count, which) for n, count in counters.items()]
        return found

    def _of_recorder(self) -> list[Sample]:
        if self.recorder is None:
            return []
        return [
            Sample(name, "counter" if name.endswith("_total") else "gauge", value, labels)
            for name, value, labels in self.recorder.values()
        ]

    def _of_outbox(self) -> list[Sample]:
        journal = self.journal
        if journal.folder is None and not self.drains:
            return []
        found = [
            Sample("journal_up", "gauge", float(not journal.failing)),
            Sample("journal_commits_total", "counter", float(journal.counters.commits)),
            Sample("journal_failures_total", "counter", float(journal.counters.failures)),
            Sample("journal_dropped_lines_total", "counter", float(journal.counters.dropped_lines)),
        ]
        for drain in self.drains:
            of = {"sink": drain.name}
            down_s = 0.0 if drain.down_since_s is None else monotonic() - drain.down_since_s
            counters = drain.counters
            for name, value in (
                ("connected", drain.connected),
                ("waiting_lines", drain.waiting),
                ("oldest_waiting_seconds", drain.oldest_waiting_s),
                ("last_delivery_seconds", drain.last_delivery_s),
                ("alive", drain.alive),
                ("down_seconds", down_s),
                ("delivered_total", counters.delivered),
                ("left_out_total", counters.left_out),
                ("refused_total", counters.refused),
                ("undecodable_total", counters.undecodable),
                ("dead_lettered_total", counters.dead_lettered),
                ("restarts_total", counters.restarts),
            ):
                kind: Literal["gauge", "counter"] = "counter" if name.endswith("_total") else "gauge"
                found.append(Sample(f"sink_{name}", kind, None if value is None else float(value), of))
        if journal.folder is not None and journal.folder.exists():
            free = float(shutil.disk_usage(journal.folder).free)
            found.append(Sample("disk_free_bytes", "gauge", free))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric. A metric with the value None is omitted."""

    name: str
    kind: Literal["gauge", "counter"]
    value: float | None
    labels: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def help(self) -> str:
        return HELP[self.name]


def _of_workers(now_s: float) -> list[str]:
    """Threads that have failed and are restarted, or have failed lately."""
    return [
        f"thread {worker.name} has failed {worker.failures} times; the last time: {worker.error[:200]}"
        for worker in workers()
        if worker.failed_s is not None and (not worker.up or now_s - worker.failed_s < FAILED_S)
    ]


@functools.cache
def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("seisedge", "onnxruntime")}
    return {"version": packages["seisedge"], "onnxruntime": packages["onnxruntime"]} | {"python": python_version()}


def _data_age_s(last_ns: int | None) -> float | None:
    return None if last_ns is None else (time_ns() - last_ns) / NS_PER_S


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

"""Loop: packets from a source to stations, event lines from stations to sinks, and the duration of each step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING

import msgspec

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.config import Mode, StationConfig
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.event import Cost, Event, Hop, Latency
from seisedge.runtime.inference.infer import Meter, Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.long_lived import LongLived
from seisedge.runtime.service.observer import Observer
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import Source
from seisedge.runtime.sources.batch import Batch
from seisedge.runtime.station.backlog import Backlog
from seisedge.runtime.station.draft import PENDING_COST, Draft
from seisedge.runtime.station.run_report import RunReport
from seisedge.runtime.station.station import OpenerMaker, Station
from seisedge.runtime.timeline.joined import JOIN_S, short_parts

if TYPE_CHECKING:
    from seisedge.runtime.snippets import Recorder

logger = logging.getLogger(__name__)

COMPARABLE_CLOCKS_S = 3600.0  # an older record was not sent when it was recorded
# Samples of a file per station between two steps: 200 s of three components at 100 Hz. A live source has a step per
# packet.
FILE_BATCH_SAMPLES = 60_000
FILE_STEP_SAMPLES = 120_000  # of all stations, at least: with few stations the steps are longer
# Stations without a station file: a damaged or hostile stream can hold any number of station codes. An upper limit,
# with open events and a component that is late. Measured with both bundled models and three channels: 0.31 MiB at
# 100 Hz without events, 0.52 MiB at 200 Hz with a burst each minute after 25 minutes of data.
STATION_MIB = 2.2
PROCESS_MIB = 120.0  # of a run without stations
MEMORY_SHARE = 0.75  # of the memory that the process may use
MAX_STATIONS = 5000
MAX_OTHERS = 100  # ignored stations that are counted by name
MORE_STATIONS = "more stations"


def default_max_stations(limit_mib: float | None) -> int:
    """The number of stations without a station file for which `limit_mib` of memory are enough; 1 to MAX_STATIONS."""
    if limit_mib is None:
        return MAX_STATIONS
    return max(1, min(int((MEMORY_SHARE * limit_mib - PROCESS_MIB) / STATION_MIB), MAX_STATIONS))


def _transport_ms(packet: Packet) -> float | None:
    """Milliseconds from the end of a record to its arrival, by this machine's clock; None for old data."""
    arrived_ns = time_ns() - (monotonic_ns() - packet.arrival_ns)
    delay_s = (arrived_ns - packet.endtime_ns) / NS_PER_S
    return delay_s * 1e3 if 0 <= delay_s < COMPARABLE_CLOCKS_S else None


class Loop:
    """Runs one source to its end, or until `stop`.

    sinks: receive each line directly; sinks of the journal's outbox receive it from there.
    configs: by station id. default: for stations that are not in `configs`; None: their packets are ignored.
    transport: milliseconds from the end of a record to its arrival; None if that cannot be measured.
    journal: stores lines and stations; a line that an earlier run has emitted is not emitted again.
    health: is called for every packet and every tick.
    backlog: measures how far a live run is behind its stream, and decides whether windows are dropped.
    max_stations: largest number of stations that `default` is used for; the packets of further ones are counted.
    opener: see `Station`.
    metadata: StationXML for all stations; takes precedence over the file that a station file names. A missing channel
        or epoch raises in a run over files and is logged in a live run, where it must not stop other stations.
    recorder: keeps the records of the stations, for snippets and archives.
    observer: receives the packets that are analysed, the lines, and the probabilities of the onset detector.
    long_lived: of a live run; is called at each step.
    """

    def __init__(  # noqa: PLR0913 - independent inputs, each used as it is
        self,
        models: Models,
        sinks: Sequence[Sink],
        configs: Mapping[str, StationConfig],
        *,
        default: StationConfig | None = None,
        mode: Mode | None = None,
        transport: Callable[[Packet], float | None] = _transport_ms,
        journal: BaseJournal | None = None,
        health: Health | None = None,
        backlog: Backlog | None = None,
        metadata: StationXml | None = None,
        max_stations: int = MAX_STATIONS,
        recorder: Recorder | None = None,
        observer: Observer | None = None,
        opener: OpenerMaker | None = None,
        long_lived: LongLived | None = None,
    ) -> None:
        self._models = models
        self._long_lived = long_lived
        self._observer = observer
        self._sinks = sinks
        self._configs = configs
        self._default = default
        self._mode = mode
        self._transport = transport
        self._journal = journal or MemoryJournal()
        self._health = health or Health()
        self.backlog = backlog or Backlog()
        self._metadata = metadata
        self._max_stations = max_stations
        self._recorder = recorder
        self._opener = opener
        self._stopped = False
        self._unprepared: dict[str, Station] = {}
        self._costed: tuple[Meter | None, Cost] = None, PENDING_COST  # of the newest line
        self._collected: dict[str, list[tuple[Packet, bytes]]] = {}  # packets of a file, with their records
        self._noted: dict[SourceId, tuple[Packet, Station]] = {}  # newest long packet of each channel of a file
        self.report = RunReport()
        self._health.arrivals.expect(configs)

    def stop(self) -> None:
        """End the run after the current packet.

        With a durable journal, open events stay open for the next run; otherwise they are closed with the data so far.
        """
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """True once `stop` was called."""
        return self._stopped

    def run(self, source: Source, *, idle_exit_s: float | None = None) -> RunReport:
        """Read the source to its end. idle_exit_s: also end after so many seconds without a packet."""
        for _ in self.steps(source, idle_exit_s=idle_exit_s):
            pass
        return self.report

    def steps(self, source: Source, *, idle_exit_s: float | None = None) -> Iterator[None]:
        """As `run`, step by step: pauses whenever the sinks may have received lines. Closing it ends the run."""
        began_ns = arrival_ns = taken_ns = monotonic_ns()
        pending: dict[str, Station] = {}
        packet: Packet | None = None
        samples = 0  # since the last step
        ended = False  # the data have
        source.on_idle = self._prepare
        watch = source.watch
        # a run that resumes notes each record; one over files without a state may take many packets at once
        collects = not source.live and not watch.notes and not self._journal.durable and self._recorder is None
        watch.end()  # the records whose headers were read at the opening
        try:
            for item in source.batches() if collects and self._observer is None else source.packets():
                if self._stopped:
                    break
                self._health.record_item(item is not None)
                if isinstance(item, Batch):
                    taken_ns, begin = monotonic_ns(), 0
                    self._take_collected(source)
                    while begin < len(item) and not self._stopped:
                        begin, samples, due = self._take_part(item, begin, source, pending, samples)
                        if due:
                            self._step(pending, packet, source, taken_ns)
                            samples, taken_ns = 0, monotonic_ns()
                            yield
                    continue
                if item is None:
                    self.backlog.clear()
                    self._step(pending, packet, source, taken_ns)
                    watch.end()
                    yield
                    if idle_exit_s is not None and monotonic_ns() - arrival_ns > idle_exit_s * NS_PER_S:
                        logger.info("%s: no packet for %g s; the run ends", source.url, idle_exit_s)
                        break
                    continue
                packet = item
                taken_ns = monotonic_ns()
                arrival_ns = packet.arrival_ns
                self.report.packets += 1
                station = self._station(packet.source_id.station_id, strict=not source.live)
                if station is None:
                    continue
                self._note(packet, source)
                if collects:
                    self._collect(station, packet, source)
                else:
                    self._take(station, packet, source, source.last_record)
                pending[station.station_id] = station
                samples += len(packet.samples)
                # a recorder holds the newest records only: an event must be emitted soon after its last sample
                if source.live or watch.suspicious or samples >= _enough(pending) or self._recorder is not None:
                    self._step(pending, packet, source, taken_ns)
                    samples = 0
                watch.end()
                self.backlog.rest()
                if not pending:
                    yield
            self._step(pending, packet, source, taken_ns)
            self._take_collected(source)
            yield from self._end(source)
            ended = not self._stopped
        finally:
            self.report.wall_s = (monotonic_ns() - began_ns) / NS_PER_S
            self._finish_recorder(ended)

    def _note(self, packet: Packet, source: Source) -> None:
        """Pass a packet of a station to those who only observe."""
        if self._recorder is not None:
            self._recorder.take(packet, source.last_record, wait=source.back_pressure)
        if not source.back_pressure:
            self.backlog.take(packet, source.idle_ns)

    def _end(self, source: Source) -> Iterator[None]:
        """Close the events, unless a later run resumes them, and store everything; pauses after each station."""
        if not (self._stopped and self._journal.durable):
            for station in self.report.stations.values():
                drafts = self._drafts(station, station.finish(), source)
                self._emit_all(drafts, None, source, monotonic_ns())
                self._journal.record_state(station)  # its events are closed; a later run must not resume them
                yield
        self._journal.flush()

    def _finish_recorder(self, ended: bool) -> None:
        """Also after an exception, which a later run continues from."""
        if self._recorder is not None:
            self._recorder.finish(ended=ended, continued=not ended and self._journal.durable)

    def _station(self, key: str, *, strict: bool) -> Station | None:
        station = self.report.stations.get(key)
        if station is None:
            config = self._configs.get(key)
            if config is None and len(self.report.stations) < self._max_stations:
                config = self._default
            if config is not None and strict and key not in self._configs and self._is_without_metadata(key):
                config = None  # as `seisedge dataset build` does; a station with a station file raises instead
            if config is None:
                self._health.arrivals.note_other(key)
                self._count_ignored(key)
                return None
            self._health.arrivals.expect({key: config})
            mode, max_behind_s = self._mode or config.mode, config.live.max_behind_s
            station = Station(
                key,
                config,
                self._models,
                mode,
                lambda: self.backlog.drops(key, max_behind_s),
                metadata=self._metadata,
                strict=strict,
                opener=self._opener,
            )
            if self._observer is not None:
                station.on_block = self._observer.note_block
            self.report.stations[key] = station
            self._restore(station)
        return station

    def _restore(self, station: Station) -> None:
        try:
            self._journal.restore(station)
        except SeisedgeError:
            raise
        except Exception:
            logger.warning("%s: its stored state cannot be used; it begins anew", station.station_id, exc_info=True)
            station.start_anew()

    def _collect(self, station: Station, packet: Packet, source: Source) -> None:
        """Keep a packet of a file until the packets of its station span `JOIN_S`."""
        collected = self._collected.setdefault(station.station_id, [])
        if collected and abs(packet.starttime_ns - collected[0][0].starttime_ns) > JOIN_S * NS_PER_S:
            self._take_all(station, source)
        collected.append((packet, source.last_record))

    def _take_collected(self, source: Source) -> None:
        for station_id in self._collected:
            self._take_all(self.report.stations[station_id], source)

    def _take_all(self, station: Station, source: Source) -> None:
        """Give the packets that were kept to their station."""
        collected = self._collected[station.station_id]
        taken, collected[:] = list(collected), []
        if not taken:
            return
        packets = [packet for packet, _ in taken]
        if self._take_together(station, lambda: station.join(packets)):
            if self._observer is not None:
                for packet in packets:
                    self._observer.note_packet(packet)
            return
        for packet, record in taken:
            self._take(station, packet, source, record)

    def _take_part(
        self, batch: Batch, begin: int, source: Source, pending: dict[str, Station], samples: int
    ) -> tuple[int, int, bool]:
        """Give the records of a batch from `begin` on to their stations, until a step is due.

        samples: since the last step. Returns the number of the next record, `samples`, and whether a step is due.
        """
        names = [channel.source_id.station_id for channel in batch.channels]
        parts: dict[str, list[int]] = {}
        counts, due, k = batch.counts, False, begin
        enough = _enough(pending)
        for k, number in enumerate(batch.channel[begin:], begin):
            key = names[number]
            part = parts.get(key)
            if part is None:
                station = self._station(key, strict=not source.live)
                if station is None:
                    continue
                part = parts[key] = []
                pending[key] = station
                enough = _enough(pending)
            part.append(k)
            samples += counts[k]
            if samples >= enough:
                due = True
                break
        for key, part in parts.items():
            self._take_records(self.report.stations[key], batch, part, source)
        self.report.packets += k + 1 - begin
        source.last_record = batch.record(k)
        return k + 1, samples, due

    def _take_records(self, station: Station, batch: Batch, records: list[int], source: Source) -> None:
        """Give records of a batch to their station: all together, or in short parts, or one by one."""
        if self._take_together(station, lambda: station.join_batch(batch, records)):
            return
        parts = short_parts(batch, records)
        if len(parts) > 1:
            for part in parts:
                self._take_records(station, batch, part, source)
        else:
            for k in records:
                self._take(station, batch.packet(k, monotonic_ns()), source, batch.record(k))

    def _take_together(self, station: Station, join: Callable[[], list[Packet] | None]) -> bool:
        """Give packets to their station at once, by `join`; False where they are to be taken one by one."""
        config = self._configs.get(station.station_id)
        if config is not None and config.state_of_health:  # the value of each packet may be a reading
            return False
        try:
            longest = join()
        except SeisedgeError:
            raise
        except Exception:
            logger.warning("%s: packets taken at once are taken one by one, on new timelines", station.station_id)
            logger.debug("%s: taking packets at once", station.station_id, exc_info=True)
            station.start_anew()
            return False
        for packet in longest or ():
            self._noted[packet.source_id] = packet, station
        return longest is not None

    def _note_arrivals(self) -> None:
        """Note the channels of the packets that were taken together since the last call."""
        for packet, station in self._noted.values():
            self._health.arrivals.note(packet, station, used=True)
        self._noted.clear()

    def _take(self, station: Station, packet: Packet, source: Source, record: bytes) -> None:
        """Give a packet to its station. After an exception its record is set aside, and the station begins anew."""
        try:
            config = self._configs.get(station.station_id)
            self._health.state_of_health.note(packet, config.state_of_health if config is not None else {})
            used = station.add(packet)
            self._health.arrivals.note(packet, station, used)
            if used and self._observer is not None:
                self._observer.note_packet(packet)
            self._journal.record_packet(station, packet)
        except SeisedgeError:
            raise
        except Exception as error:
            source.set_aside_failed(record, str(packet.source_id), packet.starttime_ns, error)
            station.start_anew()

    def _drafts(self, station: Station, drafts: Iterator[Draft], source: Source) -> Iterator[Draft]:
        """The drafts of a station. After an exception the last record is set aside, and the station begins anew."""
        try:
            yield from drafts
        except SeisedgeError:
            raise
        except Exception as error:
            source.set_aside_failed(source.last_record, station.station_id, station.last_ns or 0, error)
            station.start_anew()
            yield from station.step()

    def _is_without_metadata(self, key: str) -> bool:
        return self._metadata is not None and not self._metadata.contains(key)

    def _count_ignored(self, key: str) -> None:
        """Count a packet of a station without configuration or StationXML, by station up to MAX_OTHERS."""
        others = self.report.other_stations
        if key not in others and len(others) >= MAX_OTHERS:
            key = MORE_STATIONS
        if key not in others:
            if self._default is not None and self._metadata is not None and self._is_without_metadata(key):
                logger.warning("%s: not in %s; its packets are ignored", key, self._metadata.path)
            elif self._default is None:
                logger.warning("%s: not in any station file; its packets are ignored", key)
            elif not others:
                logger.warning(
                    "%s: %d stations are analysed already; its packets and those of further stations are ignored and "
                    "counted (--max-stations)",
                    key,
                    self._max_stations,
                )
        others[key] = others.get(key, 0) + 1

    def _step(self, pending: dict[str, Station], packet: Packet | None, source: Source, taken_ns: int) -> None:
        self._take_collected(source)
        self._note_arrivals()
        for station in pending.values():
            self._emit_all(self._drafts(station, station.step(), source), packet, source, taken_ns)
        if source.live:
            self._unprepared.update(pending)
        pending.clear()
        self._journal.step()
        if self._long_lived is not None:
            self._long_lived.note(len(self.report.stations), taken_ns)

    def _prepare(self) -> bool:
        """Prepare one of the stations that had packets since they were last prepared; False if none is left."""
        if not self._unprepared:
            return False
        _, station = self._unprepared.popitem()
        try:
            station.prepare()
        except Exception:  # the answer will meet it again, where the station is restarted
            logger.debug("%s: preparing its next lines", station.station_id, exc_info=True)
        return bool(self._unprepared)

    def _emit_all(self, drafts: Iterator[Draft], packet: Packet | None, source: Source, taken_ns: int) -> None:
        """Write the lines that are due. packet: the one that made them due; taken_ns: when work on it began."""
        for draft in drafts:
            line = self._journal.numbered(self._line(draft, packet, taken_ns, source))
            if line is None or not self._journal.add(line):
                continue
            if isinstance(line, Event):
                self._health.note_event(line)
                if self._recorder is not None:
                    self._recorder.note(line, wait=source.back_pressure)
            if self._observer is not None:
                self._observer.note_line(line)
            for sink in self._sinks:
                sink.write(line)
            taken_ns = monotonic_ns()  # the next line has waited for this one

    def _line(self, draft: Draft, packet: Packet | None, began_ns: int, source: Source) -> Event | Hop:
        """The draft with its circumstances."""
        answered_ns = monotonic_ns()
        meter = draft.meter
        fill_ms = transport_ms = wait_ms = None
        if packet is not None and source.live:
            fill_ms = max(packet.endtime_ns - draft.last_sample_ns, 0) / 1e6
            transport_ms = self._transport(packet)
            wait_ms = max(began_ns - packet.arrival_ns, 0) / 1e6
        engine_ms = meter.host_to_device_ms + meter.infer_ms + meter.device_to_host_ms
        if meter is not self._costed[0]:  # the hop lines of one inference share theirs
            self._costed = meter, meter.cost()
        emitted, cost = iso_from_ns(time_ns()), self._costed[1]
        emit_ms = (monotonic_ns() - answered_ns) / 1e6
        work_ms = (answered_ns - began_ns) / 1e6
        if meter.inferences:
            self._health.work_ms.add(work_ms)
        latency = Latency(
            record_fill=_rounded(fill_ms),
            transport=_rounded(transport_ms),
            wait=_rounded(wait_ms),
            assemble=round(max(work_ms - engine_ms, 0.0), 3),
            host_to_device=round(meter.host_to_device_ms, 3),
            infer=round(meter.infer_ms, 3),
            device_to_host=round(meter.device_to_host_ms, 3),
            emit=round(emit_ms, 3),
            total=round((fill_ms or 0.0) + (transport_ms or 0.0) + (wait_ms or 0.0) + work_ms + emit_ms, 3),
        )
        return msgspec.structs.replace(draft.line, emitted=emitted, source=source.url, cost=cost, latency_ms=latency)


def _enough(pending: Mapping[str, Station]) -> int:
    """Samples of a file after which a step is due."""
    return max(FILE_BATCH_SAMPLES * len(pending), FILE_STEP_SAMPLES)


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 3)

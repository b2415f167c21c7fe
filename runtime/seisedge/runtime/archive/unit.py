"""Unit: the events of one station whose onsets lie in one stretch of time, the same as those of one run over all data.

A unit begins to read `memory_s` before its first time and reads on behind its last time until its events are closed.
Both ends are checked: a fixed time behind the first packet of each unit, its *seam*, the unit and the one before it
must have the same memory (`station.memory`) and the same lines. If so, the unit is what the run before it would have
continued with. If not, the unit is analysed again from the station as the unit before it has left it, its `carry`.
"""

from __future__ import annotations

import bisect
import hashlib
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.archive.reading import ArchiveFile, StationReader
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.config import StationConfig
from seisedge.runtime.event import Event, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources.batch import Batch
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.memory import digest, memory_s, packed, settled_ns, unpacked
from seisedge.runtime.station.sensors import SensorState
from seisedge.runtime.station.station import Station
from seisedge.runtime.timeline.joined import short_parts

BATCH_SAMPLES = 120_000  # between two steps, as in a run over files of one station
NEVER_NS = 2**62
REPEATED = "records before it have the same time, as those of an overlapping copy have"
GAP_SAMPLES = 0.5  # a packet that starts later than this after the previous one follows a gap

Seed = tuple[SensorState, SensorState]


@dataclass(frozen=True, slots=True)
class UnitRequest:
    """What a worker needs, besides models and metadata, to analyse a unit; without them in it, it can be sent.

    begin_ns, end_ns: onsets of the unit; the end is the begin of the next unit with files.
    files: all files with data from `begin_ns - memory_s` to `files_end_ns`; None: to the end of the archive.
    seed: the sensors that the station uses, from an earlier unit; a guess, which the seam confirms.
    carry: of the unit before; the unit then begins at its seam.
    wants_carry: return the same for the next unit.
    """

    station_id: str
    name: str
    begin_ns: int
    end_ns: int
    config: StationConfig
    files: tuple[ArchiveFile, ...]
    files_end_ns: int | None = None
    seed: Seed | None = None
    carry: bytes | None = None
    wants_carry: bool = False


@dataclass(slots=True)
class ChannelCoverage:
    """Of one channel in one unit: length of its samples, and of the gaps between them."""

    covered_ns: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    last_end_ns: int | None = None

    @property
    def covered_s(self) -> float:
        """Length of the samples, in seconds."""
        return self.covered_ns / NS_PER_S

    def add(self, rate_hz: float, start_ns: int, end_ns: int) -> bool:
        """Count a packet; those of a channel come in order of their ends. False where it adds no samples."""
        last_ns = self.last_end_ns
        if last_ns is None or start_ns == last_ns:  # the usual case
            self.covered_ns += end_ns - start_ns
            self.last_end_ns = end_ns
            return True
        missing_s = (start_ns - last_ns) / NS_PER_S
        if missing_s * rate_hz > GAP_SAMPLES:
            self.gaps += 1
            self.gap_s += missing_s
        self.covered_ns += end_ns - max(start_ns, min(last_ns, end_ns))
        self.last_end_ns = max(last_ns, end_ns)
        return end_ns > last_ns


@dataclass(slots=True)
class UnitResult:
    """Result of a unit, small enough to be sent.

    revisions: of each event by its id, in order of output: lines as JSON without circumstances.
    seam_in, seam_out: memory at the seam of this unit, and at that of the next one; None where there is none.
    needs_more: the files ended before the events were closed: analyse it again with more of them.
    faults: files of the unit's own time that cannot be used. left_out: records that are not used, by reason.
    """

    revisions: dict[str, list[bytes]] = field(default_factory=dict)
    seam_in: str | None = None
    seam_out: str | None = None
    seed: Seed | None = None
    carry: bytes | None = None
    needs_more: bool = False
    records: int = 0
    coverage: dict[str, ChannelCoverage] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    data_s: float = 0.0


def never() -> bool:
    """No window of an archive is dropped."""
    return False


class _Lines:
    """Revisions of events with onsets from `begin_ns` on, in order of output."""

    def __init__(self, begin_ns: int) -> None:
        self._begin_ns = begin_ns
        self.lines: list[tuple[int, str, bytes]] = []  # onset, id, content

    def take(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            if isinstance(draft.line, Event):
                onset_ns = ns_from_iso(draft.line.onset)
                if onset_ns >= self._begin_ns:
                    self.lines.append((onset_ns, draft.line.id, content_of(draft.line)))

    def before(self, end_ns: int) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for onset_ns, event, content in self.lines:
            if onset_ns < end_ns:
                found.setdefault(event, []).append(content)
        return found

    def since(self, begin_ns: int) -> list[tuple[int, str, bytes]]:
        return [line for line in self.lines if line[0] >= begin_ns]


@dataclass(slots=True)
class _Seam:
    """The position at which two neighbouring units are compared: `after_ns` behind the first packet from `from_ns`."""

    from_ns: int
    after_ns: int
    at_ns: int | None = None  # known from that packet on
    passed: bool = False

    @property
    def wake_ns(self) -> int:
        """`reached` need not be called for a packet whose last sample is before this."""
        if self.passed:
            return NEVER_NS
        return self.from_ns if self.at_ns is None else self.at_ns

    def reached(self, last_ns: int) -> bool:
        """True for the first packet behind the seam."""
        if self.passed:
            return False
        if self.at_ns is None and last_ns >= self.from_ns:
            self.at_ns = last_ns + self.after_ns
        self.passed = self.at_ns is not None and last_ns >= self.at_ns
        return self.passed


class _Analysis:
    """One pass over the packets of a unit."""

    def __init__(self, request: UnitRequest, models: Models, metadata: StationXml | None) -> None:
        self.request, self.models, self.metadata = request, models, metadata
        self.after_ns = round(memory_s(models, request.config.timeline.max_wait_s) * NS_PER_S)
        self.result = UnitResult()
        self.lines = _Lines(request.begin_ns)
        self.into = _Seam(request.begin_ns, self.after_ns)
        self.out = _Seam(request.end_ns, self.after_ns)
        self.from_ns = request.begin_ns - self.after_ns
        self.samples = 0  # since the last step
        self.repeated = 0  # records of the unit's own time with no new samples
        if request.carry is None:
            self.station = _new_station(request, models, metadata)
        else:
            self.from_ns, self.into.at_ns, self.lines.lines, data = pickle.loads(request.carry)
            self.into.passed = True
            self.station = unpacked(data, models, metadata)

    def run(self, reader: StationReader) -> UnitResult:
        request, result, station = self.request, self.result, self.station
        closed = False
        for last_ns, item in reader.batches(self.from_ns, request.files_end_ns):
            closed = self._take_batch(last_ns, item) if isinstance(item, Batch) else self._take_packet(last_ns[0], item)
            if closed:
                break
        if not closed and request.files_end_ns is not None:
            result.needs_more = True
            return result
        if not closed:
            self._end()
        result.revisions = self.lines.before(request.end_ns)
        result.seed = station.channels.state()
        result.unused = station.refusals
        return result

    def _take_packet(self, last_ns: int, packet: Packet) -> bool:
        """Take a packet; True, and not taken, where all events of the unit are closed before it."""
        if self._closed_at(last_ns):
            return True
        if self.request.begin_ns <= last_ns < self.request.end_ns:
            self._count(str(packet.source_id), packet.sampling_rate_hz, packet.starttime_ns, packet.endtime_ns)
        self.station.add(packet)
        self.samples += len(packet.samples)
        return False

    def _take_batch(self, last_ns: list[int], batch: Batch) -> bool:
        """As `_take_packet`, of each packet of a batch: all of those together before which nothing is due."""
        last = np.array(last_ns)
        before = np.cumsum(batch.counts) - batch.counts  # samples of the batch before each record
        begin = 0
        while begin < len(batch):
            due_now = last_ns[begin] >= self._wake_ns or self.samples >= BATCH_SAMPLES
            if due_now and self._closed_at(last_ns[begin]):
                return True
            taken = before - before[begin]
            due = (last >= self._wake_ns) | (self.samples + taken >= BATCH_SAMPLES)
            due[: begin + 1] = False
            end = int(due.argmax()) if due.any() else len(batch)
            self._count_part(batch, last, begin, end)
            self._take_records(batch, range(begin, end))
            self.samples += sum(batch.counts[begin:end])
            begin = end
        return False

    def _take_records(self, batch: Batch, records: Sequence[int]) -> None:
        """Give records of a batch to the station: all together, or in short parts, or one by one."""
        if not records or self.station.join_batch(batch, records) is not None:
            return
        parts = short_parts(batch, records)
        if len(parts) > 1:
            for part in parts:
                self._take_records(batch, part)
        else:
            for k in records:
                self.station.add(batch.packet(k))

    def _count_part(self, batch: Batch, last: npt.NDArray[np.int64], begin: int, end: int) -> None:
        """Count the packets [begin, end) of a batch that are of the unit's own time. last: of all, (n,)."""
        here = last[begin:end]
        own = begin + np.flatnonzero((self.request.begin_ns <= here) & (here < self.request.end_ns))
        for number in dict.fromkeys(map(batch.channel.__getitem__, own.tolist())):
            channel = batch.channels[number]
            first, after = (bisect.bisect_left(channel.rows, k) for k in (begin, end))
            name, rows = str(channel.source_id), channel.rows[first:after]
            times = [
                (channel.starts_ns[k], channel.starts_ns[k] + round(channel.counts[k] * NS_PER_S / channel.rate_hz))
                for k in (first, after - 1)
            ]
            known = self.result.coverage.get(name)
            follows = known is None or known.last_end_ns in (None, times[0][0])
            all_own = len(own) == end - begin
            if follows and all_own and batch.breaks[rows[0]] == batch.breaks[rows[-1]]:
                self._count(name, channel.rate_hz, times[0][0], times[1][1], len(rows))
                continue
            for k, row in enumerate(rows, first):
                if self.request.begin_ns <= last[row] < self.request.end_ns:
                    start_ns = channel.starts_ns[k]
                    end_ns = start_ns + round(channel.counts[k] * NS_PER_S / channel.rate_hz)
                    self._count(name, channel.rate_hz, start_ns, end_ns)

    def _count(self, channel: str, rate_hz: float, start_ns: int, end_ns: int, packets: int = 1) -> None:
        """Count packets of the unit's own time that follow each other exactly."""
        self.result.records += packets
        coverage = self.result.coverage
        if channel not in coverage:
            coverage[channel] = ChannelCoverage()
        if not coverage[channel].add(rate_hz, start_ns, end_ns):
            self.repeated += 1

    @property
    def _wake_ns(self) -> int:
        """Time of the last sample from which on `_closed_at` must be asked before each packet."""
        return 0 if self.out.passed else min(self.into.wake_ns, self.out.wake_ns)

    def _closed_at(self, last_ns: int) -> bool:
        """Do what is due before a packet; True where all events of the unit are closed."""
        if self.into.reached(last_ns):
            self._step()
            self.result.seam_in = self._seam(self.request.begin_ns)
        if self.out.reached(last_ns):
            self._step()
            self._seam_out()
        if self.samples < BATCH_SAMPLES and not self.out.passed:
            return False
        self._step()
        self.samples = 0
        return self.out.passed and settled_ns(self.station) >= self.request.end_ns

    def _step(self) -> None:
        self.lines.take(self.station.step())

    def _seam(self, begin_ns: int) -> str:
        hashed = hashlib.sha256(digest(self.station).encode())
        for onset_ns, event, content in self.lines.since(begin_ns):
            hashed.update(f"{onset_ns} {event} {len(content)}\n".encode() + content)
        return hashed.hexdigest()

    def _seam_out(self) -> None:
        request = self.request
        self.result.seam_out = self._seam(request.end_ns)
        if request.wants_carry:
            since = self.lines.since(request.end_ns)
            self.result.carry = pickle.dumps((self.out.at_ns, self.out.at_ns, since, packed(self.station)))

    def _end(self) -> None:
        """The data of the archive have ended."""
        self._step()
        if not self.into.passed and self.into.at_ns is not None:
            self.result.seam_in = self._seam(self.request.begin_ns)
        if not self.out.passed and self.out.at_ns is not None:
            self._seam_out()
        self.lines.take(self.station.finish())


def _new_station(request: UnitRequest, models: Models, metadata: StationXml | None) -> Station:
    config = request.config
    station = Station(request.station_id, config, models, config.mode, never, metadata=metadata, strict=True)
    if request.seed is not None:
        station.channels.restore(*request.seed)
    return station


def analyse(
    request: UnitRequest, models: Models, local: Callable[[str], Path], metadata: StationXml | None = None
) -> UnitResult:
    """Analyse a unit; local: see `StationReader`. Raises SeisedgeError, see `Station`."""
    own = {file.url for file in request.files if _is_own(file, request)}
    reader = StationReader(request.station_id, request.files, local, own)
    analysis = _Analysis(request, models, metadata)
    result = analysis.run(reader)
    result.faults = {url: why for url, why in reader.faults.items() if url in own}
    left_out = reader.left_out + Counter({REPEATED: analysis.repeated})
    result.left_out = dict(left_out.most_common())
    result.data_s = max((channel.covered_s for channel in result.coverage.values()), default=0.0)
    return result


def _is_own(file: ArchiveFile, request: UnitRequest) -> bool:
    """True for the files that a unit is responsible for; an SDS file may hold records of the neighbouring days too."""
    if file.day_ns is None:
        return file.low_ns < request.end_ns and file.high_ns > request.begin_ns
    return file.day_ns < request.end_ns and file.day_ns + 86_400 * NS_PER_S > request.begin_ns

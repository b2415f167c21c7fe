"""The fault matrix: which fault, on which source, and what must come of it. One table, for the test and the docs.

`expected` of a case:
    same        the events of the undisturbed run, byte for byte: no sample is lost
    as_file     samples are lost or changed before they are sent: the events of a file that holds the same records
    none        no event
    recovers    times are wrong for a while: nothing stops, and the events of the last part are those of the
                undisturbed run
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.fakes import demo_configs

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.miniseed import Decoder, record_length
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._fault import fault_from_spec, known_faults
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.replay.shake import ShakeSender
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import Source, open_source
from seisedge.runtime.sources._registry import SourceOptions
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.sources.shake_udp import ShakeUdpSource, datagram_from_bytes

STATION = "PB.B918"
SERVERS = ("seedlink 3", "seedlink 4", "datalink")
SOURCES = ("file", "growing file", *SERVERS, "shake-udp")
SPEED_UDP = 100.0
RECORD_BYTES = 512
IDLE_EXIT_S = 8.0  # no run should need it: each ends with its last packet
IDLE_EXIT_EMPTY_S = 0.5


@dataclass(frozen=True)
class Case:
    """One row. counters, never: what must be counted, and what must not. says: what the station does, for the docs."""

    fault: str
    expected: str = "same"
    counters: tuple[str, ...] = ()
    reorder_wait_s: float | None = None
    data_timeout_s: float = 20.0
    says: str = ""
    never: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.fault.partition(":")[0]

    @property
    def sources(self) -> tuple[str, ...]:
        """Where this fault can be had."""
        on = known_faults()[self.name].on
        if self.name == "sequence-wrap":
            return ("seedlink 3",)
        if self.says == BACK:
            return SOURCES[1:-1]  # a file is read in order of its times, where the wrong ones come last
        if on == "link":
            return SERVERS
        return SOURCES if on == "records" else SOURCES[:-1]


AGAIN = "begins a new timeline; a gap when the clock is right again (in a file, sorted by time, only a gap)"
BACK = "treats it as a gap; begins a new timeline when the clock returns"

CASES = (
    Case("cut:every=40", counters=("reconnects",), says="reconnects and resumes behind the last packet"),
    Case("refused:first=3", says="retries with a growing pause"),
    Case("half-open", says="closes the connection when no answer arrives, then reconnects"),
    Case(
        "stall:after=60",
        counters=("reconnects",),
        data_timeout_s=0.4,
        says="detected by the age of the data, then reconnects and resumes",
    ),
    Case("end:every=50", counters=("reconnects",), says="treated as a lost connection in a live run"),
    Case("slow:chunk=97", says="packets are assembled from many pieces"),
    Case("garbage:every=20", counters=("skipped_bytes",), says="skips to the next packet"),
    Case("sequence-wrap:after=40", says="continues from FFFFFF to 000000"),
    Case("duplicate:every=5", counters=("duplicate_samples",), says="uses every sample once"),
    Case("reorder:every=8", reorder_wait_s=20.0, says="waits `reorder_wait_s` and sorts the packets"),
    Case("overlap:every=6", counters=("duplicate_samples",), says="drops samples that agree with earlier ones"),
    Case(
        "overlap:every=6,differ=5",
        counters=("disagreeing_samples",),
        says="keeps the first samples, counts the others",
    ),
    Case(
        "poison:every=20",
        counters=("set_aside",),
        says="writes the record to the dead letters, continues with the next",
    ),
    Case(
        "truncated:every=20",
        counters=("set_aside",),
        says="writes the record to the dead letters, continues with the next",
    ),
    Case("forged-length:every=20", counters=("set_aside_or_duplicate",), says="rejects the stated length"),
    Case(
        "rate-0:every=20",
        counters=("bad_records",),
        says="writes the record to the dead letters, continues with the next",
    ),
    Case("late:by=20", says="waits for the late channel, up to `max_wait_s`"),
    Case(
        "swapped-start",
        never=("late_samples", "gaps"),
        says="waits for earlier packets before it uses the first",
    ),
    Case(
        "rate-wobble:by=1e-6",
        never=("late_samples", "gaps", "disagreeing_samples"),
        says="treats rates within 100 ppm as the same",
    ),
    Case(
        "jitter:by=0.0035",
        "as_file",
        never=("late_samples", "gaps", "disagreeing_samples"),
        says="appends records whose times are off by less than a sample, sets its clock",
    ),
    Case(
        "long-record:at=60,samples=65000",
        counters=("stray_packets",),
        says="holds it apart, discards it when the true samples differ",
    ),
    Case(
        "long-record:at=60,samples=105000",
        counters=("stray_packets",),
        says="holds it apart, discards it when the true samples differ",
    ),
    Case("gap:at=60,length=10", "as_file", counters=("gaps",), says="masks and reports the gap"),
    Case("dead:channel=EH1,at=60", "as_file", says="continues without the component after `max_wait_s`"),
    Case("rate-change:at=90", "as_file", says="begins a new segment at the new rate"),
    Case("empty", "none", says="waits for data"),
    Case(
        "clock:by=2,at=60,length=20",
        "recovers",
        counters=("disagreeing_samples",),
        says="counts overlapping samples that disagree",
    ),
    Case(
        "clock:by=-2,at=60,length=20",
        "recovers",
        counters=("disagreeing_samples",),
        says="counts overlapping samples that disagree",
    ),
    Case("clock:by=450,at=60,length=20", "recovers", counters=("new_timelines",), says=BACK),
    Case("clock:by=-599,at=60,length=20", "recovers", says="counts the samples as late; they are a gap"),
    Case("clock:by=3600,at=60,length=20", "recovers", counters=("new_timelines",), says=BACK),
    Case("clock:by=-3600,at=60,length=20", "recovers", says=AGAIN),
    Case("clock:by=31536000,at=60,length=20", "recovers", counters=("new_timelines",), says=BACK),
    Case("clock:by=-31536000,at=60,length=20", "recovers", says=AGAIN),
)


@dataclass
class Outcome:
    """What a run came to."""

    lines: list[bytes] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    packets: int = 0
    seconds: float = 0.0


class _Kept(Sink):
    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(content_of(line))


class Matrix:
    """Runs cases on three minutes and a half of one station of the demo recording, and keeps what they share."""

    def __init__(self, folder: Path, records: int = 400) -> None:
        self.folder = folder
        data = RECORDING.read_bytes()[: RECORD_BYTES * records]
        own = [data[k : k + RECORD_BYTES] for k in range(0, len(data), RECORD_BYTES) if data[k + 8 : k + 12] == b"B918"]
        self.data = folder / "part.mseed"
        self.data.write_bytes(b"".join(own))
        self.config = {STATION: demo_configs()[STATION]}
        self._entries = Recording([self.data], RECORD_BYTES).stations[0].entries
        self._models = Models.load(ModelsConfig())
        self._plain: dict[tuple[bool, float | None], Outcome] = {}

    def undisturbed(self, source: str, case: Case) -> Outcome:
        """The run without the fault: from the file, or for UDP from UDP, whose times are in milliseconds."""
        udp = source == "shake-udp"
        known = self._plain.get((udp, case.reorder_wait_s))
        if known is None:
            known = self._run(source if udp else "file", (), case)
            self._plain[udp, case.reorder_wait_s] = known
        return known

    def run(self, source: str, case: Case) -> Outcome:
        """The run with the fault."""
        return self._run(source, (case.fault,), case)

    def of_the_same_records(self, source: str, case: Case) -> Outcome:
        """What a file gives that holds the records as they were sent."""
        if source == "shake-udp":
            sender = ShakeSender(self.data, ("127.0.0.1", 1), SPEED_UDP, faults=(case.fault,))
            return self._outcome(_Sent([entry.record for entry in sender._packets]), case)
        return self._run("file", (case.fault,), case)

    def _run(self, source: str, faults: tuple[str, ...], case: Case) -> Outcome:
        wanted = sum(map(is_good, self._records(faults)))
        if source in SERVERS:
            with Digitizer(self.data, speed=0, record_length=RECORD_BYTES, faults=faults) as digitizer:
                scheme, _, version = source.partition(" ")
                url = f"{digitizer.url_for(scheme)}/PB_B918?from=earliest" + (f"&protocol={version}" if version else "")
                return self._outcome(
                    open_source(url, connect_timeout_s=20, data_timeout_s=case.data_timeout_s), case, wanted
                )
        if source == "shake-udp":
            return self._udp(faults, case)
        spoiled = self.folder / f"{threading.get_ident()}.mseed"
        spoiled.write_bytes(b"".join(self._records(faults)))
        if source == "growing file":
            return self._growing(spoiled, case, wanted)
        return self._outcome(_Lenient([spoiled]), case)

    def _records(self, faults: tuple[str, ...]) -> Iterator[bytes]:
        entries = self._entries
        for spec in faults:
            entries = fault_from_spec(spec).records(list(entries))
        return (entry.record for entry in entries)

    def _growing(self, whole: Path, case: Case, wanted: int) -> Outcome:
        """Written piece by piece, while it is read, in pieces that are no records."""
        path, data = whole.with_suffix(".live"), whole.read_bytes()
        path.write_bytes(b"")
        done = threading.Event()

        def write() -> None:
            with path.open("ab", buffering=0) as file:
                for k in range(0, len(data), 7777):
                    file.write(data[k : k + 7777])
                    done.wait(0.002)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        try:
            return self._outcome(open_source(f"file:{path}?follow=true"), case, wanted)
        finally:
            done.set()
            writer.join(5)
            path.unlink()

    def _udp(self, faults: tuple[str, ...], case: Case) -> Outcome:
        url = "shake-udp://127.0.0.1:0?station=PB_B918&location=--&listen=127.0.0.1&rate=100"
        with ShakeUdpSource(url) as source:
            sender = ShakeSender(self.data, ("127.0.0.1", source.port), SPEED_UDP, faults=faults)
            threading.Thread(target=sender.run, daemon=True).start()
            wanted = sum(not isinstance(datagram_from_bytes(packet.record), str) for packet in sender._packets)
            outcome = self._outcome(source, case, wanted)
            sender.close()
            return outcome

    def _outcome(self, source: Source, case: Case, wanted: int | None = None) -> Outcome:
        """Run to the end of the source, or of a live one until `wanted` packets have come."""
        config = self.config[STATION]
        if case.reorder_wait_s is not None:
            timeline = msgspec.structs.replace(config.timeline, reorder_wait_s=case.reorder_wait_s)
            config = msgspec.structs.replace(config, timeline=timeline)
        kept, watched = _Kept(), _Watched(source, wanted)
        began = time.monotonic()
        with source:
            loop = Loop(self._models, [kept], {STATION: config})
            report = loop.run(
                watched, idle_exit_s=(IDLE_EXIT_S if wanted else IDLE_EXIT_EMPTY_S) if source.live else None
            )
        outcome = Outcome(kept.lines, Counter(), report.packets, time.monotonic() - began)
        counters = source.counters
        for name in ("bad_records", "skipped_bytes", "truncated", "duplicates", "reconnects"):
            outcome.counted[name] = getattr(counters, name)
        for station in report.stations.values():
            outcome.counted["new_timelines"] += station.counters.new_timelines
            outcome.counted["stray_packets"] += station.counters.stray_packets
            for track in (track for timeline in station.timelines[:1] for track in timeline.tracks.values()):
                for name in ("gaps", "gap_samples", "duplicate_samples", "disagreeing_samples", "late_samples"):
                    outcome.counted[name] += getattr(track.counters, name)
        outcome.counted["set_aside"] = counters.bad_records + counters.skipped_bytes + counters.truncated
        outcome.counted["set_aside_or_duplicate"] = outcome.counted["set_aside"] + outcome.counted["duplicate_samples"]
        return outcome


class _Watched(Source):
    """Passes on what another source gives, and ends a live one with the last packet that it can give."""

    def __init__(self, source: Source, wanted: int | None) -> None:
        super().__init__(source.url)
        self.live, self.counters, self._source, self._wanted = source.live, source.counters, source, wanted

    def packets(self) -> Iterator[Packet | None]:
        count = 0
        for packet in self._source.packets():
            yield packet
            count += packet is not None
            if self.live and self._wanted and count == self._wanted:
                return


def is_good(record: bytes) -> bool:
    """True for a record that a source must hand out."""
    return isinstance(Decoder().packet(record, 0), Packet) and record_length(record, 0) == len(record)


class _Lenient(MiniSeedSource):
    """A file, of which nothing at all may be left."""

    def packets(self) -> Iterator[Packet | None]:
        if any(Path(path).stat().st_size for path in self._paths):
            yield from super().packets()

    def open(self) -> None:
        if any(Path(path).stat().st_size for path in self._paths):
            super().open()


class _Sent(ShakeUdpSource):
    """Datagrams without a network, in the order in which they are sent."""

    live = False

    def __init__(self, datagrams: list[bytes]) -> None:
        super().__init__("shake-udp://127.0.0.1?station=PB_B918&location=--&rate=100", SourceOptions())
        self._datagrams = datagrams

    def open(self) -> None:
        pass

    def packets(self) -> Iterator[Packet | None]:
        for data in self._datagrams:
            datagram = self._read(data, "127.0.0.1", 0)
            if datagram is not None:
                yield from self._with_rate(datagram, 0)


def judge(matrix: Matrix, source: str, case: Case, outcome: Outcome) -> list[str]:
    """What is not as it must be; nothing where all is."""
    faults = [f"{name} is not counted" for name in case.counters if not outcome.counted[name]]
    faults += [f"{outcome.counted[name]} {name} are counted" for name in case.never if outcome.counted[name]]
    plain = matrix.undisturbed(source, case).lines
    if case.expected == "same":
        wanted = plain
    elif case.expected == "as_file":
        wanted = matrix.of_the_same_records(source, case).lines
    elif case.expected == "none":
        wanted = []
    else:
        return faults + _recovery(plain, outcome.lines)
    if case.expected != "none" and len(wanted) < 4:
        faults.append(f"only {len(wanted)} lines to compare")
    if outcome.lines != wanted:
        lost = len([line for line in wanted if line not in outcome.lines])
        more = len([line for line in outcome.lines if line not in wanted])
        faults.append(f"{lost} lines lost, {more} lines too many, of {len(wanted)}")
    return faults


RECOVERED_NS = ns_from_iso("2019-07-07T08:18:20")  # the wrong times end at 08:17:20, and a model's window is 35 s


def _recovery(plain: list[bytes], lines: list[bytes]) -> list[str]:
    """From the recovery on all lines must be those of the undisturbed run, and no revision may be said twice."""

    def late(some: list[bytes]) -> list[bytes]:
        return [line for line in some if RECOVERED_NS <= _onset_ns(line) < RECOVERED_NS + 600 * NS_PER_S]

    wanted, found = late(plain), late(lines)
    if not wanted:
        return ["no event to compare after the recovery"]
    said = [(event["id"], event["revision"]) for event in map(msgspec.json.decode, lines)]
    faults = [f"{len(said) - len(set(said))} revisions said twice"] if len(said) > len(set(said)) else []
    if found != wanted:
        faults.append(f"after the recovery {len(found)} lines, not the {len(wanted)} of the undisturbed run")
    return faults


def _onset_ns(line: bytes) -> int:
    return ns_from_iso(msgspec.json.decode(line)["onset"])


@contextmanager
def short_waits() -> Iterator[None]:
    """Pauses and time limits of links in tests."""
    from seisedge.runtime.sources import _link

    changed = [
        (_link, "BACKOFF_FIRST_S", 0.01),
        (_link, "TICK_S", 0.1),
        (_link, "REPLY_TIMEOUT_S", 0.4),
    ]
    saved = [(module, name, getattr(module, name)) for module, name, _ in changed]
    for module, name, value in changed:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in saved:
            setattr(module, name, value)

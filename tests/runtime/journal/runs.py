"""Runs of a journal on synthetic packets of one live station with two bursts."""

import dataclasses
from collections.abc import Iterator

from tests.fakes import ListSource, burst, classic_config, demo_configs, fake_models, packets_of

from seisedge.runtime.config import StationConfig
from seisedge.runtime.event import Cost, Event, Hop, Latency, TriggerInfo, WindowInfo
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.journal.store import StoreState
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink

CONFIGS = demo_configs()
PART_RECORDS = 360  # of the bundled recording: three and a half minutes of both stations
TRACES = {f"HH{c}": burst(160.0, [40.0, 100.0], seed=i) for i, c in enumerate("ZNE")}
PLAIN = classic_config()
# (end of the id, revision) of all events of TRACES
STORY = [(event, revision) for event in ("122719.800", "122819.800") for revision in (0, 1, 2)]


class Kept(Sink):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def time_ns(self) -> int:
        """The same clock in ns."""
        return round(self.now_s * 1e9)


def numbered() -> list[Packet]:
    """Packets of TRACES; the token of a packet is its number."""
    return [dataclasses.replace(packet, token=f"{k:06X}") for k, packet in enumerate(packets_of(TRACES, 3.0))]


def with_tokens(first: int = 0) -> list[Packet | None]:
    """Packets of TRACES from number `first` on, for a source."""
    return list(numbered()[first:])


def run(
    journal: BaseJournal,
    first: int = 0,
    last: int | None = None,
    config: StationConfig = PLAIN,
    *,
    stop: bool = True,
) -> Loop:
    """Packets [first, last) of a live station. stop: the run is stopped after them, else the data end there."""
    loop = Loop(fake_models(), [], {}, default=config, journal=journal)

    class Stopping(ListSource):
        def packets(self) -> Iterator[Packet | None]:
            yield from super().packets()
            if stop:
                loop.stop()

    loop.run(Stopping(with_tokens(first)[: None if last is None else last - first], live=True))
    return loop


def waiting(outbox: Outbox) -> list[tuple[str, int]]:
    """(end of the id, revision) of all events in the outbox, in order."""
    decoded = [line.decoded() for line in outbox.lines_after(0, 10**6)]
    return [(line.id[-10:], line.revision) for line in decoded if isinstance(line, Event)]


def state_of(journal: Journal) -> StoreState:
    """The state now; mypy takes a property for constant."""
    return journal.state


def event(revision: int, station: str = "XX.STA") -> Event:
    """An event line; its revision tells it from others."""
    return Event(
        schema="seisedge.event/1",
        id=f"{station}-1",
        revision=revision,
        status="update",
        station=station,
        onset="2020-09-13T12:27:19.800000Z",
        emitted="2020-09-13T12:27:23.000000Z",
        source="list:",
        trigger=TriggerInfo(kind="sta_lta", snr=5.0),
        window=WindowInfo(start="2020-09-13T12:27:14.800000Z", length_s=35.0, answer_s=3.0, coverage=1.0, gaps=0),
        overlaps=[],
        timing="ok",
        quality=[],
        latency_ms=LATENCY,
        cost=COST,
    )


def hop(second: int, station: str = "XX.STA") -> Hop:
    """A hop line at a second of 12:27."""
    return Hop(
        schema="seisedge.hop/1",
        station=station,
        time=f"2020-09-13T12:27:{second:02d}.000000Z",
        coverage=1.0,
        model="fake",
        emitted="2020-09-13T12:27:59.000000Z",
        source="list:",
        latency_ms=LATENCY,
        cost=COST,
    )


LATENCY = Latency(assemble=1.0, host_to_device=0.0, infer=1.0, device_to_host=0.0, emit=0.0, total=2.0)
COST = Cost(flops=1, gflops_per_s=1.0, engine="rule", precision="fp32", inferences=1)

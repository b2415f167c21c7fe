"""Random, changing combinations of faults: one fault of the virtual digitizer that applies many others.

Each hour of data has its own record faults and each connection its own link faults, all drawn with a seed. None of them
loses a sample, so the events must be those of the undisturbed file, byte for byte. Excluded are faults that lose
samples or change their times (`gap`, which `Gaps` applies to the file itself; `dead`, `rate-change`, `clock`, `empty`),
and the two that each cost a timeout of the station of 20 s or 120 s of real time (`half-open`, `stall`); the fault
matrix includes all of them.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.replay._fault import Fault, Link, Piece, fault_from_spec
from seisedge.runtime.replay._recording import Entry
from seisedge.runtime.sources._seedlink_position import SEQUENCE_MODULUS

HOUR_NS = 3600 * NS_PER_S
REORDER_WAIT_S = 20.0  # a record may arrive after the next one of its channel; records of low noise have six seconds
RESET_EVERY = 5  # connections
LONGEST_GAP_S = 20.0  # with a channel that is late by as much, and two records, still within max_wait_s (60 s)
WRAP_AFTER = 20_000  # records of a station, on SeedLink 3

# Faults that change the order are applied first: a contradicting overlap must arrive after the original. Then those
# that need complete records, before others truncate them.
FIRST = ("reorder", "late", "forged-length")
EXTRA = ("duplicate", "overlap", "disagreement", "poison", "truncated", "rate-0")


@dataclass
class Weather(Fault):
    """Draws faults for each hour and each connection; `drawn` counts them."""

    seed: int
    packets: int  # approximate number of packets per connection
    wrap: bool = False  # SeedLink 3 only: the numbers of other protocols do not wrap
    drawn: Counter[str] = field(default_factory=Counter)

    def first_sequence(self, first: int) -> int:
        return SEQUENCE_MODULUS - WRAP_AFTER if self.wrap else first

    def records(self, entries: list[Entry]) -> list[Entry]:
        first_ns = entries[0].starttime_ns
        found: list[Entry] = []
        for hour, group in itertools.groupby(entries, key=lambda entry: (entry.release_ns - first_ns) // HOUR_NS):
            rng = random.Random(f"{self.seed} {entries[0].source_id.station_id} {hour}")
            some = list(group)
            for spec in record_faults(rng):
                self.drawn[spec.partition(":")[0]] += 1
                some = fault_from_spec(spec).records(some)
            found += some
        return found

    def answers(self, number: int) -> str:
        is_reset = (
            number % RESET_EVERY == self.seed % RESET_EVERY
        )  # never two in succession: the pause doubles with each
        self.drawn["refused"] += is_reset
        return "reset" if is_reset else "serve"

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        for spec in link_faults(random.Random(f"{self.seed} link {link.number}"), self.packets):
            self.drawn[spec.partition(":")[0]] += 1
            pieces = fault_from_spec(spec).pieces(pieces, link)
        return pieces


def record_faults(rng: random.Random) -> list[str]:
    """Two to five faults of an hour's records, in an order in which no sample is lost."""
    specs = []
    for name in rng.sample(FIRST + EXTRA, rng.randint(2, 5)):
        every, seed = rng.randint(10, 200), rng.randrange(1 << 30)
        if name == "late":
            specs.append(f"late:channel={rng.choice(('EHZ', 'EH1', 'EH2'))},by={rng.uniform(2, 20):.1f}")
        elif name == "disagreement":
            specs.append(f"overlap:every={every},seed={seed},differ={rng.randint(1, 500)}")
        else:
            specs.append(f"{name}:every={every},seed={seed}")
    places = {name: place for place, name in enumerate(FIRST)}
    return sorted(specs, key=lambda spec: places.get(spec.partition(":")[0], len(FIRST)))


def link_faults(rng: random.Random, packets: int) -> list[str]:
    """Faults during a connection, and its end: inside a packet, or with the server's end of the data."""
    specs = []
    if rng.random() < 0.4:
        length, seed = rng.randint(1, 2000), rng.randrange(1 << 30)
        specs.append(f"garbage:every={rng.randint(50, 500)},length={length},seed={seed}")
    if rng.random() < 0.2:
        specs.append(f"slow:chunk={rng.randint(50, 500)}")
    every = rng.randint(packets // 2, packets * 3 // 2)
    specs.append(f"end:every={every}" if rng.random() < 0.25 else f"cut:every={every},seed={rng.randrange(1 << 30)}")
    return specs


@dataclass
class Gaps(Fault):
    """Gaps of up to LONGEST_GAP_S at `number` random times, of a whole station or of one channel."""

    seed: int
    number: int

    def records(self, entries: list[Entry]) -> list[Entry]:
        rng = random.Random(f"{self.seed} gaps {entries[0].source_id.station_id}")
        begin_ns, end_ns = entries[0].starttime_ns, entries[-1].release_ns
        for _ in range(self.number):
            at_ns = rng.randrange(begin_ns, end_ns)
            until_ns = at_ns + round(rng.uniform(1, LONGEST_GAP_S) * NS_PER_S)
            channel = rng.choice(("", "", "EHZ", "EH1", "EH2"))
            entries = [
                entry
                for entry in entries
                if entry.release_ns < at_ns
                or entry.starttime_ns >= until_ns
                or (channel and entry.source_id.channel != channel)
            ]
        return entries

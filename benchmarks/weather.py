"""Random faults, several at once and changing: one fault of the virtual digitizer that is made of many others.

Every hour of data has record faults of its own, every connection has link faults of its own, all drawn by a generator
with a seed. None of them loses a sample, so the events must be those of the undisturbed file, byte for byte. Left
out are those that do lose samples or change their times (`gap`, which `Gaps` makes of the file itself; `dead`,
`rate-change`, `clock`, `empty`), and the two that cost a station's time-out of 20 s or 120 s of wall clock each
(`half-open`, `stall`); the fault matrix has them all.
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
REORDER_WAIT_S = 20.0  # a record may come behind the next one of its channel; quiet records hold six seconds
RESET_EVERY = 5  # connections
LONGEST_GAP_S = 20.0  # with a channel that is late by as much, and two records, still within max_wait_s (60 s)
WRAP_AFTER = 20_000  # records of a station, on SeedLink 3

# Those that change the order come first: an overlap that disagrees must come after what it contradicts. Then those
# that need a whole record, before others have made fragments.
FIRST = ("reorder", "late", "forged-length")
EXTRA = ("duplicate", "overlap", "disagreement", "poison", "truncated", "rate-0")


@dataclass
class Weather(Fault):
    """Faults drawn anew for each hour and each connection; `drawn` counts them."""

    seed: int
    packets: int  # a connection lasts about so many
    wrap: bool = False  # SeedLink 3 only: other protocols' numbers do not go round
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
        is_reset = number % RESET_EVERY == self.seed % RESET_EVERY  # never two in a row: the pause doubles with each
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
    """How a connection goes, and how it ends: cut in a packet, or by a server that says that all is sent."""
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
    """Gaps of up to LONGEST_GAP_S in so many places, of a whole station or of one of its channels."""

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

"""Packets that a track takes at once leave the same state and the same outputs as one by one."""

import random

import msgspec
import numpy as np
from tests.fakes import packet

from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.joined import joined
from seisedge.runtime.timeline.track import GridSpec, Track

RATE_HZ = 100.0
NOISE = np.random.default_rng(0).normal(0, 100, 200_000).round().astype(np.int32)
# Samples from the end of a packet to the start of the next one, all but rarely 0
STEPS = (
    (0.0, 0.02, -0.05),
    (0.09, 0.08, 0.0),
    (0.0, 0.3, -0.6, 0.9, 1.2, 3.4),
    (0.0, 1.0, 2.0, 3.0, 1.05, 2.3, 2.6),
    (0.0, 37.0, 250.0, 300.4, 2990.0, 3001.0, 3500.0),
    (0.0, 1.0, -1.0, -40.0, 60.0),
)


def _packets(rng: random.Random) -> list[Packet]:
    """One component: packets of all lengths, with gaps, drift, overlaps, some as floats with a missing sample."""
    steps, rest = rng.choice(STEPS), rng.choice([0.1, 0.5, 1.0])
    lengths = rng.choice([(2, 7, 30), (100, 101), (200, 470), (1, 50, 1200)])
    found: list[Packet] = []
    at = float(rng.randrange(3))
    for _ in range(60):
        n = rng.choice(lengths)
        samples = NOISE[round(at) % 100_000 :][:n]
        if rng.random() < 0.1:
            samples = samples.astype(np.float64)
            samples[rng.randrange(n)] = rng.choice([np.nan, 1e20, 3.0])
        found.append(packet(samples, at / RATE_HZ, rate_hz=RATE_HZ))
        at += n + (rng.choice(steps) if rng.random() < rest else 0.0)
    return found


def test_packets_taken_at_once_are_as_one_by_one() -> None:
    taken = gaps = 0
    for seed in range(200):
        rng = random.Random(seed)
        packets, reorder_wait_s = _packets(rng), rng.choice([0.0, 1.0, 2.0, 20.0])
        one, other = (Track("XX.STA Z", GridSpec(40.0, 15.0), reorder_wait_s) for _ in range(2))
        while packets:
            size = rng.choice([1, 2, 5, 20])
            batch, packets, unusable = packets[:size], packets[size:], rng.random() < 0.03
            for received in batch:
                one.add(received, usable=not unusable, wanted_k=0)
            runs = joined(batch)
            if runs and not unusable and other.joins(runs[0]):
                before = other.counters.gaps
                other.join(runs[0], wanted_k=0)
                taken, gaps = taken + 1, gaps + other.counters.gaps - before
            else:
                for received in batch:
                    other.add(received, usable=not unusable, wanted_k=0)
            assert msgspec.json.encode(other.state()) == msgspec.json.encode(one.state()), seed
            outputs = [[(k0, values.tobytes(), mask.tobytes()) for k0, values, mask in t.take()] for t in (one, other)]
            assert outputs[0] == outputs[1], seed
    assert taken > 500 and gaps > 100

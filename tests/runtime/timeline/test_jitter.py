"""Packets with jittering, drifting and slightly wrong times, out of order, behind gaps and across restarts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.fakes import packet

from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.timeline import Timeline, TimelineState
from seisedge.runtime.timeline.track import GridSpec

GRID = GridSpec(40.0, 15.0)
NOISE = np.random.default_rng(5).integers(
    -(2**30), 2**30, 200_000, dtype=np.int32
)  # no two samples are equal by chance
REORDER_S = 3.0
RATES_HZ = (40.0, 50.0, 62.5, 100.0, 99.99, 125.0, 200.0, 500.0)


@dataclass
class Stream:
    """Packets of one channel in order of arrival; lost: whether a sample was never sent."""

    packets: list[Packet]
    n_sent: int
    n_gaps: int
    restarts: set[int] = field(default_factory=set)


def _stream(rng: random.Random, **fixed: Any) -> Stream:
    """A random stream. Times jitter by less than three eighths of a sample, so that two differ by less than 0.75."""
    rate_hz = fixed.get("rate_hz", rng.choice(RATES_HZ))
    least_n = max(int(0.1 * rate_hz), 4)
    packet_n = rng.randint(least_n, int(rng.choice((0.3, 1.0, 5.0)) * rate_hz) + least_n)
    jitter = rng.choice((0.0, 0.1, 0.37)) / rate_hz
    drift = rng.choice((0.0, 1e-5, -1e-4, 3e-4)) * min(1.0, rate_hz / packet_n)
    wobble = rng.choice((0.0, 1e-8, 1.2e-7, 1e-6, 2e-5))
    packets: list[Packet] = []
    at_s, n, gaps = rng.random(), 0, 0
    for _ in range(rng.randint(3, 60)):
        size = packet_n if rng.random() < 0.7 else rng.randint(least_n, packet_n)
        if packets and rng.random() < 0.05:
            at_s += rng.choice((2 * size / rate_hz, 7.7, 29.0, 31.0, 40.1, 95.0)) + 10 / rate_hz
            gaps += 1
        stated_hz = rate_hz * (1 + wobble * rng.uniform(-1, 1))
        start_s = at_s + rng.uniform(-jitter, jitter)
        packets.append(packet(NOISE[n : n + size], start_s, rate_hz=stated_hz))
        n += size
        at_s += size / rate_hz * (1 + drift)
    sent = n
    swaps = rng.choice((0.0, 0.0, 0.3))
    k = 0
    while k + 1 < len(packets):
        if swaps and (k == 0 or rng.random() < swaps):
            packets[k : k + 2] = packets[k : k + 2][::-1]
            k += 1
        k += 1
    if rng.random() < 0.2:  # sent again
        packets = [p for one in packets for p in ([one, one] if rng.random() < 0.2 else [one])]
    restarts = {k for k in range(len(packets)) if rng.random() < rng.choice((0.0, 0.1))}
    return Stream(packets, sent, gaps, restarts)


def _restored(timeline: Timeline) -> Timeline:
    stored = msgspec.json.encode(timeline.state())
    other = Timeline("XX.STA", GRID, components="Z", reorder_wait_s=REORDER_S)
    other.restore(msgspec.json.decode(stored, type=TimelineState))
    assert other.state() == timeline.state()
    return other


def _run(stream: Stream) -> Timeline:
    """The whole stream through a timeline that is restored from its state at each of the restarts."""
    plain = Timeline("XX.STA", GRID, components="Z", reorder_wait_s=REORDER_S)
    timeline = plain
    for k, received in enumerate(stream.packets):
        if k in stream.restarts:
            timeline = _restored(timeline)
        for one in (plain, timeline) if timeline is not plain else (plain,):
            one.add("Z", received)
            one.window(one.ready_k - 40, one.ready_k)  # makes the outputs so far
            one.seen()
    for one in (plain, timeline) if timeline is not plain else (plain,):
        one.finish()
    assert _decisions(timeline.state()) == _decisions(plain.state())
    return plain


def _decisions(state: TimelineState) -> TimelineState:
    """Without the counters of repeated samples: they are compared with samples that a restored track has no more."""
    for track in state.tracks.values():
        counters = track.counters
        counters.duplicate_samples = counters.disagreeing_samples = counters.late_samples = 0
    return state


def _judge(stream: Stream) -> None:
    counters = _run(stream).tracks["Z"].counters
    assert counters.samples == stream.n_sent
    assert counters.late_samples == 0
    assert counters.gaps == stream.n_gaps


@pytest.mark.parametrize("block", range(2))
def test_no_sample_is_lost_that_is_not_late(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        _judged(seed)


@pytest.mark.long
def test_no_sample_is_lost_in_ten_thousand_streams() -> None:
    for seed in range(1000, 11_000):
        _judged(seed)


def _judged(seed: int) -> None:
    try:
        _judge(_stream(random.Random(seed)))
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error

"""A station restored from a state without samples and given the packets since yields the lines of one whole run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from tests.fakes import (
    T0_NS,
    TECTONIC,
    RuleEngine,
    answer_of,
    burst,
    fake_models,
    onset_card,
    onset_rule,
    packet,
    packets_of,
)

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.config import ChannelConfig, EventsConfig, Mode, StationConfig, TimelineConfig, TriggerConfig
from seisedge.runtime.engines._base import Array
from seisedge.runtime.event import Event, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.records.stationxml import EVER_NS, ChannelEpoch, StationXml
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.state import BackState, FrontState
from seisedge.runtime.station.station import Station

CONFIG = StationConfig(
    channels={f"HH{c}": ChannelConfig(sensitivity=1e9) for c in "ZNE"} | {f"HH{c}": ChannelConfig() for c in "UVW"},
    timeline=TimelineConfig(max_wait_s=20.0),
)
WITH_ACCELEROMETER = msgspec.structs.replace(
    CONFIG, channels=CONFIG.channels | {f"HN{c}": ChannelConfig(sensitivity=4e5) for c in "ZNE"}
)
NEW_GAIN_NS = T0_NS + 120 * 10**9 + 7  # in an open event, between two samples
METADATA = StationXml(  # of U, V and W only: the others have their gain in the station file
    Path("meta.xml"),
    {
        "XX.STA": tuple(
            ChannelEpoch("", f"HH{c}", start_ns, end_ns, gain * factor, "M/S", "COUNTS")
            for c, gain in (("U", 1e9), ("V", -1.3e9), ("W", 7e8))
            for start_ns, end_ns, factor in (
                (-EVER_NS, NEW_GAIN_NS, 1.0),
                (NEW_GAIN_NS, EVER_NS, 3.0 if c == "W" else 2.0),
            )
        )
    },
)
ONSETS_S = [41.0, 55.0, 63.0, 110.0, 118.0, 190.0]
S_S = [44.5, 59.0, 113.7, 194.0]  # on the horizontals only

# How the events are opened, and what is written.
Way = Literal["classic trigger", "detector", "continuous"]
WAYS: list[Way] = ["classic trigger", "detector", "continuous"]


def _traces(seconds: float = 240.0) -> dict[str, np.ndarray]:
    onsets_s = {"Z": ONSETS_S, "N": sorted(ONSETS_S + S_S), "E": sorted(ONSETS_S + S_S)}
    return {f"HH{c}": burst(seconds, onsets_s[c], seed=i) for i, c in enumerate("ZNE")}


def _plain() -> list[Packet]:
    return packets_of(_traces(), 3.0)


def _gaps() -> list[Packet]:
    rng = np.random.default_rng(3)
    return [p for p in _plain() if rng.random() > 0.12]


def _shuffled() -> list[Packet]:
    """Out of order by up to three packets, some twice, some lost."""
    rng = np.random.default_rng(4)
    packets = packets_of(_traces(), 0.7)
    order = np.argsort(np.arange(len(packets)) + rng.uniform(0, 9, len(packets)))
    twice = [packets[k] for k in order for _ in range(1 + (rng.random() < 0.1))]
    return [p for p in twice if rng.random() > 0.03]


def _late_component() -> list[Packet]:
    """One component 35 s behind the others, which wait 20 s: given up, and caught up again in the middle."""
    packets = _plain()
    late = {id(p) for p in packets if p.source_id.channel == "HHE" and p.starttime_ns - packets[0].starttime_ns > 60e9}
    caught_up = 150e9
    return sorted(
        packets,
        key=lambda p: (
            p.endtime_ns + (35e9 if id(p) in late and p.endtime_ns - packets[0].starttime_ns < caught_up else 0),
            str(p.source_id),
        ),
    )


def _dead_component() -> list[Packet]:
    packets = _plain()
    return [p for p in packets if p.source_id.channel != "HHN" or p.endtime_ns < packets[0].starttime_ns + 50e9]


def _long_gap() -> list[Packet]:
    """The first two minutes, an hour of nothing, and the same again on another phase of the clock."""
    first = [p for p in _plain() if p.endtime_ns <= packet(np.zeros(1), 125.0).starttime_ns]
    return first + packets_of({name: x[:12000] for name, x in _traces().items()}, 2.3, start_s=3725.003)


def _flagged() -> list[Packet]:
    def flagged(k: int, p: Packet) -> Packet:
        flags = RecordFlag.CALIBRATION if k % 40 < 3 else RecordFlag.CLIPPED if k % 17 == 0 else RecordFlag.NONE
        return Packet(p.source_id, p.starttime_ns, p.sampling_rate_hz, p.samples, flags, 0, "")

    return [flagged(k, p) for k, p in enumerate(_plain())]


def _new_rate() -> list[Packet]:
    """The digitizer goes from 100 to 50 Hz."""
    before = [p for p in _plain() if p.endtime_ns <= packet(np.zeros(1), 60.0).starttime_ns]
    slow = {name: x[6000::2] for name, x in _traces().items()}
    return before + packets_of(slow, 3.0, rate_hz=50.0, start_s=60.0)


def _moved(p: Packet, by_s: float) -> Packet:
    return dataclasses.replace(p, starttime_ns=p.starttime_ns + ns_from_s(by_s))


def _clock_ahead_for_a_while() -> list[Packet]:
    """An hour ahead between 45 and 65 s, then right again: back into times that no packet had."""
    packets = _plain()
    begin_ns = packets[0].starttime_ns
    wrong = {id(p) for p in packets if 45e9 <= p.starttime_ns - begin_ns < 65e9}
    return [_moved(p, 3600) if id(p) in wrong else p for p in packets]


def _clock_set_back() -> list[Packet]:
    """A minute back from 80 s on: into times that earlier packets had."""
    packets = _plain()
    return [_moved(p, -60) if p.starttime_ns - packets[0].starttime_ns >= 80e9 else p for p in packets]


def _triaxial() -> list[Packet]:
    """U, V, W whose gains change in an event, some lost, out of order."""
    traces = {f"HH{c}": burst(240.0, ONSETS_S, seed=i) for i, c in enumerate("UVW")}
    rng = np.random.default_rng(5)
    packets = packets_of(traces, 0.9)
    order = np.argsort(np.arange(len(packets)) + rng.uniform(0, 6, len(packets)))
    return [packets[k] for k in order if rng.random() > 0.02]


def _acceleration(seconds: float = 240.0) -> list[Packet]:
    """Of an accelerometer with an offset, in packets of another length and rate than those of the seismometer."""
    traces = {
        f"HN{c}": 50_000 * (i + 1) + burst(seconds, ONSETS_S, 125.0, seed=9 + i) // 4 for i, c in enumerate("ZNE")
    }
    return packets_of(traces, 2.3, 125.0)


def _accelerometer() -> list[Packet]:
    """Some packets lost, the others out of order."""
    rng = np.random.default_rng(6)
    packets = _acceleration()
    order = np.argsort(np.arange(len(packets)) + rng.uniform(0, 4, len(packets)))
    return [packets[k] for k in order if rng.random() > 0.02]


def _clipped_and_dead() -> list[Packet]:
    """A seismometer that clips, is dead for half a minute and is missing for another one, beside an accelerometer."""
    traces = {code: np.clip(x, -900, 900) for code, x in _traces().items()}
    traces["HHZ"][14_000:17_000] = 7
    lost = [p for p in packets_of(traces, 3.0) if not 85 < (p.starttime_ns - T0_NS) / 1e9 < 125]
    return sorted(lost + _acceleration(), key=lambda p: (p.endtime_ns, str(p.source_id)))


def _by_amplitude(waveform: Array, valid: Array) -> list[float]:
    """Probabilities that depend on every bit of the window, so that any difference is noticed."""
    x = float(np.abs(waveform).sum(dtype=np.float64)) + answer_of(valid)
    share = 0.2 + 0.75 * (np.sin(x) ** 2)
    loud = float(np.abs(waveform).max(initial=0.0)) > 150
    best = TECTONIC if loud else [0.25, 0.1, 0.65]
    return [share * p + (1 - share) / 3 for p in best]


def _onsets_by_amplitude(waveform: Array, valid: Array) -> list[list[float]]:
    """As `onset_rule`, with a share that depends on every bit of the window."""
    share = float(np.sin(np.abs(np.where(valid > 0, waveform, 0.0)).sum(dtype=np.float64)) ** 2)
    return [[p * (0.7 + 0.3 * share), s * (0.7 + 0.3 * share), *kinds] for p, s, *kinds in onset_rule(waveform, valid)]


def _models() -> Models:
    card = onset_card(gate_ratio=2.0, min_coverage=0.5)
    return fake_models(_by_amplitude, onset=RuleEngine(card, _onsets_by_amplitude))


def _station(way: Way, packets: list[Packet]) -> Station:
    mode: Mode = "continuous" if way == "continuous" else "triggered"
    trigger = TriggerConfig(kind="sta-lta" if way == "classic trigger" else "onset")
    base = WITH_ACCELEROMETER if any(p.source_id.channel[1] == "N" for p in packets) else CONFIG
    config = msgspec.structs.replace(
        base, trigger=trigger, events=EventsConfig(noise_threshold=1.0)
    )  # bursts are noise
    return Station("XX.STA", config, _models(), mode, metadata=METADATA)


def _text(draft: Draft) -> str:
    return f"{draft.last_sample_ns} {content_of(draft.line).decode()}"


def _through_text(station: Station) -> BackState:
    return msgspec.json.decode(msgspec.json.encode(station.back()), type=BackState)


def _resumed(packets: list[Packet], way: Way, stop: int, every: int) -> tuple[list[str], int | None, Station]:
    """Lines of a run that is killed after `stop` packets and restored; the number of packets read twice; the station.

    The number is None where there was no state to restore.
    """
    station = _station(way, packets)
    lines: list[str] = []
    fronts: list[tuple[int, FrontState]] = []
    for k, p in enumerate(packets[:stop]):
        station.add(p)
        lines += map(_text, station.step())
        front = station.front()
        if k % every == 0 and front is not None:
            fronts.append((k, front))
    needed_ns, back = station.needed_ns, _through_text(station)
    usable = [
        (k, msgspec.json.encode(front))
        for k, front in fronts
        if needed_ns is not None and front.last_ns <= needed_ns and front.epoch == station.epoch
    ]
    if not usable:
        return lines, None, station
    begin, text = usable[-1]
    station = _station(way, packets)
    station.restore(msgspec.json.decode(text, type=FrontState), back)
    for p in packets[begin + 1 :]:
        station.add(p)
        lines += map(_text, station.step())
    lines += map(_text, station.finish())
    return lines, stop - begin, station


RECORDS = [
    _plain, _gaps, _shuffled, _late_component, _dead_component, _long_gap, _flagged, _new_rate,
    _clock_ahead_for_a_while, _clock_set_back, _triaxial, _accelerometer, _clipped_and_dead,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("record", RECORDS)
def test_killed_and_restored(record: Callable[[], list[Packet]], way: Way) -> None:
    _kill(record, way, 2 if way != "continuous" else 1)


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("record", RECORDS)
def test_killed_anywhere_and_restored(record: Callable[[], list[Packet]], way: Way) -> None:
    _kill(record, way, 40)


def _kill(record: Callable[[], list[Packet]], way: Way, times: int) -> None:
    packets = record()
    station = _station(way, packets)
    whole: list[str] = []
    for p in packets:
        station.add(p)
        whole += map(_text, station.step())
    whole += map(_text, station.finish())
    assert len(whole) > 5
    rng = np.random.default_rng(len(packets))
    stops = sorted(rng.integers(len(packets) // 3, len(packets), times).tolist())
    resumed = 0
    for stop in stops:
        lines, again, restored = _resumed(packets, way, stop, every=2)
        if again is None:
            continue
        resumed += 1
        assert lines == whole, f"killed after packet {stop} of {len(packets)}, {again} packets again"
        assert restored.counters == station.counters
        assert (restored.epoch, restored.data_ns) == (station.epoch, station.data_ns)
        assert again < len(packets) / 1.5
    assert resumed >= times // 2 + 1


def test_the_samples_needed_are_limited() -> None:
    """At most 60 s while an event is open, and less without one."""
    station = _station("classic trigger", _plain())
    behind: list[float] = []
    for p in _plain():
        station.add(p)
        for draft in station.step():
            assert isinstance(draft.line, Event)
        if station.needed_ns is not None and station.last_ns is not None:
            behind.append((station.last_ns - station.needed_ns) / 1e9)
    assert min(behind) < 22 and max(behind) < 60


@pytest.mark.parametrize("way", WAYS)
def test_a_triaxial_sensor_in_packets_of_any_length(way: Way) -> None:
    """Its gains change during an event; the lines depend neither on packets nor on steps."""
    traces = {f"HH{c}": burst(240.0, ONSETS_S, seed=i) for i, c in enumerate("UVW")}
    runs = []
    for packet_s in (0.31, 4.0, 37.0):
        station = _station(way, [])
        lines: list[str] = []
        for p in packets_of(traces, packet_s):
            station.add(p)
            lines += map(_text, station.step())
        runs.append([*lines, *map(_text, station.finish())])
    assert len(runs[0]) > 8 and runs[0] == runs[1] == runs[2]

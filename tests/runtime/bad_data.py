"""Bad data made of good ones: noise and an earthquake of the bundled recording with what digitizers do to them."""

from __future__ import annotations

import functools

import msgspec
import numpy as np
import numpy.typing as npt
from tests.fakes import events_of

from seisedge.runtime.config import ModelsConfig, TriggerConfig, TriggerKind, load_config
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.miniseed import Decoder, Scanner
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station

RATE_HZ = 100.0
T0_NS = 1_600_000_000_000_000_000
Float = npt.NDArray[np.float64]
Traces = dict[str, Float]


@functools.cache
def recording(station: str = "B918") -> Traces:
    """The whole recording of a station, counts, by channel; without a gap."""
    scanner, decoder = Scanner(), Decoder()
    data = RECORDING.read_bytes()
    parts: dict[str, list[Packet]] = {}
    for _, record in [*scanner.feed(data), *scanner.finish()]:
        packet = decoder.packet(record, 0)
        assert isinstance(packet, Packet)
        if packet.source_id.station == station:
            parts.setdefault(packet.source_id.channel, []).append(packet)
    starts = {channel: packets[0].starttime_ns for channel, packets in parts.items()}
    first_ns = max(starts.values())
    joined = {channel: np.concatenate([p.samples for p in packets]) for channel, packets in parts.items()}
    return {
        channel: x[round((first_ns - starts[channel]) * RATE_HZ / 1e9) :].astype(np.float64)
        for channel, x in joined.items()
    }


def cut(start_s: float, end_s: float) -> Traces:
    return {channel: x[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)].copy() for channel, x in recording().items()}


def run(
    traces: Traces, packet_s: float = 4.0, mode: str = "triggered", models: Models | None = None
) -> tuple[list[Event], Station]:
    """Through a station, of the bundled models by default; samples are whole numbers, as a digitizer's.

    The classic trigger opens the events, unless `models` have an onset detector.
    """
    config = next(c for c in map(load_config, STATIONS.glob("*.toml")) if str(c.station_id) == "PB.B918")
    kind: TriggerKind = "onset" if models is not None and models.onset is not None else "sta-lta"
    config = msgspec.structs.replace(config, trigger=TriggerConfig(kind=kind))
    station = Station("PB.B918", config, models or Models.load(ModelsConfig()), mode)  # type: ignore[arg-type]
    step = round(packet_s * RATE_HZ)
    packets = [
        Packet(
            SourceId("PB", "B918", "", channel),
            T0_NS + round(i / RATE_HZ * 1e9),
            RATE_HZ,
            np.clip(x[i : i + step], -(2**23), 2**23 - 1).round().astype(np.int32),
            RecordFlag.NONE,
            0,
            "",
        )
        for channel, x in traces.items()
        for i in range(0, len(x), step)
    ]
    drafts: list[Draft] = []
    for packet in sorted(packets, key=lambda p: (p.endtime_ns, str(p.source_id))):
        station.add(packet)
        drafts += station.step()
    drafts += station.finish()
    return events_of(drafts), station


def with_spike(traces: Traces, at_s: float, counts: float, channel: str = "EHZ") -> Traces:
    made = {name: x.copy() for name, x in traces.items()}
    made[channel][int(at_s * RATE_HZ)] += counts
    return made


def with_step(traces: Traces, at_s: float, counts: float, channel: str = "EHZ") -> Traces:
    made = {name: x.copy() for name, x in traces.items()}
    made[channel][int(at_s * RATE_HZ) :] += counts
    return made


def with_calibration(traces: Traces, at_s: float, counts: float, period_s: float, damping: float = 0.7) -> Traces:
    """The answer of a seismometer to a current that is switched on: a step of force on its mass."""
    t = np.arange(len(traces["EHZ"])) / RATE_HZ - at_s
    w = 2 * np.pi / period_s
    pulse = np.where(t > 0, np.exp(-damping * w * t.clip(0)) * np.sin(w * np.sqrt(1 - damping**2) * t.clip(0)), 0.0)
    return {name: x + counts * pulse / pulse.max() for name, x in traces.items()}


def teleseism(n: int, at_s: float, corner_hz: float = 1.0, t_star_s: float = 1.0) -> Float:
    """Velocity of a P of a distant earthquake, (n,), largest value 1: Brune's spectrum of that corner frequency,
    attenuation exp(-pi f t*) with the causal phase of Futterman's model, and 20 s of later, weaker arrivals."""
    size = 2 * n
    f = np.fft.rfftfreq(size, 1 / RATE_HZ)
    f[0] = f[1]
    spectrum = 2j * np.pi * f / (1 + (f / corner_hz) ** 2) * np.exp(-np.pi * f * t_star_s)
    spectrum = spectrum * np.exp(2j * f * t_star_s * np.log(f))  # waves of higher frequency come first
    rng = np.random.default_rng(5)
    later_s = np.sort(rng.uniform(0, 20, 60))
    weights = rng.normal(0, 0.4, 60) * np.exp(-later_s / 8)
    arrivals = np.exp(-2j * np.pi * f * at_s)
    arrivals = arrivals + sum(w * np.exp(-2j * np.pi * f * (at_s + s)) for w, s in zip(weights, later_s, strict=True))
    x = np.fft.irfft(spectrum * arrivals, size)[:n]
    return np.asarray(x / np.abs(x).max(), dtype=np.float64)

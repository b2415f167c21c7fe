"""A synthetic day of real samples: noise and events of the bundled recording, cut out and joined again.

The recording is half an hour of a swarm, with two onsets per minute; a usual day of a station is quiet. Segments
without an onset are noise; segments that begin 5 s before an onset and end before the next one are events. Noise
segments are joined in random order, and a given number of events per hour is inserted. Neighbouring segments are
cross-faded over one second. All three components are cut at the same times. The same seed gives the same bytes.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MS3Record

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.config import ModelsConfig, TriggerConfig, load_config
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.miniseed import BadRecord, Decoder
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.miniseed import MiniSeedSource

CONFIGS = {str(c.station_id): c for c in (load_config(path) for path in sorted(STATIONS.glob("*.toml")))}
ONSET, CLASSIC = (  # with the onset detector, and with the STA/LTA trigger
    {key: msgspec.structs.replace(config, trigger=trigger) for key, config in CONFIGS.items()}
    for trigger in (TriggerConfig(kind="onset"), TriggerConfig(kind="sta-lta"))
)
CHANNELS = ("EHZ", "EH1", "EH2")
RATE_HZ = 100
RECORD_BYTES = 512
STARTTIME_NS = ns_from_iso("2020-01-01T00:00:00Z")
FADE_N = 1 * RATE_HZ
BEFORE_N = 5 * RATE_HZ  # of an event, before its onset
CODA_N = 12 * RATE_HZ  # after an onset, without noise
MARGIN_N = 2 * RATE_HZ  # before the next onset
SHORTEST_N = 5 * RATE_HZ
QUIET_QUANTILE, QUIET_RATIO = 0.1, 1.45  # a second is quiet up to this ratio to this quantile of all
SHORTEST_EVENT_N = 20 * RATE_HZ

Counts = npt.NDArray[np.int32]


class Kept(Sink):
    """Keeps lines in memory."""

    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


@dataclass(frozen=True)
class Pieces:
    """The pieces of a station's day, each (3, n) counts."""

    station: str
    noise: list[Counts]
    events: list[Counts]


@functools.cache
def pieces_of_recording() -> dict[str, Pieces]:
    """Noise and events of each station of the bundled recording, from the onsets of the STA/LTA trigger."""
    kept = Kept()
    with open_source(RECORDING) as source:
        Loop(Models.load(ModelsConfig(event_type="none", onset="none")), [kept], CLASSIC).run(source)
    begin_ns, traces = _traces()
    found = {}
    for station, by_channel in traces.items():
        whole = _counts(by_channel)
        lines = (line for line in kept.lines if isinstance(line, Event) and line.station == station)
        onsets = sorted({round((ns_from_iso(e.onset) - begin_ns[station]) * RATE_HZ / NS_PER_S) for e in lines})
        noise: list[Counts] = []
        events: list[Counts] = []
        limit = QUIET_RATIO * float(np.quantile(roughness(whole), QUIET_QUANTILE))
        for onset, following in zip(onsets, [*onsets[1:], whole.shape[1]], strict=True):
            end = following - MARGIN_N
            noise += quiet_parts(whole[:, onset + CODA_N : end], limit)
            if onset >= BEFORE_N and end - onset >= SHORTEST_EVENT_N:
                events.append(whole[:, onset - BEFORE_N : end])
        found[station] = Pieces(station, noise, events)
    return found


def roughness(counts: Counts) -> npt.NDArray[np.float64]:
    """(n // RATE_HZ,): root mean square of the vertical's sample differences, per second; low noise is smooth."""
    steps = np.diff(counts[0].astype(np.float64), prepend=float(counts[0, 0])) if counts.size else np.zeros(0)
    by_second = steps[: len(steps) // RATE_HZ * RATE_HZ].reshape(-1, RATE_HZ)
    return np.asarray(np.sqrt((by_second**2).mean(axis=1)), dtype=np.float64)


def quiet_parts(counts: Counts, limit: float) -> list[Counts]:
    """Ranges of SHORTEST_N or more samples in which no second exceeds `limit`."""
    found = []
    begin = 0
    rough = [*(roughness(counts) > limit), True]
    for second, is_rough in enumerate(rough):
        if is_rough:
            if (second - begin) * RATE_HZ >= SHORTEST_N:
                found.append(counts[:, begin * RATE_HZ : second * RATE_HZ])
            begin = second + 1
    return found


def _traces() -> tuple[dict[str, int], dict[str, dict[str, Counts]]]:
    """First sample's time by station, and each channel's samples on that grid; the recording has no gap."""
    parts: dict[str, dict[str, list[Counts]]] = {}
    begin_ns: dict[str, int] = {}
    with MiniSeedSource([RECORDING]) as source:
        for packet in source.packets():
            if packet is not None:
                station = packet.source_id.station_id
                begin_ns.setdefault(station, packet.starttime_ns)
                channels = parts.setdefault(station, {})
                channels.setdefault(packet.source_id.channel, []).append(packet.samples.astype(np.int32))
    return begin_ns, {s: {c: np.concatenate(p) for c, p in channels.items()} for s, channels in parts.items()}


def _counts(by_channel: Mapping[str, Counts]) -> Counts:
    n = min(len(samples) for samples in by_channel.values())
    return np.stack([by_channel[channel][:n] for channel in CHANNELS])


def counts_of_day(pieces: Pieces, hours: float, events_per_hour: float, seed: int) -> Counts:
    """(3, n) counts; the events at random times, noise in between."""
    rng = random.Random(f"{seed} {pieces.station}")
    n = round(hours * 3600 * RATE_HZ)
    at = sorted(rng.randrange(n) for _ in range(round(hours * events_per_hour)))
    day = np.zeros((3, n), np.float64)
    ramp = np.linspace(0.0, 1.0, FADE_N)
    end = 0  # of the samples written so far; the last FADE_N of them are cross-faded with the next piece
    while end < n:
        piece = (rng.choice(pieces.events) if at and at[0] <= end else rng.choice(pieces.noise)).astype(np.float64)
        if at and at[0] <= end:
            at.pop(0)
        begin = max(end - FADE_N, 0)
        piece = piece[:, : n - begin]
        if begin:
            level = day[:, begin:end].mean(axis=1) - piece[:, : end - begin].mean(axis=1)
            piece = piece + level[:, None]  # an offset is not a signal
            fade = ramp[: end - begin]
            piece[:, : len(fade)] = day[:, begin:end] * (1 - fade) + piece[:, : len(fade)] * fade
        day[:, begin : begin + piece.shape[1]] = piece
        end = begin + piece.shape[1]
    return np.asarray(np.rint(day), dtype=np.int32)


def write_day(
    path: Path, stations: Iterable[str], hours: float = 24.0, events_per_hour: float = 2.0, seed: int = 1
) -> Path:
    """Write a synthetic day of each of these stations of the recording, as `write_counts`."""
    pieces = pieces_of_recording()
    return write_counts(path, {s: counts_of_day(pieces[s], hours, events_per_hour, seed) for s in stations})


def counts_of_recording(station: str) -> Counts:
    """(3, n): all of the bundled recording of a station."""
    return _counts(_traces()[1][station])


def write_counts(path: Path, counts: Mapping[str, Counts]) -> Path:
    """miniSEED 2, Steim2, from (3, n) counts by station, in the order in which a digitizer would send the records."""
    decoder = Decoder()
    rows: list[tuple[int, str, bytes]] = []
    for station, samples in counts.items():
        for channel, of_channel in zip(CHANNELS, samples, strict=True):
            for record in _records(station, channel, of_channel):
                header = decoder.header(record)
                assert not isinstance(header, BadRecord)
                rows.append((header.last_sample_ns, f"{station} {channel}", record))
    path.write_bytes(b"".join(record for _, _, record in sorted(rows)))
    return path


def _records(station: str, channel: str, samples: Counts) -> list[bytes]:
    template = MS3Record(reclen=RECORD_BYTES, encoding=DataEncoding.STEIM2)
    template.formatversion, template.pubversion = 2, 1
    network, _, code = station.partition(".")
    template.sourceid = f"FDSN:{network}_{code}__{'_'.join(channel)}"
    template.starttime, template.samprate = STARTTIME_NS, float(RATE_HZ)
    return list(template.generate(data_samples=samples, sample_type="i"))

"""Processor time of `seisedge.api` with many gaps, beside the same data without: `python -m benchmarks.notebook`.

Three components at 100 Hz: the bundled recording, which has an event every 20 s, and noise without any; in memory, and
in a file of 512-byte records (Steim2), which is read as `seisedge run` does.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import numpy as np
from pymseed import DataEncoding, MS3Record

from seisedge import api
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.sources.miniseed import MiniSeedSource

RATE_HZ, DAY_S = 100.0, 86_400
GAPS_A_DAY = 10_000
GAP_N = 37  # samples
NOISE_S = 6 * 3600
RUNS = 7
CHANNELS = ("EHZ", "EH1", "EH2")
START_NS = 1_562_487_360 * NS_PER_S


def recording() -> list[Any]:
    """Rows of one station of the recording, cut to the same length."""
    parts: dict[str, list[Any]] = {}
    with MiniSeedSource([RECORDING]) as source:
        for packet in source.packets():
            if packet is not None and packet.source_id.station == "B918":
                parts.setdefault(packet.source_id.channel, []).append(packet.samples)
    rows = [np.concatenate(parts[channel]) for channel in CHANNELS]
    n = min(map(len, rows))
    return [row[-n:] for row in rows]


def noise() -> list[Any]:
    return list(np.random.default_rng(1).normal(0, 300, (3, round(NOISE_S * RATE_HZ))).astype(np.int32))


def traces(rows: list[Any], gaps_a_day: int) -> list[Any]:
    """Objects with the attributes of obspy traces."""
    n = len(rows[0])
    borders = np.linspace(0, n, round(n / RATE_HZ * gaps_a_day / DAY_S) + 2).astype(int).tolist()
    found = []
    for channel, row in zip(CHANNELS, rows, strict=True):
        for n0, n1 in pairwise(borders):
            start = SimpleNamespace(ns=START_NS + round(n0 * NS_PER_S / RATE_HZ))
            stats = SimpleNamespace(
                network="PB", station="B918", location="", channel=channel, sampling_rate=RATE_HZ, starttime=start
            )
            found.append(SimpleNamespace(stats=stats, data=row[n0 : n1 - GAP_N if n1 < n else n1]))
    return found


def write_records(data: list[Any], path: Path) -> None:
    """The traces as miniSEED, in order of their start times."""
    record = MS3Record()
    record.formatversion, record.reclen, record.encoding = 2, 512, DataEncoding.STEIM2
    packed: list[tuple[int, int, bytes]] = []
    for trace in data:
        record.sourceid = f"FDSN:PB_B918__{'_'.join(trace.stats.channel)}"
        record.samprate, record.starttime = RATE_HZ, trace.stats.starttime.ns
        for part in record.generate(data_samples=trace.data, sample_type="i"):
            packed.append((MS3Record.parse(part).starttime, len(packed), part))
    path.write_bytes(b"".join(part for _, _, part in sorted(packed)))


def seconds(model: api.Model, data: list[Any] | Path) -> float:
    """Of the shortest of RUNS runs."""
    times = []
    for _ in range(RUNS):
        began = process_time()
        model.classify(data)
        times.append(process_time() - began)
    return min(times)


def main() -> None:
    model = api.open_model("event-type", "magnitude")
    for name, rows in (("recording", recording()), ("noise", noise())):
        hours = len(rows[0]) / RATE_HZ / 3600
        data = {gaps: traces(rows, gaps) for gaps in (0, GAPS_A_DAY)}
        _print(f"{name}, in memory: {hours:.1f} h", *(seconds(model, data[gaps]) for gaps in data))
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{gaps}.mseed" for gaps in data]
            for path, found in zip(paths, data.values(), strict=True):
                write_records(found, path)
            _print(f"{name}, in a file: {hours:.1f} h", *(seconds(model, path) for path in paths))


def _print(what: str, without: float, with_gaps: float) -> None:
    print(
        f"{what} without gaps {without:.3f} s, with {GAPS_A_DAY} gaps a day {with_gaps:.3f} s: "
        f"{with_gaps / without:.2f} times"
    )


if __name__ == "__main__":
    main()

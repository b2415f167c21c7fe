"""The work and the memory of `seisedge.api`, counted: with gaps, and over long data."""

import gc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymseed import DataEncoding, MS3Record

from seisedge import api
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import content_of
from seisedge.runtime.machine import resident_mib
from seisedge.runtime.notebook.picture import Waveform
from seisedge.runtime.notebook.reading import Reading, Settings, source_from
from seisedge.runtime.notebook.traces import Array
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.sources import Source, SourceOptions, register_source
from seisedge.runtime.sources.miniseed import MiniSeedSource

RATE_HZ = 100.0
MINUTES = 3
DAY_S = 86_400
GAPS_A_DAY = 10_000
GAP_N = 37  # samples


class _Header:
    """What obspy's Stats has of it."""

    def __init__(self, channel: str, start_ns: int) -> None:
        self.network, self.station, self.location, self.channel = "PB", "B918", "", channel
        self.sampling_rate = RATE_HZ
        self.starttime = type("Time", (), {"ns": start_ns})()


class _Trace:
    def __init__(self, channel: str, start_ns: int, data: Any) -> None:
        self.stats, self.data = _Header(channel, start_ns), data


def _rows(minutes: float) -> tuple[int, dict[str, Any]]:
    """Start and samples of the three components of a station of the demo."""
    parts: dict[str, list[Packet]] = {}
    with MiniSeedSource([RECORDING]) as source:
        for packet in source.packets():
            if packet is not None and packet.source_id.station == "B918":
                parts.setdefault(packet.source_id.channel, []).append(packet)
    begin_ns = max(found[0].starttime_ns for found in parts.values())
    n = round(minutes * 60 * RATE_HZ)
    rows = {}
    for channel, found in parts.items():
        skip = round((begin_ns - found[0].starttime_ns) * RATE_HZ / NS_PER_S)
        rows[channel] = np.concatenate([packet.samples for packet in found])[skip : skip + n]
    return begin_ns, rows


def _traces(minutes: float, gaps_a_day: int) -> list[_Trace]:
    begin_ns, rows = _rows(minutes)
    n = round(minutes * 60 * RATE_HZ)
    borders = np.linspace(0, n, round(minutes * 60 * gaps_a_day / DAY_S) + 2).astype(int).tolist()
    return [
        _Trace(channel, begin_ns + round(n0 * NS_PER_S / RATE_HZ), row[n0 : n1 - GAP_N if n1 < n else n1])
        for channel, row in rows.items()
        for n0, n1 in pairwise(borders)
    ]


def test_ten_thousand_gaps_a_day_need_as_many_packets_and_inferences(model: api.Model) -> None:
    """Counted instead of timed; `benchmarks/notebook.py` measures the processor time."""
    packets, inferences = [], []
    for gaps_a_day in (0, GAPS_A_DAY):
        traces = _traces(MINUTES, gaps_a_day)
        source = source_from(traces, Array())
        found = list(Reading(source, model._models, Settings(), revisions=True).results())
        assert len(found) > 15
        packets.append(source.counters.records)
        inferences.append(sum(x.event.cost.inferences for x in found))
    assert len(_traces(MINUTES, GAPS_A_DAY)) > 3 * MINUTES * 6
    assert packets[0] <= packets[1] <= 1.1 * packets[0] + 3
    assert inferences[1] <= 1.5 * inferences[0]


def test_the_samples_between_gaps_are_those_of_the_traces() -> None:
    """Also of traces off the grid of the one before them, of other rates, and that overlap."""
    pieces = _traces(1, 20_000)
    other = _Trace("EHZ", pieces[0].stats.starttime.ns + 3_003_300_000, np.arange(500, dtype=np.int32))
    (faster,) = _traces(0.1, 0)[:1]
    faster.stats.sampling_rate = 200.0
    traces = [*pieces, other, faster]
    source = source_from(traces, Array())
    got: dict[tuple[str, float], list[tuple[int, float]]] = {}
    for packet in source.packets():
        assert packet is not None
        step_ns = NS_PER_S / packet.sampling_rate_hz
        samples = got.setdefault((packet.source_id.channel, packet.sampling_rate_hz), [])
        for n in np.flatnonzero(np.isfinite(packet.samples)).tolist():
            samples.append((round((packet.starttime_ns + n * step_ns) / 1000), float(packet.samples[n])))
    expected: dict[tuple[str, float], list[tuple[int, float]]] = {}
    for trace in traces:
        header, step_ns = trace.stats, NS_PER_S / trace.stats.sampling_rate
        samples = expected.setdefault((header.channel, header.sampling_rate), [])
        samples += [(round((header.starttime.ns + n * step_ns) / 1000), float(x)) for n, x in enumerate(trace.data)]
    assert {key: sorted(value) for key, value in got.items()} == {key: sorted(value) for key, value in expected.items()}


def test_gaps_in_memory_are_those_of_a_file(model: api.Model, tmp_path: Path) -> None:
    """The same events from traces with gaps and from records with the same gaps."""
    traces = _traces(3, GAPS_A_DAY)
    path = tmp_path / "gaps.mseed"
    with path.open("wb") as file:
        for trace in sorted(traces, key=lambda trace: trace.stats.starttime.ns):
            file.write(_records(trace))
    of_file, of_traces = model.classify(path), model.classify(traces)
    assert len(of_traces) > 5
    assert [content_of(x.event) for x in of_traces] == [content_of(x.event) for x in of_file]


def _records(trace: _Trace) -> bytes:
    """miniSEED of a trace."""
    record = MS3Record()
    record.sourceid = f"FDSN:PB_B918__{'_'.join(trace.stats.channel)}"
    record.formatversion, record.reclen, record.encoding = 2, 512, DataEncoding.STEIM2
    record.starttime, record.samprate = trace.stats.starttime.ns, trace.stats.sampling_rate
    return b"".join(record.generate(data_samples=trace.data, sample_type="i"))


HOURS_PER_BURST = 6  # the recording is put into noise so often
PACKET_S = 10


class _Days(Source):
    """Hours of noise on three components, with two minutes of the demo recording at times; computed as it is read."""

    def __init__(self, url: str, hours: float) -> None:
        super().__init__(url)
        self._hours = hours

    def packets(self) -> Iterator[Packet | None]:
        n, rng = round(PACKET_S * RATE_HZ), np.random.default_rng(1)
        noise = rng.normal(0, 40, (3, 97 * n)).astype(np.int32)
        start_ns, rows = _rows(2)
        for number in range(round(self._hours * 3600 / PACKET_S)):
            in_period = number % round(HOURS_PER_BURST * 3600 / PACKET_S)
            for k, (channel, row) in enumerate(rows.items()):
                burst = row[in_period * n : (in_period + 1) * n]
                at = number * 31 % 96 * n
                yield Packet(
                    SourceId("PB", "B918", "", channel),
                    start_ns + round(number * PACKET_S * NS_PER_S),
                    RATE_HZ,
                    burst if len(burst) == n else noise[k, at : at + n].copy(),
                    RecordFlag.NONE,
                    0,
                    "",
                )


@register_source("test-days")
def _days(url: str, options: SourceOptions) -> Source:
    return _Days(url, float(url.partition(":")[2]))


def _memory_at_events(hours: float) -> list[tuple[int, int, float]]:
    """Hours of data, number of results and packets that exist, and memory in MiB, at the first event of each burst."""
    found: list[tuple[int, int, float]] = []
    newest_ns = begin_ns = 0
    for result in api.events(f"test-days:{hours}"):
        begin_ns = begin_ns or result.onset_ns
        if result.onset_ns - newest_ns > 3600 * NS_PER_S:
            gc.collect()
            number = sum(issubclass(type(one), api.Result | Waveform | Packet) for one in gc.get_objects())
            found.append((round((result.onset_ns - begin_ns) / 3.6e12), number, resident_mib() or 0.0))
        newest_ns = result.onset_ns
    return found


def test_results_and_packets_do_not_pile_up() -> None:
    found = _memory_at_events(13)
    assert [hours for hours, _, _ in found] == [0, 6, 12]
    assert found[2][1] <= found[1][1] + 5


@pytest.mark.long
def test_thirty_days_need_the_memory_of_three() -> None:
    found = _memory_at_events(30 * 24)
    assert len(found) == 30 * 24 / HOURS_PER_BURST
    early, late = found[11], found[-1]
    assert late[1] <= early[1] + 5
    assert late[2] - early[2] < 4

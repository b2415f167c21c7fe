"""Mutated miniSEED: valid records of both versions, changed where a record has structure.

`python -m tests.runtime.records.record_fuzz --records 10000000` decodes ten million of them and prints what became of
them; `--streams N` also sends N streams of records through a station with the bundled models. Both watch the memory.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import logging
import math
import multiprocessing
import random
import re
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MS3Record
from tests.paths import RECORDING

from seisedge.runtime.config import ModelsConfig, StationConfig
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.miniseed import (
    MAX_RATE_HZ,
    MAX_STARTTIME_NS,
    MIN_RATE_HZ,
    MIN_STARTTIME_NS,
    BadRecord,
    Decoder,
    FailedRecord,
    RecordHeader,
)
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import Source

GROWTH_BYTES = 50 << 20
BATCH = 1000
LONGEST_S = 20.0  # processor time of a batch of records, or of one stream

T0_NS = 1_600_000_000_000_000_000
RATES_HZ = (100.0, 50.0, 200.0, 99.9999, 100.02, 49.9986, 199.997, 7777.77, 20.0, 1.0, 0.1, 33.333, 1000.0, 100_000.0)
KINDS = (
    (DataEncoding.STEIM1, "i", 300),
    (DataEncoding.STEIM2, "i", 300),
    (DataEncoding.INT16, "i", 200),
    (DataEncoding.INT32, "i", 100),
    (DataEncoding.FLOAT32, "f", 100),
    (DataEncoding.FLOAT64, "d", 50),
)
DTYPES = {"i": np.int32, "f": np.float32, "d": np.float64}
# encodings that libmseed decodes and does not write: two to four bytes a sample, as INT16 and INT32
READ_ONLY = {1: (13, 14, 16, 30, 32), 3: (12,)}
EXTRAS = (
    "",
    '{"FDSN":{"Time":{"Quality":80},"Flags":{"DigitizerClipping":true}}}',
    '{"FDSN":{"Calibration":{"Sequence":[{"Type":"STEP"}]},"Event":{"Detection":[{"Type":"MURDOCK","SNR":3.5}]}}}',
    '{"vendor":{"a":[[[[[[[[1.5e300]]]]]]]],"b":"\\u00e4"},"FDSN":{"Time":{"Quality":49.5}}}',
)
HOSTILE_EXTRAS = (
    b'{"FDSN":' + b"[" * 1100 + b"]" * 1100 + b"}",
    b'{"a":' * 400 + b"1" + b"}" * 400,
    b'{"FDSN":{"Time":{"Quality":' + b"9" * 5000 + b"}}}",
    b'{"FDSN":{"Time":{"Quality":NaN},"Flags":[1]}}',
    b'{"FDSN":{"Time":{"Quality":-Infinity},"Calibration":7}}',
    b'{"FDSN":null}',
    b"[" * 60_000,
    b'{"\\ud800":"\xff\xfe\x00"}',
    b'{"FDSN":{"Time":{"Quality":1e400}}}',
)
# (offset, bytes) of what a header holds; the rate of version 3 is changed by `_mutate_rate`
FIELDS_2 = (
    (0, 6), (6, 1), (7, 1), (8, 5), (13, 2), (15, 3), (18, 2), (20, 2), (22, 2), (24, 1), (25, 1), (26, 1), (28, 2),
    (30, 2), (32, 2), (34, 2), (36, 1), (37, 1), (38, 1), (39, 1), (40, 4), (44, 2), (46, 2), (48, 2), (50, 2), (52, 1),
    (53, 1), (54, 1), (55, 1), (56, 2), (58, 2), (60, 4), (64, 4), (68, 4), (72, 4), (76, 4),
)  # fmt: skip
FIELDS_3 = (
    (0, 3), (3, 1), (4, 4), (8, 2), (10, 2), (12, 1), (13, 1), (14, 1), (15, 1), (16, 8), (24, 4), (32, 1), (33, 1),
    (34, 2), (36, 4), (40, 8), (48, 8), (56, 8), (64, 4),
)  # fmt: skip
ODD_RATES = (0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e308, -0.01, -1e-9, -100.0, 1e5, 1e-4, *RATES_HZ)


def made(version: int, encoding: DataEncoding, kind: str, n: int, **fields: object) -> bytes:
    """One valid record of XX.ABC."""
    template = MS3Record(reclen=8192, encoding=encoding)
    template.formatversion, template.sourceid, template.samprate = version, "FDSN:XX_ABC_00_H_H_Z", 100.0
    template.starttime = T0_NS
    for name, value in fields.items():
        setattr(template, name, value)
    samples = (1000 * np.sin(np.arange(n) / 9)).astype(DTYPES[kind])
    return next(iter(template.generate(data_samples=samples, sample_type=kind)))


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Valid records: each version and encoding with odd rates and extra headers, and real ones."""
    data = RECORDING.read_bytes()
    found = [data[k : k + 512] for k in range(0, 512 * 20, 512)]
    turn = itertools.cycle(RATES_HZ)
    for version, (encoding, kind, n), extra in itertools.product((2, 3), KINDS, EXTRAS):
        fields = {"extra": extra} if extra and version == 3 else {}
        record = made(version, encoding, kind, n, samprate=next(turn), **fields)
        found.append(record)
        for code in READ_ONLY.get(int(encoding), ()):
            at = 15 if version == 3 else 52
            found.append(_unprotected(record[:at] + bytes([code]) + record[at + 1 :]))
    for name in ("XFE2024_STA-0001_00-A_E_H_Z", "XX_ABC_--_H_H_1", "XX2026_STATION1_DOWNHOLE_BB_H_ZZ"):
        found.append(made(3, DataEncoding.STEIM2, "i", 300, sourceid=f"FDSN:{name}"))
    found.append(made(3, DataEncoding.STEIM2, "i", 4000))
    return tuple(found)


def _unprotected(record: bytes) -> bytes:
    """Version 3 with a checksum of 0, which is not checked."""
    return record[:28] + bytes(4) + record[32:] if record[:3] == b"MS\x03" else record


class Mutator:
    """Makes mutated records, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._bits = random.Random(seed).getrandbits

    def of_seed(self) -> bytes:
        """A mutated seed."""
        records = seeds()
        return self.mutated(records[self._bits(32) % len(records)])

    def mutated(self, record: bytes) -> bytes:
        """`record` with one to three changes; one of version 3 mostly without a checksum, so that it gets further."""
        bits = self._bits(32)
        is_3 = record[:3] == b"MS\x03"
        out = bytearray(record)
        if is_3 and bits & 15:
            out[28:32] = bytes(4)
        for _ in range(1 + (not bits & 0x30) + (not bits & 0xC0)):
            word = self._bits(64)
            kind, word = word & 31, word >> 5
            if kind < 14:
                fields = FIELDS_3 if is_3 else FIELDS_2
                at, size = fields[word % len(fields)]
                self._change(out, at, size, word >> 8)
            elif kind < 26 and out:
                self._change(out, (word >> 16) % len(out), 1 << (word & 3), word >> 32)
            elif kind < 28 and is_3 and len(out) >= 40:
                out = self._with_extra(out, word)
            elif kind < 30 and is_3 and len(out) >= 24:
                struct.pack_into("<d", out, 16, ODD_RATES[word % len(ODD_RATES)])
            elif kind == 30:
                del out[word % (len(out) + 1) :]
            else:
                at = word % (len(out) + 1)
                out[at:at] = out[: (word >> 24) % 700]
        return bytes(out)

    def _change(self, out: bytearray, at: int, size: int, word: int) -> None:
        """Replace `size` bytes: random, extreme, one more or less, one bit, or reversed."""
        old = out[at : at + size]
        if len(old) < size:
            return
        how = word & 7
        value = int.from_bytes(old, "big")
        if how < 3:
            value = self._bits(8 * size)
        elif how == 3:
            value = (0, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1)[word >> 3 & 3]
        elif how == 4:
            value += 1 if word & 8 else -1
        elif how == 5:
            value ^= 1 << (word >> 3) % (8 * size)
        elif how == 6:
            value = int.from_bytes(old[::-1], "big")
        else:
            value = value * ((word >> 3) % 200)
        out[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "big")

    def _with_extra(self, out: bytearray, word: int) -> bytearray:
        """Other extra headers, with a length that is true, or one that is not."""
        id_length, extra_length = out[33], out[34] | out[35] << 8
        extra = HOSTILE_EXTRAS[word % len(HOSTILE_EXTRAS)]
        begin = 40 + id_length
        if word & 0x100:
            extra = extra[: (word >> 12) % (len(extra) + 1)]
        stated = len(extra) if word & 0x600 else self._bits(16)
        return out[:34] + struct.pack("<H", stated) + out[36:begin] + extra + out[begin + extra_length :]


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  a kernel file, read often
        return int(file.read().split()[1]) * resource.getpagesize()


class Watch:
    """Checks, batch by batch, that no batch takes long and that the memory does not grow.

    Growth is measured from the first tenth of the run on: by then buffers and caches have their size.
    """

    def __init__(self, total: int) -> None:
        self._warm_at = total // 10
        self._warm_bytes: int | None = None
        self.growth_bytes = 0
        self.longest_s = 0.0

    def batch(self, done: int, work: Callable[[], None]) -> None:
        """done: units of work before this batch."""
        began_s = time.thread_time()
        work()
        self.longest_s = max(self.longest_s, time.thread_time() - began_s)
        assert self.longest_s < LONGEST_S, f"{self.longest_s:.1f} s for the batch after {done}"
        if done >= self._warm_at:
            now_bytes = resident_bytes()
            self._warm_bytes = self._warm_bytes or now_bytes
            self.growth_bytes = max(self.growth_bytes, now_bytes - self._warm_bytes)
            assert self.growth_bytes < GROWTH_BYTES, f"{self.growth_bytes >> 20} MB more after {done}"


def decode(count: int, seed: int, report: Callable[[int, Watch], None] = lambda _done, _watch: None) -> Counter[str]:
    """Decode `count` mutated records; returns how many became what. Raises AssertionError."""
    mutator, decoder, watch, found = Mutator(seed), Decoder(), Watch(count), Counter[str]()

    def batch() -> None:
        for k in range(BATCH):
            record = mutator.of_seed()
            packet = decoder.packet(record, 0)
            if isinstance(packet, BadRecord):
                assert not isinstance(packet, FailedRecord), (packet.reason, record.hex())
                found["set aside"] += 1
            else:
                check(packet, record)
                found[packet.samples.dtype.char] += 1
            if k % 8 == 0:
                header = decoder.header(record)
                assert not isinstance(header, FailedRecord), record.hex()
                if isinstance(packet, Packet):
                    same = RecordHeader(
                        packet.source_id,
                        packet.starttime_ns,
                        packet.sampling_rate_hz,
                        len(packet.samples),
                        packet.flags,
                    )
                    assert header == same, record.hex()

    for done in range(0, count, BATCH):
        watch.batch(done, batch)
        report(done + BATCH, watch)
    names = {"set aside": "set aside"} | {np.dtype(kind).char: np.dtype(kind).name for kind in DTYPES.values()}
    return Counter({names[kind]: number for kind, number in found.items()})


def check(packet: Packet, record: bytes) -> None:
    """What every consumer of a packet relies on."""
    n = len(packet.samples)
    assert 0 < n <= 7 * len(record), record.hex()
    assert MIN_STARTTIME_NS <= packet.starttime_ns < MAX_STARTTIME_NS, record.hex()
    assert MIN_RATE_HZ <= packet.sampling_rate_hz <= MAX_RATE_HZ, record.hex()
    assert packet.endtime_ns > packet.starttime_ns, record.hex()
    assert packet.samples.base is None, record.hex()
    assert packet.source_id.station and packet.source_id.channel, record.hex()


@dataclass(frozen=True, slots=True)
class Stream:
    """The records of one station, with the irregularities of a real one, and mutated records among them."""

    records: list[bytes]
    mutated: int


def stream(seed: int) -> Stream:
    """Three components of noise with bursts; random rate, packet length, jitter, drift, start, gaps, order, damage."""
    rng = np.random.default_rng(seed)
    mutator = Mutator(seed)
    rate_hz = float(rng.choice([100.0, 100.0, 100.0, 50.0, 40.0, 200.0, 99.9999, 100.02, 49.9986]))
    length_s = float(rng.uniform(60, 150))
    onsets_s = rng.uniform(10, length_s, rng.integers(0, 4))
    packet_s = float(rng.choice([0.25, 0.5, 1.0, 4.0, rng.uniform(0.2, 12)]))
    jitter_ns = float(rng.choice([0.0, 0.0, 1e6, 3e6, 1.2e7]))
    drift, wobble = float(rng.choice([0.0, 0.0, 1e-6, 2e-4])), float(rng.choice([0.0, 0.0, 1e-8, 1e-6]))
    version = int(rng.integers(2, 4))
    sent: list[tuple[float, bytes]] = []
    for channel in rng.permutation(["H_H_Z", "H_H_N", "H_H_E"])[: rng.choice([1, 3, 3, 3])]:
        encoding, kind, _ = KINDS[rng.choice([1, 1, 0, 3, 4])]
        samples = _samples(rng, rate_hz, length_s, onsets_s).astype(DTYPES[kind])
        begin_s = float(rng.choice([0.0, rng.uniform(0, 1), rng.uniform(0, 70)]))
        step = max(round(packet_s * rate_hz), 1)
        gap_at, gap_s = rng.uniform(0, length_s), float(rng.choice([0, 0, 0, 3, 40, 700]))
        for k in range(0, len(samples), step):
            at_s = begin_s + k / rate_hz * (1 + drift)
            at_s += gap_s if at_s > gap_at else 0.0
            time_ns = T0_NS + round(at_s * 1e9 + rng.normal(0, 1) * jitter_ns)
            part = samples[k : k + step]
            record = made_of(version, encoding, kind, part, channel, time_ns, rate_hz * (1 + wobble * rng.normal()))
            sent.append((at_s + len(part) / rate_hz, record))
    sent.sort(key=lambda pair: pair[0])
    return _damaged(rng, mutator, [record for _, record in sent])


def _samples(rng: np.random.Generator, rate_hz: float, length_s: float, onsets_s: npt.NDArray[Any]) -> npt.NDArray[Any]:
    t = np.arange(int(rate_hz * length_s)) / rate_hz
    x = rng.normal(0, 20, len(t))
    for onset_s in onsets_s:
        after = np.clip(t - onset_s, 0, None)
        x += (t > onset_s) * 2000 * np.exp(-after / 1.5) * np.sin(2 * np.pi * 6 * after)
    return x


def made_of(
    version: int, encoding: DataEncoding, kind: str, samples: npt.NDArray[Any], channel: str, time_ns: int, rate: float
) -> bytes:
    """One record with all of the samples."""
    template = MS3Record(reclen=65_536 if version == 3 else _power_above(len(samples) * 8 + 128), encoding=encoding)
    template.formatversion, template.sourceid, template.samprate = version, f"FDSN:XX_ABC_00_{channel}", rate
    template.starttime = time_ns
    return next(iter(template.generate(data_samples=samples, sample_type=kind)))


def _power_above(n: int) -> int:
    return 1 << min(max((n - 1).bit_length(), 8), 16)


def _damaged(rng: np.random.Generator, mutator: Mutator, records: list[bytes]) -> Stream:
    """Some records are repeated, swapped, left out or sent mutated, before the true one or instead of it."""
    out: list[bytes] = []
    mutated = 0
    share = float(rng.choice([0.0, 0.02, 0.1, 0.3]))
    for record in records:
        what = rng.random() / max(share, 1e-9)
        if what < 0.5:
            mutated += 1
            out.append(mutator.mutated(record))
            if what < 0.3:
                out.append(record)
        elif what < 0.7:
            out += [record, record]
        elif what < 0.8 and out:
            out.insert(len(out) - 1, record)
        elif what < 0.9 and out:
            out.insert(max(len(out) - int(rng.integers(1, 30)), 0), record)
        elif not 0.9 <= what < 1.0:
            out.append(record)
    return Stream(out, mutated)


class RecordSource(Source):
    """Records, in the given order, as if from a connection or from a file."""

    back_pressure = True  # no window is dropped, however slow the machine is

    def __init__(self, records: list[bytes], *, live: bool) -> None:
        super().__init__("fuzz:")
        self.live = live
        self._records = records

    def packets(self) -> Iterator[Packet | None]:
        for k, record in enumerate(self._records):
            packet = self._decoder.packet(record, time.monotonic_ns(), f"{k:06X}")
            if isinstance(packet, BadRecord):
                self.set_aside(packet, f"record {k}")
                continue
            self.counters.records += 1
            yield packet


class Lines(Sink):
    """Keeps the content of the lines; checks that each is valid JSON with finite numbers."""

    def __init__(self) -> None:
        self.found: list[bytes] = []

    def write(self, line: Event | Hop) -> None:
        content = content_of(line)
        json.loads(content, parse_constant=_refuse)
        assert b"null" not in _OPEN_BIN.sub(b"", content), content
        self.found.append(content)


_OPEN_BIN = re.compile(rb'"bin":\[(?:null,[0-9.-]+|[0-9.-]+,null)\]')  # the outer bins of the magnitude


def _refuse(text: str) -> float:
    raise AssertionError(f"a line contains {text}")


def through_a_station(seed: int, models: Models, mode: Any = "triggered") -> Counter[str]:
    """Send one stream through a station, as a live stream and as a file. Raises AssertionError."""
    one = stream(seed)
    found = Counter[str](records=len(one.records), mutated=one.mutated)
    lines: list[list[bytes]] = []
    for live in (True, False):
        source, sink = RecordSource(one.records, live=live), Lines()
        loop = Loop(models, [sink], {}, default=StationConfig(), mode=mode)
        report = loop.run(source)
        assert not source.counters.failed_records, f"stream {seed}: {source.reasons}"
        lines.append(sorted(sink.found))
        found["set aside"] += source.counters.bad_records
        found["inferences"] += report.inferences
        found["lines"] += len(sink.found)
    assert lines[0] == lines[1], f"stream {seed}: other lines as a file than live"
    return found


def streams(
    count: int, seed: int, models: Models, report: Callable[[int, Watch], None] = lambda _done, _watch: None
) -> Counter[str]:
    """Send `count` streams through a station. Raises AssertionError."""
    watch, found = Watch(count), Counter[str]()
    for done in range(count):
        mode = "continuous" if done % 8 == 7 else "triggered"
        watch.batch(done, lambda k=seed + done, mode=mode: found.update(through_a_station(k, models, mode)))  # type: ignore[misc]
        report(done + 1, watch)
    return found


def streams_in_own_process(count: int, seed: int) -> Counter[str]:
    """`streams` with the bundled models in a new process: the memory of this one depends on what it did before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_streams_with_models, count, seed).result()


def _streams_with_models(count: int, seed: int) -> Counter[str]:
    logging.disable(logging.WARNING)  # the log of the stations
    return streams(count, seed, Models.load(ModelsConfig()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000, help="number of records to decode")
    parser.add_argument("--streams", type=int, default=0, help="number of streams through a station")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # the log of the stations
    began_s = time.monotonic()

    def reporter(unit: str, every: int) -> Callable[[int, Watch], None]:
        def report(done: int, watch: Watch) -> None:
            if done % every == 0:
                print(
                    f"{done:,} {unit} in {time.monotonic() - began_s:.0f} s, {watch.growth_bytes >> 20} MB more, "
                    f"longest batch {watch.longest_s:.2f} s",
                    file=sys.stderr,
                )

        return report

    print(f"seed {options.seed}")
    if options.records:
        print(dict(decode(options.records, options.seed, reporter("records", 500_000))))
    if options.streams:
        print(dict(streams(options.streams, options.seed, Models.load(ModelsConfig()), reporter("streams", 50))))
    print(f"{time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()

"""Decoding and scanning, on records of the demo recording and on copies of them with known damage."""

from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pymseed import DataEncoding, MS3Record
from tests.paths import RECORDING

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.records.miniseed import (
    BadRecord,
    Decoder,
    FailedRecord,
    Scanner,
    record_length,
    text_from_record,
)
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, len(DATA), 512)]
FIRST = DATA[:512]
LOCKED, CALIBRATION = 0x20, 0x01
ACTIVITY, CLOCK, QUALITY = 36, 37, 38  # bytes of the miniSEED 2 header
TIMING, ENCODING, LENGTH = 52, 60, 62  # and of the blockettes 1001 at 48 and 1000 at 56


def scan(data: bytes, chunk: int = 1 << 20) -> tuple[Scanner, list[tuple[int, bytes]]]:
    scanner = Scanner()
    found: list[tuple[int, bytes]] = []
    for k in range(0, len(data), chunk):
        found += scanner.feed(data[k : k + chunk])
    return scanner, found + list(scanner.finish())


def patched(record: bytes, at: int, new: bytes) -> bytes:
    return record[:at] + new + record[at + len(new) :]


def good(record: bytes) -> Packet:
    packet = Decoder().packet(record, 7, "0001F3")
    assert isinstance(packet, Packet), packet
    return packet


def made(samples: npt.NDArray[Any], kind: str, version: int, reclen: int = 512, **fields: object) -> list[bytes]:
    template = MS3Record(reclen=reclen)
    template.formatversion = version
    template.sourceid = "FDSN:XX_TEST_00_H_H_Z"
    template.starttime = ns_from_iso("2024-02-29T12:00:00.000001")
    template.samprate = 100.0
    template.encoding = {"i": DataEncoding.STEIM2, "f": DataEncoding.FLOAT32, "d": DataEncoding.FLOAT64}[kind]
    for name, value in fields.items():
        setattr(template, name, value)
    return list(template.generate(data_samples=samples, sample_type=kind))


def test_first_record_exactly() -> None:
    packet = good(FIRST)
    assert packet.source_id == SourceId("PB", "B921", "", "EHZ")
    assert packet.starttime_ns == ns_from_iso("2019-07-07T08:16:00.477986")
    assert packet.samples[:4].tolist() == [251, 548, 396, -382]
    assert packet.samples[-2:].tolist() == [3495, 3564]
    assert len(packet.samples) == 234
    assert packet.sampling_rate_hz == 100.0
    assert packet.samples.dtype == np.int32
    assert packet.flags == RecordFlag.NONE
    assert (packet.arrival_ns, packet.token) == (7, "0001F3")


def test_whole_recording() -> None:
    scanner, found = scan(DATA)
    assert (len(found), scanner.skipped_bytes, scanner.truncated_bytes) == (2733, 0, 0)
    decoder = Decoder()
    packets = [decoder.packet(record, 0) for _, record in found]
    assert sum(len(packet.samples) for packet in packets if isinstance(packet, Packet)) == 935_330
    starts = [packet.starttime_ns for packet in packets if isinstance(packet, Packet)]
    assert min(starts) >= ns_from_iso("2019-07-07T08:16:00")


def test_samples_as_obspy_reads_them() -> None:
    obspy = pytest.importorskip("obspy", reason="obspy is the oracle here; pip install obspy")
    decoder = Decoder()
    ours: dict[str, list[Packet]] = {}
    for _, record in scan(DATA)[1]:
        packet = decoder.packet(record, 0)
        assert isinstance(packet, Packet)
        ours.setdefault(str(packet.source_id), []).append(packet)
    for trace in obspy.read(str(RECORDING)):
        name = f"{trace.stats.network}_{trace.stats.station}_{trace.stats.location}_{trace.stats.channel}"
        packets = ours.pop(name)
        assert packets[0].starttime_ns == trace.stats.starttime.ns
        np.testing.assert_array_equal(np.concatenate([packet.samples for packet in packets]), trace.data)
    assert not ours


@pytest.mark.parametrize(
    ("at", "bits", "flags"),
    [
        (ACTIVITY, 0x01, RecordFlag.CALIBRATION),
        (QUALITY, 0x01, RecordFlag.SATURATED),
        (QUALITY, 0x02, RecordFlag.CLIPPED),
        (QUALITY, 0x04, RecordFlag.SPIKES),
        (QUALITY, 0x08, RecordFlag.SPIKES),  # glitches
        (QUALITY, 0x80, RecordFlag.TIME_QUESTIONABLE),
        (QUALITY, 0x83, RecordFlag.TIME_QUESTIONABLE | RecordFlag.SATURATED | RecordFlag.CLIPPED),
        (CLOCK, LOCKED, RecordFlag.NONE),
    ],
)
def test_flags_of_miniseed_2(at: int, bits: int, flags: RecordFlag) -> None:
    assert good(patched(FIRST, at, bytes([bits]))).flags == flags


@pytest.mark.parametrize(
    ("quality", "clock", "flags"),
    [
        (0, 0, RecordFlag.NONE),  # digitizers without information on their clock
        (100, 0, RecordFlag.NONE),  # most digitizers never set 'clock locked'
        (20, LOCKED, RecordFlag.TIME_QUESTIONABLE),
        (20, 0, RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED),
    ],
)
def test_timing_quality(quality: int, clock: int, flags: RecordFlag) -> None:
    assert struct.unpack_from(">H", FIRST, 48)[0] == 1001  # the blockette with the timing quality
    record = patched(patched(FIRST, TIMING, bytes([quality])), CLOCK, bytes([clock]))
    assert good(record).flags == flags


def test_flags_of_miniseed_3() -> None:
    extra = '{"FDSN":{"Time":{"Quality":10},"Flags":{"DigitizerClipping":true}}}'
    (record,) = made(np.arange(50, dtype=np.int32), "i", 3, flags=0x01, extra=extra)
    assert good(record).flags == (
        RecordFlag.CALIBRATION | RecordFlag.CLIPPED | RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED
    )


@pytest.mark.parametrize(("kind", "dtype"), [("i", np.int32), ("f", np.float32), ("d", np.float64)])
@pytest.mark.parametrize("version", [2, 3])
def test_sample_types(kind: str, dtype: type, version: int) -> None:
    samples: npt.NDArray[Any] = (np.arange(60) - 30).astype(dtype)
    (record,) = made(samples, kind, version, reclen=1024)
    packet = good(record)
    assert packet.samples.dtype == dtype
    assert packet.samples.flags.owndata
    assert packet.starttime_ns == ns_from_iso("2024-02-29T12:00:00.000001")
    np.testing.assert_array_equal(packet.samples, samples)


def test_negative_rate_is_a_period() -> None:
    (record,) = made(np.arange(5, dtype=np.int32), "i", 3, samprate=-10.0)
    assert good(record).sampling_rate_hz == pytest.approx(0.1)


def test_packets_do_not_share_memory() -> None:
    decoder = Decoder()
    first, second = decoder.packet(DATA[:512], 0), decoder.packet(DATA[512:1024], 0)
    assert isinstance(first, Packet) and isinstance(second, Packet)
    np.testing.assert_array_equal(first.samples, good(DATA[:512]).samples)


def _v3_with_rate(rate: float) -> bytes:
    (record,) = made(np.arange(5, dtype=np.int32), "i", 3)
    record = patched(record, 16, struct.pack("<d", rate))
    return patched(record, 28, struct.pack("<I", crc32c(patched(record, 28, bytes(4)))))


def crc32c(data: bytes) -> int:
    """Castagnoli, bit by bit: the checksum of a miniSEED 3 record."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (patched(FIRST, 32, struct.pack(">h", 0)), "sampling rate 0 Hz"),
        (_v3_with_rate(float("nan")), "sample rate: nan"),
        (_v3_with_rate(1e9), "sampling rate 1e+09 Hz"),
        (_v3_with_rate(float("-inf")), "sample rate: -inf"),
        (patched(FIRST, 20, struct.pack(">H", 2211)), "1970 to 2100"),
        (patched(FIRST, 20, struct.pack(">H", 1912)), "1970 to 2100"),
        (patched(FIRST, 30, struct.pack(">H", 0)), "no samples"),
        (patched(FIRST, 30, struct.pack(">H", 9000)), "cannot be decoded"),
        (patched(FIRST, 8, b"     "), "station"),
        (patched(FIRST, 200, bytes([FIRST[200] ^ 0x55])), "check value"),
        (b"\x00" * 512, "cannot be decoded"),
        (FIRST[:300], "cannot be decoded"),
        (b"", "cannot be decoded"),
    ],
)
def test_invalid_records_are_refused_with_a_reason(record: bytes, reason: str) -> None:
    bad = Decoder().packet(record, 0)
    assert isinstance(bad, BadRecord)
    assert reason in bad.reason
    assert bad.record == record


def test_a_decoder_works_after_bad_records() -> None:
    decoder = Decoder()
    for _ in range(3):
        assert isinstance(decoder.packet(b"\x00" * 512, 0), BadRecord)
        assert isinstance(decoder.packet(FIRST, 0), Packet)


def test_a_log_record_holds_no_samples() -> None:
    record = patched(patched(FIRST, ENCODING, b"\x00"), 30, struct.pack(">H", 3))  # encoding 0: text
    record = patched(record, 64, b"yes")
    bad = Decoder().packet(record, 0)
    assert isinstance(bad, BadRecord) and "text" in bad.reason
    assert text_from_record(record) == "yes"


@pytest.mark.parametrize("chunk", [1, 39, 511, 512, 4097])
def test_scanning_does_not_depend_on_the_pieces(chunk: int) -> None:
    data = DATA[:4096] + b"\xff" * 77 + DATA[4096:8192] + DATA[8192:8400]
    scanner, found = scan(data, chunk)
    assert [offset for offset, _ in found] == [*range(0, 4096, 512), *range(4096 + 77, 8192 + 77, 512)]
    assert b"".join(record for _, record in found) == DATA[:8192]
    assert (scanner.skipped_bytes, scanner.truncated_bytes) == (77, 208)


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 512, b"000001D " * 30, b"MS\x03" * 100, b"x", b"the quick brown fox", b"000001D B91"]
)
def test_the_next_good_record_is_found_after_garbage(garbage: bytes) -> None:
    scanner, found = scan(DATA[:1024] + garbage + DATA[1024:2048])
    decoder = Decoder()
    packets = [p for _, r in found if isinstance(p := decoder.packet(r, 0), Packet)]
    assert len(packets) == 4
    assert scanner.skipped_bytes + 512 * (len(found) - 4) == len(garbage)


def test_garbage_before_and_after() -> None:
    scanner, found = scan(b"\x01" * 1000 + DATA[:512] + b"\x02" * 1000)
    assert [offset for offset, _ in found] == [1000]
    assert scanner.skipped_bytes == 2000


@pytest.mark.parametrize("exponent", [10, 12, 16])
def test_a_length_beyond_the_next_header_is_ignored(exponent: int) -> None:
    forged = patched(DATA[512:1024], LENGTH, bytes([exponent]))
    scanner, found = scan(DATA[:512] + forged + DATA[1024:4096])
    assert [offset for offset, _ in found] == [0, *range(1024, 4096, 512)]
    assert (scanner.forged_lengths, scanner.skipped_bytes) == (1, 512)


def test_a_length_that_is_too_short_loses_one_record() -> None:
    forged = patched(DATA[512:1024], LENGTH, b"\x07")
    scanner, found = scan(DATA[:512] + forged + DATA[1024:2048])
    decoder = Decoder()
    assert [isinstance(decoder.packet(record, 0), Packet) for _, record in found] == [True, False, True, True]
    assert scanner.skipped_bytes == 384


def test_a_truncated_last_record_with_a_forged_length() -> None:
    forged = patched(DATA[512:1024], LENGTH, b"\x10")
    scanner, found = scan(DATA[:512] + forged)
    assert len(found) == 1
    assert scanner.truncated_bytes == 512


@pytest.mark.parametrize("exponent", range(7, 17))
@pytest.mark.parametrize("version", [2, 3])
def test_record_lengths(exponent: int, version: int) -> None:
    samples = np.random.default_rng(exponent).integers(-(2**25), 2**25, 40_000).astype(np.int32)
    records = made(samples, "i", version, reclen=1 << exponent)
    scanner, found = scan(b"".join(records), 5000)
    assert [record for _, record in found] == records
    assert scanner.skipped_bytes == scanner.truncated_bytes == 0
    np.testing.assert_array_equal(np.concatenate([good(record).samples for _, record in found]), samples)


def test_records_that_do_not_state_their_length() -> None:
    # without blockette 1000 the encoding is unknown as well: each record is found and refused
    bare = [patched(patched(DATA[k : k + 512], 39, b"\x00"), 46, b"\x00\x00") for k in (0, 512, 1024)]
    scanner, found = scan(b"".join(bare) + FIRST)
    assert [len(record) for _, record in found] == [512] * 4
    assert scanner.skipped_bytes == 0
    assert isinstance(Decoder().packet(found[3][1], 0), Packet)


def test_little_endian_headers() -> None:
    obspy = pytest.importorskip("obspy", reason="obspy writes the little-endian file")
    import io

    stream = obspy.read(io.BytesIO(DATA[:512]))
    out = io.BytesIO()
    stream.write(out, format="MSEED", byteorder="<", reclen=512)
    _, found = scan(out.getvalue())
    samples = np.concatenate([good(record).samples for _, record in found])
    np.testing.assert_array_equal(samples, good(FIRST).samples)


def test_length_is_unknown_before_the_header_is_complete() -> None:
    assert record_length(FIRST[:50], 0) is None
    assert record_length(FIRST[:64], 0) == 512


def test_no_bytes_raise_an_error() -> None:
    rng = random.Random(20190707)
    decoder = Decoder()
    n_good = 0
    for _ in range(1500):
        start = 512 * rng.randrange(2700)
        data = bytearray(DATA[start : start + 2048])
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = rng.randrange(len(data) // 2, len(data))
        scanner, found = scan(bytes(data[:cut]), rng.choice([64, 500, 4096]))
        total = sum(len(record) for _, record in found)
        assert total + scanner.skipped_bytes + scanner.truncated_bytes == cut
        for _, record in found:
            packet = decoder.packet(record, 0)
            n_good += isinstance(packet, Packet)
            decoder.header(record)
    assert n_good > 500  # of about 4,500; the check value detects most changes


@pytest.mark.parametrize(
    ("cut", "chunk"),
    [(100, 100), (400, 100), (100, 512), (400, 512), (1, 1 << 20), (7, 1 << 20), (400, 1 << 20)],
)
def test_a_record_with_missing_bytes_loses_no_other_record(cut: int, chunk: int) -> None:
    data = b"".join(RECORDS[:5]) + RECORDS[5][: 512 - cut] + b"".join(RECORDS[6:12])
    scanner, found = Scanner(), []
    for k in range(0, len(data), chunk):
        found += [record for _, record in scanner.feed(data[k : k + chunk])]
    found += [record for _, record in scanner.finish()]
    assert found == RECORDS[:5] + RECORDS[6:12]
    assert scanner.skipped_bytes == 512 - cut


def test_a_record_without_a_length_before_neighbours_that_are_not_aligned() -> None:
    broken = RECORDS[0][:46] + b"\0\0" + RECORDS[0][48:300]  # no blockette
    data = broken + b"".join(RECORDS[1:4])
    scanner = Scanner()
    found = [record for _, record in scanner.feed(data)] + [record for _, record in scanner.finish()]
    assert found == RECORDS[1:4]


@pytest.mark.parametrize(("kind", "bits"), [("f", np.uint32(0x7F800001)), ("d", np.uint64(0x7FF0000000000001))])
def test_signaling_nans_become_quiet_ones(kind: str, bits: np.unsignedinteger[Any]) -> None:
    """numpy warns where it converts a signaling NaN, and warnings must not depend on what a digitizer sends."""
    (record,) = made(np.arange(40).astype(f"{kind}{bits.itemsize}" if kind == "f" else np.float64), kind, 3)
    at = record.index(b"H_Z") + 3 + 8 * bits.itemsize
    samples = good(patched(patched(record, 28, bytes(4)), at, bits.tobytes())).samples
    assert list(np.flatnonzero(np.isnan(samples))) == [8]
    assert samples.view(bits.dtype)[8] == np.array([np.nan], samples.dtype).view(bits.dtype)[0]


@pytest.mark.parametrize(("kind", "dtype"), [("f", np.float32), ("d", np.float64), ("i", np.int32)])
def test_the_checksum_of_version_3_is_checked(kind: str, dtype: type[np.generic]) -> None:
    """Floats have no check value of their own, as the compressed integers have."""
    (record,) = made(np.arange(40).astype(dtype), kind, 3)
    at = len(record) - 9
    damaged = patched(record, at, bytes([record[at] ^ 0x10]))
    for decode in (lambda r: Decoder().packet(r, 0), Decoder().header):
        bad = decode(damaged)
        assert isinstance(bad, BadRecord) and "CRC is invalid" in bad.reason
    assert len(good(patched(record, 28, bytes(4))).samples) == 40  # its writer has computed none


def nested(levels: int, inner: str = "") -> str:
    return '{"FDSN":{"Time":{"Quality":10}},"X":' + "[" * levels + inner + "]" * levels + "}"


def version_3_with_extra(extra: str) -> bytes:
    """A record of 10 samples with extra headers that libmseed would refuse to write."""
    plain = made(np.arange(10, dtype=np.int32), "i", 3)[0]
    id_length, _, data_length = struct.unpack_from("<BHI", plain, 33)
    text = extra.encode()
    head = plain[:28] + b"\0" * 4 + plain[32:34] + struct.pack("<HI", len(text), data_length)
    record = head + plain[40 : 40 + id_length] + text + plain[40 + id_length :]
    return record[:28] + struct.pack("<I", crc32c(record)) + record[32:]


@pytest.mark.parametrize("levels", [65, 1100, 30_000])
def test_deeply_nested_extra_headers_are_refused(levels: int) -> None:
    """Python's parser raises RecursionError for them."""
    record, decoder = version_3_with_extra(nested(levels)), Decoder()
    for bad in (decoder.packet(record, 0), decoder.header(record)):
        assert isinstance(bad, BadRecord) and bad.reason == "its extra headers are nested more than 64 levels deep"


@pytest.mark.parametrize("extra", [nested(60), nested(1, ",".join(["[]"] * 2000)), nested(1, '{"a":{}}')])
def test_flat_extra_headers_are_read(extra: str) -> None:
    assert good(version_3_with_extra(extra)).flags == RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED


@pytest.mark.parametrize("extra", ["{", '{"FDSN":7}', '{"FDSN":{"Time":{"Quality":' + "9" * 5000 + "}}}"])
def test_extra_headers_that_are_not_as_defined_are_ignored(extra: str) -> None:
    assert good(version_3_with_extra(extra)).flags == RecordFlag.NONE


def test_an_exception_becomes_a_failed_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> RecordFlag:
        raise ZeroDivisionError("x" * 1000 + "\nsecond line")

    monkeypatch.setattr("seisedge.runtime.records.miniseed._record_flags", failing)
    decoder = Decoder()
    for bad in (decoder.packet(FIRST, 0), decoder.header(FIRST)):
        assert isinstance(bad, FailedRecord) and bad.record == FIRST
        assert bad.reason == f"decoding raised ZeroDivisionError ({'x' * 200})"


def test_a_refused_record_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Decoder()
    decoder.refusal = lambda record: "it is refused" if record == FIRST else None
    assert isinstance(decoder.packet(RECORDS[1], 0), Packet) and decoder.record == RECORDS[1]
    monkeypatch.setattr(decoder._parser, "parse", None)  # calling it would raise TypeError
    assert decoder.packet(FIRST, 0) == BadRecord(FIRST, "it is refused")


@pytest.mark.parametrize("piece", [100, 512, 515, 700])
@pytest.mark.parametrize("samples", [b"\x00\x005\x00\x00\x00D\x00", b"MS\x03\x00\xff\xff\xff\xff"])
def test_samples_that_look_like_a_header_do_not_cut_a_record(samples: bytes, piece: int) -> None:
    record = bytearray(RECORDS[0])
    record[200:240] = samples + bytes(32)
    stream, scanner, found = bytes(record) * 3, Scanner(), []
    for k in range(0, len(stream), piece):
        found += [offset for offset, _ in scanner.feed(stream[k : k + piece])]
    assert [*found, *(offset for offset, _ in scanner.finish())] == [0, 512, 1024]

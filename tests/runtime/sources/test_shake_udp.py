"""Raspberry Shake's UDP packets, sent by hand and by the virtual Shake."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from tests.paths import RECORDING

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import ConnectError, FailedError, InputError
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.replay.shake import ShakeSender, datagram, shake_packets
from seisedge.runtime.sources import open_source, shake_udp
from seisedge.runtime.sources.shake_udp import ShakeAddress, ShakeUdpSource, address_from_url, datagram_from_bytes

DATA = RECORDING.read_bytes()
B918 = [DATA[k : k + 512] for k in range(0, 512 * 100, 512) if DATA[k + 8 : k + 12] == b"B918"]
REAL = b"{'EHZ', 1582315130.292, 14168, 14927, -16112, 17537}"
T0_NS = ns_from_iso("2020-02-21T19:58:50.292")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "b918.mseed"
    path.write_bytes(b"".join(B918))
    return path


@pytest.fixture
def source() -> Iterator[ShakeUdpSource]:
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&rate=100&listen=127.0.0.1") as one:
        yield one


class Hand:
    """Sends datagrams to a source, from an address of choice."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(self, source: ShakeUdpSource, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.connect(("127.0.0.1", source.port))
        self.opened.append(self.socket)

    def send(self, *datagrams: bytes) -> None:
        for data in datagrams:
            self.socket.send(data)


@pytest.fixture(autouse=True)
def closed_hands() -> Iterator[None]:
    yield
    while Hand.opened:
        Hand.opened.pop().close()


def made(k: int, channel: str = "EHZ", n: int = 25, rate_hz: float = 100.0) -> bytes:
    return datagram(channel, T0_NS + round(k * n * 1e9 / rate_hz), np.arange(k * n, (k + 1) * n, dtype=np.int32))


def take(source: ShakeUdpSource, count: int) -> list[Packet]:
    found: list[Packet] = []
    for p in source.packets():
        if p is not None:
            found.append(p)
        if len(found) == count:
            break
    return found


def test_one_packet(source: ShakeUdpSource) -> None:
    Hand(source).send(REAL)
    (p,) = take(source, 1)
    assert str(p.source_id) == "AM_R1234_00_EHZ"
    assert p.starttime_ns == T0_NS
    assert p.samples.tolist() == [14168, 14927, -16112, 17537]
    assert (p.sampling_rate_hz, p.token, p.endtime_ns - p.starttime_ns) == (100.0, "", 40_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        REAL[:-1],
        REAL[1:],
        b"{'EHZ', 1582315130.292}",
        b"{'EHZ', 1582315130.292, }",
        b"{'EHZ', 1582315130.292, 1.5}",
        b"{'EHZ', -5.0, 1, 2}",
        b"{'EHZ', 1e9, 1, 2}",
        b"{'EHZ', 99999999999.0, 1, 2}",
        b"{'EHZ', 1582315130.292, 99999999999}",
        b"{'EHZ', 1582315130.292, 3000000000}",
        b"{'ehz', 1582315130.292, 1}",
        b"\xff" * 200,
        b"{" * 10_000,
        b"{'EHZ', 1582315130.292" + b", 1" * 3000,
    ],
)
def test_invalid_packets(data: bytes) -> None:
    assert isinstance(datagram_from_bytes(data), str)


@pytest.mark.parametrize("data", [REAL + b"\r\n", REAL.replace(b", ", b","), b" { 'EHZ' , 1582315130.292 ,1 , 2 } "])
def test_other_spacing(data: bytes) -> None:
    assert not isinstance(datagram_from_bytes(data), str)


def test_malformed_packets_are_set_aside_and_term_is_ignored(source: ShakeUdpSource) -> None:
    quarantine: list[bytes] = []
    source.on_bad_record = lambda bad: quarantine.append(bad.record)
    Hand(source).send(made(0), b"TERM", REAL[:-1], b"TERM\n", made(1))
    assert [int(p.samples[0]) for p in take(source, 2)] == [0, 25]
    assert quarantine == [REAL[:-1]]
    assert source.counters.bad_records == 1


def test_interleaved_and_late_packets_keep_their_order(source: ShakeUdpSource) -> None:
    Hand(source).send(made(0), made(0, "EHN"), made(2), made(1, "EHN"), made(1))
    found = [(p.source_id.channel, int(p.samples[0])) for p in take(source, 5)]
    assert found == [("EHZ", 0), ("EHN", 0), ("EHZ", 50), ("EHN", 25), ("EHZ", 25)]


def test_only_the_first_sender_is_used(source: ShakeUdpSource, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = Hand(source), Hand(source, "127.0.0.2")
    theirs.send(b"no packet")  # a sender of invalid packets is not selected
    ours.send(made(0))
    take(source, 1)
    theirs.send(made(7), made(8))
    ours.send(made(1))
    assert [int(p.samples[0]) for p in take(source, 1)] == [25]
    assert source.counters.foreign == 2
    assert caplog.text.count("dropping packets of 127.0.0.2; only those of 127.0.0.1 are used") == 1


def test_only_the_sender_of_the_url_is_used() -> None:
    with ShakeUdpSource("shake-udp://127.0.0.2:0?station=AM_R1234&rate=100&listen=127.0.0.1") as source:
        Hand(source).send(made(0))
        Hand(source, "127.0.0.2").send(made(1))
        assert [int(p.samples[0]) for p in take(source, 1)] == [25]
        assert source.counters.foreign == 1


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0])
def test_the_rate_is_inferred_and_no_packet_is_lost(rate_hz: float) -> None:
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        sent = [0, 1, 2, 4, 5, 6, 7, 8]  # one packet is lost
        Hand(source).send(*(made(k, rate_hz=rate_hz) for k in sent))
        packets = take(source, len(sent))
    assert {p.sampling_rate_hz for p in packets} == {rate_hz}
    assert [int(p.samples[0]) for p in packets] == [25 * k for k in sent]


def test_an_unusual_rate_is_refused() -> None:
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        Hand(source).send(*(made(k, rate_hz=70) for k in range(shake_udp.MAX_RATE_INTERVALS + 1)))
        with pytest.raises(FailedError, match=r"have 70\.\d+ Hz, not a usual sampling rate; give it as rate=HZ"):
            take(source, 1)


def rates(source: ShakeUdpSource, sent: list[int], *, rate_hz: float = 100.0, channel: str = "EHZ") -> list[float]:
    """The rates of the packets that the source gives for the numbered packets."""
    Hand(source).send(*(made(k, channel, rate_hz=rate_hz) for k in sent))
    return [p.sampling_rate_hz for p in take(source, len(sent))]


def test_a_rate_inferred_during_packet_loss_is_corrected(caplog: pytest.LogCaptureFixture) -> None:
    """Every second packet of the first 3 s is lost: 100 Hz look like 50 Hz."""
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        assert set(rates(source, list(range(0, 14, 2)))) == {50.0}
        found = rates(source, list(range(14, 40)))
        assert found == [50.0] * 6 + [100.0] * 20  # from the interval that is the sixth to agree
        assert source.counters.rate_corrections == 1
        assert "sampling rate corrected from 50 to 100 Hz" in caplog.text
        losses = [k for k in range(40, 400) if k % 3]  # from now on every third packet is lost
        assert set(rates(source, losses)) == {100.0} and source.counters.rate_corrections == 1


def test_a_rate_that_is_lowered_at_the_sender_is_followed() -> None:
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        assert set(rates(source, list(range(10)))) == {100.0}
        after = 5 + shake_udp.LOWER_AFTER  # the packets of the other rate begin 10 intervals of 0.5 s later
        found = rates(source, list(range(5, 5 + after)), rate_hz=50.0)
        assert found[:-6] == [100.0] * (after - 6) and found[-1] == 50.0


def test_times_with_jitter_change_no_rate() -> None:
    rng = np.random.default_rng(0)
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        late_ns = rng.normal(0, 3e6, 500).astype(int)
        hand = Hand(source)
        for k in range(500):
            hand.send(datagram("EHZ", T0_NS + k * 250_000_000 + int(late_ns[k]), np.arange(25, dtype=np.int32)))
        assert {p.sampling_rate_hz for p in take(source, 500)} == {100.0}
        assert source.counters.rate_corrections == 0


def test_a_rate_of_the_url_is_used_and_a_difference_logged_once(
    source: ShakeUdpSource, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(rates(source, list(range(20)), rate_hz=200.0)) == {100.0}
    assert caplog.text.count("the packets have 200 Hz; rate=100 is used") == 1


def test_packets_lost_at_the_start_do_not_end_the_run() -> None:
    """Two of three packets are lost: no usual rate fits until the loss ends."""
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        assert set(rates(source, [*range(0, 30, 3), *range(30, 50)])) == {100.0}


def test_packets_that_give_no_rate_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a Shake whose clock stands still."""
    monkeypatch.setattr(shake_udp, "MAX_WAITING_FOR_RATE", 30)
    with ShakeUdpSource("shake-udp://:0?station=AM_R1234&listen=127.0.0.1") as source:
        Hand(source).send(*[made(0)] * 40, *(made(k) for k in range(1, 7)))
        packets = take(source, 31)
    assert [int(p.samples[0]) for p in packets] == [0] * 25 + [25 * k for k in range(1, 7)]
    assert source.counters.dropped == 15 and {p.sampling_rate_hz for p in packets} == {100.0}


def test_a_datagram_that_is_too_long_is_set_aside(source: ShakeUdpSource) -> None:
    long = b"{'EHZ', 1582315130.292" + b", 100000" * 2000 + b"}"
    Hand(source).send(long, made(1))
    assert [int(p.samples[0]) for p in take(source, 1)] == [25]
    assert source.counters.bad_records == 1


def test_another_sender_is_used_after_a_silence(
    source: ShakeUdpSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = Hand(source), Hand(source, "127.0.0.2")
    ours.send(made(0))
    theirs.send(made(7))  # dropped: the first sender is not silent
    ours.send(made(1))
    assert [int(p.samples[0]) for p in take(source, 2)] == [0, 25]
    monkeypatch.setattr(shake_udp, "SENDER_SILENCE_S", -1.0)
    theirs.send(b"no packet", made(2))  # an invalid packet selects no sender
    assert [int(p.samples[0]) for p in take(source, 1)] == [50]
    monkeypatch.undo()
    ours.send(made(8))
    theirs.send(made(3))
    assert [int(p.samples[0]) for p in take(source, 1)] == [75]
    assert source.counters.foreign == 2 and source.counters.sender_changes == 1
    assert "no packet from 127.0.0.1 for 0 s; now using those of 127.0.0.2" in caplog.text


def test_an_address_in_the_url_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shake_udp, "SENDER_SILENCE_S", -1.0)
    with ShakeUdpSource("shake-udp://127.0.0.2:0?station=AM_R1234&rate=100&listen=127.0.0.1") as source:
        Hand(source).send(made(0))
        Hand(source, "127.0.0.2").send(made(1))
        assert [int(p.samples[0]) for p in take(source, 1)] == [25]
        assert source.counters.sender_changes == 0


def test_a_name_in_the_url_is_looked_up_again_during_a_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = itertools.chain(["127.0.0.1"], itertools.repeat("127.0.0.2"))
    monkeypatch.setattr(shake_udp, "addresses_of", lambda _host: frozenset([next(addresses)]))
    monkeypatch.setattr(shake_udp, "SENDER_SILENCE_S", 0.0)
    with ShakeUdpSource("shake-udp://shake.local:0?station=AM_R1234&rate=100&listen=127.0.0.1") as source:
        ours, theirs, stream = Hand(source), Hand(source, "127.0.0.2"), source.packets()
        ours.send(made(0))
        assert next(p for p in stream if p is not None).samples[0] == 0
        while "the address of shake.local is now 127.0.0.2" not in caplog.text:
            assert next(stream) is None
        theirs.send(made(1))
        assert next(p for p in stream if p is not None).samples[0] == 25


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("shake-udp://[::1]:0?station=AM_R1234&rate=100", ["::1"]),
        ("shake-udp://:0?station=AM_R1234&rate=100&listen=[::1]", ["::1"]),
        ("shake-udp://:0?station=AM_R1234&rate=100&listen=::", ["::1"]),
        ("shake-udp://127.0.0.1:0?station=AM_R1234&rate=100&listen=::", ["127.0.0.1"]),
    ],
)
def test_ipv6(url: str, hosts: list[str]) -> None:
    with ShakeUdpSource(url) as source:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as hand:
                hand.sendto(made(0), (host, source.port))
            assert [int(p.samples[0]) for p in take(source, 1)] == [0]
        assert source.counters.foreign == 0


def test_ticks_until_the_first_packet(source: ShakeUdpSource) -> None:
    stream = source.packets()
    assert next(stream) is None
    Hand(source).send(made(0))
    assert any(p is not None for p in (next(stream), next(stream)))


def test_no_packet_until_the_timeout() -> None:
    url = "shake-udp://:0?station=AM_R1234&listen=127.0.0.1"
    with (
        open_source(url, connect_timeout_s=0.1) as source,
        pytest.raises(ConnectError, match=r"no packet within 0\.1 s"),
    ):
        next(p for p in source.packets() if p is not None)


def test_the_start_and_end_of_a_silence_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    url = "shake-udp://:0?station=AM_R1234&rate=100&listen=127.0.0.1"
    with open_source(url, data_timeout_s=0.1) as source, caplog.at_level(logging.INFO):
        assert isinstance(source, ShakeUdpSource)
        hand, stream = Hand(source), source.packets()
        for _ in range(3):
            assert next(stream) is None
        hand.send(made(0))
        while next(stream) is None:
            pass
    assert caplog.text.count("no packet for") == 1
    assert "packets again" in caplog.text


def test_a_port_in_use(source: ShakeUdpSource) -> None:
    url = f"shake-udp://:{source.port}?station=AM_R1234&listen=127.0.0.1"
    with pytest.raises(FailedError, match=f"cannot listen on 127.0.0.1 port {source.port}"):
        open_source(url).open()
    with pytest.raises(InputError, match=r"the host 'no-such-host.invalid' is unknown; give an address of this"):
        open_source("shake-udp://:0?station=AM_R1234&listen=no-such-host.invalid").open()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("shake-udp://:8888?station=AM_R1234", ShakeAddress("", 8888, "AM", "R1234")),
        ("shake-udp://rs.local?station=AM_R1234", ShakeAddress("rs.local", 8888, "AM", "R1234")),
        (
            "shake-udp://:9999?station=XX_ABC&rate=50&location=--&listen=10.0.0.1",
            ShakeAddress("", 9999, "XX", "ABC", "", 50.0, "10.0.0.1"),
        ),
    ],
)
def test_urls(url: str, address: ShakeAddress) -> None:
    assert address_from_url(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("shake-udp://:8888", "for example station=AM_R1234"),
        ("shake-udp://:8888?station=R1234", "for example station=AM_R1234"),
        ("shake-udp://:8888/AM_R1234", "the station must be a key"),
        ("shake-udp://:88888?station=AM_R1234", "the port must be a number from 1 to 65535"),
        ("shake-udp://:8888?station=AM_R1234&rate=fast", "rate=fast must be a sampling rate"),
        ("shake-udp://:8888?station=AM_R1234&rate=0", "rate=0 must be a sampling rate"),
        ("shake-udp://:8888?statoin=AM_R1234", "unknown key 'statoin'"),
    ],
)
def test_invalid_urls(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(url)


def test_until_end_is_refused() -> None:
    with pytest.raises(InputError, match="a UDP stream has no end"):
        open_source("shake-udp://:8888?station=AM_R1234", until_end=True)


def test_the_virtual_shake_sends_every_sample(recording: Path, source: ShakeUdpSource) -> None:
    sender = ShakeSender(recording, ("127.0.0.1", source.port), speed=200)
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    with open_source(recording) as file:
        wanted = [p for p in file.packets() if p is not None]
    count = sum(1 for _ in shake_packets(Recording([recording], 512).stations[0]))
    packets = take(source, count)
    for channel in ("EHZ", "EH1", "EH2"):
        ours = [p for p in packets if p.source_id.channel == channel]
        theirs = [p for p in wanted if p.source_id.channel == channel]
        assert all(len(p.samples) == 25 for p in ours[:-1])
        np.testing.assert_array_equal(
            np.concatenate([p.samples for p in ours]), np.concatenate([p.samples for p in theirs])
        )
        assert ours[0].starttime_ns == round(theirs[0].starttime_ns / 1e6) * 10**6


@pytest.mark.parametrize(
    ("paths", "speed", "message"),
    [
        (RECORDING, 1.0, "sends one station, .* the data are of PB.B918, PB.B921; give data of one station"),
        (None, 0.0, "speed 0: must be from 1e-06"),
    ],
)
def test_unusable_recordings(paths: Path | None, speed: float, message: str, recording: Path) -> None:
    with pytest.raises(InputError, match=message):
        ShakeSender(paths or recording, ("127.0.0.1", 8888), speed)

"""Raspberry Shake's UDP stream ("datacast"): ASCII packets of a quarter of a second, without history.

`{'EHZ', 1582315130.292, 14168, 14927, …}`: channel, time of the first sample in seconds (UTC, to the millisecond),
counts. https://manual.raspberryshake.org/udp.html
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import parse_qsl

import numpy as np

from seisedge.runtime.addresses import host_fault
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import ConnectError, FailedError, InputError
from seisedge.runtime.listening import cannot_listen
from seisedge.runtime.records.codes import LOCATION, location_from_text, station_from_text
from seisedge.runtime.records.miniseed import MAX_STARTTIME_NS, MIN_STARTTIME_NS, BadRecord
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.sources._base import TICK_S, Source
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._server_url import server_from_url
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.threads import start_task, start_worker
from seisedge.runtime.urls import shown_url

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8888
MAX_DATAGRAM_BYTES = 8192  # a Shake sends some hundred; a longer one is set aside
MAX_CHANNELS = 64  # whose packets are used to infer the rate; a Shake has up to four
MAX_WAITING = 8192  # datagrams between the socket and the station: minutes of a four-channel Shake
MAX_WAITING_FOR_RATE = 1000  # datagrams before the rate is inferred: those of a clock that stands still infer none
RECEIVE_BUFFER_BYTES = 1 << 22  # requested; the system may grant less
RATE_INTERVALS = 6  # between packets of one channel, before the sampling rate is inferred
MAX_RATE_INTERVALS = 60  # without a usual rate, before the run ends: packets lost at the start give any rate
HIGHER_OF = 24  # RATE_INTERVALS of this many that agree on a higher rate show that the present one is wrong
LOWER_AFTER = 120  # intervals, about 30 s, that agree on a lower rate show the same; packet loss rarely lasts so long
RATES_HZ = (10.0, 20.0, 25.0, 40.0, 50.0, 80.0, 100.0, 120.0, 125.0, 200.0, 250.0, 500.0)
RATE_TOLERANCE = 0.03
SENDER_SILENCE_S = 10.0  # of the selected sender, after which another one is used
TERM = b"TERM"  # sent at their end by programs that forward the stream

_FORM = "shake-udp://[sender]:8888?station=AM_R1234"
_KEYS = ("station", "location", "rate", "listen")
_DATAGRAM = re.compile(
    rb"\s*\{\s*'([A-Z0-9]{1,8})'\s*,\s*([0-9]{1,11})(?:\.([0-9]{1,9})[0-9]*)?((?:\s*,\s*-?[0-9]{1,10})+)\s*\}\s*"
)
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class ShakeAddress:
    """Address and station of a URL. sender: '' for the first one received. rate_hz: None to infer it."""

    sender: str
    port: int
    network: str
    station: str
    location: str = "00"
    rate_hz: float | None = None
    listen: str = ""  # all interfaces, by IPv6 if the sender has such an address: the Shake is another machine


@dataclass(frozen=True, slots=True)
class Datagram:
    """Contents of one packet."""

    channel: str
    starttime_ns: int
    samples: np.ndarray[tuple[int], np.dtype[np.int32]]


def address_from_url(url: str) -> ShakeAddress:
    """Raises InputError that names the invalid part of the URL and the expected form."""
    parts, sender, port = server_from_url(url, _FORM)
    shown = shown_url(url)
    if parts.path.strip("/"):
        raise InputError(f"{shown}: the station must be a key, since the packets do not state it: {_FORM}")
    values = dict(parse_qsl(parts.query, keep_blank_values=True))
    for key in values:
        if key not in _KEYS:
            raise InputError(f"{shown}: unknown key '{key}'; {suggestion(key, _KEYS)}")
    codes = station_from_text(values.get("station", ""))
    if codes is None:
        raise InputError(f"{shown}: the packets do not state the station; add it, for example station=AM_R1234")
    location = location_from_text(values.get("location", "00"))
    if not re.fullmatch(LOCATION, location):
        raise InputError(f"{shown}: location={location} must have at most 8 capital letters, digits or dashes")
    rate_hz: float | None = None
    if "rate" in values:
        try:
            rate_hz = float(values["rate"])
        except ValueError:
            rate_hz = 0.0
        if not 1 <= rate_hz <= 1000:
            raise InputError(f"{shown}: rate={values['rate']} must be a sampling rate from 1 to 1000 Hz")
    listen = values.get("listen", "").strip("[]")
    if listen and (fault := host_fault(listen)):
        raise InputError(f"{shown}: listen: {fault}")
    if is_address(listen) and is_address(sender) and ":" in sender and ":" not in listen:
        raise InputError(f"{shown}: listen={listen} is an IPv4 address, the sender {sender} an IPv6 address")
    return ShakeAddress(sender, DEFAULT_PORT if port is None else port, *codes, location, rate_hz, listen)


def datagram_from_bytes(data: bytes) -> Datagram | str:
    """Parse one packet; returns the reason as text if it is invalid."""
    match = _DATAGRAM.fullmatch(data)
    if match is None:
        return "it is not a packet of a Raspberry Shake"
    seconds, fraction = int(match[2]), (match[3] or b"").ljust(9, b"0")
    starttime_ns = seconds * NS_PER_S + int(fraction)
    if not MIN_STARTTIME_NS <= starttime_ns < MAX_STARTTIME_NS:
        return "start time outside the years 1970 to 2100"
    values = [int(text) for text in match[4].split(b",")[1:]]
    if min(values) < _INT32.min or max(values) > _INT32.max:
        return "a sample has more than 32 bits"
    return Datagram(match[1].decode("ascii"), starttime_ns, np.array(values, dtype=np.int32))


class _RateFinder:
    """Infers the sampling rate from times and sizes of packets, and checks it as long as packets arrive.

    A packet states the time of its first sample only. The interval to the next packet of the channel gives the rate if
    no packet between them was lost; each lost packet makes the estimate lower, never higher. A higher rate therefore
    needs few intervals that agree on it, a lower one needs many.
    """

    def __init__(self, rate_hz: float | None = None) -> None:
        self.rate_hz = rate_hz
        self.waiting: list[tuple[Datagram, int]] = []  # until a rate is inferred
        self._last: dict[str, Datagram] = {}
        self._estimates: list[float] = []  # until a rate is inferred, of all channels
        self._usual: dict[str, deque[float]] = {}  # by channel: usual rates of the last intervals, 0 for another one

    def add(self, datagram: Datagram, arrival_ns: int) -> float | None:
        """Keep a packet; returns the rate once it is known. Raises FailedError if no usual rate fits."""
        self.waiting.append((datagram, arrival_ns))
        estimate_hz = self._estimate(datagram)
        if estimate_hz is None:
            return None
        self._estimates.append(estimate_hz)
        if len(self._estimates) < RATE_INTERVALS:
            return None
        measured_hz = sorted(self._estimates)[len(self._estimates) // 2]
        self.rate_hz = _usual_rate(measured_hz) or None
        if self.rate_hz is None and len(self._estimates) >= MAX_RATE_INTERVALS:
            raise FailedError(f"the packets have {measured_hz:.2f} Hz, not a usual sampling rate; give it as rate=HZ")
        return self.rate_hz

    def check(self, datagram: Datagram) -> float | None:
        """Check the rate with a packet; returns another one if the packets of its channel show that."""
        assert self.rate_hz is not None
        estimate_hz = self._estimate(datagram)
        if estimate_hz is None:
            return None
        recent = self._usual.setdefault(datagram.channel, deque(maxlen=LOWER_AFTER))
        recent.append(_usual_rate(estimate_hz))
        counts = Counter(list(recent)[-HIGHER_OF:])
        higher = [rate_hz for rate_hz, count in counts.items() if rate_hz > self.rate_hz and count >= RATE_INTERVALS]
        lower = set(recent) if len(recent) == LOWER_AFTER else set()
        found_hz = max(higher) if higher else lower.pop() if len(lower) == 1 else 0.0
        if found_hz in (0.0, self.rate_hz):
            return None
        self.rate_hz = found_hz
        self._usual.clear()
        return found_hz

    def _estimate(self, datagram: Datagram) -> float | None:
        """The rate by the interval to the channel's packet before; None without one, and for a packet that is late."""
        last = self._last.get(datagram.channel)
        if len(self._last) < MAX_CHANNELS or last is not None:
            self._last[datagram.channel] = datagram
        if last is None or datagram.starttime_ns <= last.starttime_ns:
            return None
        return len(last.samples) * NS_PER_S / (datagram.starttime_ns - last.starttime_ns)


def _usual_rate(measured_hz: float) -> float:
    """The usual rate within RATE_TOLERANCE of a measured one; 0 if there is none."""
    nearest_hz = min(RATES_HZ, key=lambda rate_hz: abs(rate_hz - measured_hz))
    return nearest_hz if abs(nearest_hz - measured_hz) <= RATE_TOLERANCE * nearest_hz else 0.0


class ShakeUdpSource(Source):
    """The UDP stream of one Raspberry Shake.

    Waits for the first packet without limit, or for `connect_timeout_s` (then ConnectError). Only packets of one sender
    are used, that of the URL or else the first; packets of others are counted and dropped. UDP has no history: packets
    have no token, and data sent while the source was not running are a gap.

    A Shake can get another address. If the URL names no sender and the present one is silent for SENDER_SILENCE_S, the
    sender of the next valid packet is used. If it names a host, the name is looked up again. An address in the URL
    is kept. UDP does not prove who sent a packet: whoever can send packets to the port from the address of the Shake,
    or during its silence, can send data; name the sender, and restrict the port by a firewall.

    The packets do not state the sampling rate: it is the URL's `rate`, or else inferred from the first packets, checked
    with each packet, and corrected. Packets of a corrected rate begin a new segment.
    Raises FailedError if the port cannot be opened or no usual rate fits.
    """

    live = True

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError for an invalid URL."""
        super().__init__(url)
        self.options = options if options is not None else SourceOptions()
        self.address = address_from_url(url)
        if self.options.until_end:
            raise InputError(
                f"{self.url}: --until-end cannot be used, since a UDP stream has no end; use --idle-exit S"
            )
        self._socket: socket.socket | None = None
        self._queue: SimpleQueue[tuple[bytes, str, int]] = SimpleQueue()
        self._closed = threading.Event()
        self._senders: frozenset[str] = frozenset()  # addresses of the selected sender
        self._accepted_ns = time.monotonic_ns()  # arrival of its last packet
        self._foreign_known = 0  # packets of other senders when that was last logged as a warning
        self._resolving: threading.Thread | None = None
        self._finder = _RateFinder(self.address.rate_hz)
        self._rate_logged = False

    @property
    def port(self) -> int:
        """The port; available after `open`."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def open(self) -> None:
        """Receive in a separate thread, so that no packet is lost during a long inference."""
        if self._socket is not None:
            return
        address = self.address
        try:
            self._senders = addresses_of(address.sender) if address.sender else frozenset()
        except OSError as error:
            raise FailedError(f"{self.url}: the host name {address.sender} is unknown") from error
        listen = address.listen or ("::" if any(":" in sender for sender in self._senders) else "0.0.0.0")
        link = socket.socket(socket.AF_INET6 if ":" in listen else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if link.family == socket.AF_INET6:
                link.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4, too
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            link.bind((listen, address.port))
        except (OSError, UnicodeError) as error:
            link.close()
            raise cannot_listen(self.url, listen, address.port, error) from error
        link.settimeout(TICK_S)
        self._socket = link
        logger.info("%s: waiting for packets on UDP port %d", self.url, self.port)
        start_worker("shake-udp", lambda: self._listen(link))

    def close(self) -> None:
        """End `packets`."""
        self._closed.set()

    def _listen(self, link: socket.socket) -> None:
        failed = False
        while not self._closed.is_set():
            try:
                data, address = link.recvfrom(MAX_DATAGRAM_BYTES)
            except TimeoutError:
                failed = False
                continue
            except OSError as error:
                logger.log(logging.DEBUG if failed else logging.WARNING, "%s: %s", self.url, error)
                failed = True
                self._closed.wait(TICK_S)
                continue
            if self._queue.qsize() < MAX_WAITING:
                self._queue.put((data, plain_address(address[0]), time.monotonic_ns()))
            else:
                self.counters.dropped += 1
        link.close()  # not after an exception: the restarted thread receives from it

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they arrive; None at least every TICK_S while none arrives."""
        self.open()
        self._accepted_ns = ticked_ns = time.monotonic_ns()
        silent = False
        while not self._closed.is_set():
            if self._queue.empty():
                self.idle_ns = time.monotonic_ns()
            try:
                received = self._queue.get(timeout=TICK_S)
            except Empty:
                received = None
            datagram = self._read(*received) if received is not None else None
            if received is None or datagram is None:
                now_ns = time.monotonic_ns()
                # also while only other senders are received
                if received is None or now_ns - ticked_ns >= TICK_S * NS_PER_S:
                    silent = self._note_silence((now_ns - self._accepted_ns) / NS_PER_S, silent)
                    ticked_ns = now_ns
                    yield None
                continue
            if silent:
                logger.info("%s: receiving packets again", self.url)
            self._accepted_ns, silent = received[2], False
            yield from self._with_rate(datagram, received[2])

    def _note_silence(self, age_s: float, silent: bool) -> bool:
        limit_s = self.options.connect_timeout_s
        if limit_s is not None and not self.counters.records and not self._finder.waiting and age_s > limit_s:
            raise ConnectError(
                f"{self.url}: no packet within {limit_s:g} s; check that the Shake sends to this machine and port"
            )
        if age_s > SENDER_SILENCE_S:
            self._look_up_again()
        if age_s > self.options.data_timeout_s and not silent:
            others = self.counters.foreign - self._foreign_known
            dropped = f"; {others} packets of other senders were dropped" if others else ""
            logger.warning("%s: no packet for %.0f s%s", self.url, age_s, dropped)
            self._foreign_known = self.counters.foreign
        return silent or age_s > self.options.data_timeout_s

    def _look_up_again(self) -> None:
        """Look up the sender of the URL in a thread of its own, if it is a name: its address may have changed."""
        name = self.address.sender
        if not name or is_address(name) or (self._resolving is not None and self._resolving.is_alive()):
            return

        def resolve() -> None:
            with contextlib.suppress(OSError):  # it is tried again while the silence lasts
                found = addresses_of(name)
                if found != self._senders:
                    logger.warning("%s: the address of %s is now %s", self.url, name, ", ".join(sorted(found)))
                    self.counters.sender_changes += 1
                    self._senders = found
            self._closed.wait(SENDER_SILENCE_S)

        self._resolving = start_task("shake-udp look-up", resolve, self._look_up_failed)

    def _look_up_failed(self, error: BaseException) -> None:
        logger.warning("%s: looking up %s raised %s", self.url, self.address.sender, type(error).__name__)

    def _read(self, data: bytes, host: str, arrival_ns: int) -> Datagram | None:
        if data.strip() == TERM:
            return None
        silence_s = max(arrival_ns - self._accepted_ns, 0) / NS_PER_S
        may_change = not self.address.sender and silence_s > SENDER_SILENCE_S
        if self._senders and host not in self._senders and not may_change:
            self.counters.foreign += 1
            if self.counters.foreign == 1:
                used = ", ".join(sorted(self._senders))
                logger.warning("%s: dropping packets of %s; only those of %s are used", self.url, host, used)
            return None
        datagram = datagram_from_bytes(data)
        if isinstance(datagram, str):
            self.set_aside(BadRecord(data, datagram), f"a packet from {host}")
            return None
        if not self._senders:
            logger.info("%s: receiving packets from %s", self.url, host)
        elif host not in self._senders:
            before = ", ".join(sorted(self._senders))
            logger.warning("%s: no packet from %s for %.0f s; now using those of %s", self.url, before, silence_s, host)
            self.counters.sender_changes += 1
        if host not in self._senders:
            self._senders = frozenset((host,))
        self.counters.bytes += len(data)
        return datagram

    def _with_rate(self, datagram: Datagram, arrival_ns: int) -> Iterator[Packet]:
        finder = self._finder
        if finder.rate_hz is None:
            try:
                rate_hz = finder.add(datagram, arrival_ns)
            except FailedError as error:
                raise FailedError(f"{self.url}: {error}") from error
            if rate_hz is None:
                if len(finder.waiting) > MAX_WAITING_FOR_RATE:
                    del finder.waiting[0]
                    self.counters.dropped += 1
                return
            logger.info("%s: sampling rate %g Hz", self.url, rate_hz)
            waiting, finder.waiting = finder.waiting, []
        else:
            self._check_rate(datagram, finder.rate_hz)
            waiting = [(datagram, arrival_ns)]
        used_hz = self.address.rate_hz or finder.rate_hz
        assert used_hz is not None  # inferred above
        for one, one_ns in waiting:
            self.counters.records += 1
            source_id = SourceId(self.address.network, self.address.station, self.address.location, one.channel)
            yield Packet(source_id, one.starttime_ns, used_hz, one.samples, RecordFlag.NONE, one_ns, "")

    def _check_rate(self, datagram: Datagram, rate_hz: float) -> None:
        found_hz = self._finder.check(datagram)
        if found_hz is None:
            return
        if self.address.rate_hz is None:
            self.counters.rate_corrections += 1
            logger.warning(
                "%s: sampling rate corrected from %g to %g Hz; the times of the samples before were wrong",
                self.url,
                rate_hz,
                found_hz,
            )
        elif not self._rate_logged:
            logger.warning("%s: the packets have %g Hz; rate=%g is used", self.url, found_hz, self.address.rate_hz)
            self._rate_logged = True


def addresses_of(host: str) -> frozenset[str]:
    """All addresses of a host name or address. Raises OSError if it is unknown."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except UnicodeError as error:
        raise OSError(str(error)) from error
    return frozenset(plain_address(str(where[0])) for *_, where in found)


def plain_address(address: str) -> str:
    """An address without its zone, and an IPv4 address that IPv6 carries as IPv4: as senders are compared."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def is_address(host: str) -> bool:
    """True for an address, False for a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@register_source("shake-udp")
def _shake_source(url: str, options: SourceOptions) -> ShakeUdpSource:
    """`shake-udp://[sender]:8888?station=AM_R1234`"""
    return ShakeUdpSource(url, options)

"""Raspberry Shake's UDP stream ("datacast"): ASCII packets of a quarter of a second, without history.

`{'EHZ', 1582315130.292, 14168, 14927, …}`: channel, time of the first sample in seconds (UTC, to the millisecond),
counts. https://manual.raspberryshake.org/udp.html
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from urllib.parse import parse_qsl

import numpy as np

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import ConnectError, FailedError, InputError
from seisedge.runtime.listening import cannot_listen
from seisedge.runtime.records.miniseed import MAX_STARTTIME_NS, MIN_STARTTIME_NS, BadRecord
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.sources._base import TICK_S, Source
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._server_url import server_from_url
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.urls import shown_url

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8888
MAX_DATAGRAM_BYTES = 65_536
MAX_WAITING = 8192  # datagrams between the socket and the station: minutes of a four-channel Shake
RECEIVE_BUFFER_BYTES = 1 << 22  # requested; the system may grant less
RATE_INTERVALS = 6  # between packets of one channel, before the sampling rate is inferred
RATES_HZ = (10.0, 20.0, 25.0, 40.0, 50.0, 80.0, 100.0, 120.0, 125.0, 200.0, 250.0, 500.0)
RATE_TOLERANCE = 0.03
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
    listen: str = "0.0.0.0"  # the Shake is another machine


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
    station = values.get("station", "")
    if not re.fullmatch(r"[A-Z0-9]{1,8}_[A-Z0-9]{1,8}", station):
        raise InputError(f"{shown}: the packets do not state the station; add it, for example station=AM_R1234")
    location = values.get("location", "00").replace("-", "")
    if not re.fullmatch(r"[A-Z0-9]{0,8}", location):
        raise InputError(f"{shown}: location={location} must have at most 8 letters or digits")
    rate_hz: float | None = None
    if "rate" in values:
        try:
            rate_hz = float(values["rate"])
        except ValueError:
            rate_hz = 0.0
        if not 1 <= rate_hz <= 1000:
            raise InputError(f"{shown}: rate={values['rate']} must be a sampling rate from 1 to 1000 Hz")
    network, _, code = station.partition("_")
    listen = values.get("listen", "0.0.0.0")
    return ShakeAddress(sender, DEFAULT_PORT if port is None else port, network, code, location, rate_hz, listen)


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
    """Infers the sampling rate from times and sizes of packets; packets are kept until it is known."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Datagram, int]] = []
        self._last: dict[str, Datagram] = {}
        self._rates: list[float] = []

    def add(self, datagram: Datagram, arrival_ns: int) -> float | None:
        """Keep a packet; returns the rate once it is known. Raises FailedError if no usual rate fits."""
        self.waiting.append((datagram, arrival_ns))
        last = self._last.get(datagram.channel)
        self._last[datagram.channel] = datagram
        if last is not None and datagram.starttime_ns > last.starttime_ns:
            self._rates.append(len(last.samples) * NS_PER_S / (datagram.starttime_ns - last.starttime_ns))
        if len(self._rates) < RATE_INTERVALS:
            return None
        # the median: a lost packet lowers a single estimate and never raises it
        measured_hz = sorted(self._rates)[len(self._rates) // 2]
        nearest_hz = min(RATES_HZ, key=lambda rate_hz: abs(rate_hz - measured_hz))
        if abs(nearest_hz - measured_hz) <= RATE_TOLERANCE * nearest_hz:
            return nearest_hz
        raise FailedError(f"the packets have {measured_hz:.2f} Hz, not a usual sampling rate; give it as rate=HZ")


class ShakeUdpSource(Source):
    """The UDP stream of one Raspberry Shake.

    Waits for the first packet without limit, or for `connect_timeout_s` (then ConnectError). Only packets of one sender
    are used, that of the URL or else the first; packets of others are counted and dropped. UDP has no history: packets
    have no token, and data sent while the source was not running are a gap.

    The packets do not state the sampling rate: it is the URL's `rate`, or else inferred from the first packets.
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
        self._sender: str | None = None
        self._rate_hz = self.address.rate_hz
        self._finder = _RateFinder()

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
            self._sender = socket.gethostbyname(address.sender) if address.sender else None
        except OSError as error:
            raise FailedError(f"{self.url}: the host name {address.sender} is unknown") from error
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            link.bind((address.listen, address.port))
        except (OSError, UnicodeError) as error:
            link.close()
            raise cannot_listen(self.url, address.listen, address.port, error) from error
        link.settimeout(TICK_S)
        self._socket = link
        threading.Thread(target=self._listen, args=(link,), name="shake-udp", daemon=True).start()

    def close(self) -> None:
        """End `packets`."""
        self._closed.set()

    def _listen(self, link: socket.socket) -> None:
        failed = False
        with link:
            while not self._closed.is_set():
                try:
                    data, (host, _port) = link.recvfrom(MAX_DATAGRAM_BYTES)
                except TimeoutError:
                    failed = False
                    continue
                except OSError as error:
                    logger.log(logging.DEBUG if failed else logging.WARNING, "%s: %s", self.url, error)
                    failed = True
                    self._closed.wait(TICK_S)
                    continue
                if self._queue.qsize() < MAX_WAITING:
                    self._queue.put((data, host, time.monotonic_ns()))
                else:
                    self.counters.dropped += 1

    def packets(self) -> Iterator[Packet | None]:
        """Packets as they arrive; None at least every TICK_S while none arrives."""
        self.open()
        received_ns = time.monotonic_ns()
        silent = False
        while not self._closed.is_set():
            if self._queue.empty():
                self.idle_ns = time.monotonic_ns()
            try:
                data, host, arrival_ns = self._queue.get(timeout=TICK_S)
            except Empty:
                silent = self._note_silence((time.monotonic_ns() - received_ns) / NS_PER_S, silent)
                yield None
                continue
            datagram = self._read(data, host)
            if datagram is None:
                continue
            if silent:
                logger.info("%s: receiving packets again", self.url)
            received_ns, silent = arrival_ns, False
            yield from self._with_rate(datagram, arrival_ns)

    def _note_silence(self, age_s: float, silent: bool) -> bool:
        limit_s = self.options.connect_timeout_s
        if limit_s is not None and not self.counters.records and not self._finder.waiting and age_s > limit_s:
            raise ConnectError(
                f"{self.url}: no packet within {limit_s:g} s; check that the Shake sends to this machine and port"
            )
        if age_s > self.options.data_timeout_s and not silent:
            logger.warning("%s: no packet for %.0f s", self.url, age_s)
        return silent or age_s > self.options.data_timeout_s

    def _read(self, data: bytes, host: str) -> Datagram | None:
        if data.strip() == TERM:
            return None
        if self._sender is not None and host != self._sender:
            self.counters.foreign += 1
            if self.counters.foreign == 1:
                logger.warning("%s: dropping packets of %s; only those of %s are used", self.url, host, self._sender)
            return None
        datagram = datagram_from_bytes(data)
        if isinstance(datagram, str):
            self.set_aside(BadRecord(data, datagram), f"a packet from {host}")
            return None
        if self._sender is None:
            self._sender = host
            logger.info("%s: receiving packets from %s", self.url, host)
        self.counters.bytes += len(data)
        return datagram

    def _with_rate(self, datagram: Datagram, arrival_ns: int) -> Iterator[Packet]:
        if self._rate_hz is None:
            try:
                self._rate_hz = self._finder.add(datagram, arrival_ns)
            except FailedError as error:
                raise FailedError(f"{self.url}: {error}") from error
            if self._rate_hz is None:
                return
            logger.info("%s: sampling rate %g Hz", self.url, self._rate_hz)
            waiting, self._finder.waiting = self._finder.waiting, []
        else:
            waiting = [(datagram, arrival_ns)]
        for one, one_ns in waiting:
            self.counters.records += 1
            source_id = SourceId(self.address.network, self.address.station, self.address.location, one.channel)
            yield Packet(source_id, one.starttime_ns, self._rate_hz, one.samples, RecordFlag.NONE, one_ns, "")


@register_source("shake-udp")
def _shake_source(url: str, options: SourceOptions) -> ShakeUdpSource:
    """`shake-udp://[sender]:8888?station=AM_R1234`"""
    return ShakeUdpSource(url, options)

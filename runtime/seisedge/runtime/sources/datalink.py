"""DataLink: packets from a ringserver or the virtual digitizer.

This client shares its base with the SeedLink client. The package `datalink-client` closes the connection after one
unreadable message; this client sets the message aside and continues.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Generator

from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources._datalink_wire import Message, MessageCutter, PacketHead, message, pattern_of
from seisedge.runtime.sources._link import LinkSource, Lost, Receiver
from seisedge.runtime.sources._registry import SourceOptions, register_source
from seisedge.runtime.sources._server_url import EARLIEST, LATEST, address_from_url

logger = logging.getLogger(__name__)

_TOKEN = re.compile(r"dl:([0-9]{1,19})@(-?[0-9]{1,19})")


class DataLinkSource(LinkSource):
    """A DataLink server.

    Start: after the oldest token of `resume`; else the URL's `from`; else the earliest packet with `until_end` and the
    latest without. A server numbers the packets of all stations in one sequence. A token is that number and the time
    at which the server received the packet, `dl:NUMBER@MICROSECONDS`, so that a replaced server is detected: the
    source then starts at the earliest packet. Packets that were already delivered are dropped.

    DataLink has no message for the end of the data. With `until_end` the source ends after the newest packet that the
    server had at the start. If the server replays a recording (the virtual digitizer has the capability DIALUP), the
    source ends with the recording.

    `packets` raises ConnectError as every LinkSource, and FailedError if the server refuses a pattern.
    """

    def __init__(self, url: str, options: SourceOptions | None = None) -> None:
        """Raises InputError for an invalid URL."""
        self.address = address_from_url(url, "datalink")
        super().__init__(url, options, self.address.host, self.address.port)
        self._last: dict[str, tuple[int, int]] = {}  # number and time of the last packet of a station
        for station_id, token in self.options.resume.items():
            match = _TOKEN.fullmatch(token)
            if match is None:
                logger.warning("%s: %s: '%s' is not a DataLink token; ignored", self.url, station_id, token)
            else:
                self._last[station_id] = (int(match[1]), int(match[2]))
        self._ends: dict[SourceId, int] = {}
        self._cutter = MessageCutter()
        self._receiver: Receiver | None = None
        self._end_number: int | None = None  # of the last packet requested

    @property
    def _protocol(self) -> str:
        return "DataLink"

    def _negotiate(self, link: socket.socket) -> Generator[None]:
        self._receiver, self._cutter = Receiver(link, self._negotiation_limit_s), MessageCutter()
        server = yield from self._ask(f"ID seisedge::{os.getpid()}:", answer="ID")
        positive = tuple(s for s in self.address.selectors if not s.startswith("!"))
        negative = tuple(s[1:] for s in self.address.selectors if s.startswith("!"))
        match = pattern_of(self.address.stations, positive)
        yield from self._restrict("MATCH", match)
        reject = pattern_of(self.address.stations, negative) if negative else ""
        if reject:
            yield from self._restrict("REJECT", reject)
        number = yield from self._position()
        self._end_number = None
        serves_recording = "DIALUP" in server.words
        if self.options.until_end and not serves_recording:
            self._end_number = yield from self._newest(match, reject)
            if number is not None and number >= self._end_number:
                self._end_number = 0
        self._send("STREAM DIALUP" if self.options.until_end and serves_recording else "STREAM")
        self._receiver.negotiated()

    def _send(self, header: str, payload: bytes = b"") -> None:
        assert self._receiver is not None
        self._receiver.link.sendall(message(header, payload))

    def _ask(self, header: str, payload: bytes = b"", answer: str = "OK") -> Generator[None, None, Message]:
        """Send a message and wait for the reply: of kind `answer`, or ERROR. Raises Lost for another or none."""
        assert self._receiver is not None
        self._send(header, payload)
        self._receiver.await_reply(header.split()[0])
        while True:
            found = self._cutter.next()
            if found is None:
                data = self._receiver.receive()
                self._cutter.feed(data)
                if self._receiver.is_tick(data):
                    yield None
            elif found.words[0] in (answer, "ERROR"):
                self._receiver.replied()
                return found
            elif found.words[0] != "PACKET":
                raise Lost(f"the server replied to {header.split()[0]} with {found.words[0]}")

    def _restrict(self, word: str, pattern: str) -> Generator[None]:
        data = pattern.encode("ascii")
        answer = yield from self._ask(f"{word} {len(data)}", data)
        if answer.words[0] == "ERROR":
            raise self._refusal(f"the server does not accept the pattern {pattern} ({answer.text})")

    def _position(self) -> Generator[None, None, int | None]:
        """Set the start; returns the number of the packet before it, None if that is unknown."""
        if self._last:
            (number, time_us), station_id = min((place, station) for station, place in self._last.items())
            answer = yield from self._ask(f"POSITION SET {number} {time_us}")
            if answer.words[0] == "OK":
                return number
            self.counters.resume_gaps += 1
            logger.warning(
                "%s: %s: the server no longer has packet %d (%s); starting at the earliest packet",
                self.url,
                station_id,
                number,
                answer.text,
            )
            start: str | int | None = EARLIEST
        else:
            start = self.address.start
        if start is None:
            start = EARLIEST if self.options.until_end else LATEST
        command = f"POSITION AFTER {start // 1000}" if isinstance(start, int) else f"POSITION SET {start.upper()}"
        answer = yield from self._ask(command)
        if answer.words[0] == "ERROR" and not isinstance(start, int):
            raise Lost(f"the server refused '{command}' ({answer.text})")
        return None  # a time after the newest packet is refused; streaming then starts with the next one

    def _newest(self, match: str, reject: str) -> Generator[None, None, int]:
        """Number of the newest packet of the requested streams; 0 if there is none."""
        from xml.etree import ElementTree  # imported here: a live run needs no XML

        answer = yield from self._ask("INFO STREAMS", answer="INFO")
        try:
            streams = list(ElementTree.fromstring(answer.payload).iter("Stream"))
            numbers = [
                int(stream.attrib["LatestPacketID"])
                for stream in streams
                if re.search(match, stream.attrib["Name"]) and not (reject and re.search(reject, stream.attrib["Name"]))
            ]
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            raise Lost(f"the reply to INFO STREAMS cannot be parsed: {error}") from error
        return max(numbers, default=0)

    def _disconnected(self) -> None:
        self.counters.skipped_bytes += self._cutter.skipped_bytes
        self._cutter = MessageCutter()

    def _stream(self) -> Generator[Packet | None, None, bool]:
        receiver = self._receiver
        assert receiver is not None
        if self._end_number == 0:
            return True
        data_ns = time.monotonic_ns()
        while not self._closed.is_set():
            found = self._cutter.next()
            if found is None:
                self._note_idle()
                data = receiver.receive()
                if self._closed.is_set():
                    return False
                self._cutter.feed(data)
                self._check_age(data_ns)
                if receiver.is_tick(data):
                    yield None
                continue
            kind = found.words[0]
            if kind == "ENDSTREAM":
                if self.options.until_end:
                    return True
                raise Lost("the server ended the stream")
            if kind == "ERROR":
                raise Lost(f"the server replied: {found.text or 'ERROR'}")
            head = PacketHead.from_words(found.words) if kind == "PACKET" else None
            if head is None:
                continue
            data_ns = receiver.received_ns
            packet = self._packet(head, found, data_ns)
            if packet is not None:
                yield packet
            if self._end_number is not None and head.number >= self._end_number:
                return True
        return False

    def _packet(self, head: PacketHead, found: Message, arrival_ns: int) -> Packet | None:
        """Decode a packet; None if it is set aside or was already delivered."""
        self.counters.bytes += len(found.payload)
        token = f"dl:{head.number}@{head.time_us}"
        packet: Packet | BadRecord
        if found.whole:
            packet = self._decoder.packet(found.payload, arrival_ns, token)
        else:
            packet = BadRecord(found.payload, f"its length, {found.words[6]}, runs over the next packet")
        if isinstance(packet, BadRecord):
            self.set_aside(packet, f"packet {head.number} of {head.stream}")
            if head.station_id:
                self._last[head.station_id] = (head.number, head.time_us)
            return None
        source_id = packet.source_id
        last = self._last.get(source_id.station_id)
        if last is not None and head.number <= last[0] and self._was_delivered(head, packet, last[1]):
            # Both conditions: a replaced server restarts its numbers, with new data.
            self._drop_repeated(source_id.station_id, arrival_ns)
            return None
        self._last[source_id.station_id] = (head.number, head.time_us)
        self._ends[source_id] = packet.endtime_ns
        self._count_new(source_id.station_id)
        return packet

    def _was_delivered(self, head: PacketHead, packet: Packet, last_us: int) -> bool:
        """Compares the end of the channel's data; before its first packet of this run, the server's receive times."""
        end_ns = self._ends.get(packet.source_id)
        return head.time_us <= last_us if end_ns is None else packet.endtime_ns <= end_ns


@register_source("datalink")
def _datalink_source(url: str, options: SourceOptions) -> DataLinkSource:
    """`datalink://host:port/NET_STA?select=EH?&from=earliest`"""
    return DataLinkSource(url, options)

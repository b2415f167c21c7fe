"""One DataLink 1.0 client: commands, then the stream.

https://iris-edu.github.io/libdali/datalink-protocol.html
"""

from __future__ import annotations

import bisect
import socket
from collections.abc import Callable, Iterator
from xml.sax.saxutils import quoteattr

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.records.miniseed import MAX_RECORD_BYTES
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.replay._client import SOFTWARE, Client, Gone, Served
from seisedge.runtime.replay._pattern import Pattern, PatternError
from seisedge.runtime.replay._recording import Entry, Numbered
from seisedge.runtime.sources._datalink_wire import PREFIX, message

CAPABILITIES = f"DLPROTO:1.0 PACKETSIZE:{MAX_RECORD_BYTES} DIALUP"
MAX_PATTERN_BYTES = 65_536


class DataLinkClient(Client):
    """Serves one client until it disconnects; after STREAM DIALUP until everything is sent.

    Packets of all stations are numbered in one sequence from `first_sequence`. The stream starts after the client's
    position; without one at the current replay time, at speed 0 with the first packet.
    """

    end_word = message("ENDSTREAM")

    def __init__(self, link: socket.socket, served: Served, number: int = 1) -> None:
        super().__init__(link, served, number)
        self._match: Pattern | None = None
        self._reject: Pattern | None = None
        self._next: int | None = None  # index of the next packet; None: start at the current replay time
        self._streaming = False
        self._dial_up = False

    def _converse(self) -> None:
        while True:
            while not self._streaming:
                self._receive_whole()
            self._served.clock.start()
            self._send_in_time(self._packets())
            if self._streaming and self._dial_up:
                self._send(self.end_word)
                return
            while self._streaming:
                self._listen(self._served.poll_s)

    def _handle_received(self) -> None:
        while (found := self._buffered_message()) is not None:
            self._command(found)
            self._account()

    def _receive_whole(self) -> None:
        """Wait for one complete command and handle it."""
        while (found := self._buffered_message()) is None:
            if self._served.closing.is_set():
                raise Gone
            self._receive()
        self._command(found)
        self._account()

    def _buffered_message(self) -> tuple[list[str], bytes] | None:
        """Words and payload of a complete command; None if bytes are missing. Raises Gone for an invalid one."""
        data = self._received
        if len(data) < 3:
            return None
        if not data.startswith(PREFIX):
            raise Gone  # the start of the next command cannot be found
        end = 3 + data[2]
        if len(data) < end:
            return None
        words = bytes(data[3:end]).decode("ascii", errors="replace").split() or [""]
        size = 0
        if words[0].upper() in ("MATCH", "REJECT") and len(words) == 2 and words[1].isdigit():
            size = int(words[1])
            if size > MAX_PATTERN_BYTES:
                raise Gone
        if len(data) < end + size:
            return None
        payload = bytes(data[end : end + size])
        del data[: end + size]
        return words, payload

    def _answer(self, word: str, value: int, text: str) -> None:
        payload = text.encode("ascii", errors="replace")
        self._send(message(f"{word} {value} {len(payload)}", payload))

    def _command(self, found: tuple[list[str], bytes]) -> None:
        words, payload = found
        word, *arguments = (text.upper() for text in words)
        if word == "ID":
            self._send(message(f"ID DataLink {SOFTWARE.replace(' ', '/')} :: {CAPABILITIES}"))
        elif word in ("MATCH", "REJECT"):
            self._restrict(word, payload)
        elif word == "POSITION":
            self._position(arguments)
        elif word == "INFO":
            self._info(arguments[0] if arguments else "")
        elif word == "STREAM":
            self._streaming, self._dial_up = True, arguments == ["DIALUP"]
        elif word == "ENDSTREAM":
            self._streaming = False
            self._send(self.end_word)
        else:
            self._answer("ERROR", 0, f"{word[:20]} is not supported")

    def _restrict(self, word: str, payload: bytes) -> None:
        before = self._match, self._reject
        try:
            pattern = Pattern(payload.decode("ascii")) if payload else None
            self._match, self._reject = (pattern, before[1]) if word == "MATCH" else (before[0], pattern)
            n = sum(map(self._takes, self._served.recording.streams))  # all of them: no pattern is too complex later
        except (PatternError, UnicodeDecodeError) as error:
            self._match, self._reject = before
            self._answer("ERROR", 0, f"this regular expression cannot be used: {error}")
            return
        self._answer("OK", n, f"{n} streams selected")

    def _position(self, arguments: list[str]) -> None:
        row, first = self._served.recording.in_sequence, self._served.first_sequence
        released, gone = self._n_released(), self._n_gone()
        try:
            how, where, *rest = arguments
            if how == "SET" and where in ("EARLIEST", "LATEST"):
                self._next = gone if where == "EARLIEST" else released
                self._answer("OK", first + self._next, f"Positioned to {where} packet")
                return
            if how == "SET":
                index = int(where) - first
                known = gone <= index < released and (not rest or int(rest[0]) // 10**6 == _us(row[index]) // 10**6)
            elif how == "AFTER" and not rest:
                time_us = int(where)
                index = (
                    next((k for k in range(gone, released) if row[k].entry.release_ns // 1000 >= time_us), released) - 1
                )
                known = index + 1 < released
            else:
                raise ValueError(how)
        except ValueError:
            self._answer("ERROR", 0, "POSITION needs SET number|EARLIEST|LATEST or AFTER microseconds")
            return
        if not known:
            self._answer("ERROR", 0, "Packet not found")
            return
        self._next = index + 1
        self._answer("OK", first + index, f"Positioned to packet ID {first + index}")

    def _n_released(self) -> int:
        data_ns = self._served.clock.data_ns()
        row = self._served.recording.in_sequence
        if data_ns is None:
            return 0 if self._served.speed else len(row)
        return bisect.bisect_right(row, data_ns, key=lambda packet: packet.entry.release_ns)

    def _n_gone(self) -> int:
        """Number of packets that are no longer kept."""
        ring = self._served.ring
        return 0 if ring is None else max(0, self._n_released() - ring * len(self._served.recording.stations))

    def _takes(self, packet: Numbered) -> bool:
        name = stream_name(packet.station.network, packet.station.code, packet.entry)
        if self._match is not None and not self._match.search(name):
            return False
        return self._reject is None or not self._reject.search(name)

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        served = self._served
        row = served.recording.in_sequence
        if self._next is None:
            self._next = self._n_released() if served.speed else self._n_gone()
        while self._streaming and self._next < len(row):
            packet, number = row[self._next], served.first_sequence + self._next
            self._next += 1
            if self._takes(packet):
                entry = packet.entry
                record = packet.station.record(entry)
                name = stream_name(packet.station.network, packet.station.code, entry)
                times = f"{_us(packet)} {entry.starttime_ns // 1000} {entry.release_ns // 1000}"
                yield entry.release_ns, message(f"PACKET {name} {number} {times} {len(record)}", record)

    def _info(self, level: str) -> None:
        row, released, first = self._served.recording.in_sequence, self._n_released(), self._served.first_sequence
        gone = self._n_gone()
        if level == "STATUS":
            ends = f' EarliestPacketID="{first + gone}" LatestPacketID="{first + released - 1}"' if released else ""
            inner = f'<Status RingVersion="1" PacketSize="{MAX_RECORD_BYTES}"{ends}/>'
        elif level == "STREAMS":
            streams = _streams(row[gone:released], first + gone, self._takes)
            inner = f'<StreamList TotalStreams="{len(streams)}">{"".join(streams)}</StreamList>'
        elif level == "CONNECTIONS":
            inner = '<ConnectionList TotalConnections="1"/>'
        else:
            self._answer("ERROR", 0, f"INFO {level[:20]} is not supported")
            return
        head = f'<DataLink Version="1.0" ServerID={quoteattr(SOFTWARE)} Capabilities="{CAPABILITIES}">'
        payload = f'<?xml version="1.0"?>\n{head}{inner}</DataLink>\n'.encode()
        self._send(message(f"INFO {level} {len(payload)}", payload))


def stream_name(network: str, station: str, entry: Entry) -> str:
    """`FDSN:NET_STA_LOC_B_S_SS/MSEED`, or `/MSEED3`."""
    source_id: SourceId = entry.source_id
    channel = source_id.channel if "_" in source_id.channel else "_".join(source_id.channel)
    kind = "MSEED3" if entry.record[:3] == b"MS\x03" else "MSEED"
    return f"FDSN:{network}_{station}_{source_id.location}_{channel}/{kind}"


def _us(packet: Numbered) -> int:
    """Time at which the server received a packet: when its record was complete."""
    return packet.entry.release_ns // 1000


def _streams(row: list[Numbered], first: int, takes: Callable[[Numbered], bool]) -> list[str]:
    found: dict[str, tuple[int, int]] = {}
    for index, packet in enumerate(row):
        if takes(packet):
            name = stream_name(packet.station.network, packet.station.code, packet.entry)
            found[name] = (found.get(name, (index, index))[0], index)
    return [
        f'<Stream Name={quoteattr(name)} EarliestPacketID="{first + begin}" LatestPacketID="{first + end}"'
        f' EarliestPacketDataStartTime="{iso_from_ns(row[begin].entry.starttime_ns)}"'
        f' LatestPacketDataEndTime="{iso_from_ns(row[end].entry.release_ns)}"/>'
        for name, (begin, end) in sorted(found.items())
    ]

"""Rows of `benchmarks/streams.py`: decoding miniSEED, and receiving it from a SeedLink server."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obspy
from obspy.clients.seedlink.easyseedlink import EasySeedLinkClient
from obspy.clients.seedlink.slclient import SLClient
from pymseed import MS3Record
from seedlink_client import Protocol, SeedLink

from benchmarks.measure import Row, take_turns
from seisedge.runtime.demo.made_day import RECORD_BYTES
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources import open_source

SLOW_RECORDS = 1000  # number of records for obspy, decoded one by one
WAIT_S = 60
CHANNELS = "EH?"  # all channels of the recording; required by obspy's clients


def decode_rows(data: Path) -> list[Row]:
    """Records decoded: samples as arrays, with time, rate and codes."""
    whole = data.read_bytes()
    records = [whole[at : at + RECORD_BYTES] for at in range(0, len(whole), RECORD_BYTES)]

    def ours() -> float:
        decoder = Decoder()
        for record in records:
            assert isinstance(decoder.packet(record, 0), Packet)
        return len(records)

    def source() -> float:
        with open_source(data) as opened:
            return sum(packet is not None for packet in opened.packets())

    def pymseed() -> float:
        count = 0
        for record in MS3Record.from_buffer(whole, unpack_data=True):
            count += len(record.np_datasamples) > 0
        return count

    def obspy_single() -> float:
        for record in records[:SLOW_RECORDS]:
            obspy.read(io.BytesIO(record), format="MSEED")
        return SLOW_RECORDS

    def obspy_whole() -> float:
        obspy.read(str(data), format="MSEED")
        return len(records)

    return take_turns(
        {
            "seisedge Decoder": ours,
            "seisedge file source (finds records, sorts, decodes)": source,
            "pymseed MS3Record.from_buffer": pymseed,
            "obspy read, record by record": obspy_single,
            "obspy read, the whole file at once (no packets)": obspy_whole,
        }
    )


@contextmanager
def precut_server(data: Path) -> Iterator[str]:
    """URL of a server with prepared packets, in a separate process."""
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.precut", str(data)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()


def ingest_rows(data: Path, station: str) -> list[Row]:
    """Packets of one station received from a server on this machine that has them prepared."""
    n = data.stat().st_size // RECORD_BYTES
    network, code = station.split(".")
    with precut_server(data) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of obspy
        port = int(url.rpartition(":")[2])

        def ours(protocol: int) -> Callable[[], float]:
            def run() -> float:
                where = f"{url}/{network}_{code}?from=earliest&protocol={protocol}"
                with open_source(where, until_end=True, connect_timeout_s=10) as source:
                    return _all(sum(packet is not None for packet in source.packets()), n)

            return run

        def seedlink_client(decode: bool) -> Callable[[], float]:
            def run() -> float:
                count = 0
                with SeedLink("127.0.0.1", port, dialup=True, protocol=Protocol.V3) as client:
                    client.add_stream(f"{network}_{code}", seqnum=0)
                    for packet in client.collect():
                        if decode:
                            record = MS3Record.parse(packet.payload, unpack_data=True)
                            assert len(record.np_datasamples)
                        count += 1
                return _all(count, n)

            return run

        variants: dict[str, Callable[[], float]] = {
            "seisedge SeedLink 3 (decoded)": ours(3),
            "seisedge SeedLink 4 (decoded)": ours(4),
            "seedlink-client (not decoded)": seedlink_client(False),
            "seedlink-client, decoded with pymseed": seedlink_client(True),
            "obspy SLClient (not decoded)": lambda: _all(_obspy_packets(port, network, code, n), n),
            "obspy EasySeedLinkClient (decoded to traces)": lambda: _all(_obspy_traces(port, network, code, n), n),
            "ceiling: bytes from the socket, nothing done": lambda: _raw(port, network, code, n),
        }
        return take_turns(variants)


def _all(count: int, wanted: int) -> float:
    if count != wanted:
        raise SystemExit(f"{count} of {wanted} packets came; the row would be wrong")
    return float(count)


class _Enough(Exception):
    pass


def _obspy_packets(port: int, network: str, code: str, n: int) -> int:
    class Counting(SLClient):  # type: ignore[misc]  # obspy has no types
        count = 0

        def packet_handler(self, number: int, packet: Any) -> bool:
            self.count += 1
            return self.count >= n

    client = Counting(timeout=WAIT_S)
    client.slconn.set_sl_address(f"127.0.0.1:{port}")
    client.multiselect = f"{network}_{code}:{CHANNELS}"
    client.initialize()
    client.run()
    client.slconn.close()
    return client.count


def _obspy_traces(port: int, network: str, code: str, n: int) -> int:
    class Counting(EasySeedLinkClient):  # type: ignore[misc]  # obspy has no types
        count = 0

        def on_data(self, trace: Any) -> None:
            self.count += 1
            if self.count >= n:
                raise _Enough

    client = Counting(f"127.0.0.1:{port}", autoconnect=False)
    client.conn.timeout = WAIT_S  # obspy 1.5.1 raises TypeError without one where the connection is not there at once
    client.connect()
    client.select_stream(network, code, CHANNELS)
    try:
        client.run()
    except _Enough:
        client.conn.close()
    return client.count


def _raw(port: int, network: str, code: str, n: int) -> float:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as link:

        def ask(command: str) -> None:
            link.sendall(f"{command}\r\n".encode())
            answer = b""
            while len(re.findall(rb"\r\n", answer)) < (2 if command == "HELLO" else 1):
                answer += link.recv(4096)

        for command in ("HELLO", f"STATION {code} {network}", "FETCH 000001"):
            ask(command)
        link.sendall(b"END\r\n")
        left = n * (RECORD_BYTES + 8)
        while left > 0 and (data := link.recv(1 << 16)):
            left -= len(data)
    return _all(n if left <= 0 else 0, n)

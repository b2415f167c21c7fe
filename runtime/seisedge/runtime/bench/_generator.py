"""The virtual digitizer of `seisedge bench stream`, in its own process: `python -P _generator.py`.

Reads one line of JSON: data, seconds, stations, protocol (seedlink, datalink or udp), together, lead_s. Prints one line
of JSON at each step:

- `port` of the server; with `udp` it expects another line with the port of the station, once that listens;
- once the station has connected: `start_ns`, the whole second of UTC at which the data begin, `monotonic_ns` of it, and
  `schedule`: per station the times in ns after that at which its records are due (base64 of zlib of 64-bit integers);
- after the data: `packets`, `lag_ns` (median, p99 and maximum), `pulse_ns`, `blocked_ns`, `clock_step_ns`.

The schedule never slips: a record that is sent late does not delay the later ones. `lag_ns` is from the time at which a
record is due to its send; the time in which the socket was full, because the station did not read, is not counted.
`pulse_ns` is the longest pause of a thread that wakes every 10 ms: it shows a stop of the process at any time.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from seisedge.runtime.bench.intervals import percentile
from seisedge.runtime.bench.report import packed
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._clock import ReplayClock
from seisedge.runtime.replay._recording import Entry, Recording, Station
from seisedge.runtime.replay.shake import shake_packets
from seisedge.runtime.threads import start_task

HOST = "127.0.0.1"
RECORD_BYTES = 512
CONNECT_S = 120.0
END_S = 1.0  # after the data, before the lags are stated
PULSE_S = 0.01
BLOCKED_NS = 2_000_000  # a send that takes longer waited for the reader


class Lateness:
    """How late packets were sent, without the time for which the reader did not take them."""

    def __init__(self, clock: ReplayClock) -> None:
        self._clock = clock
        self._due: list[int] = []
        self._free_ns = self._sending_ns = 0
        self.lag_ns: list[int] = []
        self.blocked_ns = 0
        self.pulse_ns = 0
        self._ended = threading.Event()

    def note(self, release_ns: int) -> None:
        """See `replay._client.Lag`."""
        due_ns = self._clock.wall_ns(release_ns)
        assert due_ns is not None
        self._due.append(due_ns)

    def sending(self) -> None:
        """See `replay._client.Lag`."""
        self._sending_ns = time.monotonic_ns()
        self.lag_ns += [max(self._sending_ns - max(due_ns, self._free_ns), 0) for due_ns in self._due]
        self._due.clear()

    def sent(self) -> None:
        """See `replay._client.Lag`."""
        now_ns = time.monotonic_ns()
        if now_ns - self._sending_ns > BLOCKED_NS:
            self._free_ns = now_ns
            self.blocked_ns += now_ns - self._sending_ns

    def pulse(self) -> None:
        """Measure the longest pause of this process, until `end`."""
        before_ns = time.monotonic_ns()
        while not self._ended.wait(PULSE_S):
            now_ns = time.monotonic_ns()
            self.pulse_ns = max(self.pulse_ns, now_ns - before_ns - round(PULSE_S * 1e9))
            before_ns = now_ns

    def end(self) -> None:
        """End `pulse`."""
        self._ended.set()


def _give_up(error: BaseException) -> None:
    """End the process: without the pulse the run would count as undisturbed."""
    print(f"Error: the pulse of the digitizer ended: {error!r}", file=sys.stderr, flush=True)
    os._exit(1)


def main() -> None:
    """Serve once; ends when standard input is closed."""
    request = json.loads(sys.stdin.readline())
    recording = Recording([Path(request["data"])], RECORD_BYTES)
    udp = request["protocol"] == "udp"
    server = None if udp else socket.create_server((HOST, 0), backlog=128)
    _say(port=None if server is None else server.getsockname()[1])
    port = int(sys.stdin.readline()) if udp else 0
    if server is not None and not select.select([server], [], [], CONNECT_S)[0]:
        sys.exit(f"Error: the station did not connect within {CONNECT_S:g} s")
    start_ns = (time.time_ns() + round(request["lead_s"] * 1e9)) // 10**9 * 10**9 + 10**9
    offset_ns = time.time_ns() - time.monotonic_ns()
    gc.disable()  # a search of the garbage collector through all records takes up to 0.1 s; nothing here has cycles
    recording.play_live(start_ns, request["seconds"], request["stations"], together=request["together"])
    packets = _datagrams(recording) if udp else []
    clock = ReplayClock(start_ns, 1.0, time.monotonic_ns, start_ns - offset_ns)
    late = Lateness(clock)
    start_task("pulse", late.pulse, _give_up)
    due = {"": [packet.release_ns for packet in packets]} if udp else {}
    due |= {station.id: [e.release_ns for e in station.entries] for station in recording.stations if not udp}
    if udp:
        due[recording.stations[0].id] = due.pop("")
    _say(
        start_ns=start_ns,
        monotonic_ns=start_ns - offset_ns,
        schedule={name: packed([time_ns - start_ns for time_ns in times]) for name, times in due.items()},
    )
    if server is None:
        _send_datagrams(packets, clock, late, port)
    else:
        digitizer = Digitizer(recording, clock=clock, lag=late)
        digitizer.open(server)
    end_s = (start_ns - offset_ns) / 1e9 + request["seconds"] + END_S
    time.sleep(max(end_s - time.monotonic(), 0.0))
    late.end()
    lags = sorted(late.lag_ns) or [0]
    _say(
        packets=len(late.lag_ns),
        lag_ns=[percentile(lags, 0.5), percentile(lags, 0.99), lags[-1]],
        pulse_ns=late.pulse_ns,
        blocked_ns=late.blocked_ns,
        clock_step_ns=time.time_ns() - time.monotonic_ns() - offset_ns,
    )
    sys.stdin.read()


def _datagrams(recording: Recording) -> list[Entry]:
    """The packets of a Shake; each is sent when the sample after its last one is due."""
    station = recording.stations[0]
    if not station.entries:
        return []
    entries = [replace(entry, record=station.record(entry)) for entry in station.entries]
    interval_ns = entries[0].interval_ns
    packets = shake_packets(Station(station.network, station.code, entries))
    return sorted(
        (replace(packet, release_ns=packet.release_ns + interval_ns) for packet in packets),
        key=lambda packet: (packet.release_ns, packet.source_id),
    )


def _send_datagrams(packets: list[Entry], clock: ReplayClock, late: Lateness, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        for packet in packets:
            time.sleep(clock.wait_s(packet.release_ns))
            late.note(packet.release_ns)
            late.sending()
            link.sendto(packet.record, (HOST, port))
            late.sent()


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    try:
        main()
    except SeisedgeError as error:
        sys.exit(f"Error: {error}")

"""The virtual Raspberry Shake: sends a recording as UDP packets of 25 samples."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.records.miniseed import BadRecord, Decoder
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.replay._clock import MAX_SPEED, MIN_SPEED, ReplayClock
from seisedge.runtime.replay._fault import Fault, fault_from_spec
from seisedge.runtime.replay._recording import Entry, Recording, Station

PACKET_SAMPLES = 25
RECORD_BYTES = 512
MS_NS = 1_000_000


class ShakeSender:
    """Sends the recording of one station, with integer samples, to `to` (host, port), packet by packet.

    speed: times real time, above 0, since UDP has no flow control. faults: as for `--fault`, only those that change
    records of any source. now: monotonic clock in ns. Raises InputError for an unusable recording or option, and the
    errors of Recording.
    """

    def __init__(
        self,
        paths: Sequence[str | Path] | str | Path,
        to: tuple[str, int],
        speed: float = 1.0,
        *,
        faults: Sequence[str | Fault] = (),
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise InputError(
                f"--speed {speed:g}: must be from {MIN_SPEED:g} to {MAX_SPEED:g} with --shake-udp, since UDP has no "
                "flow control"
            )
        self.recording = Recording([paths] if isinstance(paths, str | Path) else paths, RECORD_BYTES)
        if len(self.recording.stations) > 1:
            names = ", ".join(station.id for station in self.recording.stations)
            raise InputError(
                f"--shake-udp sends one station, since the packets do not state it; the data are of {names}; "
                "give data of one station"
            )
        self.to = to
        self.n_sent = 0
        self._clock = ReplayClock(self.recording.starttime_ns, speed, now)
        self._closing = threading.Event()
        packets = sorted(shake_packets(self.recording.stations[0]), key=lambda p: (p.release_ns, p.source_id))
        for spec in faults:
            fault = fault_from_spec(spec) if isinstance(spec, str) else spec
            if fault.on != "records":
                raise InputError(f"fault '{spec}' needs miniSEED records or a connection; --shake-udp has neither")
            fault.require({packet.source_id.channel for packet in packets})
            packets = fault.records(packets)
        self._packets = packets

    def close(self) -> None:
        """End `run`; called from another thread."""
        self._closing.set()

    def run(self) -> None:
        """Send all packets, each when its last sample is past on the replay clock. Raises FailedError."""
        try:
            family, _, _, _, target = socket.getaddrinfo(*self.to, type=socket.SOCK_DGRAM)[0]
        except (OSError, UnicodeError) as error:
            raise FailedError(f"the host name {self.to[0]} is unknown") from error
        with socket.socket(family, socket.SOCK_DGRAM) as link:
            self._clock.start()
            for packet in self._packets:
                if self._closing.wait(self._clock.wait_s(packet.release_ns)):
                    return
                link.sendto(packet.record, target)
                self.n_sent += 1


def shake_packets(station: Station) -> Iterator[Entry]:
    """The packets of a station, channel by channel.

    A new packet begins at each gap or overlap; times are rounded to the millisecond.
    """
    decoder = Decoder()
    by_channel: dict[SourceId, list[bytes]] = {}
    for entry in station.entries:
        by_channel.setdefault(entry.source_id, []).append(entry.record)
    for source_id, records in by_channel.items():
        if "_" in source_id.channel:
            raise InputError(f"{source_id}: --shake-udp needs a channel code of three characters, such as EHZ")
        held: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        held_ns, next_ns, rate_hz = 0, -1, 0.0
        for record in records:
            packet = decoder.packet(record, 0)
            assert not isinstance(packet, BadRecord)  # the recording was decoded before
            if packet.samples.dtype != np.int32:
                raise InputError(f"{source_id}: --shake-udp needs integer samples; got {packet.samples.dtype}")
            if packet.starttime_ns != next_ns or packet.sampling_rate_hz != rate_hz:
                yield from _cut(source_id, held, held_ns, rate_hz, to_end=True)
                held, held_ns, rate_hz = packet.samples, packet.starttime_ns, packet.sampling_rate_hz
            else:
                held = np.concatenate([held, packet.samples])
            next_ns = packet.endtime_ns
            yield from _cut(source_id, held, held_ns, rate_hz, to_end=False)
            n = len(held) // PACKET_SAMPLES * PACKET_SAMPLES
            held, held_ns = held[n:], held_ns + round(n * NS_PER_S / rate_hz)
        yield from _cut(source_id, held, held_ns, rate_hz, to_end=True)


def _cut(
    source_id: SourceId, samples: npt.NDArray[np.int32], start_ns: int, rate_hz: float, *, to_end: bool
) -> Iterator[Entry]:
    for k in range(0, len(samples), PACKET_SAMPLES):
        part = samples[k : k + PACKET_SAMPLES]
        if len(part) < PACKET_SAMPLES and not to_end:
            return
        first_ns = start_ns + round(k * NS_PER_S / rate_hz)
        last_ns = first_ns + round((len(part) - 1) * NS_PER_S / rate_hz)
        yield Entry(source_id, first_ns, last_ns, datagram(source_id.channel, first_ns, part))


def datagram(channel: str, starttime_ns: int, samples: npt.NDArray[np.int32]) -> bytes:
    """The bytes of one packet: `{'EHZ', 1582315130.292, 14168, 14927}`."""
    seconds, ms = divmod((starttime_ns + MS_NS // 2) // MS_NS, 1000)
    return f"{{'{channel}', {seconds}.{ms:03d}, {', '.join(map(str, samples.tolist()))}}}".encode("ascii")

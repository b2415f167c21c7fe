"""Waveform: the stored waveform of an event as curves for the page."""

from __future__ import annotations

import json

import numpy as np

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.page.rings import SampleRing, envelope
from seisedge.runtime.page.wire import Kind, encoded
from seisedge.runtime.records.channelcode import COMPONENT_OF_ORIENTATION, quantity_of_code
from seisedge.runtime.records.miniseed import Decoder, Scanner
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.segment import is_sound

MAX_FILE_BYTES = 2 * 2**20
MAX_CURVES = 6  # channels
MAX_SAMPLES = 400_000  # of a channel: 400 s at 1000 Hz
NS_PER_MS = 1_000_000


def waveform_answer(data: bytes, columns: int) -> bytes:
    """A line of JSON, `{"curves": [{"component", "channel", "sensor", "bytes"}, …]}`, then the curves one by one.

    data: miniSEED. sensor: velocity or acceleration. All curves have the same span. Records that cannot be decoded are
    left out.
    """
    by_channel: dict[tuple[str, str], list[Packet]] = {}
    decoder, scanner = Decoder(), Scanner()
    for records in (scanner.feed(data), scanner.finish()):
        for _, record in records:
            packet = decoder.packet(record, 0)
            if isinstance(packet, Packet) and packet.source_id.channel[-1:] in COMPONENT_OF_ORIENTATION:
                key = (packet.source_id.location, packet.source_id.channel)
                by_channel.setdefault(key, []).append(packet)
    channels = sorted(by_channel, key=_order)[:MAX_CURVES]
    packets = [packet for key in channels for packet in by_channel[key]]
    if not packets:
        return json.dumps({"curves": []}).encode() + b"\n"
    from_ns, to_ns = min(p.starttime_ns for p in packets), max(p.endtime_ns for p in packets)
    curves, heads = [], []
    for key in channels:
        curve = _curve(by_channel[key], from_ns, to_ns, columns)
        component, sensor = COMPONENT_OF_ORIENTATION[key[1][-1]], quantity_of_code(key[1])
        name = ".".join(filter(None, key))
        heads.append({"component": component, "channel": name, "sensor": sensor, "bytes": len(curve)})
        curves.append(curve)
    return json.dumps({"curves": heads}).encode() + b"\n" + b"".join(curves)


def _order(key: tuple[str, str]) -> tuple[bool, int, tuple[str, str]]:
    """The seismometer first, then Z, N, E."""
    return quantity_of_code(key[1]) == "acceleration", "ZNE".index(COMPONENT_OF_ORIENTATION[key[1][-1]]), key


def _curve(packets: list[Packet], from_ns: int, to_ns: int, columns: int) -> bytes:
    rate_hz = packets[0].sampling_rate_hz
    span_s = (to_ns - from_ns) / NS_PER_S
    n = min(round(span_s * rate_hz) + 1, MAX_SAMPLES)
    ring = SampleRing(rate_hz, n, from_ns)
    for packet in sorted(packets, key=lambda packet: packet.starttime_ns):
        samples = np.where(is_sound(packet.samples), packet.samples, np.nan).astype(np.float32)
        ring.put(ring.index(packet.starttime_ns), samples)
    columns = max(min(columns, int(span_s * rate_hz)), 1)
    values = envelope(ring, from_ns, to_ns, columns)
    return encoded(Kind.MIN_MAX, values[:, None, :], from_ns // NS_PER_MS, span_s * 1e3 / columns)

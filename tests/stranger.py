"""The archive of an imaginary network, made of bundled records, as awkward as the archives of real networks are.

Mixed sampling rates, EH, HH and HN channels, two equal sensors at locations 00 and 10, components Z12, several
magnitudes of an event, every event type of QuakeML, events without a type, missing picks, an event listed twice, and
sentinels for magnitude and depth.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import obspy
from obspy.core import event as quake
from obspy.core import inventory
from obspy.core.event.header import EventType

from seisedge.train.dataset.store import Store

T0 = obspy.UTCDateTime("2020-01-01T00:00:00")
STEP_S = 900.0
P_S = 3.0  # travel time of P, at the distance below
NORTH_DEG = 0.15  # of the event; 17 km
NOISE_S = 200.0
# station: source, type, rate in Hz, components of the source, channel codes, location, number of events
STATIONS = {
    "AAA": ("pnw", "earthquake", 100, "Z", ("EHZ",), "00", 14),
    "BBB": ("pnw", "explosion", 50, "Z", ("HHZ",), "", 12),
    "CCC": ("esec", "landslide", 100, "ZNE", ("HHZ", "HH1", "HH2"), "00", 8),
    "DDD": ("phasenet_ncedc", "earthquake", 100, "ZNE", ("EHZ", "EHN", "EHE"), "00", 10),
}


def make(datasets: Path, folder: Path) -> None:
    """Write events.xml, stations.xml, recording.mseed and the SDS archive ARCHIVE."""
    events: list[Any] = []
    traces: list[Any] = []
    k = 0
    with Store(datasets) as store:
        for station, (source, kind, rate, order, codes, location, count) in STATIONS.items():
            rows = [
                row for row in store.rows
                if row["subset"] == source and row["source_type"] == kind and row["trace_visible"] == "True"
                and float(row["trace_sampling_rate_hz"]) == rate and row["trace_component_order"] == order
            ]  # fmt: skip
            assert len(rows) >= count, (station, len(rows))
            for row in rows[:count]:
                x = np.round(store.samples(row)).astype(np.int32)
                onset_s = float(row["trace_onset_sample"]) / rate
                start = T0 + k * STEP_S
                quiet = x[:, : round((onset_s - 5) * rate)]
                turned = np.concatenate([quiet, quiet[:, ::-1]] * 10, axis=1)[:, : round(NOISE_S * rate)]
                for code, y, z in zip(codes, x, turned, strict=True):
                    at = start + x.shape[1] / rate + 120
                    for place in (location, "10") if station == "AAA" else (location,):
                        traces.append(trace(station, place, code, rate, start, y))
                        traces.append(trace(station, place, code, rate, at, z))
                    if station == "BBB":
                        traces.append(trace(station, location, "HNZ", rate, start, y))
                events.append(entry(k, station, start + onset_s - P_S, kind, picked=k % 3 != 0))
                k += 1
    events += [entry(k + i, "AAA", T0 + (k + i) * STEP_S, str(kind), False) for i, kind in enumerate(EventType)]
    events.append(entry(len(events), "AAA", T0 + len(events) * STEP_S, None, False))
    text = catalogue_text(events)
    (folder / "events.xml").write_bytes(text)
    write_stations(folder / "stations.xml")
    stream = obspy.Stream(traces)
    stream.sort(["network", "station", "location", "channel", "starttime"])
    for one in stream:
        day = folder / f"ARCHIVE/2020/XX/{one.stats.station}/{one.stats.channel}.D"
        day.mkdir(parents=True, exist_ok=True)
        name = f"{one.id}.D.2020.{one.stats.starttime.julday:03d}"
        with (day / name).open("ab") as file:
            one.write(file, format="MSEED", reclen=512)
    stream.select(station="DDD").write(str(folder / "recording.mseed"), format="MSEED", reclen=512)


def trace(station: str, location: str, code: str, rate: float, start: Any, x: np.ndarray) -> Any:
    header = {"network": "XX", "station": station, "location": location, "channel": code, "sampling_rate": rate}
    return obspy.Trace(np.ascontiguousarray(x, dtype=np.int32), header | {"starttime": start})


def entry(k: int, station: str, origin: Any, kind: str | None, picked: bool) -> Any:
    """An event north of its station, with sentinels in some of them."""
    where = quake.WaveformStreamID(network_code="XX", station_code=station, channel_code="HHZ")
    place = {"latitude": latitude_of(station) + NORTH_DEG, "longitude": 7.0}
    depth_m = {1: None, 2: -999_000.0}.get(k, 5000.0)
    out = quake.Event(
        resource_id=quake.ResourceIdentifier(f"smi:local/event/{k}"),
        event_type=kind,
        origins=[quake.Origin(time=origin, depth=depth_m, **place)],
        picks=[quake.Pick(time=origin + P_S, waveform_id=where, phase_hint="Pg")] if picked else [],
    )
    for name, value in (("mb", 2.9), ("ML", -999.0 if k == 3 else 1.0 + 0.1 * (k % 15))):
        out.magnitudes.append(quake.Magnitude(mag=value, magnitude_type=name))
    return out


def catalogue_text(events: list[Any]) -> bytes:
    """QuakeML in which the last event is listed a second time."""
    file = io.BytesIO()
    quake.Catalog(events).write(file, format="QUAKEML")
    text = file.getvalue()
    first, end = text.rindex(b"<event "), text.rindex(b"</eventParameters>")
    return text[:end] + text[first:end] + text[end:]


def latitude_of(station: str) -> float:
    return 45.0 + list(STATIONS).index(station)


def write_stations(path: Path) -> None:
    stations = []
    for name, (_, _, rate, _, codes, location, _) in STATIONS.items():
        gain = inventory.Response(instrument_sensitivity=inventory.InstrumentSensitivity(6e8, 1.0, "M/S", "COUNTS"))
        place = {"latitude": latitude_of(name), "longitude": 7.0, "elevation": 100.0}
        channels = [
            inventory.Channel(code, at, depth=0.0, sample_rate=rate, response=gain, **place)
            for code in codes for at in ((location, "10") if name == "AAA" else (location,))
        ]  # fmt: skip
        if name != "CCC":  # a station that the file does not contain
            stations.append(inventory.Station(name, channels=channels, **place))
    inventory.Inventory([inventory.Network("XX", stations)], source="tests").write(str(path), format="STATIONXML")

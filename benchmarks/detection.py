"""Recall of catalogued earthquakes, compared with a recursive STA/LTA of obspy (0.5/10 s, 2-20 Hz, 4/1.5).

Counts, per station, the catalogued earthquakes with an onset from 2 s before to 3.5 s after the P arrival of a straight
ray, and the number of onsets. seisedge has two rows: onsets that open an event, and events that the type model does not
classify as noise. Run from the repository: `python benchmarks/detection.py`, or with a recording and a catalogue with
the columns of `runtime/seisedge/runtime/demo/data/catalogue.csv`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import obspy
from obspy.signal.trigger import recursive_sta_lta, trigger_onset

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.config import ModelsConfig, StationConfig, load_config
from seisedge.runtime.demo import CATALOGUE, RECORDING, STATIONS
from seisedge.runtime.demo.report import last_revisions
from seisedge.runtime.demo.truth import Earthquake, belongs, catalogue_from_csv
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source


class Kept(Sink):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self.events.append(line)


def plain(files: list[Path]) -> dict[str, list[int]]:
    """Onsets of the plain trigger on the vertical, ns, by station."""
    stream = obspy.Stream()
    for path in files:
        stream += obspy.read(str(path))
    stream = stream.select(component="Z").merge()
    found: dict[str, list[int]] = {}
    for trace in stream:
        rate = trace.stats.sampling_rate
        trace.detrend("demean").filter("bandpass", freqmin=2, freqmax=20)
        ratio = recursive_sta_lta(trace.data, int(0.5 * rate), int(10 * rate))
        station = f"{trace.stats.network}.{trace.stats.station}"
        start_ns = trace.stats.starttime.ns
        found[station] = [start_ns + round(on / rate * 1e9) for on, _ in trigger_onset(ratio, 4, 1.5)]
    return found


def ours(files: list[Path], configs: dict[str, StationConfig]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Onsets that open an event, and those of events that are not retracted; ns, by station."""
    opened: dict[str, list[int]] = {}
    emitted: dict[str, list[int]] = {}
    for models, found in (
        (Models.load(ModelsConfig(event_type="none")), opened),
        (Models.load(ModelsConfig()), emitted),
    ):
        kept = Kept()
        with open_source([str(path) for path in files]) as source:
            Loop(models, [kept], configs).run(source)
        for event in last_revisions(kept.events):
            found.setdefault(event.station, []).append(ns_from_iso(event.onset))
    return opened, emitted


def hits(onsets: list[int], quakes: list[Earthquake], config: StationConfig) -> int:
    """Earthquakes with an onset close enough to their predicted P arrival."""
    place = config.station
    assert place is not None and place.latitude_deg is not None and place.longitude_deg is not None
    count = 0
    for quake in quakes:
        p_ns = quake.predicted_p_ns(quake.distance_km(place.latitude_deg, place.longitude_deg))
        count += any(belongs(onset, p_ns) for onset in onsets)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=[RECORDING])
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE)
    arguments = parser.parse_args()
    configs = {str(c.station_id): c for c in (load_config(path) for path in sorted(STATIONS.glob("*.toml")))}
    quakes = catalogue_from_csv(arguments.catalogue)
    opened, emitted = ours(arguments.data, configs)
    rows = {
        "obspy recursive STA/LTA 0.5/10 s, 2-20 Hz, 4/1.5": plain(arguments.data),
        "seisedge: onsets that open an event": opened,
        "seisedge: events emitted after the type model": emitted,
    }
    first, last = (iso_from_ns(q.origin_ns)[:19] for q in (quakes[0], quakes[-1]))
    print(f"{len(quakes)} catalogued earthquakes, {first} to {last}; detected / onsets")
    print(f"{'':52}" + "".join(f"{station:>16}" for station in configs))
    for name, found in rows.items():
        cells = (f"{hits(found[s], quakes, configs[s])} / {len(found[s])}" for s in configs)
        print(f"{name:52}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()

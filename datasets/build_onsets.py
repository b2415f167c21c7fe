"""Build the folders `onsets` and `noise` of this folder from a folder of collected records.

    python -m datasets.build_onsets SOURCE [-o datasets]

SOURCE holds `unlabelled/` and `real/` (SeisBench format), `continuous/` and `noise/` (miniSEED). Kept samples are
copied bit by bit. README.md in this folder lists what is left out, and why.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import obspy
from datasets.build import P_KM_S, RIDGECREST_END_NS, Row, exact

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.train.dataset.onset import VISIBLE_RATIO, Onset, find_onset, power_from_record
from seisedge.train.dataset.split import group_overlapping
from seisedge.train.dataset.traveltimes import VP_VS

BEFORE_S, AFTER_S = 25.0, 45.0  # of the origin, kept of the records without a type
PIECE_S = 120.0  # length of the pieces of continuous recordings
LEAD_S = 20.0  # of the samples before a piece, used to find onsets near its start
SEARCH_S = (-1.2, 2.0)  # range around a predicted arrival in which its onset is searched
KM_PER_DEG = 111.19
# The permissive sources of noise, with the commit; recordings in copyleft repositories are not part of the data set.
NOISE = {
    "SPRIT-HVSR": ("RJbalikian/SPRIT-HVSR", "bc90ca00"),
    "raspishake_report": ("saintaardvark/raspishake_report", "b4ec0e00"),
}
VALIDATION_NS = ns_from_iso("2019-07-07T08:03:00Z")  # pieces of the swarm that begin later are of fold 0
VALIDATION = ("OLDSampleHVSRSite05", "OLDSampleHVSRSite09", "TR.GOL05")  # sites of fold 0
FOLDS = 5
DATA_FORMAT = {
    "dimension_order": "CW",
    "measurement": "ground motion as recorded",
    "unit": "counts",
    "instrument_response": "not restituted",
}
COLUMNS = [
    "trace_name", "trace_start_time", "trace_sampling_rate_hz", "trace_npts", "trace_channel",
    "station_network_code", "station_code", "station_location_code", "trace_component_order", "trace_unit",
    "trace_onset_sample", "trace_onset_basis", "trace_onset_snr", "trace_visible", "trace_noise_end_sample",
    "trace_picks", "trace_missing", "source_id", "source_group", "source_class", "source_type", "source_origin_time",
    "subset", "split", "fold", "source_repository", "source_commit", "source_path",
]  # fmt: skip
Array = np.ndarray[Any, Any]


class Target:
    """A folder in SeisBench format."""

    def __init__(self, folder: Path, columns: Sequence[str] = COLUMNS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.columns, self.rows = folder, columns, list[Row]()
        self.file = h5py.File(folder / "waveforms.hdf5", "w", libver="latest")
        for key, value in DATA_FORMAT.items():
            self.file.create_dataset(f"data_format/{key}", data=value, track_times=False)

    def add(self, row: Row, x: Array) -> None:
        """x: (components, n)."""
        self.rows.append({"trace_unit": "counts", "trace_npts": x.shape[1], "split": "train"} | row)
        self.file.create_dataset(
            f"data/{row['trace_name']}", data=exact(x), chunks=(1, x.shape[1]), compression="gzip",
            compression_opts=9, shuffle=True, track_times=False,
        )  # fmt: skip

    def close(self) -> None:
        """Write the metadata and print size and checksum."""
        self.file.close()
        with (self.folder / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        for name in ("metadata.csv", "waveforms.hdf5"):
            path = self.folder / name
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, sha256 {digest}, {len(self.rows)} records")


def fold_of(name: str) -> int:
    """A fold 0 to 4 by the hash of a name."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % FOLDS


def table(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def span_of(row: Row) -> tuple[int, int]:
    """Times of the first sample and after the last one."""
    start_ns = ns_from_iso(row["trace_start_time"])
    return start_ns, start_ns + round(float(row["trace_npts"]) / float(row["trace_sampling_rate_hz"]) * NS_PER_S)


def overlapping_events(rows: list[Row], others: Path) -> set[str]:
    """Events of `rows` with a record that shares samples with a record of the data set `others`, so that they cannot be
    on another side of its split.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for row in table(others):
        if row["trace_start_time"]:
            spans.setdefault(f"{row['station_network_code']}.{row['station_code']}", []).append(span_of(row))
    out = set()
    for row in rows:
        begin, end = span_of(row)
        station = f"{row['station_network_code']}.{row['station_code']}"
        if any(begin < last and end > first for first, last in spans.get(station, [])):
            out.add(row["source_id"])
    return out


def add_untyped(source: Path, target: Target) -> None:
    """Pacific Northwest records without a type, as far as an onset is visible."""
    rows = table(source / "metadata.csv")
    shared = overlapping_events(rows, target.folder.parent / "metadata.csv")
    rows = [row for row in rows if row["source_id"] not in shared]
    spans = [span_of(row) for row in rows]
    stations = [f"{row['station_network_code']}.{row['station_code']}" for row in rows]
    groups = dict(
        zip(
            (row["trace_name"] for row in rows),
            group_overlapping([r["source_id"] for r in rows], stations, [a for a, _ in spans], [b for _, b in spans]),
            strict=True,
        )
    )
    with h5py.File(source / "waveforms.hdf5") as archive:
        for row in rows:
            rate = float(row["trace_sampling_rate_hz"])
            x = archive["data"][row["trace_name"]][()]
            origin_s = float(row["source_origin_sample"]) / rate
            # Records extend to about 56 km, as those of pnw; few have a position
            onset = find_onset(power_from_record(x, rate), rate, (origin_s, origin_s + 12.0), origin_s + 4.0, 0.5)
            if onset.basis != "energy" or onset.snr < VISIBLE_RATIO:
                continue
            first = round((origin_s - BEFORE_S) * rate)
            start_ns = ns_from_iso(row["trace_start_time"])
            sample = onset.sample - first
            target.add(
                {key: row[key] for key in COLUMNS if key in row}
                | {
                    "trace_start_time": iso_from_ns(start_ns + round(first / rate * NS_PER_S)),
                    "trace_npts": min(round((BEFORE_S + AFTER_S) * rate), x.shape[1] - first),
                    "trace_onset_sample": f"{sample:.2f}",
                    "trace_onset_basis": onset.basis,
                    "trace_onset_snr": f"{onset.snr:.2f}",
                    "trace_visible": "True",
                    "trace_picks": f"P {sample:.2f}",
                    "source_group": groups[row["trace_name"]],
                    "source_origin_time": iso_from_ns(start_ns + round(origin_s * NS_PER_S)),
                    "fold": fold_of(groups[row["trace_name"]]),
                },
                x[:, first : first + round((BEFORE_S + AFTER_S) * rate)],
            )


def stream_of(path: Path) -> tuple[Array, dict[str, list[tuple[int, int]]], Any]:
    """(components, n) in the order Z, N or 1, E or 2; gaps by component; the statistics of the vertical."""
    stream = obspy.read(str(path))
    stream.merge(method=0)
    begin, end = min(t.stats.starttime for t in stream), max(t.stats.endtime for t in stream)
    stream.trim(begin, end, pad=True)
    traces = sorted(stream, key=lambda t: "ZN1E2".index(t.stats.channel[-1]))
    n = min(t.stats.npts for t in traces)
    gaps: dict[str, list[tuple[int, int]]] = {}
    rows = []
    for trace in traces:
        data = np.ma.masked_array(trace.data[:n])
        hole = np.ma.getmaskarray(data).astype(np.int8)
        edges = np.flatnonzero(np.diff(hole, prepend=0, append=0))
        if len(edges):
            gaps[trace.stats.channel[-1]] = [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
        rows.append(data.filled(0))
    return np.stack(rows), gaps, traces


def pieces(n: int, rate: float) -> Iterator[tuple[int, int]]:
    """Ranges [first, last) of PIECE_S; the rest goes to the last one if it is short."""
    count = max(int(n / rate / PIECE_S), 1)
    edges = [round(i * PIECE_S * rate) for i in range(count)]
    if n / rate - count * PIECE_S > PIECE_S / 2:
        edges.append(round(count * PIECE_S * rate))
    return zip(edges, [*edges[1:], min(n, edges[-1] + round(PIECE_S * rate))], strict=True)


def missing_text(gaps: dict[str, list[tuple[int, int]]], first: int, last: int) -> str:
    """The column trace_missing of a piece."""
    parts = []
    for code, spans in gaps.items():
        inside = [f"{max(a, first) - first}-{min(b, last) - first}" for a, b in spans if a < last and b > first]
        if inside:
            parts.append(f"{code}:{' '.join(inside)}")
    return ";".join(parts)


def add_noise(source: Path, target: Target) -> None:
    """Noisy sites in permissive repositories."""
    for path in sorted(source.glob("*.mseed")):
        repository, station, site = path.stem.split("__")
        if repository not in NOISE:
            continue
        x, gaps, traces = stream_of(path)
        stats = traces[0].stats
        validation = site.removesuffix("MSEED") in VALIDATION or station in VALIDATION
        for first, last in pieces(x.shape[1], stats.sampling_rate):
            name = f"{station}_{site}_{first}"
            target.add(
                {
                    "trace_name": name,
                    "trace_start_time": iso_from_ns(stats.starttime.ns + round(first / stats.sampling_rate * NS_PER_S)),
                    "trace_sampling_rate_hz": stats.sampling_rate,
                    "trace_channel": stats.channel[:2],
                    "station_network_code": stats.network,
                    "station_code": stats.station,
                    "station_location_code": stats.location,
                    "trace_component_order": "".join(t.stats.channel[-1] for t in traces),
                    "trace_onset_sample": 0,
                    "trace_noise_end_sample": last - first,
                    "trace_visible": "True",
                    "trace_missing": missing_text(gaps, first, last),
                    "source_id": f"{station}_{site}",
                    "source_group": f"{station}_{site}",
                    "source_class": "noise",
                    "source_type": "noise",
                    "subset": repository.lower().replace("-", "_"),
                    "fold": 0 if validation else 1 + fold_of(site) % (FOLDS - 1),
                    "source_repository": NOISE[repository][0],
                    "source_commit": NOISE[repository][1],
                    "source_path": path.name,
                },
                x[:, first:last],
            )


def arrivals(folder: Path, place: tuple[float, float]) -> list[tuple[int, float]]:
    """Origin time and hypocentral distance in km of the catalogued and the automatically detected earthquakes."""
    found = []
    for row in table(folder / "events.csv"):
        found.append((row["origin_time"], row["latitude"], row["longitude"], float(row["depth_km"])))
    for row in table(folder / "events_automatic.csv"):
        found.append((row["time"] + "Z", row["latitude"], row["longitude"], float(row["depth(m)"]) / 1000))
    out: list[tuple[int, float]] = []
    for time, latitude, longitude, depth in found:
        north = (float(latitude) - place[0]) * KM_PER_DEG
        east = (float(longitude) - place[1]) * KM_PER_DEG * np.cos(np.radians(place[0]))
        origin_ns = ns_from_iso(time)
        if all(abs(origin_ns - known) > 1.5 * NS_PER_S for known, _ in out):  # both lists contain the larger ones
            out.append((origin_ns, float(np.sqrt(north**2 + east**2 + depth**2))))
    return sorted(out)


def picks_of(x: Array, rate: float, start_ns: int, found: list[tuple[int, float]]) -> list[tuple[str, float]]:
    """Phase and sample of each arrival; 'P?' and 'S?' where no clear rise is near the predicted time."""
    vertical, across = power_from_record(x[:1], rate), power_from_record(x[1:], rate)
    out = []
    for origin_ns, distance_km in found:
        p_s = (origin_ns - start_ns) / NS_PER_S + distance_km / P_KM_S
        s_s = p_s + distance_km / P_KM_S * (VP_VS - 1)
        for phase, power, time_s in (("P", vertical, p_s), ("S", across, s_s)):
            if not LEAD_S < time_s < x.shape[1] / rate - 3.0:
                continue
            earliest_s = max(SEARCH_S[0], (p_s - s_s) / 2) if phase == "S" else SEARCH_S[0]
            search = (time_s + earliest_s, time_s + SEARCH_S[1])
            onset: Onset = find_onset(power, rate, search, time_s, 0.5)
            clear = onset.basis == "energy" and onset.sample >= (time_s + earliest_s) * rate
            out.append((phase if clear else f"{phase}?", onset.sample))
    return out


def add_continuous(source: Path, real: Path, target: Target) -> None:
    """The recording of Ridgecrest before `RIDGECREST_END_NS`."""
    folder = source / "ridgecrest_2019-07-07T08"
    stations = {row["station_code"]: row for row in table(real / "metadata.csv") if row["subset"] == "ridgecrest"}
    for path in sorted(folder.glob("*.mseed")):
        if path.name.endswith(".stream.mseed"):
            continue
        x, gaps, traces = stream_of(path)
        stats = traces[0].stats
        rate, start_ns = stats.sampling_rate, stats.starttime.ns
        x = x[:, : int((RIDGECREST_END_NS - start_ns) / NS_PER_S * rate)]
        row = stations[stats.station]
        place = float(row["station_latitude_deg"]), float(row["station_longitude_deg"])
        lead = round(LEAD_S * rate)
        padded = np.concatenate([np.repeat(x[:, :1], lead, axis=1), x], axis=1)
        picks = picks_of(padded, rate, start_ns - round(LEAD_S * NS_PER_S), arrivals(folder, place))
        for first, last in pieces(x.shape[1], rate):
            late = start_ns + round(first / rate * NS_PER_S) >= VALIDATION_NS
            event = "ridgecrest_continuous_2" if late else "ridgecrest_continuous"
            inside = [(phase, s - lead - first) for phase, s in picks if first <= s - lead < last]
            target.add(
                {
                    "trace_name": f"{stats.network}.{stats.station}_{first}",
                    "trace_start_time": iso_from_ns(start_ns + round(first / rate * NS_PER_S)),
                    "trace_sampling_rate_hz": rate,
                    "trace_channel": stats.channel[:2],
                    "station_network_code": stats.network,
                    "station_code": stats.station,
                    "station_location_code": stats.location,
                    "trace_component_order": "".join(t.stats.channel[-1] for t in traces),
                    "trace_onset_sample": f"{min((s for p, s in inside if p == 'P'), default=0.0):.2f}",
                    "trace_onset_basis": "energy",
                    "trace_visible": "True",
                    "trace_noise_end_sample": 0,
                    "trace_picks": ";".join(f"{phase} {sample:.2f}" for phase, sample in inside),
                    "trace_missing": missing_text(gaps, first, last),
                    "source_id": event,
                    "source_group": event,
                    "source_class": "tectonic",
                    "source_type": "earthquake",
                    "subset": "ridgecrest_continuous",
                    "fold": 0 if late else 1,
                    "source_repository": "tso1257771/RED-PAN",
                    "source_commit": "1bcfb672dd184b1cb1e98491dcc5bd827614dcdb",
                    "source_path": path.name,
                },
                x[:, first:last],
            )


def main() -> None:
    """Read the source, write the two folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    if not (args.out / "metadata.csv").is_file():
        raise SystemExit(f"{args.out}: no metadata.csv; run build.py first")
    onsets, noise = Target(args.out / "onsets"), Target(args.out / "noise")
    add_untyped(args.source / "unlabelled", onsets)
    add_continuous(args.source / "continuous", args.source / "real", onsets)
    add_noise(args.source / "noise", noise)
    onsets.close()
    noise.close()


if __name__ == "__main__":
    main()

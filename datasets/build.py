"""Build the data set of this folder from a folder of collected records.

    python datasets/build.py SOURCE [-o datasets]

SOURCE holds `metadata.csv`, `waveforms.hdf5` (SeisBench format) and `gains.csv`. Kept samples are copied bit by
bit (integers as integers). README.md in this folder lists what is left out, and why.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.train.dataset.onset import BAND_HZ, VISIBLE_RATIO, Onset, find_onset, power_from_record, snr_at
from seisedge.train.dataset.split import assign_split, group_overlapping

RIDGECREST_END_NS = ns_from_iso("2019-07-07T08:16:00")  # the recording from this time on is that of the demo
KEEP_S = {
    "pnw": 105.0,
    "esec": 140.0,
    "sechilienne": 120.0,
}  # from the start of the record; the other sources are not cut
SUBSETS = ("pnw", "esec", "ridgecrest", "phasenet_ncedc", "sechilienne", "seisbench_chile")
P_KM_S = 6.0
CLASSES = {"earthquake": "tectonic", "explosion": "blast"}  # all other types are mass movements
COLUMNS = [
    "trace_name", "trace_start_time", "trace_sampling_rate_hz", "trace_npts", "trace_channel",
    "station_network_code", "station_code", "station_location_code", "trace_component_order",
    "trace_true_components", "trace_unit", "trace_gain_counts_per_m_s", "trace_onset_sample",
    "trace_onset_basis", "trace_onset_snr", "trace_visible", "trace_noise_end_sample",
    "trace_p_arrival_sample", "trace_s_arrival_sample", "trace_p_predicted_sample", "trace_rms_ratio",
    "source_id", "source_group", "source_class", "source_type", "source_origin_time", "source_magnitude",
    "source_magnitude_type", "source_latitude_deg", "source_longitude_deg", "source_depth_km",
    "station_latitude_deg", "station_longitude_deg", "path_ep_distance_km",
    "n_other_catalogue_events_in_window", "n_automatic_events_in_window", "subset", "split", "fold",
    "label_quality", "source_repository", "source_commit", "source_path",
]  # fmt: skip

Row = dict[str, Any]


def number(row: Row, key: str) -> float | None:
    """The value of a column, None if empty."""
    return float(row[key]) if row.get(key) else None


def exact(x: np.ndarray) -> np.ndarray:
    """The same values as int16 or int32 if possible, else in their own type."""
    if not np.array_equal(x, np.round(x)):
        return x
    peak = np.abs(x).max()
    return x.astype(np.int16 if peak < 2**15 else np.int32) if peak < 2**31 else x


def gain_of(row: Row, gains: list[Row]) -> float | None:
    """Counts per m/s of the vertical at the time of the record, None if unknown or not for velocity."""
    start = ns_from_iso(row["trace_start_time"]) if row["trace_start_time"] else None
    for gain in gains:
        same = (gain["network"], gain["station"]) == (row["station_network_code"], row["station_code"])
        if not same or gain["input_unit"] != "m/s" or gain["channel"] != row["trace_channel"] + "Z":
            continue
        if gain["location"] and gain["location"] != row["station_location_code"]:
            continue
        if gain["start"] and (start is None or start < ns_from_iso(gain["start"])):
            continue
        if gain["end"] and (start is None or start >= ns_from_iso(gain["end"])):
            continue
        return float(gain["sensitivity"])
    return None


def onset_of(row: Row, x: np.ndarray) -> Onset:
    """The nominal onset of a record from the best available information."""
    rate = float(row["trace_sampling_rate_hz"])
    power = power_from_record(x, rate)
    length_s = x.shape[1] / rate
    for key, basis in (
        ("trace_p_arrival_sample", "P pick"),
        ("source_onset_sample", "catalogued onset"),
        ("trace_p_predicted_sample", "P predicted"),
    ):
        sample = number(row, key)
        if sample is not None:
            return Onset(sample, snr_at(power, rate, sample), basis)
    if row["subset"] == "seisbench_chile":  # records start at the origin time; P of an intermediate-depth event
        distance = np.hypot(number(row, "path_ep_distance_km") or 0.0, number(row, "source_depth_km") or 0.0)
        expected = float(distance) / 8.0
        return find_onset(power, rate, (max(expected - 5.0, 0.5), expected + 8.0), expected, 0.5)
    origin = number(row, "source_origin_sample")
    if origin is None:
        raise SystemExit(f"{row['trace_name']}: has neither a pick nor an origin time")
    origin_s = origin / rate
    if row["subset"] == "esec":
        return find_onset(power, rate, (origin_s - 20.0, min(origin_s + 25.0, length_s)), origin_s, 2.0)
    distance_km = number(row, "path_ep_distance_km")
    if distance_km is None:  # the records extend to about 56 km
        return find_onset(power, rate, (origin_s, origin_s + 12.0), origin_s + 4.0, 0.5)
    expected = origin_s + float(np.hypot(distance_km, number(row, "source_depth_km") or 0.0)) / P_KM_S
    return find_onset(power, rate, (expected - 2.0, expected + 3.0), expected, 0.5)


def main() -> None:
    """Read the source, write metadata.csv and waveforms.hdf5."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    with (args.source / "metadata.csv").open() as file:
        table = list(csv.DictReader(file))
    with (args.source / "gains.csv").open() as file:
        gains = list(csv.DictReader(file))
    rows: list[Row] = []
    with (
        h5py.File(args.source / "waveforms.hdf5") as archive,
        h5py.File(args.out / "waveforms.hdf5", "w", libver="latest") as target,
    ):
        waveforms = archive["data"]
        noise: dict[str, list[Row]] = {}
        for row in table:
            if row["subset"].startswith("noise_"):
                noise.setdefault(row["source_path"], []).append(row)
        target["data_format/dimension_order"] = "CW"
        target["data_format/measurement"] = "ground motion as recorded, see trace_unit"
        target["data_format/unit"] = "counts"
        target["data_format/instrument_response"] = "not restituted"
        for row in table:
            if row["subset"] not in SUBSETS:
                continue
            rate = float(row["trace_sampling_rate_hz"])
            x = waveforms[row["trace_name"]][()]
            if row["subset"] == "ridgecrest":
                if ns_from_iso(row["source_origin_time"]) >= RIDGECREST_END_NS:
                    continue
                before = (RIDGECREST_END_NS - ns_from_iso(row["trace_start_time"])) / NS_PER_S * rate
                x = x[:, : int(np.ceil(before))]
            onset = onset_of(row, x)
            x = x[:, : round(KEEP_S.get(row["subset"], np.inf) * rate) if row["subset"] in KEEP_S else None]
            kind = CLASSES.get(row["source_type"], "mass movement")
            out = {key: row.get(key, "") for key in COLUMNS}
            gain = gain_of(row, gains)
            out |= {
                "trace_npts": x.shape[1],
                "trace_unit": "counts",
                "trace_gain_counts_per_m_s": "" if gain is None else f"{gain:g}",
                "trace_onset_sample": f"{onset.sample:.2f}",
                "trace_onset_basis": onset.basis,
                "trace_onset_snr": f"{onset.snr:.2f}",
                "trace_visible": str(onset.snr >= VISIBLE_RATIO),
                "trace_noise_end_sample": 0,
                "source_class": kind,
            }
            for window in noise.get(row["source_path"], []):
                y = waveforms[window["trace_name"]][()]
                if np.array_equal(x[:, : y.shape[1]], y):
                    out["trace_noise_end_sample"] = y.shape[1]
            rows.append(out)
            target.create_dataset(
                f"data/{row['trace_name']}",
                data=exact(x),
                chunks=(1, x.shape[1]),
                compression="gzip",
                compression_opts=9,
                shuffle=True,
                track_times=False,
            )
    starts = [ns_from_iso(r["trace_start_time"]) if r["trace_start_time"] else 0 for r in rows]
    spans = [round(r["trace_npts"] / float(r["trace_sampling_rate_hz"]) * NS_PER_S) for r in rows]
    ends = [start + span if start else 0 for start, span in zip(starts, spans, strict=True)]
    stations = [f"{r['station_network_code']}.{r['station_code']}" for r in rows]
    groups = group_overlapping([r["source_id"] for r in rows], stations, starts, ends)
    splits, folds = assign_split(groups, [f"{r['source_class']}/{r['subset']}" for r in rows])
    for row, group, split, fold in zip(rows, groups, splits, folds, strict=True):
        row |= {"source_group": group, "split": split, "fold": fold}
    with (args.out / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for name in ("metadata.csv", "waveforms.hdf5"):
        path = args.out / name
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{name}: {path.stat().st_size / 1e6:.2f} MB, sha256 {digest}")
    print(f"{len(rows)} records of {len({r['source_id'] for r in rows})} events, onsets on {BAND_HZ} Hz")


if __name__ == "__main__":
    main()

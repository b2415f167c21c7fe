"""Build the folder `regions` of this folder from a folder of collected records.

    python -m datasets.build_regions SOURCE --unshipped DIR [-o datasets]

SOURCE holds `more/` (SeisBench format with a `gains.csv`) and `accelerometers/` (miniSEED with StationXML). Kept
samples are copied bit by bit. README.md in this folder lists what is left out, and why. DIR receives the records of the
temporary networks of subset alpine, from which the event-type model is trained as well, but which are not part of the
repository.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import h5py
import numpy as np
import obspy
from datasets.build import P_KM_S, Row, exact, gain_of, number
from datasets.build_onsets import FOLDS, Target, span_of, table

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.train.dataset.onset import VISIBLE_RATIO, Onset, find_onset, power_from_record, snr_at
from seisedge.train.dataset.split import group_overlapping

SHIPPED_NETWORK = "NZ"  # of subset alpine; the temporary networks have no stated licence
CLASSES = {"earthquake": "tectonic", "explosion": "blast"}  # of mining-induced events no type is stated
MANTLE_KM_S = 8.0
GUARD_S = 2.0  # between the noise and the onset
STEADY_RATIO = 4.0  # largest 1 s RMS of a noise part over the 20th percentile
SHORTEST_NOISE_S = 8.0
# Stations with both sensors, and the P onset in s from the start of their files; two more stations show no clear onset
COLOCATED = {"CI.GR2": 17.6, "BK.TRAY": 49.0, "BK.TCAS": 53.8, "AK.BPAW": 144.4}
LONGEST_BEFORE_S = 45.0  # before the onset, kept
LONGEST_AFTER_S = 60.0
DOUBLED = ("alpine_00344",)  # has the samples of alpine_00350, which has picks: one earthquake under two event ids
COLUMNS = [
    "trace_name", "trace_start_time", "trace_sampling_rate_hz", "trace_npts", "trace_channel",
    "station_network_code", "station_code", "station_location_code", "trace_component_order", "trace_true_components",
    "trace_unit", "trace_quantity", "trace_gain_counts_per_m_s", "trace_gain_counts_per_m_s2", "trace_onset_sample",
    "trace_onset_basis", "trace_onset_snr", "trace_visible", "trace_noise_end_sample", "trace_p_arrival_sample",
    "trace_s_arrival_sample", "source_id", "source_group", "source_class", "source_type", "source_origin_time",
    "source_magnitude", "source_magnitude_type", "source_latitude_deg", "source_longitude_deg", "source_depth_km",
    "station_latitude_deg", "station_longitude_deg", "path_ep_distance_km", "subset", "split", "fold", "label_quality",
    "source_repository", "source_commit", "source_path",
]  # fmt: skip


def onset_of(row: Row, x: np.ndarray) -> Onset:
    """The analyst's P pick, else the first clear rise near the P time that follows from distance or data set."""
    rate = float(row["trace_sampling_rate_hz"])
    power = power_from_record(x, rate)
    sample = number(row, "trace_p_arrival_sample")
    if sample is not None:
        return Onset(sample, snr_at(power, rate, sample), "P pick")
    predicted = number(row, "trace_p_predicted_sample")
    if predicted is not None:
        expected = predicted / rate
        return find_onset(power, rate, (expected - 3.0, expected + 3.0), expected, 0.5)
    origin_s = (number(row, "source_origin_sample") or 0.0) / rate
    distance_km = float(np.hypot(number(row, "path_ep_distance_km") or 0.0, number(row, "source_depth_km") or 0.0))
    expected = origin_s + distance_km / P_KM_S
    earliest = min(expected - 2.0, origin_s + distance_km / MANTLE_KM_S)
    return find_onset(power, rate, (earliest, expected + 3.0), expected, 0.5)


def noise_end_of(x: np.ndarray, rate: float, onset: float) -> int:
    """Samples from the start that are steady noise; 0 if the part before the onset is short or contains a signal."""
    end = int(onset - GUARD_S * rate)
    if end < SHORTEST_NOISE_S * rate:
        return 0
    second = round(rate)
    steps = np.diff(x[0, :end].astype(np.float64))
    rms = np.sqrt((steps[: len(steps) // second * second].reshape(-1, second) ** 2).mean(axis=1))
    low = np.percentile(rms, 20)
    return end if low > 0 and rms.max() < STEADY_RATIO * low else 0


def add(target: Target, row: Row, x: np.ndarray, gains: list[Row]) -> None:
    """One record, cut around its onset."""
    rate = float(row["trace_sampling_rate_hz"])
    onset = onset_of(row, x)
    last = min(round(onset.sample + LONGEST_AFTER_S * rate), x.shape[1])
    x = x[:, :last]
    gain = gain_of(row, gains)
    picks = {key: row[key] for key in ("trace_p_arrival_sample", "trace_s_arrival_sample")}
    target.add(
        {key: row.get(key, "") for key in COLUMNS}
        | picks
        | {
            "trace_npts": x.shape[1],
            "trace_gain_counts_per_m_s": "" if gain is None else f"{gain:g}",
            "trace_onset_sample": f"{onset.sample:.2f}",
            "trace_onset_basis": onset.basis,
            "trace_onset_snr": f"{onset.snr:.2f}",
            "trace_visible": str(onset.snr >= VISIBLE_RATIO),
            "trace_noise_end_sample": noise_end_of(x, rate, onset.sample),
            "source_group": row["source_id"],
            "source_class": CLASSES.get(row["source_type"], ""),
            "source_type": row["source_type"] if row["source_type"] in CLASSES else "",
            "split": "train",
        },
        exact(x),
    )


def add_colocated(target: Target, folder: Path) -> None:
    """Seismometer and accelerometer of one site, of two regional earthquakes."""
    for station, first_p_s in COLOCATED.items():
        paths = sorted(folder.glob(f"{station}.*.mseed"))
        inventory = obspy.read_inventory(str(folder / f"{station}.xml"))
        stream = sum((obspy.read(str(path)) for path in paths), obspy.Stream())
        for name in sorted({trace.id[:-1] for trace in stream}):
            traces = stream.select(id=f"{name}?")
            traces.sort(["channel"])
            start = traces[0].stats.starttime
            codes = {trace.stats.channel[-1]: trace for trace in traces}
            if "Z" not in codes:
                continue  # BK.*.BH: channels 1, 2 and 3
            order = sorted(codes, key="ZN1E2".index)
            stats = codes["Z"].stats
            rate, n = stats.sampling_rate, min(trace.stats.npts for trace in traces)
            x = np.stack([codes[code].data[:n] for code in order])
            power = power_from_record(x, rate)
            onset = find_onset(power, rate, (first_p_s - 3.0, first_p_s + 3.0), first_p_s, 0.5)
            first = max(round(onset.sample - LONGEST_BEFORE_S * rate), 0)
            x = x[:, first : round(onset.sample + LONGEST_AFTER_S * rate)]
            sensitivity = inventory.get_response(codes["Z"].id, start).instrument_sensitivity
            acceleration = sensitivity.input_units.upper() == "M/S**2"
            place = inventory.get_coordinates(codes["Z"].id, start)
            event = f"colocated_{start.strftime('%Y-%m-%d')}"
            at = onset.sample - first
            target.add(
                dict.fromkeys(COLUMNS, "")
                | {
                    "trace_name": f"colocated_{name.replace('..', '.')}",
                    "trace_start_time": iso_from_ns(start.ns + round(first / rate * NS_PER_S)),
                    "trace_sampling_rate_hz": rate,
                    "trace_npts": x.shape[1],
                    "trace_channel": stats.channel[:2],
                    "station_network_code": stats.network,
                    "station_code": stats.station,
                    "station_location_code": stats.location,
                    "trace_component_order": "".join(order),
                    "trace_unit": "counts",
                    f"trace_gain_counts_per_m_s{'2' if acceleration else ''}": f"{sensitivity.value:g}",
                    "trace_quantity": "acceleration" if acceleration else "",
                    "trace_onset_sample": f"{at:.2f}",
                    "trace_onset_basis": onset.basis,
                    "trace_onset_snr": f"{onset.snr:.2f}",
                    "trace_visible": str(onset.basis == "energy" and onset.snr >= VISIBLE_RATIO),
                    "trace_noise_end_sample": noise_end_of(x, rate, at),
                    "source_id": event,
                    "source_class": "tectonic",
                    "source_type": "earthquake",
                    "station_latitude_deg": place["latitude"],
                    "station_longitude_deg": place["longitude"],
                    "subset": "colocated",
                    "label_quality": "dataset",
                    "source_repository": "DOI-USGS/ghsc-esi-groundmotion-processing",
                    "source_commit": "e8228cea",
                    "source_path": "tests/data/colocated_instruments",
                },
                exact(x),
            )


def set_folds(rows: list[Row]) -> None:
    """Groups of events that share samples at a station, and folds by group within a source, in turn, in the order of a
    hash. No event is a test event: the figures on these sources are those with the whole source left out, see
    benchmarks/regions.py.
    """
    spans = [span_of(row) for row in rows]
    stations = [f"{row['station_network_code']}.{row['station_code']}" for row in rows]
    groups = group_overlapping([r["source_id"] for r in rows], stations, [a for a, _ in spans], [b for _, b in spans])
    for row, group in zip(rows, groups, strict=True):
        row["source_group"] = group
    for source in {row["source_repository"] for row in rows}:
        here = [row for row in rows if row["source_repository"] == source]
        names = sorted({r["source_group"] for r in here}, key=lambda g: hashlib.sha256(g.encode()).hexdigest())
        for row in here:
            row["fold"] = names.index(row["source_group"]) % FOLDS


def main() -> None:
    """Read the source, write the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--unshipped", type=Path, required=True)
    args = parser.parse_args()
    rows = [row for row in table(args.source / "more" / "metadata.csv") if row["source_type"] in CLASSES]
    gains = table(args.source / "more" / "gains.csv")
    targets = {True: Target(args.out / "regions", COLUMNS), False: Target(args.unshipped, COLUMNS)}
    with h5py.File(args.source / "more" / "waveforms.hdf5") as archive:
        for row in rows:
            if row["trace_name"] in DOUBLED:
                continue
            shipped = row["subset"] != "alpine" or row["station_network_code"] == SHIPPED_NETWORK
            if not shipped:
                row["subset"] = "alpine_temporary"
            add(targets[shipped], row, archive["data"][row["trace_name"]][()], gains)
    add_colocated(targets[True], args.source / "accelerometers")
    set_folds([row for target in targets.values() for row in target.rows])
    for target in targets.values():
        target.close()


if __name__ == "__main__":
    main()

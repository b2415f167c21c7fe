"""Build the folder `hard_negatives` of this folder: what the triggers of the station open on the noise of `noise`.

    python -m datasets.build_hard_negatives [-o datasets/hard_negatives]
    python -m datasets.build_hard_negatives --recordings SOURCE/noise -o UNSHIPPED/noise_copyleft

The recordings of a site are joined from their pieces. The bundled onset detector, at a low threshold, and the STA/LTA
trigger with its default settings are run over them as at the station. Around each onset a record is cut, bit by bit;
`trace_onset_basis` is `trigger`. Folds are those of `noise`: fold 0 consists of whole sites.

With --recordings the miniSEED files of copyleft repositories are read instead; all of their noise is kept as well, in
pieces. The event-type model is trained on it, but it is not part of the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np
from datasets.build import Row
from datasets.build_onsets import COLUMNS, NOISE, Target, missing_text, pieces, stream_of, table

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.engines import Engine, open_engine
from seisedge.runtime.inference.infer import model_path
from seisedge.train.archive.archive import missing_of
from seisedge.train.dataset.columns import TRIGGER
from seisedge.train.evaluation.hard_negatives import samples_opened

BEFORE_S, AFTER_S = 8.0, 45.0  # of an onset, kept
Array = np.ndarray
Gaps = dict[str, list[tuple[int, int]]]


def recordings(folder: Path) -> list[tuple[Row, Array, Gaps]]:
    """Of each site: the row of its first piece, all samples (components, n), and the gaps by component."""
    sites: dict[str, list[Row]] = {}
    for row in table(folder / "metadata.csv"):
        sites.setdefault(row["source_id"], []).append(row)
    out = []
    with h5py.File(folder / "waveforms.hdf5") as archive:
        for rows in sites.values():
            rows.sort(key=lambda row: int(row["trace_name"].rsplit("_", 1)[1]))
            gaps: Gaps = {}
            for row in rows:
                first = int(row["trace_name"].rsplit("_", 1)[1])
                for code, spans in missing_of(row).items():
                    gaps.setdefault(code, []).extend((first + low, first + high) for low, high in spans)
            out.append((rows[0], np.concatenate([archive["data"][r["trace_name"]][()] for r in rows], axis=1), gaps))
    return out


# Copyleft repositories of noise: name, commit, and the split and fold of its sites
COPYLEFT = {
    "hvsrpy": ("jpvantassel/hvsrpy", "74024709", "train", 1),
    "swprocess": ("jpvantassel/swprocess", "8909a93d", "test", 2),
    "seismo-huddle": ("marzeck/seismo-huddle", "cb8b582c", "train", 0),
}


def recordings_from(folder: Path) -> list[tuple[Row, Array, Gaps]]:
    """As `recordings`, of the miniSEED files that are not in `noise`."""
    out = []
    for path in sorted(folder.glob("*.mseed")):
        repository, station, place = path.stem.split("__")
        if repository in NOISE:
            continue
        x, gaps, traces = stream_of(path)
        stats, (source, commit, split, fold) = traces[0].stats, COPYLEFT[repository]
        row = {
            "trace_start_time": iso_from_ns(stats.starttime.ns),
            "trace_sampling_rate_hz": stats.sampling_rate,
            "trace_channel": stats.channel[:2],
            "station_network_code": stats.network,
            "station_code": stats.station,
            "station_location_code": stats.location,
            "trace_component_order": "".join(t.stats.channel[-1] for t in traces),
            "trace_visible": "True",
            "source_id": f"{station}_{place}",
            "source_group": f"{repository}_{station}",
            "source_class": "noise",
            "source_type": "noise",
            "subset": "noise_copyleft",
            "split": split,
            "fold": fold,
            "source_repository": source,
            "source_commit": commit,
            "source_path": path.name,
        }
        out.append((dict.fromkeys(COLUMNS, "") | row, x, gaps))
    return out


def add_pieces(target: Target, row: Row, x: Array, gaps: Gaps) -> None:
    """All samples, in pieces."""
    rate = float(row["trace_sampling_rate_hz"])
    for first, last in pieces(x.shape[1], rate):
        target.add(
            row
            | {
                "trace_name": f"{row['source_id']}_{first}",
                "trace_start_time": iso_from_ns(ns_from_iso(row["trace_start_time"]) + round(first / rate * NS_PER_S)),
                "trace_npts": last - first,
                "trace_onset_sample": 0,
                "trace_noise_end_sample": last - first,
                "trace_missing": missing_text(gaps, first, last),
            },
            x[:, first:last],
        )


def onset_samples(row: Row, x: Array, gaps: Gaps, engine: Engine) -> list[int]:
    """Samples of x at which a trigger opens, see `samples_opened`."""
    codes = row["trace_component_order"]
    valid = np.ones(x.shape, dtype=bool)
    for k, code in enumerate(codes):
        for low, high in gaps.get(code, []):
            valid[k, low:high] = False
    return samples_opened(x, valid, codes, float(row["trace_sampling_rate_hz"]), False, engine)


def main() -> None:
    """Read `noise`, write `hard_negatives`."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=here / "hard_negatives")
    parser.add_argument("--recordings", type=Path)
    args = parser.parse_args()
    engine = open_engine(model_path("onset"))
    target = Target(args.out, COLUMNS)
    for row, x, gaps in recordings_from(args.recordings) if args.recordings else recordings(here / "noise"):
        if args.recordings:
            add_pieces(target, row, x, gaps)
        rate = float(row["trace_sampling_rate_hz"])
        onsets = onset_samples(row, x, gaps, engine)
        start_ns = ns_from_iso(row["trace_start_time"])
        for at in onsets:
            first, last = max(at - round(BEFORE_S * rate), 0), min(at + round(AFTER_S * rate), x.shape[1])
            target.add(
                {key: row[key] for key in COLUMNS}
                | {
                    "trace_name": f"{row['source_id']}_trigger_{at}",
                    "trace_start_time": iso_from_ns(start_ns + round(first / rate * NS_PER_S)),
                    "trace_npts": last - first,
                    "trace_onset_sample": at - first,
                    "trace_onset_basis": TRIGGER,
                    "trace_noise_end_sample": last - first,
                    "trace_missing": missing_text(gaps, first, last),
                    "subset": f"{row['subset']}_triggers",
                },
                x[:, first:last],
            )
        print(f"{row['source_id']}: {len(onsets)} onsets in {x.shape[1] / rate / 3600:.2f} h, fold {row['fold']}")
    target.close()


if __name__ == "__main__":
    main()

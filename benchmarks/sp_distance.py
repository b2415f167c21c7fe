"""Error of the distance from S - P, on records with both picks and a known hypocentral distance.

Run from the repository with folders in SeisBench format: `python -m benchmarks.sp_distance DIR …`. Prints, by data set,
the relative error, and how often the known distance lies within one and two standard errors.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from seisedge.runtime.detection.sp_distance import distance_from_sp

P_SD_S, S_SD_S = 0.05, 0.1  # of an analyst's picks


def known(folder: Path) -> list[tuple[str, str, float, float]]:
    """Data set, event, S - P in seconds and hypocentral distance in km of the records that state all of them."""
    needed = ("trace_p_arrival_sample", "trace_s_arrival_sample", "path_ep_distance_km", "source_depth_km")
    rows = []
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if all(row.get(name) for name in needed):
                p, s, distance_km, depth_km = (float(row[name]) for name in needed)
                sp_s = (s - p) / float(row["trace_sampling_rate_hz"])
                rows.append((row["subset"], row["source_id"], sp_s, math.hypot(distance_km, depth_km)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    rows = [row for folder in parser.parse_args().data for row in known(folder)]
    by_set = defaultdict(list)
    for subset, event, sp_s, distance_km in rows:
        found = distance_from_sp(sp_s, P_SD_S, S_SD_S)
        if found is not None:
            errors = found.value_km / distance_km - 1, (found.value_km - distance_km) / found.uncertainty_km
            by_set[subset].append((event, distance_km, *errors))
    by_set["all"] = [row for subset in list(by_set) for row in by_set[subset]]
    print(f"{'':14}{'records':>8}{'events':>8}{'km':>12}{'median error':>14}{'|error|':>9}{'in 1 sd':>9}{'in 2 sd':>9}")
    for subset, found_rows in by_set.items():
        km, relative, scaled = (np.array([row[i] for row in found_rows], dtype=float) for i in (1, 2, 3))
        cells = f"{len(km):8}{len({row[0] for row in found_rows}):8}{f'{km.min():.0f} to {km.max():.0f}':>12}"
        cells += f"{np.median(relative):14.0%}{np.median(np.abs(relative)):9.0%}"
        print(f"{subset:14}{cells}" + "".join(f"{(np.abs(scaled) <= k).mean():9.0%}" for k in (1, 2)))


if __name__ == "__main__":
    main()

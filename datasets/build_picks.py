"""Build a folder of records with the picks of analysts, for trainings of an onset detector, that is not shipped.

    python -m datasets.build_picks SOURCE -o DIR

SOURCE holds `real/` and `more/` (SeisBench format with a `gains.csv`). Kept samples are copied bit by bit. README.md in
this folder lists the sources, and why they are not part of the repository.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
from datasets.build import number
from datasets.build_onsets import Target, table
from datasets.build_regions import COLUMNS, add, set_folds

SOURCES = {"more": ("poland",), "real": ("sourcespec", "swiss", "henan")}
UNITS = {"m/s (": "m/s", "m/s2 ": "m/s2"}  # the source states how the response was removed in the same column


def main() -> None:
    """Read the source, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    target = Target(args.out, COLUMNS)
    for name, subsets in SOURCES.items():
        folder = args.source / name
        gains = table(folder / "gains.csv")
        with h5py.File(folder / "waveforms.hdf5") as archive:
            for row in table(folder / "metadata.csv"):
                if row["subset"] in subsets and number(row, "trace_p_arrival_sample") is not None:
                    row["trace_unit"] = UNITS.get(row["trace_unit"][:5], row["trace_unit"])
                    add(target, row, archive["data"][row["trace_name"]][()], gains)
    set_folds(target.rows)
    target.close()


if __name__ == "__main__":
    main()

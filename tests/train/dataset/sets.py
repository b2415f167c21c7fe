"""Small data sets in SeisBench format, written as SeisBench writes them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Rows = list[dict[str, Any]]


def write_set(
    folder: Path,
    rows: Rows,
    arrays: Sequence[np.ndarray],
    *,
    chunk: str = "",
    block: bool = False,
    transposed: bool = False,
    data_format: dict[str, Any] | None = None,
) -> Path:
    """`rows` and their arrays (components, n). block: all arrays in one, padded, as SeisBench's writer packs them."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [a.T if transposed else a for a in arrays]
    with h5py.File(folder / f"waveforms{chunk}.hdf5", "w") as file:
        order = {"dimension_order": "WC" if transposed else "CW"}
        for key, value in (order | (data_format or {})).items():
            file[f"data_format/{key}"] = value
        if block:
            packed = np.zeros((len(arrays), *(max(a.shape[k] for a in arrays) for k in (0, 1))), arrays[0].dtype)
            for i, a in enumerate(arrays):
                packed[i, : a.shape[0], : a.shape[1]] = a
                rows[i]["trace_name"] = f"bucket0${i},:{a.shape[0]},:{a.shape[1]}"
            file["data/bucket0"] = packed
        else:
            for row, a in zip(rows, arrays, strict=True):
                file[f"data/{row['trace_name']}"] = a
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / f"metadata{chunk}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def make_rows(n: int, **more: Any) -> Rows:
    """`n` records of `n` earthquakes at 100 Hz, P at sample 2000."""
    base = {"trace_sampling_rate_hz": 100, "source_type": "earthquake", "trace_P_arrival_sample": 2000}
    return [{"trace_name": f"t{i}", "source_id": f"e{i}"} | base | more for i in range(n)]


def make_arrays(n: int, components: int = 3, length: int = 6000, seed: int = 0) -> list[np.ndarray]:
    """Noise in counts, int32."""
    rng = np.random.default_rng(seed)
    return [np.round(1000 * rng.standard_normal((components, length))).astype(np.int32) for _ in range(n)]

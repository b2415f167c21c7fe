"""Write a data set in SeisBench format, completely or not at all."""

from __future__ import annotations

import csv
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from seisedge.runtime.commands._overwrite import protect_folder
from seisedge.runtime.commands._stopped import uninterrupted
from seisedge.runtime.errors import InputError
from seisedge.train.dataset.fault_file import FaultFile

BLOCK = 64  # traces of one shape and type in an array: a SeisBench trace block, fast to read and write
Row = dict[str, Any]
Array = npt.NDArray[np.generic]


class Writer:
    """Writes traces to a temporary folder beside `out`. `finish` renames it to `out`; without `finish` it is removed.

    Raises InputError if `out` exists and is not an empty folder, or its parent folder is not writable.
    """

    def __init__(self, out: Path) -> None:
        protect_folder(out)
        self.out = out
        self.rows: list[Row] = []
        self._held: dict[tuple[int, int, str], list[tuple[Row, Array]]] = {}
        self._n_blocks = 0
        try:
            out.absolute().parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.absolute().parent))
        except OSError as error:
            raise InputError(f"{out}: cannot be written: {error.strerror}") from error
        self._disk = FaultFile(self._folder / "waveforms.hdf5")
        # "latest": no time stamps in groups, so equal input gives equal bytes
        self._file = h5py.File(self._disk, "w", libver="latest")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            self._file.close()
            self._disk.close()
        if self._folder.exists():
            shutil.rmtree(self._folder)
        if error is None:
            self._disk.check()

    def add(self, row: Row, x: Array) -> None:
        """Add a trace (components, n). `trace_name` moves to `trace_name_original`; it becomes the place in a block."""
        self.rows.append(row)
        key = (*x.shape, str(x.dtype))
        held = self._held.setdefault(key, [])
        held.append((row, x))
        if len(held) == BLOCK:
            self._write(held)

    def finish(self, columns: list[str], data_format: dict[str, str], notes: str, readme: str = "") -> None:
        """Write the table in the order of `add`, and rename the folder to `out`.

        notes: content of build.json. readme: content of README.md; '' for none.
        """
        for held in self._held.values():
            self._write(held)
        with uninterrupted():
            for key, value in data_format.items():
                self._file.create_dataset(f"data_format/{key}", data=value, track_times=False)
            self._file.close()
        self._disk.check()
        self._disk.close()
        with (self._folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        (self._folder / "build.json").write_text(notes, encoding="utf-8")
        if readme:
            (self._folder / "README.md").write_text(readme, encoding="utf-8")
        self._folder.chmod(0o755)  # folders of mkdtemp are private
        self._folder.rename(self.out)

    def _write(self, held: list[tuple[Row, Array]]) -> None:
        if not held:
            return
        data = np.stack([x for _, x in held])
        name = f"block{self._n_blocks:05d}"
        self._n_blocks += 1
        with uninterrupted():
            self._file.create_dataset(
                f"data/{name}", data=data, chunks=(1, 1, data.shape[2]), compression="gzip", compression_opts=4,
                shuffle=True, track_times=False,
            )  # fmt: skip
        self._disk.check()
        for i, (row, _) in enumerate(held):
            row["trace_name_original"] = row["trace_name"]
            row["trace_name"] = f"{name}${i},:{data.shape[1]},:{data.shape[2]}"
        held.clear()

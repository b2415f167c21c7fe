"""Memory and processor time of a training by the number of records.

    python -m benchmarks.memory [--records 3000 12000] [--memory GB]

Bundled records are cut to 60 s and repeated, with other event ids, into data sets of the given sizes. Each is trained
on for a few steps by `seisedge train event-type` in its own process. Anonymous memory is what the system cannot take
back: pages of a file that are in memory are not counted, because they are read again when they are needed.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np

from seisedge.train.dataset.columns import kind_of
from seisedge.train.dataset.store import Store

LENGTH_S, BEFORE_S = 60, 10
HELD_OUT = 60  # records; enough to end as every training does
STEPS = ("optimisation.steps=20", "optimisation.batch=32")
EVERY_S = 0.02
KINDS = ("tectonic", "blast", "mass movement")
COLUMNS = (
    "trace_name", "trace_sampling_rate_hz", "trace_component_order", "trace_onset_sample",
    "source_id", "source_type", "trace_category", "station_network_code", "station_code", "split", "fold",
)  # fmt: skip


def bundled() -> list[tuple[dict[str, str], np.ndarray]]:
    """Events of the bundled set at 100 Hz with 60 s around the onset: their rows and samples (3, 6000)."""
    out = []
    with Store(Path("datasets")) as store:
        for row in store.rows:
            if float(row["trace_sampling_rate_hz"]) != 100 or row["trace_visible"] == "False":
                continue
            x = store.samples(row)
            if kind_of(row) not in KINDS:
                continue
            start = round(float(row["trace_onset_sample"])) - 100 * BEFORE_S
            part = x[:, max(start, 0) : max(start, 0) + 100 * LENGTH_S]
            if part.shape[1] == 100 * LENGTH_S and start >= 0:
                rows = np.zeros((3, 100 * LENGTH_S), dtype=np.int32)
                rows[: len(part)] = np.round(part)
                out.append((row, rows))
    return out


def write(folder: Path, records: list[tuple[dict[str, str], np.ndarray]], count: int) -> None:
    """A data set of `count` records."""
    folder.mkdir()
    with h5py.File(folder / "waveforms.hdf5", "w") as file, (folder / "metadata.csv").open("w", newline="") as text:
        file["data_format/dimension_order"] = "CW"
        table = csv.DictWriter(text, COLUMNS)
        table.writeheader()
        for k in range(count):
            row, x = records[k % len(records)]
            out: dict[str, object] = {key: row.get(key, "") for key in COLUMNS}
            out |= {
                "trace_name": f"r{k}", "source_id": f"e{k}", "trace_onset_sample": 100 * BEFORE_S,
                "trace_component_order": "ZNE", "station_network_code": "XX",
                "station_code": f"S{k}", "split": "test" if k < HELD_OUT else "train", "fold": "",
            }  # fmt: skip
            file[f"data/r{k}"] = x + k // len(records)
            table.writerow(out)


def anonymous_mib(pid: int) -> float:
    """Anonymous resident memory of a process in MiB; 0 if it has ended."""
    try:
        found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def train(folder: Path, out: Path, memory: str | None) -> tuple[float, float, float]:
    """Processor time in s, peak resident and peak anonymous memory in MiB of one training."""
    command = [sys.executable, "-m", "seisedge.cli", "train", "event-type", "--without", "noise"]
    command += ["--data", str(folder), "-o", str(out)]
    command += [word for setting in STEPS for word in ("--set", setting)]
    command += [] if memory is None else ["--memory", memory]
    with (out.parent / "log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        peak = [0.0]

        def watch() -> None:
            while process.poll() is None:
                peak[0] = max(peak[0], anonymous_mib(process.pid))
                time.sleep(EVERY_S)

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
        if process.returncode:
            log.seek(0)
            sys.exit(log.read())
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, peak[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[3000, 12_000])
    parser.add_argument("--memory", nargs="+", default=[None], metavar="GB", help="values of --memory of the training")
    options = parser.parse_args()
    records = bundled()
    print(f"{len(records)} bundled records of {LENGTH_S} s, repeated")
    print(f"{'records':>8} {'--memory':>9} {'file':>9} {'processor':>10} {'peak resident':>14} {'peak anonymous':>15}")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        for count in options.records:
            folder = Path(name) / f"set-{count}"
            write(folder, records, count)
            size = (folder / "waveforms.hdf5").stat().st_size / 1e6
            for k, memory in enumerate(options.memory):
                seconds, resident, anonymous = train(folder, Path(name) / f"run-{count}-{k}", memory)
                print(
                    f"{count:8} {memory or 'default':>9} {size:6.0f} MB {seconds:8.0f} s {resident:10.0f} MiB "
                    f"{anonymous:11.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()

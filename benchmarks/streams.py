"""Benchmarks of streams: decoding, receiving, archives, continuous mode, latency, number of stations.

Each row of seisedge is compared with an alternative, if there is one, in the same run, in turn; medians of three rounds
by wall-clock and by processor time, one thread each. Data: the bundled recording, and synthetic days of its noise and
events (`seisedge.runtime.demo.made_day`). Run from the repository: `python -m benchmarks.streams [SECTION...]`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measure import ROUNDS, rate_lines
from seisedge.runtime import machine
from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.demo.made_day import write_day
from seisedge.runtime.inference.infer import Models

STATION = "PB.B918"
PACKAGES = ("seisedge", "onnxruntime", "numpy", "pymseed", "obspy", "seedlink-client", "seisbench", "torch")
LATENCY_S = 100.0
HELD_S = 40.0
HELD_STATIONS = 200


def decode(folder: Path) -> list[str]:
    from benchmarks.wire import decode_rows

    data = write_day(folder / "decode.mseed", [STATION], 6)
    return rate_lines("miniSEED 2, Steim2, 512 bytes, quiet", "records/s", decode_rows(data))


def ingest(folder: Path) -> list[str]:
    from benchmarks.wire import ingest_rows

    data = write_day(folder / "ingest.mseed", [STATION], 4)
    return rate_lines("SeedLink, one server with its packets ready", "records/s", ingest_rows(data, STATION))


def archive(folder: Path) -> list[str]:
    from benchmarks.site_noise import write_quiet_day
    from benchmarks.throughput import NO_SEISBENCH, archive_rows, has_seisbench

    models = Models.load(ModelsConfig())
    lines: list[str] = []
    for name, data in (
        ("quiet, noise of sites", write_quiet_day(folder / "noise.mseed", STATION, 6)),
        ("quiet, noise between the events of a swarm", write_day(folder / "quiet.mseed", [STATION], 6)),
        ("swarm", RECORDING),
    ):
        rows, what = archive_rows(data, models)
        lines += rate_lines(f"archive, triggered, {name}: {what}", "x real time", rows)
    return lines if has_seisbench() else [*lines, NO_SEISBENCH]


def continuous(folder: Path) -> list[str]:
    from benchmarks.throughput import continuous_rows

    rows, what = continuous_rows(write_day(folder / "continuous.mseed", [STATION], 0.25, 4))
    return rate_lines(f"continuous: {what}", "x real time", rows)


def latency(folder: Path) -> list[str]:
    from benchmarks.live import latency_lines, shifted_swarm

    models = Models.load(ModelsConfig())
    apart = shifted_swarm(folder / "apart.mseed", 8, LATENCY_S)
    at_once = shifted_swarm(folder / "at-once.mseed", 1, LATENCY_S / 2)
    return [
        *latency_lines("latency, onsets at different times", apart, models),
        *latency_lines("latency, all at once: copies of one station", at_once, models, copies=20),
    ]


def sustained(folder: Path) -> list[str]:
    from benchmarks.live import held_in_real_time, shifted_swarm, sustained_rows

    models = Models.load(ModelsConfig())
    data = {
        "quiet": write_day(folder / "sustained.mseed", [STATION], 0.25, 4.0, seed=4),
        "swarm": shifted_swarm(folder / "swarm.mseed", 1, 120.0),
    }
    rows, notes = sustained_rows(data, models, copies=10)
    lines = [
        "stations in real time, one process, SeedLink packet by packet (data as fast as they come)",
        f"{'':52}{'stations':>14}{'by CPU time':>14}",
        *(f"{row.name:52}{row.rate:14,.0f}{row.cpu_rate:14,.0f}" for row in rows),
        *notes,
    ]
    held = held_in_real_time(
        write_day(folder / "held.mseed", [STATION], HELD_S / 3600, 0), models, copies=HELD_STATIONS
    )
    lines.append(
        f"at speed 1: {held.stations} stations for {held.stream_s:.0f} s took {held.core_share:.0%} of a core and "
        f"{held.memory_mib:.0f} MiB, and ended {held.late_s:.1f} s after the data"
    )
    return lines


SECTIONS: dict[str, Callable[[Path], list[str]]] = {
    function.__name__: function for function in (decode, ingest, archive, continuous, latency, sustained)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all")
    parser.add_argument("--bare", action="store_true", help="omit the line about the machine")
    arguments = parser.parse_args()
    chosen = arguments.sections or list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"{', '.join(sorted(unknown))}: no such section (known: {', '.join(SECTIONS)})")
    if not arguments.bare:
        print(f"{machine.describe()}; {time.strftime('%Y-%m-%d', time.gmtime())}; medians of {ROUNDS}, one thread each")
        print(", ".join(filter(None, map(_version, PACKAGES))), flush=True)
    if (
        len(chosen) > 1
    ):  # each in a separate process, so that libraries of one do not affect memory and threads of another
        for name in chosen:
            subprocess.run([sys.executable, "-m", "benchmarks.streams", name, "--bare"], check=True)
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        print("\n" + "\n".join(SECTIONS[chosen[0]](Path(folder))))
    print(f"({time.monotonic() - began:.0f} s)")


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()

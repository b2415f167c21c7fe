"""How fast a recording on disk becomes events, beside reading and triggering it with obspy.

Both rows read the same miniSEED in a process that has everything loaded, three times in turn; the medians and their
ratio are printed. Ours does more: windows, both models, events. Run from the repository:
`python benchmarks/archive.py [DATA...]`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from time import perf_counter

import obspy
from obspy.signal.trigger import recursive_sta_lta, trigger_onset

from seisedge.runtime import machine
from seisedge.runtime.config import ModelsConfig, StationConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.inference import Models
from seisedge.runtime.loop import Loop
from seisedge.runtime.report import RunReport
from seisedge.runtime.sources import open_source

ROUNDS = 3


def ours(files: list[Path], models: Models) -> RunReport:
    with open_source([str(path) for path in files]) as source:
        return Loop(models, [], {}, default=StationConfig()).run(source)


def plain(files: list[Path]) -> int:
    """obspy: read, demean, band-pass, recursive STA/LTA on every vertical."""
    count = 0
    for path in files:
        for trace in obspy.read(str(path)).select(component="Z").merge():
            rate = trace.stats.sampling_rate
            trace.detrend("demean").filter("bandpass", freqmin=2, freqmax=20)
            ratio = recursive_sta_lta(trace.data, int(0.5 * rate), int(10 * rate))
            count += len(trigger_onset(ratio, 4, 1.5))
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=[RECORDING])
    files = parser.parse_args().data
    models = Models.load(ModelsConfig())
    ours(files, models)
    plain(files)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS):
        began = perf_counter()
        report = ours(files, models)
        times["ours"].append(perf_counter() - began)
        began = perf_counter()
        onsets = plain(files)
        times["plain"].append(perf_counter() - began)
    stations = len(report.stations)
    seconds = report.stream_s * stations
    mine, theirs = (statistics.median(times[name]) for name in ("ours", "plain"))
    hours = seconds / 3600
    print(f"{machine.describe()}, one process, medians of {ROUNDS}")
    print(f"{seconds / 60:.0f} station-minutes of {stations} three-component station(s)")
    print(f"{'':44}{'s':>8}{'x real time':>13}{'triggers/h':>12}{'inferences/h':>14}")
    print(
        f"{'seisedge run: read, trigger, classify':44}{mine:8.2f}{seconds / mine:13,.0f}"
        f"{report.triggers / hours:12.0f}{report.inferences / hours:14.0f}"
    )
    print(
        f"{'obspy: read, filter, recursive STA/LTA (Z)':44}{theirs:8.2f}{seconds / theirs:13,.0f}{onsets / hours:12.0f}"
    )
    print(f"ratio of the times, ours to obspy: {mine / theirs:.2f}")


if __name__ == "__main__":
    main()

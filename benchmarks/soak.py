"""A day or more of stream time over a bad connection, at full speed: is anything lost, repeated or leaked?

The data are a synthetic day (`seisedge.runtime.demo.made_day`: real noise, real events) of two stations, with gaps.
First the file is analysed undisturbed. Then the virtual digitizer serves the same records over SeedLink 3, SeedLink 4
and DataLink with random faults (`benchmarks/weather.py`), and `seisedge run --state` reads them in a separate process:
once without interruption, to watch its resident memory (`/proc/PID/statm`), and once with `kill -9` at random moments
and a restart after each. The lines of events are compared byte for byte, without the circumstances of the run.

Run from the repository: `python -m benchmarks.soak [--plot FILE.png]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.weather import REORDER_WAIT_S, Gaps, Weather
from seisedge.runtime import machine
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.demo import STATIONS
from seisedge.runtime.demo.made_day import CONFIGS, write_day
from seisedge.runtime.event import CIRCUMSTANCES
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._recording import Recording

PROTOCOLS = ("seedlink 3", "seedlink 4", "datalink")
EVENTS_PER_HOUR = 6.0
GAPS_PER_DAY = 24  # per station
IDLE_EXIT_S = 10.0  # the pauses after a cut and a refused connection are 2 s, longer on a busy machine
SAMPLE_S = 0.25
START_S = 0.7  # time to load the models; a run killed earlier makes no progress
WARM_UP_H = 2.0
ALLOWED_MB = 5.0  # growth after the warm-up
PAGE = os.sysconf("SC_PAGE_SIZE")
COUNTERS = {  # of /metrics: what is added up over components and stations
    "reconnects": "source_reconnects_total",
    "set aside": "source_bad_records_total",
    "skipped bytes": "source_skipped_bytes_total",
    "duplicate records": "source_duplicates_total",
    "duplicate samples": "component_duplicate_samples_total",
    "disagreeing samples": "component_disagreeing_samples_total",
    "events": "events_total",
}


PLOTTED = ("reconnects", "set aside", "duplicate samples")


@dataclass
class Sample:
    """The station process at one moment."""

    stream_h: float
    rss_mb: float
    counters: dict[str, float]


@dataclass
class Run:
    """Results of one run of the station over the whole day."""

    protocol: str
    lines: dict[str, list[bytes]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)  # at the end, of all processes together
    kills: int = 0
    killed_at_h: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0

    def growth_mb(self, warm_up_h: float) -> float:
        """Largest resident memory after the warm-up, minus the median of the first quarter of what is after it."""
        after = [sample for sample in self.samples if sample.stream_h >= warm_up_h]
        first = after[: max(len(after) // 4, 1)]
        return max(s.rss_mb for s in after) - statistics.median(s.rss_mb for s in first)

    def drift_mb(self, warm_up_h: float) -> float:
        """Median of the last quarter after the warm-up, minus the median of the first one."""
        after = [sample.rss_mb for sample in self.samples if sample.stream_h >= warm_up_h]
        n = max(len(after) // 4, 1)
        return statistics.median(after[-n:]) - statistics.median(after[:n])


def lost_and_doubled(run: Run, reference: dict[str, list[bytes]]) -> tuple[int, int, int]:
    """Missing lines of the reference, repeated lines, and lines that are not in the reference."""
    lost = doubled = other = 0
    for station in {*reference, *run.lines}:
        wanted, found = Counter(reference.get(station, [])), Counter(run.lines.get(station, []))
        lost += (wanted - found).total()
        keys = Counter((line["id"], line["revision"]) for line in map(json.loads, run.lines.get(station, [])))
        doubled += sum(count - 1 for count in keys.values())
        other += len(found.keys() - wanted.keys())
    return lost, doubled, other


class Soak:
    """The data, their undisturbed events, and runs on them. Files go to `folder`. data: replaces the synthetic day."""

    def __init__(
        self,
        folder: Path,
        hours: float,
        seed: int,
        stations: Sequence[str] = tuple(CONFIGS),
        *,
        packets: int = 3000,
        data: Path | None = None,
        idle_exit_s: float = IDLE_EXIT_S,
    ) -> None:
        self.folder, self.hours, self.seed, self.packets = folder, hours, seed, packets
        self.idle_exit_s = idle_exit_s
        self.stations = list(stations)
        made = data or write_day(folder / "made.mseed", self.stations, hours, EVENTS_PER_HOUR, seed)
        gaps = Gaps(seed, max(round(GAPS_PER_DAY * hours / 24), 1))
        recording = Recording([made], 512, change_records=gaps.records)
        row = recording.in_sequence
        self.starttime_ns = recording.starttime_ns
        self.day = folder / "day.mseed"
        self.day.write_bytes(b"".join(numbered.entry.record for numbered in row))
        self.configs = [self._config(station) for station in self.stations]
        self.n_records = len(row)

    def _config(self, station: str) -> Path:
        path = self.folder / f"{station}.toml"
        text = (STATIONS / f"{station}.toml").read_text(encoding="utf-8")
        path.write_text(f"{text}\n[timeline]\nreorder_wait_s = {REORDER_WAIT_S:g}\n", encoding="utf-8")
        return path

    def reference(self) -> dict[str, list[bytes]]:
        """Lines by station of the undisturbed file."""
        events = self.folder / "reference.jsonl"
        command = [*self._command(), str(self.day), "--events", str(events)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return contents(events)

    def run(self, protocol: str, kills: int = 0, every_s: float = 2.0) -> Run:
        """The day over a protocol with faults; killed `kills` times, each about `every_s` after its start."""
        run = Run(protocol)
        rng = random.Random(f"{self.seed} kills {protocol}")
        name = f"{protocol.replace(' ', '')}-{kills}"
        events, log = self.folder / f"{name}.jsonl", self.folder / f"{name}.log"
        weather = Weather(self.seed, self.packets, wrap=protocol == "seedlink 3")
        began = time.monotonic()
        with Digitizer(self.day, speed=0, record_length=512, faults=[weather]) as digitizer, log.open("wb") as errors:
            scheme, _, version = protocol.partition(" ")
            names = ",".join(station.replace(".", "_") for station in self.stations)
            url = f"{digitizer.url_for(scheme)}/{names}?from=earliest" + (f"&protocol={version}" if version else "")
            command = [
                *self._command(), "--source", url, "--state", str(self.folder / name), "--events", str(events),
                "--metrics", f"127.0.0.1:{_free_port()}",
                "--idle-exit", str(self.idle_exit_s),
            ]  # fmt: skip
            metrics = f"http://{command[command.index('--metrics') + 1]}/metrics"
            while True:
                left_s = START_S + rng.uniform(0, 2 * every_s) if run.kills < kills else 3600.0
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
                if self._watch(process, metrics, run, left_s):
                    break
                run.kills += 1
            if process.returncode != 0:
                raise SystemExit(f"{protocol}: the station ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        run.wall_s = time.monotonic() - began
        run.lines = contents(events)
        run.faults = weather.drawn
        return run

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "seisedge.cli", "run", *map(str, self.configs)]

    def _watch(self, process: subprocess.Popen[bytes], metrics: str, run: Run, left_s: float) -> bool:
        """Sample until the process ends (True), or kill it at the end of its time (False)."""
        until = time.monotonic() + left_s
        counters: dict[str, float] = {}
        stream_h = 0.0
        try:
            while process.poll() is None and time.monotonic() < until:
                found = sample_of(process.pid, metrics, self.starttime_ns)
                if found is not None:
                    run.samples.append(found)
                    counters, stream_h = found.counters, found.stream_h
                time.sleep(max(min(SAMPLE_S, until - time.monotonic()), 0))
            ended = process.poll() is not None
        finally:
            process.kill()
            process.wait()
        if not ended:
            run.killed_at_h.append(stream_h)
        run.counters.update({name: round(value) for name, value in counters.items()})
        return ended


def _free_port() -> int:
    """An unused port below those that the system assigns to clients; each process starts at another one."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no free port between 20,000 and 32,000")


def sample_of(pid: int, metrics: str, starttime_ns: int) -> Sample | None:
    """None before the first data, and after the end."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    except (OSError, ValueError, IndexError):
        return None
    now_ns = time.time_ns()
    sums: Counter[str] = Counter()
    ages: list[float] = []
    for line in lines:
        name, _, value = line.removeprefix("seisedge_").rpartition(" ")
        name = name.partition("{")[0]
        if name == "data_age_seconds":
            ages.append(float(value))
        sums[name] += float(value)  # type: ignore[assignment]  # a Counter of floats
    if not ages:
        return None
    stream_h = (now_ns - starttime_ns - max(ages) * NS_PER_S) / NS_PER_S / 3600
    return Sample(stream_h, pages * PAGE / 1e6, {name: float(sums[key]) for name, key in COUNTERS.items()})


def contents(events: Path) -> dict[str, list[bytes]]:
    """Lines of a file by station, without their circumstances."""
    found: dict[str, list[bytes]] = {}
    for text in events.read_text(encoding="utf-8").splitlines():
        plain = {key: value for key, value in json.loads(text).items() if key not in CIRCUMSTANCES}
        found.setdefault(plain["station"], []).append(json.dumps(plain).encode())
    return found


def plot(path: Path, steady: list[Run], killed: list[Run], warm_up_h: float) -> None:
    """Memory and counters over stream time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (memory, counts, restarts) = pyplot.subplots(
        3, 1, figsize=(8, 7.5), sharex=True, height_ratios=(4, 4, 2), layout="constrained"
    )
    colours = dict(zip(PROTOCOLS, ("#1b6ca8", "#c8553d", "#3a7d44"), strict=True))
    end_h = max(run.samples[-1].stream_h for run in steady)
    for run in steady:
        hours = [sample.stream_h for sample in run.samples]
        memory.plot(hours, [sample.rss_mb for sample in run.samples], color=colours[run.protocol], label=run.protocol)
        for name in PLOTTED:
            counts.plot(hours, [s.counters[name] for s in run.samples], color=colours[run.protocol], linewidth=1)
    for name in PLOTTED:
        last = max(run.samples[-1].counters[name] for run in steady)
        counts.annotate(f" {name}\n {last:,.0f}", (end_h, last), va="center", fontsize=8, annotation_clip=False)
    after = [s.rss_mb for run in steady for s in run.samples if s.stream_h >= warm_up_h]
    allowed = statistics.median(after) + ALLOWED_MB
    memory.axhline(allowed, color="0.6", linestyle=":", linewidth=1)
    memory.annotate(f"median + {ALLOWED_MB:g} MB", (end_h, allowed), ha="right", va="bottom", color="0.4", fontsize=8)
    memory.axvspan(0, warm_up_h, color="0.93")
    memory.annotate("warm-up", (warm_up_h / 2, min(after) - 12), ha="center", color="0.4", fontsize=8)
    memory.set(ylabel="resident memory, MB", title="One process, two stations, random faults; no restart")
    memory.set_ylim(min(after) - 14, allowed + 4)
    memory.legend(loc="lower right", ncols=3, frameon=False)
    counts.set(ylabel="counted so far", yscale="log", title="What the faults came to (three protocols)", ylim=(1, None))
    for level, run in enumerate(killed):
        marks = [min(hour, end_h) for hour in run.killed_at_h]
        restarts.plot(marks, [level] * len(marks), "|", markersize=14, color=colours[run.protocol])
    restarts.set(xlabel="stream time, h", title="kill -9 and a new start (runs of their own)", ylim=(-0.7, 2.7))
    restarts.set_yticks(range(len(killed)), [run.protocol for run in killed])
    restarts.set_xlim(0, end_h)
    if end_h > 12:
        restarts.set_xticks(range(0, round(end_h) + 1, 3))
    for axes in (memory, counts, restarts):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="0.93")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def table(runs: list[Run], reference: dict[str, list[bytes]], warm_up_h: float) -> list[str]:
    rows = [
        f"{'':12}{'kills':>6}{'lines':>7}{'lost':>6}{'doubled':>9}{'other':>7}{'RSS':>7}{'growth':>8}{'drift':>7}"
        f"{'reconn.':>9}{'set aside':>11}{'dup. samples':>14}{'disagree':>10}{'wall s':>8}"
    ]
    for run in runs:
        lost, doubled, other = lost_and_doubled(run, reference)
        memory = f"{run.samples[-1].rss_mb:7.1f}"
        if run.kills:  # memory differs after each start
            memory += f"{'-':>8}{'-':>7}"
        else:
            memory += f"{run.growth_mb(warm_up_h):8.2f}{run.drift_mb(warm_up_h):7.2f}"
        counted = run.counters
        rows.append(
            f"{run.protocol:12}{run.kills:6}{sum(map(len, run.lines.values())):7}{lost:6}{doubled:9}{other:7}{memory}"
            f"{counted['reconnects']:9}{counted['set aside']:11}{counted['duplicate samples']:14,}"
            f"{counted['disagreeing samples']:10,}{run.wall_s:8.0f}"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--kills", type=int, default=20, help="kills in the second run of each protocol; 0 for none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="a PNG of memory and counters over stream time")
    arguments = parser.parse_args()
    warm_up_h = min(WARM_UP_H, arguments.hours / 4)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), arguments.hours, arguments.seed)
        reference = soak.reference()
        steady = [soak.run(protocol) for protocol in PROTOCOLS]
        killed = []
        if arguments.kills:
            killed = [soak.run(r.protocol, arguments.kills, r.wall_s / arguments.kills) for r in steady]
    print(machine.describe())
    print(
        f"{arguments.hours:g} h of stream time of {len(soak.stations)} stations in one process, {soak.n_records:,} "
        f"records before faults; undisturbed file: {sum(map(len, reference.values()))} lines"
    )
    drawn = sorted(sum((run.faults for run in steady), Counter[str]()).items())
    print("faults drawn (per hour of a station, or per connection): " + ", ".join(f"{name} {n}" for name, n in drawn))
    print("\n".join(table(steady + killed, reference, warm_up_h)))
    print(
        f"memory in MB after {warm_up_h:g} h; growth: largest minus the median of the first quarter; drift: medians of"
    )
    print("the last quarter and of the first")
    if arguments.plot is not None:
        plot(arguments.plot, steady, killed, warm_up_h)


if __name__ == "__main__":
    main()

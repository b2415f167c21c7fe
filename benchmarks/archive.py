"""An archive of many stations and days, and the time that `seisedge archive` takes for it on several processes.

    python -m benchmarks.archive make DIR --stations 100 --days 10 --hours 24
    python -m benchmarks.archive run DIR 1 2 cluster
    python -m benchmarks.archive report DIR

`make` writes an SDS archive in pieces of 25 minutes: one of the bundled recording, a swarm, after a number of pieces
of quiet Gaussian noise. Records of 512 bytes (Steim2) are copied with new codes and times, so that a day costs no
compression. With less than 24 hours of data, one half is at the begin and one at the end of each day, so that events
and warm-ups cross the borders of the days.

`run` analyses it with a number of processes, or on a scheduler with separate worker processes of which some are killed
at random. `report` prints throughput, and compares the content of all tables.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import obspy
import pyarrow.parquet as pq

from seisedge.runtime import machine
from seisedge.runtime.archive.inputs import parse_unit
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.sources.sds import DAY_NS

FIRST_DAY = "2021-03-01"
STATION = "PB.B918"
CHANNELS = ("EHZ", "EH1", "EH2")
PIECE_S = 1500
QUIET_COUNTS = 20.0  # standard deviation of the noise
WORKERS = 2  # of the cluster
BTIME = np.dtype("u2, u2, u1, u1, u1, u1, u2").newbyteorder(">")
BTIME.names = ("year", "day", "hour", "minute", "second", "unused", "fraction")


@dataclass(frozen=True)
class Records:
    """Records of one channel and piece. begin_ns: from the begin of the piece. data: (records, bytes of one)."""

    begin_ns: npt.NDArray[np.int64]
    length_ns: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]


def _by_channel(path: Path, station: str) -> dict[str, Records]:
    found: dict[str, list[tuple[int, int, bytes]]] = {channel: [] for channel in CHANNELS}
    first_ns = None
    for record, packet in MiniSeedSource([path]).records():
        if packet.source_id.station_id == station:
            first_ns = packet.starttime_ns if first_ns is None else first_ns
            begin_ns, length_ns = packet.starttime_ns - first_ns, packet.endtime_ns - packet.starttime_ns
            if begin_ns >= 0 and begin_ns + length_ns <= PIECE_S * NS_PER_S:
                found[packet.source_id.channel].append((begin_ns, length_ns, record))
    return {channel: _records(*zip(*records, strict=True)) for channel, records in found.items()}


def _records(begin_ns: Sequence[int], length_ns: Sequence[int], records: Sequence[bytes]) -> Records:
    data = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), -1)
    return Records(np.array(begin_ns, np.int64), np.array(length_ns, np.int64), data)


def swarm() -> dict[str, Records]:
    """The records of the recording, by channel."""
    return _by_channel(RECORDING, STATION)


def quiet() -> dict[str, Records]:
    """Noise of the same length, by channel."""
    random = np.random.default_rng(1)
    header = {"network": "PB", "station": "B918", "sampling_rate": 100.0, "starttime": obspy.UTCDateTime(2021, 1, 1)}
    traces = [
        obspy.Trace(
            np.round(random.normal(0.0, QUIET_COUNTS, PIECE_S * 100)).astype(np.int32), header | {"channel": channel}
        )
        for channel in CHANNELS
    ]
    with tempfile.NamedTemporaryFile(suffix=".mseed") as file:
        obspy.Stream(traces).write(file.name, format="MSEED", encoding="STEIM2", reclen=512)
        return _by_channel(Path(file.name), STATION)


def placed(records: Records, station: str, start_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The records of another station at other times; their microseconds stay in the fraction."""
    data = records.data.copy()
    data[:, 8:13] = np.frombuffer(station.encode().ljust(5), np.uint8)
    data[:, 18:20] = np.frombuffer(b"XX", np.uint8)
    seconds, rest_ns = np.divmod(start_ns, NS_PER_S)
    moments = seconds.view("datetime64[s]")
    stamps = np.zeros(len(data), BTIME)
    stamps["year"] = moments.astype("datetime64[Y]").astype(np.int64) + 1970
    stamps["day"] = (moments.astype("datetime64[D]") - moments.astype("datetime64[Y]")).astype(np.int64) + 1
    stamps["hour"], stamps["minute"], stamps["second"] = seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    stamps["fraction"] = rest_ns // 100_000
    data[:, 20:30] = stamps.view(np.uint8).reshape(len(data), -1)
    return data


def make(folder: Path, stations: int, days: int, hours: float, quiet_pieces: int) -> None:
    """Write the archive; each piece of the swarm follows `quiet_pieces` of noise."""
    kinds = [quiet()] * quiet_pieces + [swarm()]
    written = 0
    for number in range(stations):
        station = f"S{number:03d}"
        for day in range(days):
            begin_ns = ns_from_iso(FIRST_DAY) + day * 86_400 * NS_PER_S
            moment = time.gmtime(begin_ns // NS_PER_S)
            for channel in CHANNELS:
                name = f"XX.{station}..{channel}.D.{moment.tm_year}.{moment.tm_yday:03d}"
                path = folder / str(moment.tm_year) / "XX" / station / f"{channel}.D" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                records = [kind[channel] for kind in kinds]
                with path.open("wb") as file:
                    for piece in _day(records, number + day, station, begin_ns, hours):
                        written += file.write(piece.tobytes())
    print(f"{folder}: {stations} stations x {days} days x {hours:g} h, {written / 2**20:.1f} MiB")


def _day(
    records: list[Records], turn: int, station: str, begin_ns: int, hours: float
) -> Iterator[npt.NDArray[np.uint8]]:
    """Records of one channel, piece by piece."""
    end_ns, half_ns = begin_ns + DAY_NS, round(hours * 1800) * NS_PER_S
    for number, piece_ns in enumerate(range(begin_ns, end_ns, PIECE_S * NS_PER_S)):
        if begin_ns + half_ns <= piece_ns and piece_ns + PIECE_S * NS_PER_S <= end_ns - half_ns:
            continue
        of_piece = records[(number + turn) % len(records)]
        start_ns = piece_ns + of_piece.begin_ns
        stop_ns = start_ns + of_piece.length_ns
        kept = (stop_ns <= begin_ns + half_ns) | ((end_ns - half_ns <= start_ns) & (stop_ns <= end_ns))
        yield placed(of_piece, station, start_ns)[kept]


def run(folder: Path, ways: list[str], killed: int, unit: str, seed: int) -> None:
    """Analyse the archive in each way, and note the time and the processor time of each."""
    for way in ways:
        out = _outputs(folder) / way
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        load, before, began_s = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, "-m", "seisedge.cli", "archive", f"sds:{folder}", "-o", str(out), "--unit", unit]
        if way == "cluster":
            _on_cluster(command, out, WORKERS, _moments(folder, unit, killed, seed))
        else:
            subprocess.run([*command, "--workers", way], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = {
            "wall_s": time.monotonic() - began_s,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "load": f"{load:.1f} to {os.getloadavg()[0]:.1f}",
        }
        _figures_file(folder, way).write_text(json.dumps(figures))


def report(folder: Path) -> None:
    """Print the figures of all ways, and whether their tables have the same content."""
    ways = sorted(path.name for path in _outputs(folder).iterdir() if path.is_dir())
    contents = {way: _content(_outputs(folder) / way) for way in ways}
    first = contents[ways[0]]
    data_s = sum(facts["data_s"] for facts, _ in first.values())
    print(f"{machine.describe()}; {time.strftime('%Y-%m-%d', time.gmtime())}")
    print(
        f"{len(first)} units, {data_s / 86_400:.1f} station-days, {sum(len(rows) for _, rows in first.values())} events"
    )
    print(f"{'way':<10}{'seconds':>10}{'x real time':>14}{'processor s':>14}{'x by processor':>16}  load, content")
    for way in ways:
        figures = json.loads(_figures_file(folder, way).read_text())
        wall_s, cpu_s = figures["wall_s"], figures["cpu_s"]
        same = "same" if contents[way] == first else "DIFFERENT"
        print(
            f"{way:<10}{wall_s:>10.0f}{data_s / wall_s:>14,.0f}{cpu_s:>14.0f}{data_s / cpu_s:>16,.0f}  "
            f"{figures['load']}, {same}"
        )
    sys.exit(any(content != first for content in contents.values()))


def _outputs(folder: Path) -> Path:
    return folder.parent / f"{folder.name}-out"


def _figures_file(folder: Path, way: str) -> Path:
    return _outputs(folder) / f"{way}.json"


def _moments(folder: Path, unit: str, killed: int, seed: int) -> Iterator[tuple[int, random.Random]]:
    """Numbers of units that are done when a worker is killed, in order, and the choice of that worker."""
    chosen = random.Random(seed)
    per_day = DAY_NS // parse_unit(unit)
    total = per_day * len(list(folder.rglob("*.D.*"))) // len(CHANNELS)
    return iter([(done, chosen) for done in sorted(chosen.sample(range(1, max(total, killed + 2)), killed))])


def _on_cluster(command: list[str], out: Path, workers: int, moments: Iterator[tuple[int, random.Random]]) -> None:
    """A scheduler and workers as processes of their own; killed workers are replaced."""
    address_file = out.parent / "scheduler.json"
    address_file.unlink(missing_ok=True)
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen([sys.executable, "-m", *arguments], **quiet)  # type: ignore[call-overload]
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process  # type: ignore[no-any-return]

        start("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(address_file))
        while not address_file.exists():
            time.sleep(0.2)
        address = json.loads(address_file.read_text())["address"]
        worker = ("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        running = [start(*worker) for _ in range(workers)]
        process = subprocess.Popen([*command, "--scheduler", address])
        moment = next(moments, None)
        while process.poll() is None:
            time.sleep(0.2)
            done = sum(1 for _ in out.rglob("station=*/*.parquet")) if moment is not None else 0
            if moment is not None and done >= moment[0]:
                victim = running.pop(moment[1].randrange(len(running)))
                victim.send_signal(signal.SIGKILL)
                print(f"killed worker process {victim.pid} with {done} units done", flush=True)
                running.append(start(*worker))
                moment = next(moments, None)
        if process.returncode:
            raise SystemExit(f"the run on the cluster failed with status {process.returncode}")


def _content(out: Path) -> dict[str, tuple[dict[str, float], list[dict[str, object]]]]:
    """Facts and rows of each unit, by its path."""
    found = {}
    for path in sorted((out / "events").rglob("*.parquet")):
        table = pq.ParquetFile(path)
        facts = json.loads(table.schema_arrow.metadata[b"seisedge.unit"])
        found[str(path.relative_to(out))] = facts, table.read().to_pylist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write the archive")
    making.add_argument("folder", type=Path)
    making.add_argument("--stations", type=int, default=100)
    making.add_argument("--days", type=int, default=10)
    making.add_argument("--hours", type=float, default=24.0, help="of data per day, half at each end")
    making.add_argument("--quiet", type=int, default=19, help="pieces of noise before each piece of the swarm")
    running = commands.add_parser("run", help="analyse it")
    running.add_argument("folder", type=Path)
    running.add_argument("ways", nargs="+", metavar="WAY", help="a number of processes, or cluster")
    running.add_argument("--killed", type=int, default=2, help="worker processes of the cluster")
    running.add_argument("--unit", default="1d")
    running.add_argument("--seed", type=int, default=1, help="of the choice of the workers that are killed, and when")
    reporting = commands.add_parser("report", help="print the figures and compare the tables")
    reporting.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.stations, given.days, given.hours, given.quiet)
    elif given.command == "run":
        run(given.folder, given.ways, given.killed, given.unit, given.seed)
    else:
        report(given.folder)


if __name__ == "__main__":
    main()

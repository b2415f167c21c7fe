"""An archive of many stations and days, and the time that `seisedge archive` takes for it on several processes.

    python -m benchmarks.archive make DIR --stations 100 --days 10 --hours 24
    python -m benchmarks.archive run DIR --workers 1 2 --killed 2

`make` writes an SDS archive in pieces of 25 minutes: one of the bundled recording, a swarm, after a number of pieces
of quiet Gaussian noise. Records of 512 bytes (Steim2) are copied with new codes and times, so that a day costs no
compression. `run` analyses it with each number of processes and on a scheduler with separate worker processes, of which
some are killed, and compares the content of all tables.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import obspy
import pyarrow.parquet as pq

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.sources.miniseed import MiniSeedSource

FIRST_DAY = "2021-03-01"
STATION = "PB.B918"
CHANNELS = ("EHZ", "EH1", "EH2")
PIECE_S = 1500
QUIET_COUNTS = 20.0  # standard deviation of the noise


Records = list[tuple[int, int, bytes]]  # offset from the begin of a piece, length in ns, bytes


def _by_channel(path: Path, station: str) -> dict[str, Records]:
    found: dict[str, Records] = {channel: [] for channel in CHANNELS}
    first_ns = None
    for record, packet in MiniSeedSource([path]).records():
        if packet.source_id.station_id == station:
            first_ns = packet.starttime_ns if first_ns is None else first_ns
            begin_ns, length_ns = packet.starttime_ns - first_ns, packet.endtime_ns - packet.starttime_ns
            if begin_ns >= 0 and begin_ns + length_ns <= PIECE_S * NS_PER_S:
                found[packet.source_id.channel].append((begin_ns, length_ns, record))
    return found


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


def placed(record: bytes, station: str, start_ns: int) -> bytes:
    """The record of another station at another time; its microseconds stay in the fraction."""
    seconds, rest_ns = divmod(start_ns, NS_PER_S)
    moment = time.gmtime(seconds)
    stamp = struct.pack(
        ">HHBBBxH", moment.tm_year, moment.tm_yday, moment.tm_hour, moment.tm_min, moment.tm_sec, rest_ns // 100_000
    )
    return record[:8] + station.encode().ljust(5) + record[13:18] + b"XX" + stamp + record[30:]


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
                data = b"".join(_day(records, number + day, station, begin_ns, hours))
                path.write_bytes(data)
                written += len(data)
    print(f"{folder}: {stations} stations x {days} days x {hours:g} h, {written / 2**20:.1f} MiB")


def _day(records: list[Records], turn: int, station: str, begin_ns: int, hours: float) -> Iterator[bytes]:
    """Records of one channel, piece by piece."""
    end_ns = begin_ns + round(hours * 3600) * NS_PER_S
    for number, piece_ns in enumerate(range(begin_ns, end_ns, PIECE_S * NS_PER_S)):
        for offset_ns, length_ns, record in records[(number + turn) % len(records)]:
            start_ns = piece_ns + offset_ns
            if start_ns + length_ns <= end_ns:
                yield placed(record, station, start_ns)


def run(folder: Path, workers: list[int], killed: int, unit: str) -> None:
    """Analyse the archive in each way, and compare the tables."""
    out = folder.parent / f"{folder.name}-out"
    shutil.rmtree(out, ignore_errors=True)
    figures: dict[str, float] = {}
    for count in workers:
        began_s = time.monotonic()
        _archive(folder, out / str(count), unit, "--workers", str(count))
        figures[f"{count} process(es)"] = time.monotonic() - began_s
    if killed:
        began_s = time.monotonic()
        _on_cluster(folder, out / "cluster", unit, max(workers), killed)
        figures[f"cluster of {max(workers)} workers, {killed} killed"] = time.monotonic() - began_s
    folders = sorted(path for path in out.iterdir() if path.is_dir())
    contents = [_content(path) for path in folders]
    same = all(content == contents[0] for content in contents)
    data_s = sum(facts["data_s"] for facts, _ in contents[0].values())
    for name, seconds in figures.items():
        print(f"{name:<40} {seconds:8.1f} s {data_s / seconds:10,.0f} times real time")
    print(f"{len(contents[0])} units, {sum(rows for _, rows in _counts(folders[0]))} events; same content: {same}")
    sys.exit(not same)


def _archive(folder: Path, out: Path, unit: str, *options: str) -> None:
    command = [sys.executable, "-m", "seisedge.cli", "archive", f"sds:{folder}", "-o", str(out), "--unit", unit]
    subprocess.run([*command, *options], check=True)


def _on_cluster(folder: Path, out: Path, unit: str, workers: int, killed: int) -> None:
    """A scheduler and workers as processes of their own; each time that a part is done one worker is killed."""
    dask = [sys.executable, "-m"]
    address_file = out.parent / "scheduler.json"
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([*dask, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(address_file))
        while not address_file.exists():
            time.sleep(0.2)
        address = json.loads(address_file.read_text())["address"]
        worker = ("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        running = [start(*worker) for _ in range(workers)]
        command = [sys.executable, "-m", "seisedge.cli", "archive", f"sds:{folder}", "-o", str(out), "--unit", unit]
        process = subprocess.Popen([*command, "--scheduler", address])
        total = len(list(folder.rglob("*.D.*"))) // len(CHANNELS)
        left = killed
        while process.poll() is None:
            time.sleep(0.2)
            done = len(list(out.rglob("station=*/*.parquet")))
            if left and done >= total * (killed - left + 1) // (killed + 1):
                victim = running.pop(0)
                victim.send_signal(signal.SIGKILL)
                print(f"killed worker process {victim.pid} with {done} of {total} units done")
                running.append(start(*worker))
                left -= 1
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


def _counts(out: Path) -> Iterator[tuple[str, int]]:
    for path in (out / "events").rglob("*.parquet"):
        yield path.name, pq.ParquetFile(path).metadata.num_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write the archive")
    making.add_argument("folder", type=Path)
    making.add_argument("--stations", type=int, default=100)
    making.add_argument("--days", type=int, default=10)
    making.add_argument("--hours", type=float, default=24.0, help="of data per day")
    making.add_argument("--quiet", type=int, default=19, help="pieces of noise before each piece of the swarm")
    running = commands.add_parser("run", help="analyse it")
    running.add_argument("folder", type=Path)
    running.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    running.add_argument("--killed", type=int, default=2)
    running.add_argument("--unit", default="1d")
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.stations, given.days, given.hours, given.quiet)
    else:
        run(given.folder, given.workers, given.killed, given.unit)


if __name__ == "__main__":
    main()

"""The cost of the page of a station: processor time, latency and memory with no page, with a page, and with 8 clients.

`seisedge run` reads the bundled recording from the virtual digitizer in continuous mode, in a separate process, in turn
without a page, with a page without clients, and with eight clients: four that show the live page of a station
(updates, and each second the new envelope and probabilities), two that poll, and two that stopped reading. The lines
of the three runs are compared byte for byte, without the circumstances of a run.

Run from the repository: `python -m benchmarks.page [--speed X] [--seconds S] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime import machine
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import CIRCUMSTANCES
from seisedge.runtime.replay import Digitizer

STATION = "PB.B918"
RECORD_BYTES = 512
DATA_S = 1559.0  # of the recording
CLIENTS = ("looking",) * 4 + ("polling",) * 2 + ("stalled",) * 2
VARIANTS = ("no page", "page", "page, 8 clients")
END = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Run:
    """One run. cpu_s: of its process. peak_mib: resident memory. work_ms: of each line, sorted."""

    cpu_s: float
    peak_mib: float
    work_ms: list[float]
    lines: list[bytes]
    answers: int

    def percentile_ms(self, percent: float) -> float:
        return self.work_ms[min(int(len(self.work_ms) * percent / 100), len(self.work_ms) - 1)]


class Clients:
    """Eight clients in threads of this process. answers: received by all of them."""

    def __init__(self, port: int) -> None:
        self.answers = 0
        self._port = port
        self._stopped = threading.Event()
        self._stalled: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Clients:
        for kind in CLIENTS:
            if kind == "stalled":
                link = socket.create_connection(("127.0.0.1", self._port))
                link.sendall(b"GET /api/updates" + END)
                self._stalled.append(link)
                continue
            target = self._look if kind == "looking" else self._poll
            self._threads.append(threading.Thread(target=target, daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(10)
        for link in self._stalled:
            link.close()

    def _get(self, target: str) -> None:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{target}", timeout=10) as answer:
                answer.read()
            self.answers += 1

    def _poll(self) -> None:
        while not self._stopped.wait(10.0):
            self._get("/api/state")
            self._get("/api/events")

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self._port}/api/updates?station={STATION}"
            with urllib.request.urlopen(url, timeout=30) as stream:
                last_ms = 0
                for line in stream:
                    if self._stopped.is_set():
                        return
                    tick = re.match(rb'data: (\{"now_ms": .*"newest_ms": .*\})', line)
                    newest = json.loads(tick[1])["newest_ms"] if tick else {}
                    if newest and (to_ms := max(newest.values()) // 100 * 100) > last_ms:
                        from_ms = max(last_ms, to_ms - 60_000)
                        span = f"station={STATION}&from={from_ms}&to={to_ms}"
                        columns = (to_ms - from_ms) // 100
                        self._get(f"/api/envelope?component=ZNE&columns={columns}&{span}")
                        self._get(f"/api/probabilities?{span}")
                        last_ms = to_ms


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _connected(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the page can be asked."""
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)


@contextlib.contextmanager
def _clients(variant: str, port: int, process: subprocess.Popen[str]) -> Iterator[Clients | None]:
    if variant != VARIANTS[2]:
        yield None
        return
    _connected(port, process)
    with Clients(port) as clients:
        yield clients


def run(variant: str, data: Path, speed: float) -> Run:
    """One run of the station over the data."""
    port = _free_port()
    with Digitizer([data], speed=speed) as digitizer, tempfile.TemporaryFile("w+") as output:
        command = [
            sys.executable,
            "-m",
            "seisedge.cli",
            "run",
            "--source",
            digitizer.url_for("seedlink"),
            "--until-end",
        ]
        command += ["--json", "--mode", "continuous"]
        command += ["--page", f"127.0.0.1:{port}"] if variant != VARIANTS[0] else []
        with subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, text=True) as process:
            with _clients(variant, port, process) as clients:
                _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
        output.seek(0)
        lines = [json.loads(line) for line in output]
    work = sorted(line["latency_ms"]["assemble"] + line["latency_ms"]["infer"] for line in lines)
    content = [json.dumps({k: v for k, v in line.items() if k not in CIRCUMSTANCES}).encode() for line in lines]
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(cpu_s, usage.ru_maxrss / 1024, work, content, clients.answers if clients is not None else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=float, default=1.0, help="of the replay, times real time (default 1)")
    parser.add_argument("--seconds", type=float, default=300.0, help="of data (default 300)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{machine.describe()}; {time.strftime('%Y-%m-%d', time.gmtime())}; medians of {arguments.rounds} rounds")
    found: dict[str, list[Run]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.mseed"
        whole = RECORDING.read_bytes()
        records = round(len(whole) / RECORD_BYTES * min(arguments.seconds / DATA_S, 1.0))
        data.write_bytes(whole[: records * RECORD_BYTES])
        for _ in range(arguments.rounds):
            for variant in VARIANTS:
                found[variant].append(run(variant, data, arguments.speed))
    plain = found[VARIANTS[0]]
    same = all(one.lines == plain[0].lines for runs in found.values() for one in runs)
    print(f"{len(plain[0].lines)} lines of two stations, {arguments.seconds:g} s of data at {arguments.speed:g} times")
    print(
        f"{'':18}{'CPU s':>9}{'ratio':>8}{'share of core':>17}{'peak MiB':>10}{'p50 ms':>8}{'p99 ms':>8}{'answers':>9}"
    )
    base_s = statistics.median(one.cpu_s for one in plain)
    for variant, runs in found.items():
        cpu_s = statistics.median(one.cpu_s for one in runs)
        share = (cpu_s - base_s) / (arguments.seconds / arguments.speed)
        peak, p50, p99 = (
            statistics.median(values)
            for values in (
                [one.peak_mib for one in runs],
                [one.percentile_ms(50) for one in runs],
                [one.percentile_ms(99) for one in runs],
            )
        )
        answers = round(statistics.median(one.answers for one in runs))
        row = f"{variant:18}{cpu_s:9.2f}{cpu_s / base_s:8.2f}{share:+16.2%} {peak:10.1f}{p50:8.2f}{p99:8.2f}{answers:9}"
        print(row)
    print("the lines of all runs are the same" if same else "THE LINES DIFFER")


if __name__ == "__main__":
    main()

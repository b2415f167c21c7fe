"""What the log of a live run says: each change of the state of each source and sink, once."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from tests.runtime.sinks.mosquitto import Broker

from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer

WAIT_S = 60.0
STATION = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")


class Run:
    """`seisedge run` as a process; `expect` waits for a line of its log."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "seisedge.cli", "run", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip())

    def expect(self, *patterns: str) -> None:
        """Wait for a line with each pattern, in any order."""
        missing = list(patterns)
        while missing:
            try:
                line = self._lines.get(timeout=WAIT_S)
            except queue.Empty:
                raise AssertionError(f"no line with {missing}; the log: {self.log}") from None
            if re.match(r"\d{4}-\d\d-\d\dT", line):
                self.log.append(line)
            missing = [pattern for pattern in missing if not re.search(pattern, line)]

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * 240])
    return path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


def test_a_server_and_a_broker_that_come_and_go(part: Path, tmp_path: Path, broker: Broker) -> None:
    port = _free_port()
    station = tmp_path / "station.toml"
    station.write_text(f'{STATION}\n[sinks.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n', encoding="utf-8")
    url = f"seedlink://127.0.0.1:{port}/PB_B918"
    source = (station, "--source", f"{url}?from=earliest", "--state", tmp_path / "state")
    with Run(*source) as run:
        run.expect(
            rf"Z WARNING mqtt 127.0.0.1:{broker.port}/seisedge: not connected: connection refused: no broker",
            rf"Z WARNING {url}\S*: not connected: connection refused; retrying, at least every 60 s$",
        )
        with Digitizer([part], listen=("127.0.0.1", port), speed=0.0):
            run.expect(rf"Z INFO {url}\S*: connected after \d+ s, \d+ failed attempt\(s\); SeedLink 4, 1 station\(s\)$")
            run.expect(r"PB\.B918 +new ")
            broker.start()
            run.expect(r"INFO mqtt \S+: connected after \d+ s$")
            run.expect(r"INFO mqtt \S+: the sink works again after \d+ s; \d+ more lines wait$")
            run.expect(r"INFO mqtt \S+: all waiting lines are delivered$")
            broker.stop()
            run.expect(r"WARNING mqtt \S+: not connected: the broker closed the connection; retrying$")
        run.expect(rf"WARNING {url}\S*: connection lost: the server closed the connection; retrying")
        run.end()
    assert not any("Unspecified" in line or "no answer yet" in line for line in run.log)
    assert len([line for line in run.log if "connection refused; retrying, at least" in line]) == 1
    # a restart with lines that wait, while the broker is there: no failure is reported
    broker.start()
    with Run(*source) as again:
        again.expect("not connected: connection refused; retrying")
        again.end()
    assert not any("WARNING mqtt" in line or "no answer yet" in line for line in again.log)


def test_a_wrong_location_is_named(part: Path, tmp_path: Path) -> None:
    station = tmp_path / "station.toml"
    station.write_text(STATION.replace("[station]\n", '[station]\nlocation = "10"\n'), encoding="utf-8")
    assert 'location = "10"' in station.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "seisedge.cli", "run", station, part], capture_output=True, text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    reason = "the station file sets location = '10', and this channel has location ''; set location = '--' to use it"
    assert f"channel PB_B918__EHZ is ignored: {reason}" in done.stdout
    assert reason in done.stderr

"""A run that is killed at any moment is resumed, and emits the lines of an uninterrupted run, byte for byte."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.journal.runs import CONFIGS, PART_RECORDS, Kept

from seisedge.runtime.config import JournalConfig, Mode
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import CIRCUMSTANCES, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.jsonl import JsonLinesFile
from seisedge.runtime.sources import Source, open_source

QUERY = "PB_B918,PB_B921?from=earliest"


class Killed(Exception):
    """Raised in a run in place of its next packet."""


class KillingSource(Source):
    """A source that ends the run after `packets` packets, as a kill would."""

    def __init__(self, inner: Source, packets: int) -> None:
        super().__init__(inner.url)
        self.live = inner.live
        self._inner = inner
        self._left = packets

    def packets(self) -> Iterator[Packet | None]:
        for item in self._inner.packets():
            if self._left == 0:
                raise Killed
            self._left -= item is not None
            yield item

    def open(self) -> None:
        self._inner.open()

    def close(self) -> None:
        self._inner.close()


def _contents(events: Path) -> dict[str, list[bytes]]:
    """Lines of a file by station, without the keys that depend on the run."""
    found: dict[str, list[bytes]] = {}
    for text in events.read_text(encoding="utf-8").splitlines():
        plain = {key: value for key, value in json.loads(text).items() if key not in CIRCUMSTANCES}
        found.setdefault(plain["station"], []).append(json.dumps(plain, separators=(",", ":")).encode())
    return found


def _uninterrupted(where: str | list[str | Path], models: Models, mode: Mode) -> dict[str, list[bytes]]:
    kept = Kept()
    with open_source(where, until_end=True, connect_timeout_s=10) as source:
        Loop(models, [kept], CONFIGS, mode=mode).run(source)
    lines: dict[str, list[bytes]] = {}
    for line in kept.lines:
        compact = json.dumps(json.loads(content_of(line)), separators=(",", ":")).encode()
        lines.setdefault(line.station, []).append(compact)
    return lines


def _attempt(
    url: str, state: Path, models: Models, packets: int, commit_s: float, mode: Mode = "triggered"
) -> int | None:
    """One run that is killed after `packets` packets; the number of packets if it reached the end before."""
    journal = Journal(state, url, JournalConfig(commit_s=commit_s))
    drain = Drain(JsonLinesFile(state / "events.jsonl"), "file", journal.outbox)
    drain.start()
    loop = Loop(models, [], CONFIGS, mode=mode, journal=journal)
    source = open_source(url, until_end=True, connect_timeout_s=10, resume=journal.resume, resume_ns=journal.resume_ns)
    try:
        with KillingSource(source, packets) as killing:
            loop.run(killing)
        drain.close(20)
        journal.flush()
        return loop.report.packets
    except Killed:
        return None
    finally:
        journal.close()  # no last transaction
        drain.close(5)


def _kill(
    part: Path,
    tmp_path: Path,
    models: Models,
    times: int,
    commit_s: float,
    mode: Mode = "triggered",
    protocol: str = "seedlink",
    faults: Sequence[str] = (),
) -> None:
    expected = _uninterrupted([part], models, mode)
    rng = np.random.default_rng(round(times + 1000 * commit_s))
    killed, runs, shortest = 0, 0, PART_RECORDS
    with Digitizer([part], speed=0.0, faults=faults) as digitizer:
        url = f"{digitizer.url_for(protocol.rstrip('34'))}/{QUERY}"
        if protocol[-1] in "34":
            url += f"&protocol={protocol[-1]}"
        if faults:
            expected = _uninterrupted(url, models, mode)
        while killed < times:
            runs += 1
            state = tmp_path / f"state{runs}"
            state.mkdir()
            while killed < times:
                if _attempt(url, state, models, int(rng.integers(1, 200)), commit_s, mode) is not None:
                    break
                killed += 1
            packets = _attempt(url, state, models, 10**9, commit_s, mode)
            assert packets is not None
            shortest = min(shortest, packets)
            assert _contents(state / "events.jsonl") == expected, f"after {killed} kills"
    assert shortest < PART_RECORDS  # it resumed and did not begin again
    assert sum(map(len, expected.values())) > 15


@pytest.mark.parametrize("commit_s", [0.0, 60.0])
def test_killed_between_packets(part: Path, tmp_path: Path, models: Models, commit_s: float) -> None:
    """With a transaction for every packet, and with transactions for events only."""
    _kill(part, tmp_path, models, 10, commit_s)


@pytest.mark.parametrize("protocol", ["seedlink3", "datalink"])
def test_killed_with_other_tokens(part: Path, tmp_path: Path, models: Models, protocol: str) -> None:
    """SeedLink 3 numbers the packets of a station with 24 bits, DataLink all packets of a server together."""
    _kill(part, tmp_path, models, 5, 0.05, protocol=protocol)


@pytest.mark.parametrize(
    ("protocol", "times"),
    [
        ("datalink", 5),
        *(pytest.param(p, 60, marks=pytest.mark.long) for p in ("datalink", "seedlink3", "seedlink4")),
    ],
)
def test_killed_around_a_change_of_rate(part: Path, tmp_path: Path, models: Models, protocol: str, times: int) -> None:
    """DataLink resumes from the older of two stations' tokens: the other station must not use the old rate again."""
    _kill(part, tmp_path, models, times, 0.0, protocol=protocol, faults=("rate-change:at=60",))


FAULTS = [
    ("cut:every=150", "duplicate:every=5", "garbage:every=30"),
    ("gap:at=60,length=10", "overlap:every=6,differ=5", "poison:every=20"),
    ("late:channel=EH2,by=20", "reorder:every=20"),
    ("clock:by=3600,at=60,length=20",),
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults[0].partition(":")[0])
def test_killed_on_a_faulty_link(part: Path, tmp_path: Path, models: Models, faults: tuple[str, ...]) -> None:
    _kill(part, tmp_path, models, 4, 0.0, faults=faults)


@pytest.mark.long
@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults[0].partition(":")[0])
def test_killed_many_times_on_a_faulty_link(
    part: Path, tmp_path: Path, models: Models, faults: tuple[str, ...]
) -> None:
    _kill(part, tmp_path, models, 50, 0.0, faults=faults)


@pytest.mark.parametrize("faults", [(), ("clock:by=3600,at=60,length=20",)], ids=["plain", "clock"])
def test_killed_in_continuous_mode(part: Path, tmp_path: Path, models: Models, faults: tuple[str, ...]) -> None:
    """With a clock that is set back, hops of different data have the same time."""
    _kill(part, tmp_path, models, 5, 0.02, "continuous", faults=faults)


@pytest.mark.long
@pytest.mark.parametrize("commit_s", [0.0, 0.02, 60.0])
def test_killed_many_times(part: Path, tmp_path: Path, models: Models, commit_s: float) -> None:
    _kill(part, tmp_path, models, 100, commit_s)


def _kill_9(part: Path, tmp_path: Path, models: Models, times: int) -> None:
    """The command itself, killed with SIGKILL at random moments."""
    stations = [tmp_path / path.name for path in STATIONS.glob("*.toml")]
    for path in stations:
        text = (STATIONS / path.name).read_text(encoding="utf-8")
        path.write_text(f'{text}\n[trigger]\nkind = "onset"\n', encoding="utf-8")
    expected = _uninterrupted([part], models, "triggered")
    rng = np.random.default_rng(times)
    killed, runs = 0, 0
    with Digitizer([part], speed=0.0) as digitizer:
        while killed < times:
            runs += 1
            state, events = tmp_path / f"state{runs}", tmp_path / f"events{runs}.jsonl"
            command = [
                sys.executable, "-m", "seisedge.cli", "run", *map(str, stations),
                "--source", f"{digitizer.url}/{QUERY}", "--until-end", "--state", str(state), "--events", str(events),
            ]  # fmt: skip
            done = False
            while not done:
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                try:
                    _, errors = process.communicate(timeout=float(rng.uniform(0.5, 2.5)) if killed < times else 60)
                    assert process.returncode == 0, errors.decode()
                    done = True
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    killed += 1
            assert _contents(events) == expected, f"after {killed} kills"


def test_kill_9(tmp_path: Path, models: Models) -> None:
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 1200])
    _kill_9(part, tmp_path, models, 5)


@pytest.mark.long
def test_kill_9_two_hundred_times(tmp_path: Path, models: Models) -> None:
    _kill_9(RECORDING, tmp_path, models, 200)

"""Hours of stream time with random faults: no line lost or repeated, no growth of memory. See benchmarks/soak.py."""

from pathlib import Path

import pytest

from benchmarks.soak import PROTOCOLS, Run, Sample, Soak, lost_and_doubled
from seisedge.runtime.demo import RECORDING


def test_minutes_with_kills(tmp_path: Path) -> None:
    data = RECORDING.read_bytes()[: 512 * 900]
    part = tmp_path / "part.mseed"
    part.write_bytes(b"".join(data[k : k + 512] for k in range(0, len(data), 512) if data[k + 8 : k + 12] == b"B918"))
    soak = Soak(tmp_path, 0.14, 5, ["PB.B918"], packets=200, data=part, idle_exit_s=4.0)
    reference = soak.reference()
    run = soak.run("datalink", kills=2, every_s=0.3)
    assert lost_and_doubled(run, reference) == (0, 0, 0)
    assert sum(map(len, reference.values())) >= 20
    assert run.kills == 2 and len(run.faults) >= 4


@pytest.mark.long
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_six_hours(tmp_path: Path, protocol: str) -> None:
    """For a day of all three protocols: `python -m benchmarks.soak`."""
    soak = Soak(tmp_path, 6.0, 2, ["PB.B918"])
    reference = soak.reference()
    steady, killed = soak.run(protocol), soak.run(protocol, kills=8, every_s=2.0)
    assert sum(map(len, reference.values())) > 100
    for run in (steady, killed):
        assert lost_and_doubled(run, reference) == (0, 0, 0)
    assert steady.samples[-1].stream_h > 5.9 and len(steady.faults) > 8
    assert steady.counters["set aside"] > 50 and steady.counters["duplicate samples"] > 1000
    assert steady.growth_mb(2.0) < 5.0
    assert killed.kills == 8


def test_lost_and_repeated_lines_and_growth_are_measured() -> None:
    def line(onset: str, revision: int) -> bytes:
        return f'{{"id": "{onset}", "revision": {revision}}}'.encode()

    reference = {"A": [line("x", 0), line("x", 1), line("y", 0)], "B": [line("z", 0)]}
    assert lost_and_doubled(Run("file", reference), reference) == (0, 0, 0)
    run = Run("file", {"A": [line("x", 0), line("x", 0), line("w", 0)], "B": []})
    assert lost_and_doubled(run, reference) == (3, 1, 1)
    run.samples = [Sample(hour, 100.0 + 50 * (hour == 0) + hour, {}) for hour in range(9)]
    assert run.growth_mb(1.0) == 6.5  # 108, and the median of 101 and 102
    assert run.drift_mb(1.0) == 6.0

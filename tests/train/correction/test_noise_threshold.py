"""`seisedge calibrate --noise`: proposes the probability of noise from which on events are retracted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.config import load_config
from seisedge.runtime.demo import STATIONS
from seisedge.runtime.demo.made_day import write_day
from seisedge.train.correction.noise_threshold import poisson_limit

STATION = STATIONS / "PB.B918.toml"
HOURS = 1.5
EVENTS_PER_HOUR = 6.0
MANY = 15  # of the events in the recording, that the proposal may keep


def calibrate(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["calibrate", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An hour and a half with nine events: here they stand for what the noise of a site opens."""
    yield write_day(tmp_path_factory.mktemp("noise") / "noise.mseed", ["PB.B918"], HOURS, EVENTS_PER_HOUR)


def events_of(recording: Path, station: Path) -> list[float]:
    """What the threshold is compared with, of the events that `seisedge run` keeps."""
    result = CliRunner().invoke(main, ["run", str(station), str(recording), "--json"])
    assert result.exit_code == 0, result.output
    latest = {e["id"]: e for e in map(json.loads, result.stdout.splitlines())}
    return [e["event_type"]["noise_probability"] for e in latest.values() if e["status"] != "retracted"]


def test_the_proposal_keeps_the_limit_at_the_station(recording: Path, tmp_path: Path) -> None:
    everything = events_of(recording, STATION)
    wanted = 24 / HOURS * MANY
    code, text = calibrate(STATION, recording, "--noise", "--per-day", str(wanted), "--json")
    assert code == 0, text
    proposal = json.loads(text)
    assert proposal["curve"][0]["events"] == len(everything) > 2
    assert proposal["hours"] == pytest.approx(HOURS, abs=0.02)
    limit, kept = proposal["chosen"]["noise_threshold"], proposal["chosen"]["events"]
    assert 0 < limit < 0.1
    assert sum(p < limit / 2 for p in everything) <= kept <= MANY < sum(p < 2 * limit for p in everything)
    assert proposal["at_most_per_day"] == pytest.approx(poisson_limit(kept) * 24 / proposal["hours"], rel=0.01)
    copy = tmp_path / "copy.toml"
    code, text = calibrate(STATION, recording, "--noise", "--per-day", str(wanted), "-o", copy)
    assert code == 0, text
    assert f"noise_threshold = {limit:g}" in text
    assert load_config(copy).events.noise_threshold == limit
    assert "# Borehole seismometer" in copy.read_text()
    assert len(events_of(recording, copy)) == kept
    code, again = calibrate(copy, recording, "--noise", "--per-day", str(wanted), "--json")
    assert code == 0
    assert json.loads(again) == proposal  # what the file has now does not hide events from the count


def test_the_upper_limit_of_a_rate() -> None:
    assert poisson_limit(0) == pytest.approx(3.0, abs=0.01)  # the rule of three
    assert poisson_limit(2) == pytest.approx(6.296, abs=0.001)


def test_bad_input_of_a_proposal(recording: Path, tmp_path: Path) -> None:
    code, text = calibrate(STATION, recording)
    assert code == 2
    assert "either --catalogue FILE, for the magnitude correction, or --noise" in text
    code, text = calibrate(STATION, recording, "--noise", "--catalogue", "x.csv")
    assert code == 2
    short = write_day(tmp_path / "short.mseed", ["PB.B918"], 0.2)
    code, text = calibrate(STATION, short, "--noise")
    assert code == 2
    assert "0.20 h of usable samples of PB.B918" in text
    other = write_day(tmp_path / "other.mseed", ["PB.B921"], 0.2)
    code, text = calibrate(STATION, other, "--noise")
    assert code == 2
    assert "0.00 h of usable samples of PB.B918" in text
    bare = tmp_path / "bare.toml"
    bare.write_text(STATION.read_text() + '\n[models]\nevent_type = "none"\n')
    code, text = calibrate(bare, recording, "--noise")
    assert code == 2
    assert "models.event_type is 'none'" in text

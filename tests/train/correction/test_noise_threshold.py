"""`seisedge calibrate --noise`: proposes the probability of noise from which on events are retracted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import obspy
import pytest
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.config import EventsConfig, TriggerKind, load_config
from seisedge.runtime.demo import STATIONS
from seisedge.runtime.demo.made_day import write_day
from seisedge.runtime.inference.infer import model_path
from seisedge.train.correction.noise_threshold import THRESHOLDS, poisson_limit

STATION = STATIONS / "PB.B918.toml"
HOURS = 1.5
EVENTS_PER_HOUR = 6.0
MANY = 9  # events of the recording that the proposal may keep; the first proposal keeps 9 before it is run, then 10


def calibrate(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["calibrate", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An hour and a half with nine events: here they stand for what the noise of a site opens."""
    yield write_day(tmp_path_factory.mktemp("noise") / "noise.mseed", ["PB.B918"], HOURS, EVENTS_PER_HOUR)


def station_with(folder: Path, line: str, table: str) -> Path:
    """The station with one more line in a table that its file has not."""
    text = STATION.read_text()
    assert f"\n[{table}]" not in text
    path = folder / "station.toml"
    path.write_text(f"{text}\n[{table}]\n{line}\n")
    return path


def events_of(recording: Path, station: Path) -> list[float]:
    """What the threshold is compared with, of the events that `seisedge run` keeps."""
    result = CliRunner().invoke(main, ["run", str(station), str(recording), "--json"])
    assert result.exit_code == 0, result.output
    latest = {e["id"]: e for e in map(json.loads, result.stdout.splitlines())}
    return [e["event_type"]["noise_probability"] for e in latest.values() if e["status"] != "retracted"]


def test_the_proposal_keeps_the_limit_at_the_station(recording: Path, tmp_path: Path) -> None:
    everything = events_of(recording, station_with(tmp_path, "noise_threshold = 0", "events"))
    wanted = 24 / HOURS * (MANY + 0.5)
    copy = tmp_path / "copy.toml"
    code, text = calibrate(STATION, recording, "--noise", "--per-day", str(wanted), "--json", "-o", copy)
    assert code == 0, text
    proposal, _ = json.JSONDecoder().raw_decode(text)
    assert proposal["curve"][0]["events"] == len(everything) > MANY
    for point in proposal["curve"][1:]:
        assert point["events"] == sum(p < point["noise_threshold"] for p in everything)
    assert proposal["hours"] == pytest.approx(HOURS, abs=0.02)
    limit, kept = proposal["chosen"]["noise_threshold"], proposal["chosen"]["events"]
    assert 0 < limit < 0.05
    larger = THRESHOLDS[THRESHOLDS.index(limit) - 1]
    assert sum(p < larger for p in everything) <= MANY  # by the answers of the first run it would do
    assert kept <= MANY < len(events_of(recording, station_with(tmp_path, f"noise_threshold = {larger}", "events")))
    assert proposal["at_most_per_day"] == pytest.approx(poisson_limit(kept) * 24 / proposal["hours"], rel=0.01)
    assert load_config(copy).events.noise_threshold == limit
    assert "# Borehole seismometer" in copy.read_text()
    assert len(events_of(recording, copy)) == kept
    code, again = calibrate(copy, recording, "--noise", "--per-day", str(wanted), "--json")
    assert code == 0
    assert json.loads(again) == proposal | {
        "present": limit
    }  # what the file has now does not hide events from the count


@pytest.mark.parametrize(("kind", "default"), [("onset", 0.05), ("sta-lta", 0.0)])
def test_no_value_less_strict_than_the_default_is_proposed(
    kind: TriggerKind, default: float, recording: Path, tmp_path: Path
) -> None:
    """Also where every value keeps the limit, as on a quiet day."""
    station = station_with(tmp_path, f'kind = "{kind}"', "trigger")
    code, text = calibrate(station, recording, "--noise", "--per-day", "1000", "--write")
    assert code == 0, text
    assert load_config(station).events.noise_threshold == default == EventsConfig().noise_limit(kind)
    assert f"[events]\nnoise_threshold = {default:g}\n" in text
    assert ("0.05 is the default; a less strict value is never proposed" in text) == (kind == "onset")
    shown = [float(line.split()[0]) for line in text.splitlines() if len(line.split()) == 3 and line[0] == " "]
    assert shown[0] == 0.0 and shown[-3:] == [0.005, 0.002, 0.001]


def test_the_present_value_is_stated(recording: Path, tmp_path: Path) -> None:
    station = station_with(tmp_path, "noise_threshold = 0.01", "events")
    code, text = calibrate(station, recording, "--noise", "--per-day", "1000")
    assert code == 0, text
    assert "the station file has 0.01 now" in text
    code, text = calibrate(STATION, recording, "--noise", "--per-day", "1000")
    assert "the station file has" not in text


def test_a_station_whose_events_have_no_type_is_refused(recording: Path, tmp_path: Path) -> None:
    """At 20 Hz STA/LTA opens the events, and the model cannot answer: they would count as none."""
    stream = obspy.read(str(recording))
    for trace in stream:
        trace.data = trace.data[::5].astype(np.int32)
        trace.stats.sampling_rate = 20.0
    slow = tmp_path / "slow.mseed"
    stream.write(str(slow), format="MSEED", encoding="STEIM2")
    code, text = calibrate(STATION, slow, "--noise")
    assert code == 2
    assert "none has a type" in text and "noise_threshold has no effect" in text


def test_the_default_is_that_of_what_opens_the_events(recording: Path, tmp_path: Path) -> None:
    """Without a detector STA/LTA opens them, whose default is 0."""
    station = station_with(tmp_path, 'onset = "none"', "models")
    code, text = calibrate(station, recording, "--noise", "--per-day", "1000", "--json")
    assert code == 0, text
    proposal = json.loads(text)
    assert proposal["default"] == proposal["chosen"]["noise_threshold"] == 0.0


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
    assert "contains no record of PB.B918, only of PB.B921" in text
    code, text = calibrate(STATION, recording, "--noise", "--per-day", "nan")
    assert code == 2
    assert "nan is not a finite number" in text
    code, text = calibrate(STATION, recording, "--noise", "--picks", "picks.csv")
    assert code == 2
    assert "--picks belongs to --catalogue" in text
    code, text = calibrate(STATION, recording, "--noise", "--model", model_path("magnitude"))
    assert code == 2
    assert "a magnitude model; --noise needs a model of event types" in text
    bare = tmp_path / "bare.toml"
    bare.write_text(STATION.read_text() + '\n[models]\nevent_type = "none"\n')
    code, text = calibrate(bare, recording, "--noise")
    assert code == 2
    assert "models.event_type is 'none'" in text

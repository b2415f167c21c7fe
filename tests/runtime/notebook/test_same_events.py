"""The events of `seisedge.api` are those of the command line and of a station, byte for byte."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from seisedge import api
from seisedge.cli import main
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import CIRCUMSTANCES
from seisedge.runtime.replay import Digitizer

STATION_FILES = sorted(STATIONS.glob("*.toml"))


def _content(lines: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Lines without circumstances, by station: over SeedLink the order is defined only within one."""
    found: dict[str, list[str]] = {}
    for line in lines:
        content = json.dumps({key: value for key, value in line.items() if key not in CIRCUMSTANCES})
        found.setdefault(line["station"], []).append(content)
    return found


def _of_api(data: Any, **settings: Any) -> dict[str, list[str]]:
    return _content(one.to_dict() for one in api.events(data, revisions=True, station=STATION_FILES, **settings))


def _of_command(*args: object) -> dict[str, list[str]]:
    result = CliRunner().invoke(main, ["run", *map(str, STATION_FILES), *map(str, args), "--json"])
    assert result.exit_code == 0, result.output
    return _content(map(json.loads, result.stdout.splitlines()))


@pytest.fixture(scope="module")
def of_command(part: Path) -> dict[str, list[str]]:
    lines = _of_command(part)
    assert sum(map(len, lines.values())) > 20
    return lines


def test_a_file(part: Path, of_command: dict[str, list[str]]) -> None:
    assert _of_api(part) == of_command


def test_a_stream(stream: Any, of_command: dict[str, list[str]]) -> None:
    assert _of_api(stream) == of_command


def test_a_stream_in_pieces_with_masks(stream: Any, of_command: dict[str, list[str]]) -> None:
    """Merged by obspy with a masked gap, in another order, and with 64-bit integers and floats."""
    pieces = stream.copy()
    for trace, kind in zip(pieces, (np.int64, np.float64, np.float32, np.int32, np.float64, np.int64), strict=True):
        trace.data = trace.data.astype(kind)
    middle = pieces[0].stats.starttime + 61.234
    cut = pieces.slice(endtime=middle) + pieces.slice(starttime=middle + 0.005)
    assert _of_api(list(reversed(cut))) == of_command


def test_seedlink(part: Path, of_command: dict[str, list[str]]) -> None:
    with Digitizer([part], speed=0.0) as digitizer:
        url = f"{digitizer.url}/PB_B918,PB_B921?from=earliest"
        assert _of_command("--source", url, "--until-end") == of_command


@pytest.mark.long
def test_the_whole_demo_recording() -> None:
    obspy = pytest.importorskip("obspy")
    of_command = _of_command(RECORDING)
    assert sum(map(len, of_command.values())) > 400
    assert _of_api(RECORDING) == of_command
    assert _of_api(obspy.read(str(RECORDING))) == of_command
    with Digitizer([RECORDING], speed=0.0) as digitizer:
        url = f"{digitizer.url}/PB_B918,PB_B921?from=earliest"
        assert _of_command("--source", url, "--until-end") == of_command


def test_without_revisions_each_event_comes_once(results: api.Results, part: Path) -> None:
    found = list(api.events(part, station=STATION_FILES))
    assert len({one.id for one in found}) == len(found)
    assert sorted(one.id for one in found) == sorted(one.id for one in results)
    assert {one.status for one in found} == {"final"}


def test_an_array_has_the_events_of_the_stream(model: api.Model, stream: Any) -> None:
    """The same samples; an array has its own codes, and no gain."""
    one = stream.select(station="B918").copy()
    one.trim(max(t.stats.starttime for t in one), min(t.stats.endtime for t in one))
    rows = {trace.stats.channel: trace.data for trace in one}
    start = one[0].stats.starttime
    of_array = model.classify(
        np.stack([rows["EHZ"], rows["EH1"], rows["EH2"]]), sampling_rate_hz=100, components="Z12", starttime=start
    )
    of_stream = model.classify(one)
    assert [x.onset for x in of_array] == [x.onset for x in of_stream]
    assert [x.probabilities for x in of_array] == [x.probabilities for x in of_stream]
    assert {x.station for x in of_array} == {"XX.ARRAY"}


def test_a_given_onset_has_the_answer_of_the_station(model: api.Model, results: api.Results, stream: Any) -> None:
    """Of an event that no other one follows within its window."""
    alone = next(x for x in results if not x.event.overlaps and "overlap" not in {q.code for q in x.quality})
    station = stream.select(station=alone.station.partition(".")[2])
    (one,) = model.classify(station, onset=alone.onset, station=STATION_FILES)
    assert (one.onset, one.probabilities, one.magnitude) == (alone.onset, alone.probabilities, alone.magnitude)
    assert one.event.trigger.kind == "given"
    assert one.event.trigger.snr is not None and one.event.trigger.snr > 1


def test_given_onsets_keep_noise(model: api.Model) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 100, (3, 12_000)).astype(np.int32)
    found = model.classify(noise, onset=[30, 60.5], sampling_rate_hz=100, components="ZNE")
    assert [x.label for x in found] == ["noise", "noise"]
    assert [x.onset_ns % 60_000_000_000 for x in found] == [30_000_000_000, 500_000_000]
    assert len(model.classify(noise, sampling_rate_hz=100, components="ZNE")) == 0


def test_onsets_close_together_are_events_of_their_own(model: api.Model, stream: Any) -> None:
    """The station would take the second for the same event."""
    start = stream[0].stats.starttime
    found = model.classify(stream.select(station="B918"), onset=[start + 60, start + 61.5])
    assert [x.onset for x in found] == [iso_from_ns((start + s).ns) for s in (60, 61.5)]
    assert "overlap" in {q.code for q in found[0].quality}


def test_a_live_stream_gives_events_until_it_is_left(part: Path) -> None:
    with Digitizer([part], speed=0.0) as digitizer:
        found = api.events(f"{digitizer.url}/PB_B918?from=earliest", station=STATION_FILES)
        assert [next(found).station for _ in range(2)] == ["PB.B918"] * 2
        found.close()  # type: ignore[attr-defined]

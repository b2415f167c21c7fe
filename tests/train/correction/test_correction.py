"""`seisedge calibrate`: a known gain error is recovered from synthetic curves and from the bundled recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.fakes import described, stationxml

from seisedge.cli import main
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.config import load_config
from seisedge.runtime.demo import CATALOGUE, RECORDING, STATIONS
from seisedge.runtime.station.scale import NOMINAL_COUNTS_PER_M_S
from seisedge.train.correction.fit import GRID, centre, fit_correction
from seisedge.train.correction.stationfile import with_values, write_values
from seisedge.train.dataset.catalogue import events_from
from seisedge.train.dataset.traveltimes import distance_km

STATION = STATIONS / "PB.B918.toml"
SENSITIVITY = 7.81398e8  # of all channels in that file


def calibrate(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["calibrate", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def curves(offsets: np.ndarray, slope: float = 0.9) -> np.ndarray:
    """Residuals of events whose magnitudes grow by `slope` per unit of correction up to the limits of the bins."""
    return np.asarray(np.clip(slope * GRID[None] + offsets[:, None], -2.5, 2.5))


def test_a_known_correction_is_recovered_and_its_error_is_correct() -> None:
    rng = np.random.default_rng(1)
    n, slope, errors, found = 12, 0.9, [], []
    for _ in range(150):
        result = fit_correction(curves(-0.45 + 0.3 * rng.standard_normal(n), slope))
        assert result is not None
        errors.append(result.error)
        found.append(result.value)
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)
    assert np.std(found) == pytest.approx(0.3 / slope / np.sqrt(n), rel=0.25)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.2)
    assert result is not None
    assert result.slope == pytest.approx(slope, abs=1e-6)


def test_an_event_is_corrected_without_itself() -> None:
    offsets = np.array([-0.1, 0.0, 0.1, 0.0, 0.6])
    result = fit_correction(curves(offsets))
    assert result is not None
    by_hand = fit_correction(curves(np.delete(offsets, 4)))
    assert by_hand is not None
    assert result.left_one_out[4] == pytest.approx(by_hand.value)
    assert result.after[4] == pytest.approx(0.6 + 0.9 * by_hand.value)
    assert result.before == pytest.approx(offsets)


def test_an_outlier_has_little_influence_and_too_few_events_give_no_correction() -> None:
    x = np.array([-0.1, 0.0, 0.1, 0.05, -0.05, 3.0])
    assert abs(centre(x)) < 0.1 < x.mean()
    assert centre(np.array([0.2, 0.2, 0.2, 5.0])) == pytest.approx(0.2)
    assert fit_correction(curves(np.zeros(3))) is None
    assert fit_correction(np.full((6, len(GRID)), 1.0)) is None  # no zero crossing


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[station]\nnetwork = "XX"', '[station]\nnetwork = "XX"\n\n[magnitude]\nstation_correction = 0.250\n'),
        ("[magnitude]\nstation_correction = 1.0 # old\n[live]\n", "[magnitude]\nstation_correction_error = 0.100\n"
         "station_correction = 0.250 # old\n[live]\n"),
    ],
)  # fmt: skip
def test_a_station_file_is_edited_in_place(text: str, wanted: str) -> None:
    assert wanted in with_values(
        text, "magnitude", {"station_correction": "0.250", "station_correction_error": "0.100"}
    )


def test_written_values_are_valid_and_comments_stay(tmp_path: Path) -> None:
    out = tmp_path / "copy.toml"
    write_values(STATION, out, "magnitude", {"station_correction": "-0.123", "station_correction_error": "0.046"})
    config = load_config(out)
    assert config.magnitude.station_correction == -0.123
    assert config.magnitude.station_correction_error == 0.046
    assert "# Borehole seismometer" in out.read_text()
    write_values(out, out, "magnitude", {"station_correction": "0.500"})
    assert load_config(out).magnitude.station_correction == 0.5
    assert out.read_text().count("station_correction =") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.toml"]


def test_the_bundled_recording_agrees_with_its_gain(tmp_path: Path) -> None:
    """With a gain that is wrong by a factor of ten, or without a gain, the correction compensates for it."""
    common = ("--catalogue", CATALOGUE, RECORDING, "--travel-times", "6.0")
    code, text = calibrate(STATION, *common, "--json")
    assert code == 0, text
    right = json.loads(text)
    assert right["n_events"] >= 15
    assert right["has_gain"]
    assert abs(right["correction"]) < min(0.2, 3.5 * right["correction_error"])  # a wrong gain makes 1
    assert right["correction_error"] < 0.1
    assert len(right["events"]) == right["n_events"]
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(STATION.read_text().replace("7.81398e8", "7.81398e9"))
    before = wrong.read_text()
    code, text = calibrate(wrong, *common, "--json")
    assert json.loads(text)["correction"] == pytest.approx(right["correction"] + 1, abs=0.02)
    assert wrong.read_text() == before  # without --write the file is unchanged
    bare = tmp_path / "bare.toml"
    bare.write_text('[station]\nnetwork = "PB"\nstation = "B918"\nlatitude_deg = 35.9357\nlongitude_deg = -117.6017\n')
    code, text = calibrate(bare, *common, "--write")
    assert code == 0, text
    assert "the gain is unknown: the correction is relative to the nominal gain" in text
    expected = right["correction"] - np.log10(SENSITIVITY / NOMINAL_COUNTS_PER_M_S)
    assert load_config(bare).magnitude.station_correction == pytest.approx(expected, abs=0.02)
    bare.write_text('[station]\nnetwork = "PB"\nstation = "B918"\nlatitude_deg = 35.9357\nlongitude_deg = -117.6017\n')
    xml = stationxml(tmp_path / "b918.xml", "PB.B918", [described(f"EH{c}", sensitivity=SENSITIVITY) for c in "Z12"])
    code, text = calibrate(bare, *common, "--stations", xml, "--json")
    assert code == 0, text
    assert json.loads(text) == right  # the gains of StationXML are used


def test_a_wrong_position_is_an_error(tmp_path: Path) -> None:
    """With picks at the true travel times, and without picks."""
    lines = ["event_id,station,phase,time"]
    site = load_config(STATION).station
    assert site is not None and site.latitude_deg is not None and site.longitude_deg is not None
    for event in events_from(CATALOGUE):
        far = distance_km(event.latitude_deg, event.longitude_deg, site.latitude_deg, site.longitude_deg)
        p_ns = event.origin_ns + round(np.hypot(far, event.depth_km or 0) / 6 * 1e9)
        lines.append(f"{event.id},PB.B918,P,{iso_from_ns(p_ns)}")
    picks, moved = tmp_path / "picks.csv", tmp_path / "moved.toml"
    picks.write_text("\n".join(lines) + "\n")
    moved.write_text(STATION.read_text().replace("35.9357", "-35.9357"))
    common = ("--catalogue", CATALOGUE, RECORDING, "--travel-times", "6.0")
    code, text = calibrate(moved, *common, "--picks", picks)
    assert code == 2
    assert "the P picks of 21 of 21 events do not fit the position of the station, -35.9357, -117.602; correct" in text
    code, text = calibrate(moved, *common)
    assert code == 1
    assert "21 no pick, and farther than 300 km from the position of the station" in text


@pytest.mark.parametrize(
    ("change", "arguments", "code", "message"),
    [
        ({}, [], 2, "DATA is missing"),
        ({}, [str(RECORDING), "--write", "-o", "x.toml"], 2, "--write and -o cannot be combined"),
        ({"B918": "B999"}, [str(RECORDING)], 2, "contains no record of PB.B999, only of PB.B918, PB.B921"),
        ({"latitude_deg": "#"}, [str(RECORDING)], 1, "no pick at the station, and the position of"),
    ],
)
def test_missing_input_gives_one_sentence(
    tmp_path: Path, change: dict[str, str], arguments: list[str], code: int, message: str
) -> None:
    text = STATION.read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    station = tmp_path / "station.toml"
    station.write_text(text)
    got, output = calibrate(station, "--catalogue", CATALOGUE, *arguments)
    assert got == code, output
    assert message in output


def test_a_catalogue_of_another_time(tmp_path: Path) -> None:
    catalogue = tmp_path / "old.csv"
    catalogue.write_text(CATALOGUE.read_text().replace("2019-07-07", "2018-07-07"))
    code, output = calibrate(STATION, "--catalogue", catalogue, RECORDING, "--travel-times", "6.0")
    assert code == 1
    assert "0 of 21 catalogued events can be used" in output
    assert "20 outside the recordings" in output


def test_an_event_in_the_noise_is_left_out_and_does_not_change_the_correction(tmp_path: Path) -> None:
    """A catalogued event without a signal at the station: the model would give its noise a magnitude."""
    catalogue, picks = tmp_path / "catalogue.csv", tmp_path / "picks.csv"
    silent = "2019-07-07T08:33:00Z,silent,2.0,earthquake,35.9,-117.7,3.0,none,0,0"
    catalogue.write_text(f"{CATALOGUE.read_text().rstrip()}\n{silent}\n")
    picks.write_text("event_id,station,phase,time\nsilent,PB.B918,P,2019-07-07T08:33:03Z\n")
    common = (RECORDING, "--travel-times", "6.0", "--json")
    with_it = calibrate(STATION, "--catalogue", catalogue, "--picks", picks, *common)
    without = calibrate(STATION, "--catalogue", CATALOGUE, *common)
    assert with_it[0] == without[0] == 0, with_it[1] + without[1]
    found, expected = json.loads(with_it[1]), json.loads(without[1])
    assert found.pop("left_out") == expected.pop("left_out") | {"signal too weak": 1}
    assert found == expected


def test_events_close_to_another_and_unusable_magnitudes_are_left_out(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.csv"
    rows = CATALOGUE.read_text().rstrip().splitlines()
    beside = [
        f"2019-07-07T08:{time}Z,{name},{magnitude},earthquake,35.9,-117.7,3.0,none,0,0"
        for name, time, magnitude in (("close", "23:30", "2.0"), ("small", "32:00", "-1.0"), ("bare", "33:30", ""))
    ]
    catalogue.write_text("\n".join([*rows, *beside]) + "\n")
    code, output = calibrate(STATION, "--catalogue", catalogue, RECORDING, "--travel-times", "6.0", "--json")
    assert code == 0, output
    found = json.loads(output)
    assert found["left_out"] == {
        "another catalogued event less than 15 s before": 1,  # "close" begins in the coda of its neighbour ...
        "another catalogued event within 10 s after": 1,  # ... whose window it ends too early
        "a magnitude outside the range of the model, 0 to 3": 2,
        "no magnitude in the catalogue": 1,
        "outside the recordings": 1,
    }
    assert found["n_events"] == len(rows) - 1 + 3 - 6

"""`seisedge config`: every fault of every file with exit status 2, and station files from StationXML."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.fakes import described, stationxml
from tests.paths import ROOT

from seisedge.cli import main
from seisedge.runtime.config import StationConfig, StationIdentity, load_config

EXAMPLE = ROOT / "firmware_configs/stations/example.toml"


def test_files_that_can_be_used() -> None:
    result = CliRunner().invoke(main, ["config", "check", str(EXAMPLE)])
    assert (result.exit_code, result.output) == (0, f"{EXAMPLE}: PB.B918 can be used\n")


def test_every_fault_of_every_file_is_listed(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(
        EXAMPLE.read_text(encoding="utf-8") + "\n[sinks.webhook]\nurl = 'http://h:99999/'\ntimeout_s = inf\n"
    )
    result = CliRunner().invoke(main, ["config", "check", str(bad), str(tmp_path / "none.toml"), str(EXAMPLE)])
    assert result.exit_code == 2 and f"{EXAMPLE}: PB.B918 can be used" in result.stdout
    assert f"{bad}: 2 faults" in result.stderr
    assert "sinks.webhook.url: the port must be a number from 1 to 65535" in result.stderr
    assert "sinks.webhook.timeout_s: must be a number from 0.1 to 600; got inf" in result.stderr
    assert f"{tmp_path / 'none.toml'}: no such station file" in result.stderr


def test_a_station_file_from_stationxml_can_be_used(tmp_path: Path) -> None:
    xml = stationxml(tmp_path / "meta.xml", "XX.ABC", [described(f"HH{c}", location="00", rate=100) for c in "ZNE"])
    result = CliRunner().invoke(main, ["config", "new", "--stationxml", str(xml), "XX.ABC"])
    assert result.exit_code == 0, result.output
    assert "sensors with a gain in the StationXML file: 00.HH?" in result.output
    (tmp_path / "mine.toml").write_text(result.output, encoding="utf-8")
    config = load_config(tmp_path / "mine.toml")
    assert config.station is not None
    assert (str(config.station_id), config.station.latitude_deg, config.station.longitude_deg) == ("XX.ABC", 35, -117)
    assert config.station.stationxml == str(xml)
    out = tmp_path / "stations"
    result = CliRunner().invoke(main, ["config", "new", "--stationxml", str(xml), "-o", str(out)])
    assert result.exit_code == 0, result.output
    printed = result.output.partition("next: ")[2]
    result = CliRunner().invoke(main, shlex.split(printed)[1:])
    assert (result.exit_code, result.output) == (0, f"{out / 'XX.ABC.toml'}: XX.ABC can be used\n")
    again = CliRunner().invoke(main, ["config", "new", "--stationxml", str(xml), "-o", str(out)])
    assert again.exit_code == 2 and "already exists" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "without --stationxml give one station, as in: seisedge config new XX.ABC > XX.ABC.toml"),
        (["XX_ABC"], "XX_ABC: give the station as NET.STA, for example PB.B918"),
        (["xx.abc"], "xx.abc: give the station as NET.STA, for example PB.B918"),
        (["--stationxml", "{xml}", "XX.ABD"], "XX.ABD is not in it; it has XX.ABC"),
        (["--stationxml", "{xml}", "XX.ABC", "XX.ABC"], "2 stations: give -o FOLDER"),
    ],
)
def test_bad_input_of_new(tmp_path: Path, arguments: list[str], message: str) -> None:
    xml = stationxml(tmp_path / "meta.xml", "XX.ABC", [described("HHZ")])
    result = CliRunner().invoke(main, ["config", "new", *(a.format(xml=xml) for a in arguments)])
    assert result.exit_code == 2 and message in result.output


def test_a_station_file_with_every_setting(tmp_path: Path) -> None:
    """Its values are the defaults: it only names the station, and explains the rest."""
    result = CliRunner().invoke(main, ["config", "new", "XX.ABC"])
    assert result.exit_code == 0, result.output
    path = tmp_path / "XX.ABC.toml"
    path.write_text(result.output, encoding="utf-8")
    config = load_config(path)
    assert config == StationConfig(station=StationIdentity("XX", "ABC"))
    assert result.output.count("\n") == EXAMPLE.read_text(encoding="utf-8").count("\n")
    assert "#[channels.EHZ]" in result.output and "\n#sensitivity = 7.81398e8" in result.output

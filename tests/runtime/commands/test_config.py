"""`seisedge config`: every fault of every file with exit status 2, and station files from StationXML and servers."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.fakes import described, stationxml
from tests.paths import ROOT

from seisedge.cli import main
from seisedge.runtime.commands._station_file import station_file_text
from seisedge.runtime.config import StationConfig, StationIdentity, load_config
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.errors import FailedError
from seisedge.runtime.machine import install_command
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.sources._seedlink_info import Stream, streams_of

EXAMPLE = ROOT / "firmware_configs/stations/example.toml"
NO_SOURCE = "it names no source: a run needs --source URL"


def test_files_that_can_be_used() -> None:
    result = CliRunner().invoke(main, ["config", "check", str(EXAMPLE)])
    assert (result.exit_code, result.output) == (0, f"{EXAMPLE}: PB.B918 can be used\n")


def test_a_package_that_is_not_installed_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "station.toml"
    path.write_text(
        '[station]\nnetwork = "XX"\nstation = "STA"\n[sinks.mqtt]\nhost = "h"\n'
        '[[alerts]]\nname = "phone"\nurls_file = "urls"\n',
        encoding="utf-8",
    )
    missing = {"paho", "apprise"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else name)
    result = CliRunner().invoke(main, ["config", "check", str(path)])
    assert result.exit_code == 0
    for key, extra in (("[sinks.mqtt]", "mqtt"), ("[[alerts]]", "notify")):
        assert f"warning: {path}: {key} needs a package that is not installed" in result.output
        assert install_command(extra) in result.output
    missing.clear()
    assert "warning" not in CliRunner().invoke(main, ["config", "check", str(path)]).output


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
    assert (result.exit_code, result.output) == (0, f"{out / 'XX.ABC.toml'}: XX.ABC can be used; {NO_SOURCE}\n")
    again = CliRunner().invoke(main, ["config", "new", "--stationxml", str(xml), "-o", str(out)])
    assert again.exit_code == 2 and "already exists" in again.output


def test_a_page_that_a_run_would_not_show_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "page.toml"
    file.write_text('[station]\nnetwork = "XX"\nstation = "ABC"\n[page]\nlisten = "0.0.0.0:8080"\n', encoding="utf-8")
    result = CliRunner().invoke(main, ["config", "check", str(file)])
    assert result.exit_code == 2 and f"{file}: page.listen: other machines can connect to 0.0.0.0:8080" in result.output
    assert load_config(file).page.listen == "0.0.0.0:8080"  # of a run, which goes on without the page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "without --stationxml and --source give one station, as in: seisedge config new XX.ABC > XX.ABC.toml"),
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


@pytest.mark.parametrize("protocol", [3, 4])
def test_station_files_from_a_server(tmp_path: Path, protocol: int) -> None:
    """The file that is written runs as it is; with StationXML it has the gains, too."""
    part, out = tmp_path / "part.mseed", tmp_path / "stations"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 200])
    xml = stationxml(tmp_path / "meta.xml", "PB.B918", [described(code) for code in ("EHZ", "EH1", "EH2")])
    with Digitizer([part], speed=0.0) as digitizer:
        url = f"{digitizer.url}?protocol={protocol}"
        result = CliRunner().invoke(main, ["config", "new", "--source", url, "-o", str(out)])
        assert result.exit_code == 0, result.output
        names = [path.name for path in sorted(out.iterdir())]
        assert names == ["PB.B918.toml", "PB.B921.toml"]
        config = load_config(out / "PB.B918.toml")
        assert (config.source, list(config.channels)) == (f"{digitizer.url}/PB_B918", ["EH1", "EH2", "EHZ"])
        run = CliRunner().invoke(main, ["run", str(out / "PB.B918.toml"), "--until-end", "--json"])
        assert run.exit_code == 0 and '"uncalibrated"' in run.stdout
        both = CliRunner().invoke(main, ["config", "new", "--source", url, "--stationxml", str(xml), "PB.B918"])
        (tmp_path / "both.toml").write_text(both.stdout, encoding="utf-8")
        run = CliRunner().invoke(main, ["run", str(tmp_path / "both.toml"), "--until-end", "--json"])
        assert run.exit_code == 0 and '"uncalibrated"' not in run.stdout and '"PB.B918' in run.stdout
        other = CliRunner().invoke(main, ["config", "new", "--source", url, "XX.ABC"])
        assert other.exit_code == 2
        assert "the server has no data of XX.ABC; its stations: PB.B918, PB.B921" in other.output
    gone = CliRunner().invoke(main, ["config", "new", "--source", url, "PB.B918"])
    assert gone.exit_code == 1 and "connection refused" in gone.output
    wrong = CliRunner().invoke(main, ["config", "new", "--source", "shake-udp://:8888"])
    assert wrong.exit_code == 2 and "give a SeedLink server" in wrong.output


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_server_that_has_yet_to_send_data(tmp_path: Path, protocol: int) -> None:
    """The virtual digitizer begins with its first client: it must be asked for its streams before that."""
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 20])
    with Digitizer([part], speed=1.0) as digitizer:
        found = {(one.station, one.channel) for one in streams_of(f"{digitizer.url}?protocol={protocol}")}
    assert found == {(station, f"EH{c}") for station in ("B918", "B921") for c in "12Z"}


@pytest.mark.parametrize(
    ("channels", "location", "used"),
    [
        ("00.LHZ 00.BHZ 00.BHN 00.BHE 00.HHZ 10.HNZ 00.VMZ", "00", ["HHZ"]),
        ("20.HNZ 20.HNN 20.HNE 20.LCQ", "20", ["HNE", "HNN", "HNZ"]),
        (".SHZ", "--", ["SHZ"]),
        ("00.LHZ 00.VEP 00.BDF", "", []),
    ],
)
def test_the_sensor_of_a_new_station_file(channels: str, location: str, used: list[str]) -> None:
    """A seismometer before an accelerometer, and a stream that carries the band of the models."""
    streams = [Stream("XX", "ABC", *one.split(".")) for one in channels.split()]
    text = station_file_text("XX.ABC", None, None, "seedlink://h", streams)
    found = tomllib.loads(text)
    assert (found["station"].get("location", ""), sorted(found.get("channels", {}))) == (location, used)
    assert channels.split()[0].lstrip(".") in text  # all of them are listed


@pytest.mark.parametrize(
    "reply", [b"{", b'{"station": [{"id": 1}]}', b"[]", b'{"station": [{"id": "A_B", "stream": [1]}]}']
)
def test_a_reply_that_cannot_be_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[:512])
    monkeypatch.setattr("seisedge.runtime.replay._seedlink_dialect.info_json", lambda *_: reply.decode())
    with Digitizer(part, speed=0.0) as digitizer, pytest.raises(FailedError, match="cannot be parsed"):
        streams_of(digitizer.url)

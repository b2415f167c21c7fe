from pathlib import Path

import msgspec
import pytest
from tests.fakes import described, stationxml

from seisedge.runtime.config import EventsConfig, StationConfig, load_config, settings_of
from seisedge.runtime.errors import ConfigError, InputError

EXAMPLE = Path(__file__).parents[3] / "firmware_configs" / "stations" / "example.toml"
STATION = '[station]\nnetwork = "XX"\nstation = "STA"\n'


def _load(tmp_path: Path, text: str) -> StationConfig:
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def _faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "station.toml"))
    assert caught.value.exit_code == 2
    return caught.value.faults


def test_the_example_file_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    config = load_config(EXAMPLE)
    assert config.station_id == "PB.B918" and config.channels["EHZ"].sensitivity == 7.81398e8
    text = EXAMPLE.read_text(encoding="utf-8")
    uncommented = "\n".join(
        line[1:] if line.startswith("#[") or (line[:1] == "#" and line[1:2].isalpha() and " = " in line) else line
        for line in text.splitlines()
    )
    stationxml(tmp_path / "B918.xml", "PB.B918", [described("EHZ")])
    shown = _load(tmp_path, uncommented)
    assert shown.station is not None and shown.station.stationxml == str(tmp_path / "B918.xml")
    assert "stationxml =" in text
    assert shown.models.engine_cache is not None  # its default is a folder that depends on the user
    shown = msgspec.structs.replace(shown, models=msgspec.structs.replace(shown.models, engine_cache=None))
    assert shown.trigger.p_threshold is not None  # its default is in the card of the detector
    assert shown.trigger.kind == StationConfig().trigger.kind_in(
        "triggered", has_detector=True
    )  # its default depends on the models
    shown = msgspec.structs.replace(shown, trigger=msgspec.structs.replace(shown.trigger, p_threshold=None, kind=None))
    assert shown.events.min_event_separation_s == EventsConfig().separation_s("onset")
    assert shown.events.noise_threshold == EventsConfig().noise_limit("onset")
    by_kind = msgspec.structs.replace(shown.events, min_event_separation_s=None, noise_threshold=None)
    shown = msgspec.structs.replace(shown, events=by_kind)
    for part in ("models", "trigger", "events", "timeline", "live", "journal"):
        assert getattr(shown, part) == getattr(StationConfig(), part), part
        for field in getattr(shown, part).__struct_fields__:
            assert f"{field} =" in text, f"{part}.{field} is not in the example"
    for field in (
        *shown.magnitude.__struct_fields__,
        *shown.channels["EHZ"].__struct_fields__,
        *shown.sensors[0].__struct_fields__,
        "mode",
        "source",
        "state",
    ):
        assert f"{field} =" in text
    for kind in shown.sinks.__struct_fields__:
        sink = getattr(shown.sinks, kind)
        for field in msgspec.structs.fields(sink):
            assert field.required or field.default is None or getattr(sink, field.name) == field.default, field.name
            assert f"\n#{field.name} =" in text, f"sinks.{kind}.{field.name} is not in the example"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (STATION + "[trigger]\non_ration = 3\n", "trigger.on_ration: unknown key; did you mean 'on_ratio'?"),
        (STATION + "[wibble]\n", "wibble: unknown key; known: station, source, mode"),
        (
            STATION + '[trigger]\non_ratio = "high"\n',
            "trigger.on_ratio: must be a number above 1 and at most 1000; got 'high'",
        ),
        (
            STATION + "[channels.EHZ]\nsensitivity = -1\n",
            "channels.EHZ.sensitivity: must be a number from 0.1 to 1e+15; got -1",
        ),
        (STATION + "[channels]\nEHZ = 3\n", "channels.EHZ: must be a table; got 3"),
        (STATION + "[channels.Z]\n", "channels.Z: a channel code must be three capital letters or digits, as in EHZ"),
        (STATION + "[channels.EHX]\n", "channels.EHX: the last letter must be one of Z, N, E, 1, 2, 3, U, V, W; got X"),
        (STATION + "[channels.HMZ]\n", "channels.HMZ: instrument code M is a mass position, and the models take"),
        (STATION + "[channels.HGZ]\n", "channels.HGZ: instrument code G is a gravimeter, and the models take"),
        (
            STATION + '[channels.HNZ]\nunit = "m/s"\n',
            "channels.HNZ.unit: m/s (velocity), which contradicts its instrument code N (accelerometer, m/s**2); ",
        ),
        (
            STATION + '[channels.EHZ]\nunit = "m/s**2"\n',
            "channels.EHZ.unit: m/s**2 (acceleration), which contradicts its instrument code H (high gain seismometer",
        ),
        (STATION + '[channels.HNZ]\nunit = "gal"\n', "channels.HNZ.unit: "),
        (STATION + '[[sensors]]\ncode = "HN"\nplace = "00"\n', "sensors[0].place: unknown key"),
        (STATION + "sensors = [1]\n", "sensors"),
        (STATION + '[[sensors]]\nlocation = "00"\n', "sensors[0].code is missing"),
        (STATION + '[[sensors]]\ncode = "HM"\n', "sensors[0].code: "),
        (
            STATION + '[[sensors]]\ncode = "HN"\n[[sensors]]\ncode = "EN"\n',
            "sensors[1]: a second accelerometer; give one seismometer and one accelerometer at most",
        ),
        (
            STATION + '[channels.EHZ]\n[[sensors]]\ncode = "HN"\n',
            "channels.EHZ: no sensor of [[sensors]] has the code EH; add it or remove the channel",
        ),
        (
            STATION + "[channels.EHZ]\nazimuth_deg = 3\n",
            "channels.EHZ.azimuth_deg: a vertical channel has no azimuth; remove the key",
        ),
        (
            STATION + "[channels.EHZ]\ndip_deg = 10\n",
            "channels.EHZ.dip_deg: the dip of a vertical channel must be -90 (up is positive) or 90; got 10",
        ),
        (
            STATION + "[channels.EHN]\ndip_deg = 10\n",
            "channels.EHN.dip_deg: the dip of a horizontal channel must be 0; got 10",
        ),
        (
            STATION + "[channels.EHN]\nazimuth_deg = 400\n",
            "channels.EHN.azimuth_deg: must be a number from 0 to 360; got 400",
        ),
        (
            STATION + "[channels.EH1]\nazimuth_deg = 3\n[channels.EH2]\n",
            "channels.EH2.azimuth_deg is missing: EH1 has an azimuth, and 1 and 2 are rotated together",
        ),
        (
            STATION + "[channels.HHU]\nazimuth_deg = 270\ndip_deg = -35\n[channels.HHV]\n[channels.HHW]\n",
            "channels.HHU: give azimuth_deg and dip_deg for all three of U, V and W, or for none",
        ),
        (STATION + "[trigger]\non_ratio = 2\noff_ratio = 2\n", "trigger.off_ratio must be below trigger.on_ratio (2)"),
        (STATION + "[trigger]\nsta_s = 5\nlta_s = 5\n", "trigger.sta_s must be below trigger.lta_s (5)"),
        (
            STATION + "[continuous]\nopen_threshold = 0.9\n",
            "continuous: this setting was removed: continuous mode now writes a line a second, and its events are "
            "those of the onset detector; remove the table and, to change how easily an event opens, set "
            "trigger.p_threshold",
        ),
        ('mode = "sometimes"\n' + STATION, "mode: must be 'continuous' or 'triggered'; got 'sometimes'"),
        (
            STATION.replace('"XX"', '"xx"'),
            "station.network: must be a network code: 1 to 8 capital letters or digits, for example 'PB'; got 'xx'",
        ),
        (STATION + "[channels.EHZ]\npolarity = 0\n", "channels.EHZ.polarity: must be -1 or 1; got 0"),
        (
            STATION + '[snippets]\nfolder = "a/b"\n[archive]\nfolder = "a//b"\n',
            "archive.folder must be another folder than snippets.folder; got 'a//b' for both",
        ),
        (STATION + "[snippets]\nkeep_days = 3\n", "snippets.folder is missing"),
        (STATION + '[archive]\nfolder = "a"\nmin_free = 3\n', "archive.min_free: unknown key; did you mean"),
        (STATION + '[journal]\nfile_mode = "644"\n', "journal.file_mode: must be octal rights in which the owner"),
        (STATION + '[sinks.mqtt]\nhost = "h"\nport = 0\n', "sinks.mqtt.port: must be a whole number from 1 to 65535"),
        (STATION + '[sinks.mqtt]\nhost = "h"\ntls = 1\n', "sinks.mqtt.tls: must be true or false; got 1"),
        ("state = 5\n" + STATION, "state: must be text in quotes"),
        (
            STATION + '[sinks.mqtt]\nhost = "h"\npassword = "x"\n',
            "sinks.mqtt.password: unknown key; did you mean 'password_file'?",
        ),
        (
            STATION + '[sinks.mqtt]\nhost = "h"\npassword_file = "x"\n',
            "sinks.mqtt.password_file needs sinks.mqtt.username",
        ),
        ("", "[station] is missing"),
        ('[station]\nnetwork = "XX"\n', "station.station is missing"),
        ("[station\n", "not valid TOML"),
    ],
)
def test_each_fault_names_its_key_and_value(tmp_path: Path, text: str, fault: str) -> None:
    assert any(fault in found for found in _faults(tmp_path, text))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ("{tectonic = 0.4, noise = 0.5}", "models.prevalence: the shares must sum to 1; got 0.9"),
        ("{tectonic = 0.0, noise = 1.0}", "models.prevalence.tectonic: must be"),
        ("{tectonic = 'much'}", "models.prevalence.tectonic: must be"),
        ('{"a\\tb" = 1.0}', "the key must be"),
    ],
)
def test_a_prevalence_has_shares_that_sum_to_1(tmp_path: Path, shares: str, expected: str) -> None:
    station = '[station]\nnetwork = "XX"\nstation = "STA"\n'
    faults = _faults(tmp_path, f"{station}[models]\nprevalence = {shares}\n")
    assert len(faults) == 1 and expected in faults[0]


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    faults = _faults(tmp_path, "[trigger]\nsta_s = 0\nlta = 3\n[events]\nnoise_threshold = 2\n")
    assert len(faults) == 4


def test_a_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml: no such station file"):
        load_config(tmp_path / "nowhere.toml")


def test_stationxml_is_read_and_checked_with_the_station_file(tmp_path: Path) -> None:
    listed = "[channels.EHZ]\n[channels.EHN]\nsensitivity = 1e9\n"
    text = STATION + 'stationxml = "sub/meta.xml"\n' + listed
    with pytest.raises(InputError, match=r"sub/meta\.xml: no such StationXML file"):
        _load(tmp_path, text)
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "meta.xml"
    stationxml(path, "XX.OTHER", [described("EHZ")])
    with pytest.raises(InputError, match=r"meta\.xml: XX\.STA is not in it; it has XX\.OTHER"):
        _load(tmp_path, text)
    stationxml(path, "XX.STA", [described("HHZ")])
    with pytest.raises(InputError, match=r"meta\.xml: XX\.STA has no channel EHZ; it has HHZ"):
        _load(tmp_path, text)
    stationxml(path, "XX.STA", [described("EHZ", input_units="M/S**2")])
    with pytest.raises(InputError, match=r"meta\.xml: XX\.STA EHZ has the input units M/S\*\*2"):
        _load(tmp_path, text)
    stationxml(path, "XX.STA", [described("EHZ")])
    config = _load(tmp_path, text)
    assert config.station is not None and config.station.stationxml == str(path)
    moved = msgspec.structs.replace(config, station=msgspec.structs.replace(config.station, stationxml="/else.xml"))
    assert settings_of(moved) == settings_of(config)


def test_faults_of_different_kinds_are_listed_together(tmp_path: Path) -> None:
    """A wrong value does not hide values that contradict each other elsewhere, or a missing StationXML file."""
    text = (
        STATION + 'stationxml = "none.xml"\n[trigger]\non_ratio = 1.2\noff_ratio = 1.5\n[live]\nmax_behind_s = 1e9\n'
        '[channels.HHZ]\nazimuth_deg = 3\n[sinks.mqtt]\nhost = "h"\npassword_file = "/x"\n'
    )
    assert [fault.partition(" ")[0] for fault in _faults(tmp_path, text)] == [
        "live.max_behind_s:",
        "trigger.off_ratio",
        "sinks.mqtt.password_file",
        "channels.HHZ.azimuth_deg:",
        "station.stationxml:",
    ]
    # a table with a wrong value is not compared further: its other values are not what the operator meant
    faults = _faults(tmp_path, text.replace("on_ratio = 1.2", "on_ratio = true"))
    assert len(faults) == 5 and not any(fault.startswith("trigger.off_ratio") for fault in faults)

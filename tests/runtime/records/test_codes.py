"""Codes of the FDSN source identifiers: up to 8 characters, with dashes in stations and locations; '--' is blank."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pymseed import MS3Record
from tests.fakes import classic_config, described, fake_models, packet, stationxml

from seisedge.runtime.config import StationIdentity, load_config
from seisedge.runtime.errors import ConfigError, FailedError, InputError
from seisedge.runtime.records.codes import fits_seed, location_from_text, station_fits_seed, station_from_text
from seisedge.runtime.records.miniseed import Decoder
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay.shake import ShakeSender
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources._datalink_wire import PacketHead, pattern_of
from seisedge.runtime.sources._seedlink_dialect import Dialect3, Dialect4
from seisedge.runtime.sources._server_url import address_from_url
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.sources.shake_udp import address_from_url as shake_address
from seisedge.runtime.station.station import Station

DASHED = ("XFE2024", "STA-0001", "00-A")
LONG = ("XX2026", "STATION1", "DOWNHOLE")
SHORT = ("XX", "A-B", "")
X = np.arange(3000, dtype=np.int32)


def records(codes: Sequence[str], channel: str = "E_H_Z", samples: np.ndarray = X, **fields: object) -> list[bytes]:
    template = MS3Record(reclen=520)
    template.formatversion, template.sourceid = 3, f"FDSN:{'_'.join(codes)}_{channel}"
    template.starttime, template.samprate = 1_600_000_000_000_000_000, 100.0
    for name, value in fields.items():
        setattr(template, name, value)
    return list(template.generate(data_samples=samples, sample_type="i"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Stations with dashed, long and short codes; all but the short ones have no room in miniSEED 2."""
    path = tmp_path / "codes.ms3"
    path.write_bytes(b"".join(record for codes in (DASHED, LONG, SHORT) for record in records(codes)))
    return path


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("PB_B918", ("PB", "B918")),
        ("XFE2024_STA-0001", ("XFE2024", "STA-0001")),
        ("XX2026AB_--------", ("XX2026AB", "--------")),
        *((text, None) for text in ("", "_", "PB_", "_B918", "PB.B918", "P-_B918", "PB_b918", "PB_B918_", "PB_B*")),
        ("PB_STATION12", None),
        ("PB2026ABC_S", None),
        ("PB_B918\n", None),
    ],
)
def test_stations(text: str, codes: tuple[str, str] | None) -> None:
    assert station_from_text(text) == codes


def test_patterns_of_stations() -> None:
    assert station_from_text("*_A-?", patterns=True) == ("*", "A-?")
    assert station_from_text("*_A+", patterns=True) is None


def test_two_dashes_are_the_blank_location() -> None:
    assert [location_from_text(text) for text in ("--", "", "00", "0-", "A--B")] == ["", "", "00", "0-", "A--B"]
    old = records(("PB", "B921", "--"), formatversion=2, reclen=512)[0]
    assert old[13:15] == b"--"
    for record in (old, records(("PB", "B921", "--"))[0]):
        decoded = Decoder().packet(record, 0)
        assert isinstance(decoded, Packet) and decoded.source_id == SourceId("PB", "B921", "", "EHZ")


@pytest.mark.parametrize(
    ("codes", "fits"),
    [
        (("XX", "ABCDE", "00", "EHZ"), True),
        (("XX", "A-B", "", "EHZ"), True),
        (("XX2", "ABC", "", "EHZ"), False),
        (("XX", "ABCDEF", "", "EHZ"), False),
        (("XX", "ABC", "001", "EHZ"), False),
        (("XX", "ABC", "00", "E_H_ZZ"), False),
        (("XX", "ABC", "00", "EH"), False),
    ],
)
def test_what_has_room_in_seed(codes: tuple[str, str, str, str], fits: bool) -> None:
    assert fits_seed(SourceId(*codes)) is fits


def test_a_pattern_has_room_in_seed_if_it_can_match_such_codes() -> None:
    assert station_fits_seed("*", "*") and station_fits_seed("X?", "ABC*DE")
    assert not station_fits_seed("???", "*") and not station_fits_seed("*", "ABC*DEF")


def test_a_station_file(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    text = (
        '[station]\nnetwork = "XFE2024"\nstation = "STA-0001"\nlocation = "00-A"\n[channels.EHZ]\nsensitivity = 1e9\n'
    )
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    assert config.station_id == "XFE2024.STA-0001" and config.station is not None and config.station.location == "00-A"
    for wrong in ("STA_0001", "sta-0001", "STA-00012"):
        path.write_text(text.replace("STA-0001", wrong), encoding="utf-8")
        with pytest.raises(ConfigError, match=r"station\.station"):
            load_config(path)


@pytest.mark.parametrize(
    ("location", "received", "used"),
    [
        ("--", "", True),
        ("--", "00", False),
        ("", "", True),
        ("", "00", True),
        ("00-A", "00-A", True),
        ("00-A", "", False),
    ],
)
def test_the_location_of_a_station_file(location: str, received: str, used: bool) -> None:
    config = classic_config(station=StationIdentity("XX", "STA", location))
    station = Station("XX.STA", config, fake_models(), "triggered")
    source_id = SourceId("XX", "STA", received, "HHZ")
    assert (station.channels.row_of(Packet(source_id, 10**18, 100.0, X, packet(X).flags, 0, "")) == "Z") is used


def test_the_blank_location_in_stationxml(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "x.xml", "XX.STA", [described("HHZ", location="--"), described("HHN", location="00")])
    metadata = StationXml.read(path)
    assert [epoch.location for epoch in metadata.station("XX.STA")] == ["", "00"]
    metadata.check("XX.STA", ["HHZ"], "--")
    metadata.check("XX.STA", ["HHN"], "00")
    with pytest.raises(InputError, match="no channel HHN at location '--'"):
        metadata.check("XX.STA", ["HHN"], "--")


@pytest.mark.parametrize("scheme", ["seedlink", "datalink"])
def test_urls(scheme: str) -> None:
    address = address_from_url(f"{scheme}://host/XFE2024_STA-0001?select=00-A_E_H_Z,--_E_H_?", scheme)
    assert (address.stations, address.selectors) == ((("XFE2024", "STA-0001"),), ("00-A_E_H_Z", "--_E_H_?"))
    for station in ("X-_ABC", "XX_ABCDEFGHI"):
        with pytest.raises(InputError, match="is not a station"):
            address_from_url(f"{scheme}://host/{station}", scheme)


def test_urls_of_a_shake() -> None:
    address = shake_address("shake-udp://:8888?station=XFE2024_STA-0001&location=00-A")
    assert (address.network, address.station, address.location) == DASHED
    assert shake_address("shake-udp://:8888?station=AM_R1234&location=--").location == ""
    with pytest.raises(InputError, match="at most 8 capital letters, digits or dashes"):
        shake_address("shake-udp://:8888?station=AM_R1234&location=123456789")


def test_selectors() -> None:
    assert Dialect4().selector("--_E_H_Z") == "_E_H_Z" and Dialect4().selector("!00-A_E_H_?") == "!00-A_E_H_?"
    assert Dialect3().selector("--_E_H_Z") == "--EHZ" and Dialect3().selector("00-A_E_H_Z") is None
    assert pattern_of((("XX", "A-B"),), ("--_E_H_Z",)) == r"^(FDSN:)?(XX_A\-B)_(_E_?H_?Z)/MSEED3?$"
    head = PacketHead("FDSN:XFE2024_STA-0001_00-A_E_H_Z/MSEED3", 1, 2)
    assert head.station_id == "XFE2024.STA-0001"


def served(recording: Path, url: Callable[[Digitizer], str]) -> dict[str, int]:
    """Number of samples of each channel that a client of a replayed recording receives."""
    found: dict[str, int] = {}
    with (
        Digitizer([recording], speed=0.0) as digitizer,
        open_source(url(digitizer), until_end=True, connect_timeout_s=10) as source,
    ):
        for item in source.packets():
            if item is not None:
                name = str(item.source_id)
                found[name] = found.get(name, 0) + len(item.samples)
    return found


ALL = dict.fromkeys(("XFE2024_STA-0001_00-A_EHZ", "XX2026_STATION1_DOWNHOLE_EHZ", "XX_A-B__EHZ"), len(X))


@pytest.mark.parametrize("scheme", ["seedlink", "datalink"])
def test_a_recording_with_such_codes_is_replayed(scheme: str, recording: Path) -> None:
    assert served(recording, lambda digitizer: digitizer.url_for(scheme)) == ALL
    for codes in (DASHED, LONG, SHORT):
        name = "_".join(codes[:2])
        found = served(recording, lambda digitizer, name=name: f"{digitizer.url_for(scheme)}/{name}")  # type: ignore[misc]
        assert found == {f"{'_'.join(codes)}_EHZ": len(X)}


def test_seedlink_3_carries_only_what_has_room_in_seed(recording: Path) -> None:
    for station in ("", "/*_*", "/XX_A-B"):
        assert served(recording, lambda d, s=station: f"{d.url}{s}?protocol=3") == {"XX_A-B__EHZ": len(X)}  # type: ignore[misc]
    with pytest.raises(FailedError, match=r"SeedLink 3 cannot carry the station XFE2024_STA-0001: in SEED a network"):
        served(recording, lambda digitizer: f"{digitizer.url}/XFE2024_STA-0001?protocol=3")


def test_a_seedlink_3_server_refuses_a_channel_without_room_in_seed(tmp_path: Path) -> None:
    path = tmp_path / "one.ms3"
    path.write_bytes(b"".join([*records(("XX", "ABC", "LONG")), *records(("XX", "ABC", "00"))]))
    assert served(path, lambda digitizer: f"{digitizer.url}/XX_ABC?protocol=3") == {"XX_ABC_00_EHZ": len(X)}


def test_events_of_such_a_station(recording: Path) -> None:
    with MiniSeedSource([recording]) as source:
        report = Loop(fake_models(), [], {}, default=classic_config()).run(source)
    assert sorted(report.stations) == ["XFE2024.STA-0001", "XX.A-B", "XX2026.STATION1"]
    assert all(station.used for station in report.stations.values())


def test_records_too_short_for_a_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "extra.ms3"
    path.write_bytes(b"".join(records(LONG, extra='{"X":"' + "x" * 200 + '"}')))
    with pytest.raises(InputError, match=r"FDSN:XX2026_STATION1_DOWNHOLE_E_H_Z: cannot be packed into records of 128"):
        Digitizer([path], record_length=128)


def test_a_shake_sends_no_long_channel_codes(tmp_path: Path) -> None:
    path = tmp_path / "channel.ms3"
    path.write_bytes(b"".join(records(("XX", "ABC", "00"), "E_H_ZZ")))
    with pytest.raises(InputError, match=r"XX_ABC_00_E_H_ZZ: --shake-udp needs a channel code of three characters"):
        ShakeSender([path], ("127.0.0.1", 1))

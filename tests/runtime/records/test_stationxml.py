"""StationXML compared with the reader of obspy, on its files from data centres; and files that are refused."""

from pathlib import Path

import obspy
import pytest
from obspy.core.inventory import Inventory
from tests.fakes import described, stationxml

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.stationxml import EVER_NS, StationXml, epoch_at, epochs_at

THEIRS = Path(obspy.__file__).parent / "io" / "stationxml" / "tests" / "data"
FILES = [
    "IRIS_single_channel_with_response.xml",
    "stationxml_BK.CMB.__.LKS.xml",
    "stationxml_IU.ANTO.30.LDO.xml",
    "F1_423_small.xml",
    "full_random_stationxml_1_0.xml",
]


def _by_obspy(inventory: Inventory) -> dict[str, list[tuple[object, ...]]]:
    found: dict[str, list[tuple[object, ...]]] = {}
    for network in inventory:
        for station in network:
            for channel in station:
                total = channel.response.instrument_sensitivity if channel.response else None
                found.setdefault(f"{network.code}.{station.code}", []).append(
                    (
                        channel.location_code,
                        channel.code,
                        channel.start_date.ns if channel.start_date else -EVER_NS,
                        channel.end_date.ns if channel.end_date else EVER_NS,
                        total.value if total else None,
                        total.input_units.upper() if total and total.input_units else None,
                        total.output_units.upper() if total and total.output_units else None,
                        channel.azimuth,
                        channel.dip,
                    )
                )
    return found


@pytest.mark.parametrize("name", FILES)
def test_as_obspy_reads_it(name: str) -> None:
    expected = _by_obspy(obspy.read_inventory(str(THEIRS / name), format="STATIONXML"))
    ours = StationXml.read(THEIRS / name)
    assert expected
    for station_id, channels in expected.items():
        assert [
            (
                e.location,
                e.channel,
                e.start_ns,
                e.end_ns,
                e.sensitivity,
                e.input_units.upper() if e.input_units else None,
                e.output_units,
                e.azimuth_deg,
                e.dip_deg,
            )
            for e in ours.station(station_id)
        ] == channels


def test_as_obspy_reads_ours(tmp_path: Path) -> None:
    path = stationxml(
        tmp_path / "a.xml",
        "XX.STA",
        [
            described("EHZ", location="00", end="2019-01-01T00:00:00.5Z", azimuth=0.0, dip=90.0, sensitivity=-1.5e9),
            described("EH1", sensitivity=None),
        ],
    )
    ours = [
        (e.location, e.channel, e.start_ns, e.end_ns, e.sensitivity, e.azimuth_deg, e.dip_deg)
        for e in StationXml.read(path).station("XX.STA")
    ]
    theirs = _by_obspy(obspy.read_inventory(str(path)))["XX.STA"]
    assert ours == [(*c[:5], *c[7:]) for c in theirs]
    assert ours[0][2:5] == (ns_from_iso("2010-01-01"), ns_from_iso("2019-01-01T00:00:00.5"), -1.5e9)


def test_the_epoch_of_a_time(tmp_path: Path) -> None:
    path = stationxml(
        tmp_path / "a.xml",
        "XX.STA",
        [
            described("EHZ", start=None, end="2014-12-31T23:59:59", sensitivity=1.0),
            described("EHZ", start="2015-01-01T00:00:00", end="2018-01-01T00:00:00", sensitivity=2.0),
            described("EHZ", start="2020-01-01T00:00:00", sensitivity=3.0),
            described("EHZ", start="2021-01-01T00:00:00", sensitivity=4.0),
        ],
    )
    epochs = StationXml.read(path).station("XX.STA")

    def gain(time: str) -> float | None:
        epoch = epoch_at(epochs, ns_from_iso(time))
        return epoch.sensitivity if epoch else None

    assert gain("1950-01-01T00:00:00") == gain("2014-12-31T23:59:58") == gain("2014-12-31T23:59:59.5") == 1.0
    assert gain("2015-01-01T00:00:00") == gain("2017-12-31T23:59:59.9") == 2.0
    assert gain("2019-01-01T00:00:00") is None
    assert gain("2020-06-01T00:00:00") == 3.0
    assert gain("2022-01-01T00:00:00") == 4.0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"sensitivity": None}, "has no InstrumentSensitivity"),
        ({"sensitivity": 0.0}, "has an InstrumentSensitivity of 0"),
        ({"sensitivity": 1e-300}, "has a sensitivity of 1e-300 counts per m/s, which is not between 1 and 1e"),
        ({"sensitivity": -1e300}, "has a sensitivity of 1e.300 counts per m/s, which is not between 1 and 1e"),
        ({"sensitivity": 1e9, "input_units": "nm/s"}, "has a sensitivity of 1e.18 counts per m/s, which is not"),
        (
            {"input_units": "m/s**2"},
            r"has the input units M/S\*\*2 \(acceleration\), which contradicts its instrument code H \(high gain ",
        ),
        ({"input_units": "CM/S**2"}, r"has the input units CM/S\*\*2 \(acceleration\), "),
        ({"input_units": "M"}, r"has the input units M \(displacement\), "),
        ({"input_units": "Pa"}, r"has the input units Pa \(pressure\), "),
        ({"input_units": "V"}, "has the input units V, "),
        ({"output_units": "V"}, "has a sensitivity in V, and counts are wanted"),
    ],
)
def test_a_sensitivity_that_cannot_be_used_is_reported(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ", **changes)])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"a\.xml: XX\.STA EHZ {fault}"):
        StationXml.read(path).check("XX.STA", ["EHZ"])


@pytest.mark.parametrize(
    ("units", "counts_per_m_s"),
    [
        ("M/S", 1e6), ("m/s", 1e6), ("m*s**-1", 1e6), ("NM/S", 1e15), ("nm/s", 1e15), ("um/s", 1e12), ("CM/S", 1e8),
        ("mm/s", 1e9), ("MM/S", 1e9), ("Mm/s", 1.0),
    ],
)  # fmt: skip
def test_a_velocity_in_any_units_is_scaled(tmp_path: Path, units: str, counts_per_m_s: float) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ", input_units=units, sensitivity=-1e6)])
    metadata = StationXml.read(path)
    metadata.check("XX.STA", ["EHZ"])
    assert metadata.station("XX.STA")[0].gain == pytest.approx(-counts_per_m_s, rel=1e-12)


def test_units_in_any_case(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ", input_units="m/s", output_units="counts")])
    StationXml.read(path).check("XX.STA", ["EHZ"])


def test_location_is_matched(tmp_path: Path) -> None:
    metadata = StationXml.read(stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ", location="00")]))
    metadata.check("XX.STA", ["EHZ"])
    with pytest.raises(InputError, match=r"XX\.STA has no channel EHZ at location '10'; it has EHZ"):
        metadata.check("XX.STA", ["EHZ"], "10")


BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Dear diary", "a.xml: not XML: "),
        ("", "a.xml: not XML: "),
        ('<FDSNStationXML schemaVersion="1.1"><Network code="XX">', "a.xml: not XML: "),
        ("<quakeml/>", "a.xml: not StationXML: the root element is quakeml, not FDSNStationXML"),
        ('<FDSNStationXML schemaVersion="2.0"/>', r"a.xml: StationXML of version '2.0'; this release reads 1.x"),
        (BOMB + '<FDSNStationXML schemaVersion="1.1"/>', "a.xml: the StationXML file has a DOCTYPE"),
    ],
)
def test_a_file_that_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=fault):
        StationXml.read(path)


def test_invalid_numbers_and_times_are_refused(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ", start="yesterday")])
    with pytest.raises(InputError, match=r"XX\.STA EHZ: startDate must be a time .*; got 'yesterday'"):
        StationXml.read(path).check("XX.STA", ["EHZ"])
    path = stationxml(tmp_path / "b.xml", "XX.STA", [described("EHZ", dip="down")])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"XX\.STA EHZ: dip_deg must be a number; got 'down'"):
        StationXml.read(path).check("XX.STA", ["EHZ"])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"dip": 240.0}, "dip_deg must be from -90 to 90; got 240"),
        ({"dip": -90.5}, "dip_deg must be from -90 to 90; got -90.5"),
        ({"azimuth": 999.0}, "azimuth_deg must be from -360 to 360; got 999"),
        ({"start": "2010-01-01T24:61:00"}, "startDate must be a time"),
        ({"end": "a" * 1000}, r"endDate must be a time as .*… \(1000 characters\)"),
        ({"dip": "do\x85wn"}, r"dip_deg must be a number; got 'do\\x85wn'"),
        ({"azimuth": "9" * 10_000}, "azimuth_deg must be from -360 to 360; got 1e.201"),
    ],
)
def test_an_invalid_value_refuses_the_channel_that_needs_it_and_no_other(
    tmp_path: Path, changes: dict[str, object], fault: str
) -> None:
    bad = described("EHZ", **changes)  # type: ignore[arg-type]
    metadata = StationXml.read(stationxml(tmp_path / "a.xml", "XX.STA", [bad, described("EHN")]))
    metadata.check("XX.STA", ["EHN"])
    metadata.check("XX.STA", [])
    assert [epoch.channel for epoch in metadata.station("XX.STA")] == ["EHN"]
    with pytest.raises(InputError, match=rf"a\.xml: XX\.STA EHZ: {fault}") as caught:
        metadata.check("XX.STA", ["EHN", "EHZ"])
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    assert metadata.faults("XX.STA") == metadata.faults("XX.STA", "EHZ") != []
    assert metadata.faults("XX.STA", "EHN") == metadata.faults("XX.STA", "EHZ", "10") == []


def test_a_bad_value_at_another_station_refuses_nothing(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ")])
    text = path.read_text(encoding="utf-8")
    other = f'<Station code="OTHER">{described("LHZ", start="2010-01-01T24:61:00")}</Station></Network>'
    path.write_text(text.replace("</Network>", other), encoding="utf-8")
    metadata = StationXml.read(path)
    metadata.check("XX.STA", ["EHZ"])
    with pytest.raises(InputError, match=r"XX\.OTHER LHZ: startDate must be a time"):
        metadata.check("XX.OTHER", ["LHZ"])
    with pytest.raises(InputError, match=r"XX\.OTHER has no channel EHZ; it has no usable epoch"):
        metadata.check("XX.OTHER", ["EHZ"])


def test_overlapping_epochs_are_chosen_by_their_rate(tmp_path: Path) -> None:
    path = stationxml(
        tmp_path / "a.xml",
        "XX.STA",
        [
            described("EHZ", start="2010-01-01T00:00:00", end="2020-01-01T00:00:00", rate=100.0, sensitivity=16.0),
            described("EHZ", start="2015-01-01T00:00:00", rate=200.0, sensitivity=1.0),
            described("EHZ", start="2012-01-01T00:00:00", end="2013-01-01T00:00:00", sensitivity=3.0),
        ],
    )
    epochs = StationXml.read(path).station("XX.STA")

    def gains(time: str, rate_hz: float | None) -> list[float | None]:
        return [epoch.gain for epoch in epochs_at(epochs, ns_from_iso(time), rate_hz)]

    assert gains("2016-01-01", 100.0) == gains("2016-01-01", 99.9999) == gains("2016-01-01", 100.5) == [16.0]
    assert gains("2016-01-01", 200.0) == [1.0]
    assert gains("2016-01-01", None) == [16.0, 1.0]
    assert gains("2016-01-01", 50.0) == gains("2016-01-01", 102.0) == []
    assert gains("2021-01-01", 100.0) == gains("2014-01-01", 200.0) == []
    assert gains("2012-06-01", 200.0) == [3.0]  # an epoch without a rate fits any
    epoch = epoch_at(epochs, ns_from_iso("2016-01-01"), 100.0)
    assert epoch is not None and epoch.gain == 16.0


@pytest.mark.parametrize("rate", [0.0, -1.0, "nan", "fast"])
def test_a_rate_that_is_none_fits_any(tmp_path: Path, rate: float) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ", rate=rate)])
    assert StationXml.read(path).station("XX.STA")[0].has_rate(100.0)


def test_a_file_has_a_number_of_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ")] * 4)
    monkeypatch.setattr("seisedge.runtime.records.stationxml.MAX_EPOCHS", 3)
    with pytest.raises(InputError, match=r"a\.xml: the StationXML file has more than 3 channel epochs; give a file of"):
        StationXml.read(path)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ")])
    first = StationXml.read(path)
    assert StationXml.read(path) is first
    stationxml(path, "XX.STA", [described("EHZ"), described("EHN")])
    assert len(StationXml.read(path).station("XX.STA")) == 2


def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.xml: no such StationXML file"):
        StationXml.read(tmp_path / "none.xml")
    with pytest.raises(InputError, match="cannot be read"):
        StationXml.read(tmp_path)

"""Which sensor is used, and the row, the gain and the orientation of its channels, by time."""

import logging
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import (
    T0_NS,
    ListSource,
    RuleEngine,
    burst,
    classic_config,
    described,
    events_of,
    fake_models,
    packet,
    packets_of,
    stationxml,
)

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.config import ChannelConfig, MagnitudeConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.orientation import GALPERIN_AZIMUTHS_DEG, GALPERIN_DIP_DEG, direction, zne_from_uvw
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.station.channels import MAX_RATES, Channels
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.scale import Scale
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.station.station import Station

ONE = np.ones(100, dtype=np.int32)


def _metadata(tmp_path: Path, *channels: str) -> StationXml:
    return StationXml.read(stationxml(tmp_path / "meta.xml", "XX.STA", list(channels)))


class _Kept(Sink):
    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


def _rows(channels: Channels | Sensors, *codes: str) -> list[str | None]:
    return [channels.row_of(packet(ONE, channel=code)) for code in codes]


def _scale(metadata: StationXml | None = None, entries: dict[str, ChannelConfig] | None = None, *codes: str) -> Scale:
    channels = Channels("XX.STA", classic_config(channels=entries or {}), metadata)
    assert None not in _rows(channels, *(codes or ("EHZ", "EH1", "EH2")))
    return channels.at(T0_NS)


def _run(packets: list[Packet], models: Models, config: StationConfig) -> tuple[list[Event], Station]:
    station = Station("XX.STA", config, models, "triggered")
    drafts: list[Draft] = []
    for p in packets:
        station.add(p)
        drafts += station.step()
    drafts += station.finish()
    return events_of(drafts), station


# which sensor


def test_an_accelerometer_gives_way_to_a_seismometer_where_gains_are_unknown(caplog: pytest.LogCaptureFixture) -> None:
    channels = Sensors("XX.STA", StationConfig())
    assert _rows(channels, "HNZ", "HNN", "HNE", "HNZ") == ["Z2", "N2", "E2", "Z2"]
    assert channels.uses_second and [ratio.tolist() for _, ratio in channels.ratios] == [[1.0, 1.0, 1.0]]
    assert _rows(channels, "EHZ", "EHN", "EHE") == ["Z", "N", "E"]
    assert not channels.uses_second and np.isnan(channels.ratios[0][1]).all()
    assert _rows(channels, "HNZ", "HNN", "HNZ") == [None] * 3
    assert channels.ignored == {"XX_STA__HNZ": 2, "XX_STA__HNN": 1}
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        "XX.STA: channel XX_STA__HNZ is ignored: it cannot take the place of EH without a gain for the seismometer "
        "and for the accelerometer"
    ]


def test_a_shake_with_an_accelerometer_uses_its_geophone() -> None:
    traces = {f"EN{c}": burst(120, [70.0], seed=i) for i, c in enumerate("ZNE")} | {"EHZ": burst(120, [40.0])}
    drafts, station = _run(packets_of(traces), fake_models(), classic_config())
    assert len(drafts) == 3 and {d.onset[:19] for d in drafts} == {"2020-09-13T12:27:19"}  # just before 40 s
    assert station.counters.packets == 30


@pytest.mark.parametrize("code", ["BMZ", "LDZ", "HGZ", "HJZ", "LOG", "SXZ", "H_M_Z", "HH", ""])
def test_a_channel_that_is_no_seismometer_is_refused(code: str) -> None:
    channels = Channels("XX.STA", classic_config())
    assert _rows(channels, code) == [None]
    assert "the models take ground velocity" in channels.reasons[f"XX_STA__{code}"]


def test_an_ignored_channel_has_a_reason() -> None:
    channels = Channels("XX.STA", classic_config(channels={"EHZ": ChannelConfig(), "BHZ": ChannelConfig()}))
    assert _rows(channels, "HHZ", "EHZ", "BHZ", "EHA") == [None, "Z", None, None]
    assert list(channels.reasons.values()) == [
        "the station file lists the channels EHZ, BHZ, not HHZ",
        "this station uses EHZ at location ''",
        "its last letter is not one of Z, N, E, 1, 2, 3, U, V, W",
    ]


@pytest.mark.parametrize("code", ["EHZ", "HLZ", "DPZ", "H_H_Z"])
def test_a_seismometer_is_used(code: str) -> None:
    assert _rows(Channels("XX.STA", classic_config()), code) == ["Z"]


def test_units_refuse_an_accelerometer_with_the_code_of_a_seismometer(tmp_path: Path) -> None:
    metadata = _metadata(tmp_path, described("HHZ", input_units="M/S**2"), described("EHZ"))
    channels = Channels("XX.STA", classic_config(), metadata)
    assert _rows(channels, "HHZ", "EHZ") == [None, "Z"]
    assert channels.reasons["XX_STA__HHZ"] == (
        "its input units are M/S**2 (acceleration), which contradicts its instrument code H "
        "(high gain seismometer, m/s)"
    )
    explicit = classic_config(channels={"HHZ": ChannelConfig(sensitivity=1e9)})  # the station file takes precedence
    assert _rows(Channels("XX.STA", explicit, metadata), "HHZ") == ["Z"]


def test_a_velocity_in_nm_per_s_is_listened_to_and_scaled(tmp_path: Path) -> None:
    units = {"HHZ": "NM/S", "HHN": "nm/s", "HHE": "CM/S"}
    metadata = _metadata(
        tmp_path, *(described(code, input_units=name, sensitivity=-2.0) for code, name in units.items())
    )
    channels = Channels("XX.STA", classic_config(), metadata, strict=True)
    assert _rows(channels, *units) == ["Z", "N", "E"]
    scale = channels.at(T0_NS)
    assert scale.calibrated and scale.polarity.tolist() == [-1.0, -1.0, -1.0]
    assert scale.metres_per_count == pytest.approx([0.5e-9, 0.5e-9, 0.5e-2], rel=1e-12)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("HHU",), ("HHZ", "HHN", "HH1")),
        (("HHZ",), ("HHU", "HHV", "HHW")),
        (("HHN",), ("HH2", "HHV")),
        (("HH1",), ("HHE", "HHN")),
    ],
)
def test_families_are_not_mixed(first: tuple[str, ...], then: tuple[str, ...]) -> None:
    channels = Channels("XX.STA", classic_config())
    assert None not in _rows(channels, *first)
    assert _rows(channels, *then) == [None] * len(then)


def test_a_restored_station_keeps_its_sensor() -> None:
    first = Channels("XX.STA", classic_config())
    _rows(first, "HHV")
    again = Channels("XX.STA", classic_config())
    again.restore(*first.state())
    assert again.triaxial and _rows(again, "HHZ", "HHU", "HHW") == [None, "Z", "E"]
    assert again.at(T0_NS).weights is not None


# what a count means


def test_z_n_and_e_are_not_rotated() -> None:
    scale = _scale(None, {c: ChannelConfig(sensitivity=2.0) for c in ("EHZ", "EH1", "EH2")})
    assert scale.weights is None and scale.polarity.tolist() == [1, 1, 1] and scale.calibrated
    assert scale.metres_per_count.tolist() == [0.5, 0.5, 0.5]


def test_stationxml_has_what_the_station_file_does_not_state(tmp_path: Path) -> None:
    metadata = _metadata(
        tmp_path,
        described("EHZ", sensitivity=4.0, dip=90.0),
        described("EH1", sensitivity=-8.0, azimuth=1.0, dip=0.0),
        described("EH2", sensitivity=16.0, azimuth=268.0, dip=0.0),
    )
    scale = _scale(metadata)
    assert scale.weights is None and scale.calibrated and not scale.remarks
    assert scale.metres_per_count.tolist() == [1 / 4, 1 / 8, 1 / 16]
    assert scale.polarity.tolist() == [-1, -1, -1]  # by its dip, its sensitivity, its azimuth
    scale = _scale(metadata, {"EHZ": ChannelConfig(2.0, 1), "EH1": ChannelConfig(polarity=1), "EH2": ChannelConfig()})
    assert scale.metres_per_count.tolist() == [1 / 2, 1 / 8, 1 / 16]
    assert scale.polarity.tolist() == [1, 1, -1]
    scale = _scale(metadata, {"EHZ": ChannelConfig(polarity=-1)}, "EHZ")
    assert scale.polarity[0] == -1 and scale.metres_per_count[0] == 1 / 4


def _of_two_streams(tmp_path: Path) -> StationXml:
    """A stream of 100 Hz until 10 s after T0, and one of 200 Hz with another gain from 100 s before T0 on."""
    before, after = iso_from_ns(T0_NS - 100 * NS_PER_S), iso_from_ns(T0_NS + 10 * NS_PER_S)
    return _metadata(
        tmp_path,
        *(described(code, end=after, rate=100.0, sensitivity=16.0) for code in ("EHZ", "EH1", "EH2")),
        *(described(code, start=before, rate=200.0, sensitivity=4.0) for code in ("EHZ", "EH1", "EH2")),
    )


def test_the_gain_is_that_of_the_epoch_with_the_rate_of_the_data(tmp_path: Path) -> None:
    metadata = _of_two_streams(tmp_path)
    for rate_hz, gain in ((100.0, 16.0), (99.99, 16.0), (200.0, 4.0)):
        channels = Channels("XX.STA", classic_config(), metadata)
        for code in ("EHZ", "EH1"):  # EH2 is silent
            channels.row_of(packet(ONE, channel=code, rate_hz=rate_hz))
        scale = channels.at(T0_NS)
        assert scale.calibrated and not scale.remarks and scale.metres_per_count.tolist() == [1 / gain] * 3


def test_without_an_epoch_of_this_rate_there_is_no_gain(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    channels = Channels("XX.STA", classic_config(), _of_two_streams(tmp_path))
    channels.row_of(packet(ONE, channel="EHZ", rate_hz=100.0))
    scale = channels.at(T0_NS + 20 * NS_PER_S)
    assert not scale.calibrated
    assert "EHZ at location '' has an epoch of 200 Hz, and the data have 100 Hz: no gain" in caplog.text
    with pytest.raises(InputError, match="EHZ at location '' has an epoch of 100 and 200 Hz, and the data have 50"):
        Channels("XX.STA", classic_config(), _of_two_streams(tmp_path), strict=True).row_of(
            packet(ONE, channel="EHZ", rate_hz=50.0)
        )


def test_the_rate_may_change_during_the_run(tmp_path: Path) -> None:
    """Windows before and after the change have the gain of their own time, in whatever order they are read."""
    channels = Channels("XX.STA", classic_config(), _of_two_streams(tmp_path))
    channels.row_of(packet(ONE, channel="EHZ", rate_hz=100.0))
    channels.row_of(packet(ONE, channel="EHZ", start_s=5.0, rate_hz=200.0))
    channels.row_of(packet(ONE, channel="EHZ", start_s=3.0, rate_hz=100.0))  # late
    for at_s, gain in ((6, 4.0), (4, 16.0), (30, 4.0), (-50, 16.0)):
        assert channels.at(T0_NS + at_s * NS_PER_S).metres_per_count[0] == 1 / gain, at_s


def test_changes_of_the_rate_are_bounded(tmp_path: Path) -> None:
    channels = Channels("XX.STA", classic_config(), _of_two_streams(tmp_path))
    for k in range(200):
        channels.row_of(packet(ONE, channel="EHZ", start_s=k, rate_hz=(100.0, 200.0)[k % 2]))
    assert len(channels._rates["Z"]) == MAX_RATES
    assert channels.at(T0_NS + 199 * NS_PER_S).metres_per_count[0] == 1 / 4


def test_two_epochs_that_fit_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metadata = _metadata(
        tmp_path,
        described("EHZ", rate=100.0, sensitivity=16.0),
        described("EHZ", start="2011-01-01T00:00:00", rate=100.0, sensitivity=4.0),
    )
    scale = _scale(metadata, None, "EHZ")
    assert scale.metres_per_count[0] == 1 / 4
    assert "2 epochs of EHZ at location '' overlap and differ in gain or orientation" in caplog.text
    assert "2010-01-01T00:00:00.000000Z, 2011-01-01T00:00:00.000000Z" in caplog.text
    caplog.clear()
    same = _metadata(tmp_path, described("EHZ", sensitivity=4.0), described("EHZ", start=None, sensitivity=4.0))
    assert not _scale(same, None, "EHZ").remarks


def test_an_epoch_with_an_invalid_value_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metadata = _metadata(tmp_path, described("EHZ", dip=240.0), described("EH1"), described("EH2"))
    scale = _scale(metadata)
    assert np.isnan(scale.metres_per_count[0])
    assert "EHZ at location '' has an epoch with an invalid value (XX.STA EHZ: dip_deg must be from -90" in caplog.text
    with pytest.raises(InputError, match="dip_deg must be from -90 to 90; got 240"):
        Channels("XX.STA", classic_config(), metadata, strict=True).row_of(packet(ONE, channel="EHZ"))


def test_the_polarity_of_the_station_file_takes_precedence(tmp_path: Path) -> None:
    metadata = _metadata(tmp_path, described("EHN", azimuth=182.0), described("EHE", azimuth=91.0))
    assert _scale(metadata, None, "EHN", "EHE").polarity.tolist() == [1, -1, 1]
    entries = {"EHN": ChannelConfig(polarity=1), "EHE": ChannelConfig(polarity=-1)}
    assert _scale(metadata, entries, "EHN", "EHE").polarity.tolist() == [1, 1, -1]


def test_horizontals_of_known_azimuth_are_rotated_with_their_own_gains() -> None:
    """A ground motion, recorded by two horizontals at 25 and 115 degrees with different gains and one sign."""
    rng = np.random.default_rng(0)
    ground = rng.normal(size=(3, 200)) * 1e-6
    one, two = direction(25.0, 0.0) @ ground, direction(115.0, 0.0) @ ground
    recorded = np.array([ground[0] * 3e9, one * 1e9, two * -5e8]).astype(np.float32)
    entries = {
        "EHZ": ChannelConfig(3e9),
        "EH1": ChannelConfig(1e9, azimuth_deg=25.0),
        "EH2": ChannelConfig(5e8, polarity=-1, azimuth_deg=115.0),
    }
    _is_ground(recorded, ground, entries, ("EHZ", "EH1", "EH2"))


@pytest.mark.parametrize("stated", [False, True])
def test_a_triaxial_sensor_is_rotated_with_its_own_gains(stated: bool) -> None:
    ground = np.random.default_rng(1).normal(size=(3, 200)) * 1e-6
    gains = np.array([1e9, 1.3e9, -7e8])
    recorded = (gains[:, None] * (zne_from_uvw().T @ ground)).astype(np.float32)
    angles = [(azimuth, GALPERIN_DIP_DEG) if stated else (None, None) for azimuth in GALPERIN_AZIMUTHS_DEG]
    entries = {
        f"HH{letter}": ChannelConfig(abs(gain), 1 if gain > 0 else -1, *angle)
        for letter, gain, angle in zip("UVW", gains, angles, strict=True)
    }
    _is_ground(recorded, ground, entries, ("HHU", "HHV", "HHW"))


def _is_ground(
    recorded: np.ndarray, ground: np.ndarray, entries: dict[str, ChannelConfig], codes: tuple[str, ...]
) -> None:
    config = classic_config(channels=entries)
    station = Station("XX.STA", config, fake_models(), "triggered")
    for code in codes:
        station.add(packet(ONE, channel=code))
    timeline = station.timelines[0]
    wave, valid = recorded.copy(), np.ones(recorded.shape, dtype=bool)
    timeline.rotate(timeline.k_at(T0_NS), wave, valid)
    scale = station.channels.at(T0_NS)
    assert valid.all() and scale.calibrated
    made_of_several = slice(0 if station.channels.triaxial else 1, 3)
    assert len(set(scale.metres_per_count[made_of_several].tolist())) == 1  # true proportions for a model in counts
    made = wave * (scale.polarity * scale.metres_per_count)[:, None]
    assert np.allclose(made, ground, atol=1e-11)


@pytest.mark.parametrize("missing", "UVW")
def test_without_the_gain_of_one_axis_there_is_no_gain(missing: str) -> None:
    entries = {f"HH{c}": ChannelConfig(None if c == missing else 1e9) for c in "UVW"}
    scale = _scale(None, entries, "HHU", "HHV", "HHW")
    assert not scale.calibrated and np.isfinite(scale.metres_per_count).all()
    config = classic_config(channels=entries, magnitude=MagnitudeConfig(station_correction=0.5))
    channels = Channels("XX.STA", config)
    _rows(channels, "HHU")
    assert channels.at(T0_NS).calibrated


@pytest.mark.parametrize(
    ("channels", "codes", "remark"),
    [
        ([described("EH1", azimuth=0.0), described("EH2", azimuth=0.0)], ("EH1", "EH2"), "are parallel"),
        ([described("EH1", azimuth=30.0), described("EH2")], ("EH1", "EH2"), "one of 1 and 2 has an azimuth"),
        ([described("EHZ", dip=-60.0)], ("EHZ",), "Z has a dip of -60 degrees; it is used as vertical"),
        (
            [described("EHN", dip=-20.0), described("EHE")],
            ("EHN",),
            "N has a dip of -20 degrees; it is used as horizontal",
        ),
        ([described(f"EH{a}", azimuth=0.0, dip=0.0) for a in "UVW"], ("EHU",), "not independent directions"),
        ([described("EHU", azimuth=1.0, dip=0.0), described("EHV"), described("EHW")], ("EHU",), "not all of U, V, W"),
        ([described("EHN")], ("EHZ",), "EHZ at location '' is missing: no gain"),
        ([described("EHZ", end="2019-01-01T00:00:00")], ("EHZ",), "EHZ at location '' has no epoch: no gain"),
    ],
)
def test_a_fault_in_the_metadata_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, channels: list[str], codes: tuple[str, ...], remark: str
) -> None:
    used = Channels("XX.STA", classic_config(), _metadata(tmp_path, *channels))
    _rows(used, *codes)
    for _ in range(3):
        used.at(T0_NS)
    assert sum(remark in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ([described("HHZ")], r"meta\.xml: XX\.STA has no channel EHZ; it has HHZ"),
        ([described("EHZ", end="2019-01-01T00:00:00")], r"EHZ at location '' has no epoch at 2020-09-13T12:26:40"),
        ([described("EHZ", sensitivity=None)], r"XX\.STA EHZ has no InstrumentSensitivity"),
    ],
)
def test_a_run_over_files_ends_where_the_metadata_have_no_gain(tmp_path: Path, channels: list[str], words: str) -> None:
    metadata = _metadata(tmp_path, *channels)
    with pytest.raises(InputError, match=words):
        _rows(Channels("XX.STA", classic_config(), metadata, strict=True), "EHZ")
    explicit = classic_config(channels={"EHZ": ChannelConfig(sensitivity=1e9)})
    assert _rows(Channels("XX.STA", explicit, metadata, strict=True), "EHZ") == ["Z"]


def test_a_live_run_continues_without_a_gain_and_logs_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metadata = _metadata(tmp_path, described("HHZ"))
    packets: list[Packet | None] = [*packets_of({"EHZ": burst(90, [40.0])})]
    kept = _Kept()
    loop = Loop(fake_models(), [kept], {}, default=classic_config(), metadata=metadata)
    loop.run(ListSource(packets, live=True))
    assert len(kept.lines) == 3
    assert all(q.code == "uncalibrated" for line in kept.lines if isinstance(line, Event) for q in line.quality)
    assert "EHZ at location '' is missing: no gain" in caplog.text
    with pytest.raises(InputError, match=r"has no channel EHZ; it has HHZ"):
        Loop(fake_models(), [], {}, default=classic_config(), metadata=metadata).run(ListSource(packets))


# by time


def test_a_gain_changes_at_the_border_of_an_epoch(tmp_path: Path) -> None:
    """Two bursts, one before the border and one after it; the windows of the first reach over it."""
    border = iso_from_ns(T0_NS + 60 * 10**9)
    metadata = _metadata(
        tmp_path,
        *(described(f"HH{c}", end=border, sensitivity=1e9) for c in "ZNE"),
        *(described(f"HH{c}", start=border, sensitivity=2e9) for c in "ZNE"),
    )
    models = fake_models()
    station = Station("XX.STA", classic_config(), models, "triggered", metadata=metadata)
    for p in packets_of({f"HH{c}": burst(140, [40.0, 90.0], seed=i) for i, c in enumerate("ZNE")}):
        station.add(p)
    assert len(list(station.step())) == 6
    counts, velocity = models.event_type, models.magnitude
    assert isinstance(counts, RuleEngine) and isinstance(velocity, RuleEngine)
    gains = [np.abs(c).max() / np.abs(v).max() for (c, _), (v, _) in zip(counts.shown, velocity.shown, strict=True)]
    assert gains == pytest.approx([1e9] * 3 + [2e9] * 3, rel=1e-6)


def test_the_fingerprint_depends_on_stationxml(tmp_path: Path) -> None:
    def fingerprint(config: StationConfig, *channels: str) -> str:
        metadata = _metadata(tmp_path, *channels) if channels else None
        return Station("XX.STA", config, fake_models(), "triggered", metadata=metadata).fingerprint

    config = classic_config()
    first = fingerprint(config, described("EHZ"))
    assert first != fingerprint(config)
    assert first == fingerprint(config, described("EHZ"))
    assert first != fingerprint(config, described("EHZ", azimuth=1.0))
    assert first != fingerprint(config, described("EHZ"), described("EHN"))

"""Accelerometers: alone, and in place of a seismometer that clips, is dead or is missing."""

import itertools
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import T0_NS, described, events_of, packets_of, stationxml

from seisedge.runtime.config import ChannelConfig, ModelsConfig, SensorConfig, StationConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.station.station import Station
from seisedge.runtime.timeline.resample import resample_record
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

DATA = Path(__file__).parent / "data"
GAIN = 7.81398e8  # of PB.B918, counts per m/s
GAIN_N = 5e9  # of the second sensor, counts per m/s**2: finer than any real one, so that only the joining is tested
RATE_N = 200.0
Traces = dict[str, np.ndarray]


@cache
def _models() -> Models:
    return Models.load(ModelsConfig(onset="none"))  # the STA/LTA trigger opens the events


@cache
def _recorded() -> tuple[tuple[str, np.ndarray], ...]:
    """The first two minutes of PB.B918 that all of its channels have."""
    found: dict[str, list[Packet]] = {}
    with open_source([RECORDING]) as source:
        for p in source.packets():
            if p is not None and p.source_id.station == "B918":
                found.setdefault(p.source_id.channel, []).append(p)
                if len(found) == 3 and p.endtime_ns - found["EHZ"][0].starttime_ns > 130 * 10**9:
                    break
    begin_ns = max(packets[0].starttime_ns for packets in found.values())
    traces = {}
    for code, packets in found.items():
        assert all(b.starttime_ns == a.endtime_ns for a, b in itertools.pairwise(packets))
        samples = np.concatenate([p.samples for p in packets]).astype(np.float64)
        traces[code] = samples[round((begin_ns - packets[0].starttime_ns) / 1e7) :][:12_000]
    return tuple((f"EH{c}", traces[code].round().astype(np.int32)) for c, code in zip("ZNE", traces, strict=True))


def _velocity() -> Traces:
    return {code: x.copy() for code, x in _recorded()}


def _acceleration(offset: float = 1e6, drift: float = 1e3) -> Traces:
    """What an accelerometer of `RATE_N` beside the seismometer records: an offset, a drift, and the acceleration."""
    made = {}
    for code, x in _recorded():
        spectrum = np.fft.rfft(x - x.mean())
        omega = 2j * np.pi * np.fft.rfftfreq(len(x), 0.01)
        wider = np.concatenate([spectrum * omega, np.zeros(len(x) // 2)])
        metres = 2 * np.fft.irfft(wider, 2 * len(x)) / GAIN
        made[f"EN{code[-1]}"] = (
            (metres * GAIN_N + offset + drift * np.arange(len(metres)) / RATE_N).round().astype(np.int32)
        )
    return made


def _merged(velocity: Traces, acceleration: Traces, packet_s: float = 4.0) -> list[Packet]:
    packets = packets_of(velocity, packet_s) + packets_of(acceleration, packet_s * 0.7, RATE_N)
    return sorted(packets, key=lambda p: (p.endtime_ns, str(p.source_id)))


def _config(*codes: str) -> StationConfig:
    gains = {"EH": GAIN, "EN": GAIN_N}
    return StationConfig(
        channels={f"{code}{c}": ChannelConfig(sensitivity=gains[code]) for code in codes for c in "ZNE"}
    )


def _run(packets: Iterable[Packet], config: StationConfig, metadata: StationXml | None = None) -> list[Event]:
    station = Station("XX.STA", config, _models(), "triggered", metadata=metadata)
    drafts: list[Draft] = []
    for p in packets:
        station.add(p)
        drafts += station.step()
    return events_of([*drafts, *station.finish()])


def _finals(events: list[Event]) -> dict[str, Event]:
    return {event.onset: event for event in events if event.status == "final"}


@cache
def _reference() -> dict[str, Event]:
    return _finals(_run(packets_of(_velocity()), _config("EH")))


def _largest(events: dict[str, Event]) -> Event:
    """The event with the largest magnitude that has a value."""
    return max(events.values(), key=lambda e: (e.magnitude and e.magnitude.expected) or -1.0)


def _same(ours: dict[str, Event], theirs: dict[str, Event], within: float = 0.1) -> None:
    """The same types, and magnitudes within `within`."""
    assert len(ours) == len(theirs) > 2
    for mine, other in zip(ours.values(), theirs.values(), strict=True):
        assert mine.event_type is not None and other.event_type is not None
        assert mine.event_type.label == other.event_type.label
        assert (mine.magnitude is None) == (other.magnitude is None)
        if mine.magnitude is not None and other.magnitude is not None and other.magnitude.expected is not None:
            assert mine.magnitude.expected == pytest.approx(other.magnitude.expected, abs=within)


def _in_band(x: np.ndarray) -> np.ndarray:
    """1 to 15 Hz, of samples at 40 Hz."""
    spectrum, frequency = np.fft.rfft((x - x.mean()) * np.hanning(len(x)) ** 0.05), np.fft.rfftfreq(len(x), 1 / 40)
    passed = np.clip((frequency - 0.8) / 0.4, 0, 1) * np.clip((16.5 - frequency) / 3, 0, 1)
    return np.fft.irfft(passed * spectrum, len(x))


def test_two_real_sensors_at_one_site_agree() -> None:
    """The seismometer's response rises by 30 % at 13 Hz, which the sensitivity alone does not describe."""
    made = {}
    for code, gain in (("BHZ", 4.8876e8), ("BNZ", 427_037.0)):
        packets = [p for p in MiniSeedSource([DATA / f"AK.BPAW..{code}.mseed"]).packets() if p is not None]
        x = np.concatenate([p.samples for p in packets]).astype(np.float64)
        values, _, first = resample_record(
            x, np.ones(len(x), dtype=bool), packets[0].starttime_ns, 50.0, 40.0, 15.0, integrates=code == "BNZ"
        )
        made[code] = first, values / gain
    first, end = made["BNZ"][0], min(k0 + len(x) for k0, x in made.values())
    h, n = (_in_band(x[first - k0 : end - k0]) for k0, x in made.values())
    power = np.convolve(h**2, np.ones(40) / 40, "same")
    loud = power > 100 * np.median(power[:800])  # ten times the amplitude of the noise
    assert 90 * 40 < np.count_nonzero(loud) < 110 * 40
    assert np.corrcoef(h[loud], n[loud])[0, 1] > 0.985
    assert np.sqrt((n[loud] ** 2).sum() / (h[loud] ** 2).sum()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("factor", [1, 100])
@pytest.mark.parametrize("onset", ["onset", "none"])
def test_two_real_sensors_give_the_same_types_and_magnitudes(onset: str, factor: float) -> None:
    """
    AK.BPAW through the whole station, two earthquakes, at each answer. As recorded both are above the bins. With
    sensitivities `factor` times the real ones the first is inside their range; the noise of the accelerometer, which is
    higher and of another spectrum, then makes its magnitude up to 0.43 larger, and up to 0.17 at the last answer.
    """
    gains = {"BH": dict.fromkeys("ZNE", 4.8876e8), "BN": {"Z": 427_037.0, "N": 426_198.0, "E": 427_037.0}}
    models = Models.load(ModelsConfig(onset=onset))
    answers = {}
    for code, of in gains.items():
        with open_source([DATA / f"AK.BPAW..{code}{c}.mseed" for c in "ZNE"]) as source:
            packets = [p for p in source.packets() if p is not None]
        channels = {f"{code}{c}": ChannelConfig(sensitivity=factor * of[c]) for c in "ZNE"}
        station = Station("AK.BPAW", StationConfig(channels=channels), models, "triggered")
        drafts: list[Draft] = []
        for p in packets:
            station.add(p)
            drafts += station.step()
        found = events_of([*drafts, *station.finish()])
        ids = sorted({e.id for e in found}, key={e.id: e.onset for e in found}.__getitem__)
        answers[code] = {(ids.index(e.id), e.revision): e for e in found}
        assert len(ids) == 2
    assert answers["BH"].keys() == answers["BN"].keys()
    for key, theirs in answers["BH"].items():
        mine = answers["BN"][key]
        assert mine.event_type is not None and theirs.event_type is not None
        assert mine.event_type.label == theirs.event_type.label, key
        assert mine.magnitude is not None and theirs.magnitude is not None
        if factor == 1:
            assert (mine.magnitude.label, theirs.magnitude.label) == (">3.0", ">3.0"), key
        elif theirs.magnitude.expected is not None:
            limit = 0.18 if theirs.status == "final" else 0.45
            assert mine.magnitude.expected == pytest.approx(theirs.magnitude.expected, abs=limit), key


def test_an_accelerometer_alone_gives_the_events_of_the_seismometer() -> None:
    """All but the events at the start, where the accelerometer is masked."""
    events = _finals(_run(packets_of(_acceleration(), rate_hz=RATE_N), _config("EN")))
    expected = {onset: e for onset, e in _reference().items() if onset >= min(events)}
    _same(events, expected)
    for event in events.values():
        assert {part.sensor for part in event.sensors or []} == {"EN"} and len(event.sensors or []) == 3


@pytest.mark.parametrize("level", [0.7, 0.3, 0.1])
def test_an_accelerometer_takes_the_place_of_a_clipped_seismometer(level: float) -> None:
    velocity = _velocity()
    loudest = _largest(_reference())
    assert loudest.magnitude is not None and loudest.magnitude.expected is not None
    peak = max(np.abs(x - x.mean()).max() for x in velocity.values())
    clipped = {code: np.clip(x, *(x.mean() + level * peak * np.array([-1, 1]))).astype(np.int32)
               for code, x in velocity.items()}  # fmt: skip
    alone = _finals(_run(packets_of(clipped), _config("EH")))
    assert any("clipped" in {q.code for q in e.quality} and e.magnitude is None for e in alone.values())
    joined = _finals(_run(_merged(clipped, _acceleration()), _config("EH", "EN")))
    assert not any("clipped" in {q.code for q in e.quality} for e in joined.values())
    assert any(event.sensors for event in joined.values())
    _same(joined, _reference())


def test_without_the_gains_of_both_a_clipped_seismometer_stays_clipped() -> None:
    velocity = {code: np.clip(x, x.mean() - 2000, x.mean() + 2000).astype(np.int32) for code, x in _velocity().items()}
    config = StationConfig(channels={code: ChannelConfig(GAIN) for code in velocity} | {
        f"EN{c}": ChannelConfig() for c in "ZNE"})  # fmt: skip
    alone = _run(packets_of(velocity), _config("EH"))
    assert [content_of(e) for e in _run(_merged(velocity, _acceleration()), config)] == [content_of(e) for e in alone]
    assert any("clipped" in {q.code for q in e.quality} for e in alone)


def test_an_unclipped_seismometer_beside_an_accelerometer_gives_the_same_events() -> None:
    alone = _run(packets_of(_velocity()), _config("EH"))
    joined = _run(_merged(_velocity(), _acceleration()), _config("EH", "EN"))
    assert [content_of(event) for event in joined] == [content_of(event) for event in alone]


def test_flags_of_an_accelerometer_that_is_not_used_change_nothing() -> None:
    flagged = [
        Packet(p.source_id, p.starttime_ns, p.sampling_rate_hz, p.samples, RecordFlag.CLOCK_UNLOCKED, 0, "")
        if p.source_id.channel[1] == "N"
        else p
        for p in _merged(_velocity(), _acceleration())
    ]
    alone = _run(packets_of(_velocity()), _config("EH"))
    assert [content_of(event) for event in _run(flagged, _config("EH", "EN"))] == [content_of(event) for event in alone]


def test_a_dead_and_a_missing_component_are_replaced() -> None:
    velocity = _velocity()
    velocity["EHZ"][2000:] = velocity["EHZ"][2000]
    packets = [p for p in _merged(velocity, _acceleration()) if p.source_id.channel != "EHE"]
    events = _finals(_run(packets, _config("EH", "EN")))
    _same(events, _reference(), within=0.15)  # 0.13 with the bundled model
    late = list(events.values())[-1]
    assert {part.component for part in late.sensors or []} == {"Z", "E"}
    assert [q.code for q in late.quality if q.code == "flat"] == []


def test_a_flag_of_the_digitizer_counts_as_clipped_until_the_accelerometer_takes_the_place() -> None:
    flagged = [
        Packet(p.source_id, p.starttime_ns, p.sampling_rate_hz, p.samples, RecordFlag.CLIPPED, 0, "")
        if p.source_id.channel == "EHN"
        else p
        for p in _merged(_velocity(), _acceleration())
    ]
    alone = _finals(_run([p for p in flagged if p.source_id.channel[1] == "H"], _config("EH")))
    joined = _finals(_run(flagged, _config("EH", "EN")))
    assert all("clipped" in {q.code for q in e.quality} for e in alone.values())
    _same(joined, _reference())
    assert {part.component for e in joined.values() for part in e.sensors or []} == {"N"}


def test_an_accelerometer_at_another_depth_gives_no_value_of_the_magnitude(tmp_path: Path) -> None:
    """Its ground motion is another one: type yes, magnitude provisional where its samples are used."""
    velocity = {code: np.clip(x, x.mean() - 2000, x.mean() + 2000).astype(np.int32) for code, x in _velocity().items()}
    described_n = [described(f"EN{c}", input_units="M/S**2", sensitivity=GAIN_N) for c in "ZNE"]
    described_h = [described(f"EH{c}", sensitivity=GAIN).replace("<Depth>0<", "<Depth>238.2<") for c in "ZNE"]
    metadata = StationXml.read(stationxml(tmp_path / "a.xml", "XX.STA", described_h + described_n))
    events = _finals(_run(_merged(velocity, _acceleration()), StationConfig(), metadata))
    joined = [e for e in events.values() if e.sensors and e.magnitude]
    assert joined and all(e.magnitude is not None and e.magnitude.provisional for e in joined)
    reasons = {q.reason for e in joined for q in e.quality if q.code == "uncalibrated"}
    assert reasons == {"the accelerometer is 238.2 m above or below the seismometer: the bin is provisional"}
    alone = [e for e in events.values() if not e.sensors and e.magnitude]
    assert all(e.magnitude is not None and not e.magnitude.provisional for e in alone)


def test_a_clipped_accelerometer_does_not_take_the_place() -> None:
    velocity = {code: np.clip(x, x.mean() - 2000, x.mean() + 2000).astype(np.int32) for code, x in _velocity().items()}
    acceleration = {}
    for code, x in _acceleration(drift=0.0).items():
        peak = np.abs(x - x.mean()).max()
        acceleration[code] = np.clip(x, x.mean() - peak / 5, x.mean() + peak / 5).astype(np.int32)
    events = _finals(_run(_merged(velocity, acceleration), _config("EH", "EN")))
    loudest = _largest(_reference())
    assert "clipped" in {q.code for q in events[loudest.onset].quality}
    assert events[loudest.onset].magnitude is None


def test_the_events_do_not_depend_on_the_packets() -> None:
    velocity = _velocity()
    velocity["EHZ"][5000:7000] = velocity["EHZ"][5000]
    velocity = {code: np.clip(x, x.mean() - 2000, x.mean() + 2000).astype(np.int32) for code, x in velocity.items()}
    runs = [
        [content_of(e) for e in _run(_merged(velocity, _acceleration(), packet_s), _config("EH", "EN"))]
        for packet_s in (0.37, 4.0, 41.0)
    ]
    assert len(runs[0]) > 8 and runs[0] == runs[1] == runs[2]


def test_a_shake_4d_uses_its_accelerometer_where_the_geophone_clips() -> None:
    """One geophone and three accelerometers: Z of the first, N and E of the second."""
    velocity = {"EHZ": _velocity()["EHZ"]}
    events = _finals(_run(_merged(velocity, _acceleration()), _config("EH", "EN")))
    _same(events, _reference())
    assert {part.component for e in events.values() for part in e.sensors or []} == {"N", "E"}


# which sensors, and their units


def _sensors(tmp_path: Path, *channels: str, config: StationConfig | None = None) -> Sensors:
    metadata = StationXml.read(stationxml(tmp_path / "a.xml", "XX.STA", list(channels)))
    return Sensors("XX.STA", config or StationConfig(), metadata)


def _rows(sensors: Sensors, *codes: str) -> list[str | None]:
    return [sensors.row_of(packets_of({code: np.ones(100, dtype=np.int32)})[0]) for code in codes]


@pytest.mark.parametrize(
    ("units", "factor"),
    [("M/S**2", 1.0), ("cm/s**2", 1e-2), ("gal", 1e-2), ("g", 9.80665), ("mg", 9.80665e-3)],
)
def test_the_gain_of_an_accelerometer_in_any_unit(tmp_path: Path, units: str, factor: float) -> None:
    sensors = _sensors(tmp_path, described("HNZ", input_units=units, sensitivity=-4e5))
    assert _rows(sensors, "HNZ") == ["Z2"]
    scale = sensors.at(T0_NS)
    assert scale.calibrated and scale.polarity[0] == -1
    assert scale.metres_per_count[0] == pytest.approx(factor / 4e5, rel=1e-12)


@pytest.mark.parametrize(
    ("code", "units", "why"),
    [
        (
            "HNZ",
            "M/S",
            "its input units are M/S (velocity), which contradicts its instrument code N (accelerometer, m/s",
        ),
        ("HNZ", "M", "its input units are M (displacement), and the models take ground velocity, M/S or"),
        ("HNZ", "PA", "its input units are PA (pressure), and the models take ground velocity, M/S or"),
        ("HHZ", "GAL", "its input units are GAL (acceleration), which contradicts its instrument code H (high gain"),
        ("HGZ", "M", "instrument code G is a gravimeter, and the models take"),
        ("HH3", "M/S", "a channel 3 needs the azimuths and dips of 1, 2 and 3 in StationXML"),
    ],
)
def test_a_unit_that_contradicts_the_code_is_refused_by_name(tmp_path: Path, code: str, units: str, why: str) -> None:
    sensors = _sensors(tmp_path, described(code, input_units=units))
    assert _rows(sensors, code) == [None]
    assert sensors.reasons[f"XX_STA__{code}"].startswith(why)


def test_the_ratio_of_the_sensors_is_that_of_their_gains() -> None:
    """Where the seismometer lacks a component, that of the accelerometer is in counts of one that it has."""
    channels = {
        "EHZ": ChannelConfig(4e8, -1),
        "EHN": ChannelConfig(5e8),
        "ENZ": ChannelConfig(2e5),
        "ENN": ChannelConfig(3e5, -1),
        "ENE": ChannelConfig(1e5),
    }
    sensors = Sensors("XX.STA", StationConfig(channels=channels))
    assert _rows(sensors, *channels) == ["Z", "N", "Z2", "N2", "E2"]
    ((_, ratios),) = sensors.ratios
    assert ratios.tolist() == pytest.approx([-4e8 / 2e5, -5e8 / 3e5, 4e8 / 1e5], rel=1e-12)
    scale = sensors.at(T0_NS)
    assert scale.metres_per_count.tolist() == pytest.approx([1 / 4e8, 1 / 5e8, 1 / 4e8], rel=1e-12)
    assert scale.polarity.tolist() == [-1.0, 1.0, 1.0] and scale.calibrated


def test_samples_of_the_accelerometer_are_at_the_level_of_the_seismometer() -> None:
    """An offset and a slow drift of the seismometer make no step where the accelerometer begins and ends."""
    timeline = Timeline("XX.STA", GridSpec(40.0, 15.0))
    timeline.ratios = ((0, np.ones(3)),)
    offset = 50_000 + np.arange(6000)
    timeline.expect_second()
    traces = {f"EH{c}": offset.astype(np.int32) for c in "ZNE"}
    for p in packets_of(traces | {f"EN{c}": np.full(6000, 700, dtype=np.int32) for c in "ZNE"}):
        timeline.add(p.source_id.channel[-1] + ("2" if p.source_id.channel[1] == "N" else ""), p)
    timeline.finish()
    k0 = timeline.k_at(T0_NS) + 600
    second = np.zeros((3, 1400), dtype=bool)
    second[0, 400:900] = True
    wave, valid = timeline.window(k0, k0 + 1400, second)
    expected = 50_000 + (np.arange(1400) + 600) * 2.5
    assert valid.all() and np.abs(wave - expected).max() < 30
    velocity, exists = timeline.second(k0, k0 + 1400)
    assert exists.all() and np.abs(velocity).max() < 1e-3


def test_a_gravimeter_whose_unit_is_an_acceleration_is_used(tmp_path: Path) -> None:
    assert _rows(_sensors(tmp_path, described("HGZ", input_units="M/S**2", sensitivity=4e5)), "HGZ") == ["Z2"]
    assert _rows(Sensors("XX.STA", StationConfig()), "HGZ", "H_N_Z", "H_H_Z") == [None, "Z2", "Z"]


def test_the_sensors_of_the_station_file_are_used_and_no_others() -> None:
    listed = StationConfig(sensors=[SensorConfig("EH"), SensorConfig("EN", "--")])
    assert _rows(Sensors("XX.STA", listed), "HHZ", "HNZ", "ENZ", "EHZ") == [None, None, "Z2", "Z"]
    elsewhere = StationConfig(sensors=[SensorConfig("EN", "10")])
    assert _rows(Sensors("XX.STA", elsewhere), "ENZ", "EHZ") == [None, None]


def test_a_borehole_sensor_1_2_3_is_rotated_by_its_directions(tmp_path: Path) -> None:
    directions = {"1": (0.0, -90.0), "2": (175.0, 0.0), "3": (265.0, 0.0)}
    sensors = _sensors(
        tmp_path,
        *(described(f"BH{c}", azimuth=a, dip=d, sensitivity=1e9) for c, (a, d) in directions.items()),
    )
    assert _rows(sensors, "BH1", "BHZ", "BH2", "BH3") == ["N", None, "E", "Z"]
    weights = next(weights for _, weights in sensors.weights if weights is not None)
    ground = np.array([0.3, -1.1, 0.7])  # Z, N, E
    turn = np.radians([175.0, 265.0])
    recorded = np.array([0.0, ground[0], 0.0])  # in the rows of 3, 1, 2
    recorded[2], recorded[0] = np.cos(turn) * ground[1] + np.sin(turn) * ground[2]
    assert weights @ recorded == pytest.approx(ground, abs=1e-12)
    assert np.count_nonzero(weights[0]) == 1  # the vertical needs no other axis


def test_an_accelerometer_needs_a_gain_only_where_it_is_alone(tmp_path: Path) -> None:
    metadata = StationXml.read(stationxml(tmp_path / "a.xml", "XX.STA", [described("EHZ"), described("ENZ")]))
    strict = Sensors("XX.STA", StationConfig(), metadata, strict=True)
    assert _rows(strict, "EHZ") == ["Z"]
    alone = StationXml.read(
        stationxml(tmp_path / "b.xml", "XX.STA", [described("ENZ", input_units="M/S**2", sensitivity=None)])
    )
    with pytest.raises(InputError, match="ENZ has no InstrumentSensitivity"):
        _rows(Sensors("XX.STA", StationConfig(), alone, strict=True), "ENZ")

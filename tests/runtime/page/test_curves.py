"""Curves of a station: the band-pass of the helicorder, gaps, leaps of the clock, rates and sensors."""

import numpy as np
import numpy.typing as npt
import pytest
from tests.fakes import T0_NS, packet, packets_of

from seisedge.runtime.page.curves import HELICORDER_COLUMNS, Curves
from seisedge.runtime.page.filter import BandPass, taps
from seisedge.runtime.records.packet import RecordFlag

T0_S = T0_NS // 10**9
SIZE = np.iinfo(np.int32)


def _sine(hz: float, seconds: float = 60.0, rate_hz: float = 100.0, offset: float = 0.0) -> npt.NDArray[np.int32]:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (offset + 1000 * np.sin(2 * np.pi * hz * t)).round().astype(np.int32)


def _helicorder(curves: Curves, seconds: int, component: str = "Z", start_s: int = 0) -> npt.NDArray[np.float32]:
    return curves.components[component].helicorder.values(T0_S + start_s, T0_S + start_s + seconds)


@pytest.mark.parametrize(("hz", "share"), [(0.1, 0.0), (0.3, 0.01), (3.0, 1.0), (7.3, 1.0), (17.0, 0.01), (25.0, 0.0)])
def test_the_helicorder_has_the_band_of_local_events(hz: float, share: float) -> None:
    curves = Curves()
    for one in packets_of({"HHZ": _sine(hz, offset=1e6)}):
        curves.add(one)
    found = _helicorder(curves, 50, start_s=5)
    assert found[:, 1] == pytest.approx(np.full(50, 1000 * share), abs=30)
    assert found[:, 0] == pytest.approx(np.full(50, -1000 * share), abs=30)


@pytest.mark.parametrize("rate_hz", [20.0, 40.0, 100.0, 200.0, 1000.0])
def test_a_constant_is_filtered_to_zero_at_each_rate(rate_hz: float) -> None:
    assert len(taps(rate_hz)) % 2 == 1
    y = BandPass(rate_hz).push(np.full(5000, 2.0**31))
    assert np.abs(y).max() < 0.01


def test_the_pieces_of_the_packets_do_not_matter() -> None:
    x = np.random.default_rng(0).normal(0, 100, 5000)
    whole = BandPass(100.0)
    expected = np.concatenate([whole.push(x), whole.finish()])
    assert len(expected) == len(x)
    for size in (1, 7, 400):
        one = BandPass(100.0)
        pieces = [one.push(x[at : at + size]) for at in range(0, len(x), size)]
        assert np.allclose(np.concatenate([*pieces, one.finish()]), expected)


def test_a_gap_is_a_gap_and_does_not_ring() -> None:
    curves = Curves()
    for one in packets_of({"HHZ": _sine(3.0, 20.0, offset=50_000)}):
        curves.add(one)
    for one in packets_of({"HHZ": _sine(3.0, 20.0, offset=-90_000)}, start_s=30.0):
        curves.add(one)
    found = _helicorder(curves, 50)
    assert np.isnan(found[20:30]).all() and np.isfinite(found[:20]).all() and np.isfinite(found[30:48]).all()
    assert np.nanmax(np.abs(found)) < 1600  # a step of 140,000 counts would be 50,000 here
    raw = curves.components["Z"].samples
    assert np.isnan(raw.values(2000, 3000)).all() and np.isfinite(raw.values(3000, 5000)).all()


def test_packets_that_jitter_by_less_than_a_sample_have_no_gap() -> None:
    x = _sine(3.0)
    curves = Curves()
    for number, one in enumerate(packets_of({"HHZ": x})):
        curves.add(packet(one.samples, number * 4.0 + (-1) ** number * 0.006))
    assert np.isfinite(curves.components["Z"].samples.values(0, len(x))).all()
    assert np.nanmax(np.abs(_helicorder(curves, 57, start_s=2))) < 1050


def test_a_repeated_packet_changes_nothing_after_it() -> None:
    once, twice = Curves(), Curves()
    for one in packets_of({"HHZ": _sine(3.0)}):
        once.add(one)
        twice.add(one)
        twice.add(one)
    assert twice.components["Z"].end_ns == once.components["Z"].end_ns
    a, b = once.components["Z"].samples, twice.components["Z"].samples
    assert np.array_equal(a.values(0, 6000), b.values(0, 6000))
    assert np.isfinite(_helicorder(twice, 58)).all()


@pytest.mark.parametrize("leap_s", [30 * 86400.0, -30 * 86400.0])
def test_one_packet_of_another_time_is_left_out_and_two_are_followed(leap_s: float) -> None:
    curves = Curves()
    for one in packets_of({"HHZ": _sine(3.0, 20.0)}):
        curves.add(one)
    curves.add(packet(_sine(3.0, 4.0), leap_s))
    for one in packets_of({"HHZ": _sine(3.0, 20.0)}, start_s=20.0):
        curves.add(one)
    assert np.isfinite(_helicorder(curves, 38)).all()
    for one in packets_of({"HHZ": _sine(3.0, 20.0)}, start_s=leap_s):
        curves.add(one)
    assert np.isfinite(_helicorder(curves, 10, start_s=round(leap_s) + 5)).all()


def test_another_sampling_rate_keeps_the_helicorder() -> None:
    curves = Curves()
    for one in packets_of({"HHZ": _sine(3.0, 20.0)}):
        curves.add(one)
    for one in packets_of({"HHZ": _sine(3.0, 20.0, 50.0)}, rate_hz=50.0, start_s=20.0):
        curves.add(one)
    assert curves.components["Z"].rate_hz == 50.0
    assert np.isfinite(_helicorder(curves, 38)).all()


def test_the_seismometer_takes_the_place_of_the_accelerometer() -> None:
    curves = Curves()
    curves.add(packet(_sine(3.0, 4.0), channel="HNZ"))
    assert curves.components["Z"].code == ("", "HNZ")
    curves.add(packet(_sine(3.0, 4.0), channel="HHZ"))
    curves.add(packet(_sine(3.0, 4.0), 4.0, channel="HNZ"))
    assert curves.components["Z"].code == ("", "HHZ") and curves.newest_ms == {"Z": T0_NS // 10**6 + 4000}


@pytest.mark.parametrize(
    ("flags", "clock"),
    [
        (RecordFlag.NONE, "ok"),
        (RecordFlag.TIME_QUESTIONABLE, "questionable"),
        (RecordFlag.CLOCK_UNLOCKED | RecordFlag.TIME_QUESTIONABLE, "unlocked"),
    ],
)
def test_the_clock_is_that_of_the_newest_packet(flags: RecordFlag, clock: str) -> None:
    curves = Curves()
    curves.add(packet(_sine(3.0, 4.0), flags=flags))
    assert curves.clock == clock


def test_unsound_samples_are_gaps_of_the_curve() -> None:
    x = _sine(3.0, 20.0).astype(np.float64)
    x[500:600], x[700] = np.nan, 1e30
    curves = Curves()
    for at in range(0, 2000, 400):
        curves.add(packet(x[at : at + 400], at / 100))
    raw = curves.components["Z"].samples.values(0, 2000)
    assert np.isnan(raw[500:600]).all() and np.isnan(raw[700]) and np.isfinite(raw).sum() == 1899


def test_the_memory_of_a_station_is_that_of_the_documentation() -> None:
    """2.2 MB with three components at 100 Hz, and no more at any rate than 3.3 MB."""
    sizes = []
    for rate_hz in (100.0, 250.0, 1000.0):
        curves = Curves()
        for channel in ("HHZ", "HHN", "HHE"):
            curves.add(packet(_sine(3.0, 4.0, rate_hz), channel=channel, rate_hz=rate_hz))
        sizes.append(curves.nbytes / 1e6)
    assert sizes == pytest.approx([2.16, 3.24, 3.24], abs=0.05)
    assert HELICORDER_COLUMNS >= 86_400

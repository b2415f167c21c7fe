from fractions import Fraction

import numpy as np
import pytest

from seisedge.runtime.timeline.resample import Resampler, resample_record

T0_NS = 1_562_487_360_003_100_000  # not on any grid
RATES_HZ = [40, 50, 99.99, 100, 120, 125, 200, 250, 500]
ODD_RATES_HZ = [49.9986, 99.9999, 100.02, 199.997, 777.77]  # with up to four million phases to 40 Hz


def _sine(frequency_hz: float, rate_hz: float, seconds: float = 60.0) -> np.ndarray:
    wave: np.ndarray = np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * rate_hz)) / rate_hz)
    return wave


@pytest.mark.parametrize("rate_hz", [*RATES_HZ, *ODD_RATES_HZ])
@pytest.mark.parametrize("frequency_hz", [1.0, 8.0, 14.9])
def test_pass_band_is_kept_in_amplitude_and_time(rate_hz: float, frequency_hz: float) -> None:
    x = _sine(frequency_hz, rate_hz)
    y, valid, k0 = resample_record(x, np.ones(len(x), bool), T0_NS, rate_hz, 40, 15)
    # exact times of the outputs, relative to the first sample, in integers
    seconds = np.array([(k * 25_000_000 - T0_NS) / 1e9 for k in range(k0, k0 + len(y))])
    assert valid.all()
    expected = np.sin(2 * np.pi * frequency_hz * seconds)
    assert np.abs(y - expected).max() < 2e-3


@pytest.mark.parametrize("rate_hz", [50, 100, 250, 500])
@pytest.mark.parametrize("frequency_hz", [19.2, 24.0])
def test_frequencies_that_alias_are_attenuated_by_60_db(rate_hz: float, frequency_hz: float) -> None:
    x = _sine(frequency_hz, rate_hz)
    y, _, _ = resample_record(x, np.ones(len(x), bool), T0_NS, rate_hz, 40, 15)
    assert np.abs(y).max() < 2e-3


@pytest.mark.parametrize(("group", "seconds"), [(1, 30), (2, 30), (37, 30), (1999, 700), (4097, 700)])
@pytest.mark.parametrize("rate_hz", [*RATES_HZ, *ODD_RATES_HZ])
def test_bits_do_not_depend_on_the_number_of_outputs(rate_hz: float, group: int, seconds: float) -> None:
    """The whole record uses the layout for many outputs, its pieces the one for few."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=int(seconds * rate_hz))
    valid = np.ones(len(x), bool)
    resampler = Resampler(rate_hz, 40, 15, T0_NS)
    k0, k1 = resampler.outputs_from(0, len(x))
    whole, _ = resampler(x, valid, 0, k0, k1)
    pieces = []
    for start in range(k0, k1, group):
        stop = min(start + group, k1)
        n0, n1 = resampler.inputs_for(start, stop)
        pieces.append(resampler(x[n0:n1], valid[n0:n1], n0, start, stop)[0])
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("rate_hz", ODD_RATES_HZ)
def test_rounded_phases_shift_an_output_by_up_to_2_microseconds(rate_hz: float) -> None:
    resampler = Resampler(rate_hz, 40, 15, T0_NS)
    k0, k1 = resampler.outputs_from(0, round(60 * rate_hz))
    floors, rows = resampler._floors(k0, k1)
    placed_s = (floors + rows / resampler._steps) / rate_hz
    true_s = np.array([float(k * Fraction(1, 40) - Fraction(T0_NS, 10**9)) for k in range(k0, k1)])
    assert 1e-6 < np.abs(placed_s - true_s).max() < 2.01e-6


@pytest.mark.parametrize("pass_hz", [1.0, 15.0, 19.375])
@pytest.mark.parametrize("rate_hz", [40.0, 39.3337, 99.99, 99.9999, 100.02, 199.997, 7777.77, 19_999.9, 20_000.0])
def test_the_memory_of_a_kernel_is_bounded(rate_hz: float, pass_hz: float) -> None:
    kernel = Resampler(rate_hz, 40, pass_hz, T0_NS)._kernel
    assert kernel.nbytes <= 4.7e6
    assert np.allclose(kernel.sum(axis=1), 1.0)


def test_a_missing_sample_masks_the_outputs_whose_kernel_it_lies_under() -> None:
    x, valid = np.ones(3000), np.ones(3000, bool)
    valid[1500] = False
    x[1500] = 1e12
    y, whole, _ = resample_record(x, valid, T0_NS, 100, 40, 15)
    reach = Resampler(100, 40, 15, T0_NS).reach_s
    assert (~whole).sum() == pytest.approx(2 * reach * 40, abs=2)
    assert np.allclose(y[whole], 1.0, atol=1e-9)
    assert (y[~whole] == 0).all()


def test_outputs_and_inputs_agree_with_each_other() -> None:
    resampler = Resampler(125, 40, 15, T0_NS)
    k0, k1 = resampler.outputs_from(100, 5000)
    n0, n1 = resampler.inputs_for(k0, k1)
    assert n0 >= 100 and n1 <= 5000
    assert resampler.inputs_for(k0 - 1, k1)[0] < 100
    assert resampler.inputs_for(k0, k1 + 1)[1] > 5000


def test_a_channel_without_the_pass_band_is_refused() -> None:
    with pytest.raises(ValueError, match="20 Hz does not contain the pass band up to 15 Hz"):
        Resampler(20, 40, 15, T0_NS)
    with pytest.raises(ValueError, match=r"30\.4 Hz does not contain"):
        Resampler(30.4, 40, 15, T0_NS)
    assert Resampler(30.5, 40, 15, T0_NS).reach_s < 3.7
    with pytest.raises(ValueError, match="at most 20000 Hz; got 20001 Hz"):
        Resampler(20_001, 40, 15, T0_NS)
    with pytest.raises(ValueError, match=r"must end at 19\.375 Hz or below at an output rate of 40 Hz; got 20 Hz"):
        Resampler(100, 40, 20, T0_NS)


def test_too_few_inputs_are_an_error_that_names_the_inputs() -> None:
    resampler = Resampler(100, 40, 15, T0_NS)
    k0, _ = resampler.outputs_from(0, 1000)
    with pytest.raises(ValueError, match="need inputs"):
        resampler(np.zeros(10), np.ones(10, bool), 0, k0, k0 + 10)


@pytest.mark.parametrize("rate_hz", [40.0, 50.0, 62.5, 99.99, 100.0, 200.0])
def test_outputs_under_samples_are_those_that_miss_them(rate_hz: float) -> None:
    x = np.zeros(4000)
    for n0, n1 in ((1000, 1001), (1001, 1050), (1517, 1519)):
        resampler = Resampler(rate_hz, 40.0, 15.0, T0_NS + 3_141_592)
        valid = np.ones(len(x), bool)
        valid[n0:n1] = False
        first, end = resampler.outputs_from(0, len(x))
        _, whole = resampler(x, valid, 0, first, end)
        assert (first + np.flatnonzero(~whole)).tolist() == list(range(*resampler.outputs_under(n0, n1)))


def _at(k: int) -> float:
    """Seconds from the anchor to output k."""
    return float(Fraction(k, 40) - Fraction(T0_NS, 10**9))


@pytest.mark.parametrize("rate_hz", [40.0, 50.0, 99.99, 100.0, 125.0, 200.0])
def test_acceleration_is_integrated_in_the_band(rate_hz: float) -> None:
    """Amplitude within 2 %, phase within 1 degree, from 0.75 Hz to the pass band's edge, without a delay."""
    resampler = Resampler(rate_hz, 40, 15, T0_NS, integrates=True)
    t = np.arange(round(20 * rate_hz)) / rate_hz
    k0, k1 = resampler.outputs_from(0, len(t))
    times = np.array([_at(k) for k in range(k0, k1)])
    assert times[0] == pytest.approx(resampler.reach_s, abs=0.05)  # the run-in
    for f in (0.75, 1.0, 2.0, 5.0, 10.0, 15.0):
        omega = 2 * np.pi * f
        parts = [resampler(part(omega * t), np.ones(len(t), bool), 0, k0, k1)[0] for part in (np.cos, np.sin)]
        transfer = ((parts[0] + 1j * parts[1]) / (np.exp(1j * omega * times) / (1j * omega))).mean()
        assert abs(transfer) == pytest.approx(1.0, abs=0.02)
        assert abs(np.degrees(np.angle(transfer))) < 1.0


def test_offset_tilt_and_drift_do_not_reach_the_band() -> None:
    resampler = Resampler(100.0, 40, 15, T0_NS, integrates=True)
    t = np.arange(6000) / 100
    k0, k1 = resampler.outputs_from(0, len(t))
    ok = np.ones(len(t), bool)
    assert np.abs(resampler(np.full(len(t), 9.8e6), ok, 0, k0, k1)[0]).max() < 1e-6
    drift = resampler(1e3 * t, ok, 0, k0, k1)[0]
    assert np.ptp(drift) < 1e-3 * np.abs(drift).max()  # a constant
    tilt = resampler(np.where(t < 30, 0.0, 1e3), ok, 0, k0, k1)[0]
    times = np.array([_at(k) for k in range(k0, k1)])
    assert np.abs(tilt[(times < 29.5) | (times > 36.5)]).max() < 1e-3 * np.abs(tilt).max()  # over after the memory


def test_a_gap_of_acceleration_masks_its_run_in() -> None:
    x, valid = np.ones(6000), np.ones(6000, bool)
    valid[3000] = False
    resampler = Resampler(100.0, 40, 15, T0_NS, integrates=True)
    k0, k1 = resampler.outputs_from(0, len(x))
    _, whole = resampler(x, valid, 0, k0, k1)
    times = np.array([_at(k) for k in range(k0, k1)])[~whole]
    assert times[0] == pytest.approx(30.0 - (resampler.reach_s - 6.0), abs=0.06)
    assert times[-1] == pytest.approx(30.0 + resampler.reach_s, abs=0.06)


def test_each_integrated_output_is_independent_of_the_others() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1e5, 9000)
    ok = np.ones(len(x), bool)
    for rate_hz in (100.0, 99.99):
        resampler = Resampler(rate_hz, 40, 15, T0_NS, integrates=True)
        k0, k1 = resampler.outputs_from(0, len(x))
        whole = resampler(x, ok, 0, k0, k1)[0]
        for low, high in ((k0, k0 + 1), (k0 + 17, k0 + 400), (k1 - 3, k1)):
            n0, n1 = resampler.inputs_for(low, high)
            assert np.array_equal(resampler(x[n0:n1], ok[n0:n1], n0, low, high)[0], whole[low - k0 : high - k0])

"""The samples have the intended physics: corner frequency, scaling, travel times, P over S."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from seisedge.train import synthetic
from seisedge.train.synthetic import Earth, Event, coloured_noise, corner_hz, moment_from_magnitude, seismogram, source
from seisedge.train.synthetic.record import plateau_m_s

LOSSLESS = Earth(q0=1e12, kappa_s=0.0)
RATE = 100.0


def displacement_spectrum(event: Event, seeds: range, earth: Earth = LOSSLESS) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the RMS over seeds of the horizontals' displacement amplitudes (m·s)."""
    power = 0.0
    for seed in seeds:
        x = seismogram(event, earth, seed, noise=0).clean[1:]
        power = power + (np.abs(np.fft.rfft(x, axis=1)) ** 2).sum(0)
    f = np.fft.rfftfreq(x.shape[1], 1 / RATE)
    some = (f > 0.3) & (f < 40)
    return f[some], np.sqrt(power / len(seeds))[some] / RATE / (2 * np.pi * f[some])


@pytest.mark.parametrize(("magnitude", "stress_drop_pa"), [(3.0, 3e6), (3.0, 3e5), (2.5, 1e6)])
def test_corner_frequency_is_that_of_brune(magnitude: float, stress_drop_pa: float) -> None:
    event = Event(magnitude, 30.0, 8.0, stress_drop_pa=stress_drop_pa)
    f, amplitude = displacement_spectrum(event, range(30))
    candidates = np.geomspace(0.5, 30, 200)
    misfit = [float(np.std(np.log(amplitude) - np.log(source.brune(f, c)))) for c in candidates]
    expected = corner_hz(moment_from_magnitude(magnitude), stress_drop_pa, 1e3 * LOSSLESS.speed(8.0)[1])
    assert candidates[int(np.argmin(misfit))] == pytest.approx(expected, rel=0.15)


def test_corner_falls_as_the_cube_root_of_the_moment() -> None:
    a, b = (corner_hz(moment_from_magnitude(m), 3e6, 3500.0) for m in (1.0, 3.0))
    assert a / b == pytest.approx(10.0)  # two magnitudes are a thousand in moment
    assert corner_hz(1e13, 8e6, 3500.0) / corner_hz(1e13, 1e6, 3500.0) == pytest.approx(2.0)


def test_the_plateau_scales_with_the_moment_and_the_inverse_distance() -> None:
    low = [displacement_spectrum(Event(m, 30.0, 8.0), range(12)) for m in (0.5, 2.5)]
    ratio = [a[(f > 0.5) & (f < 2)].mean() for f, a in low]
    assert math.log10(ratio[1] / ratio[0]) == pytest.approx(3.0, abs=0.1)
    near, far = (plateau_m_s(Event(2.0, d, 0.0), LOSSLESS, False) for d in (20.0, 40.0))
    assert near / far == pytest.approx(2.0)


def test_peak_velocity_grows_with_magnitude_as_at_real_stations() -> None:
    """About tenfold a magnitude while attenuation hides the corner, less for larger events."""
    peaks = [
        np.mean([np.log10(np.abs(seismogram(Event(m, 20.0, 8.0), Earth(), s, noise=0).clean).max()) for s in range(8)])
        for m in (1.0, 2.0, 3.0)
    ]
    assert 1.0 < peaks[1] - peaks[0] < 1.5
    assert 0.7 < peaks[2] - peaks[1] < peaks[1] - peaks[0]


@pytest.mark.parametrize("distance_km", [5.0, 20.0, 50.0])
def test_p_and_s_arrive_at_the_travel_times_of_the_distance(distance_km: float) -> None:
    event = Event(2.0, distance_km, 6.0)
    record = seismogram(event, Earth(), 3, noise=0)
    far = math.hypot(distance_km, 6.0)
    assert record.s_s - record.p_s == pytest.approx(far / 5.8 * 0.73)
    first = np.flatnonzero(np.abs(record.clean[0]) > 1e-3 * np.abs(record.clean[0]).max())[0] / RATE
    assert record.p_s - 0.01 <= first < record.p_s + 0.15
    level = np.abs(record.clean[1:]).max(0)
    s = round(record.s_s * RATE)
    assert level[s : s + 200].max() > 3 * level[s - 100 : s - 5].max()


def test_a_gradient_bends_rays() -> None:
    uniform, bent = Earth(p_km_per_s=5.0), Earth(p_km_per_s=5.0, gradient_per_s=0.05)
    assert bent.times_s(40.0, 8.0)[0] < uniform.times_s(40.0, 8.0)[0]
    almost = Earth(p_km_per_s=5.0, gradient_per_s=1e-6)
    assert almost.times_s(40.0, 8.0)[0] == pytest.approx(uniform.times_s(40.0, 8.0)[0], rel=1e-4)
    down = Earth(p_km_per_s=5.0, gradient_per_s=0.1)
    assert down.times_s(0.0, 10.0)[0] == pytest.approx(math.log(6.0 / 5.0) / 0.1)  # straight down: ∫ dz / v


def test_explosions_have_little_s_and_an_rg() -> None:
    def p_over_s(event: Event) -> float:
        ratios = []
        for seed in range(10):
            r = seismogram(event, Earth(), seed, noise=0)
            p, s = round(r.p_s * RATE), round(r.s_s * RATE)
            ratios.append(np.abs(r.clean[0, p : p + 150]).max() / np.abs(r.clean[1:, s : s + 300]).max())
        return float(np.median(ratios))

    quake, blast = Event(2.0, 25.0, 8.0), Event(2.0, 25.0, 0.1, "explosion")
    assert p_over_s(blast) > 2.5 * p_over_s(quake)

    def rg(event: Event) -> float:
        """RMS (0.5 to 2 Hz, vertical) at the arrival of Rg over that of the 2 s before."""
        r = seismogram(event, Earth(), 4, noise=0)
        z = np.fft.rfft(r.clean[0])
        f = np.fft.rfftfreq(len(r.clean[0]), 1 / RATE)
        y = np.fft.irfft(np.where((f > 0.5) & (f < 2), z, 0), len(r.clean[0]))
        at = round((r.p_s - Earth().times_s(event.distance_km, event.depth_km)[0] + event.distance_km / 2.4) * RATE)
        return float(y[at : at + 400].std() / y[at - 200 : at].std())

    assert rg(blast) > 2 * rg(Event(2.0, 25.0, 6.0, "explosion"))  # a deep explosion generates no Rg


def test_rg_is_retrograde() -> None:
    """At the top of its ellipse the ground moves towards the source: the radial is minus the vertical's quadrature."""
    event = Event(2.0, 25.0, 0.1, "explosion", back_azimuth_deg=180.0)  # north is away from the source
    r = seismogram(event, Earth(), 4, noise=0)
    f = np.fft.fftfreq(r.clean.shape[1], 1 / RATE)
    keep = np.where((f > 0.5) & (f < 2), 2.0, 0.0)
    at = round((r.p_s - Earth().times_s(25.0, 0.1)[0] + 25 / 2.4) * RATE)
    up, out = (np.fft.ifft(np.fft.fft(x) * keep)[at : at + 400] for x in r.clean[:2])
    assert np.vdot(up.imag, out.real) / (np.linalg.norm(up.imag) * np.linalg.norm(out.real)) < -0.8


def test_noise_has_the_given_level_and_slope() -> None:
    x = coloured_noise(20_000, RATE, 1e-7, 1)
    f = np.fft.rfftfreq(20_000, 1 / RATE)
    power = (np.abs(np.fft.rfft(x, axis=1)) ** 2).mean(0)
    in_band = np.fft.irfft(np.where((f >= 1) & (f <= 15), np.fft.rfft(x, axis=1), 0), 20_000, axis=1)
    assert np.sqrt((in_band**2).mean()) == pytest.approx(1e-7)
    assert np.sqrt(power[(f > 2) & (f < 3)].mean() / power[(f > 20) & (f < 30)].mean()) == pytest.approx(10, rel=0.15)


def test_seeded_and_recorded_noise() -> None:
    event = Event(1.0, 10.0)
    a, b, c = (seismogram(event, Earth(), seed).waveform for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    real = np.arange(3 * 9000.0).reshape(3, 9000)
    mixed = seismogram(event, Earth(), 1, noise=real)
    assert mixed.waveform - mixed.clean == pytest.approx(real)
    with pytest.raises(ValueError, match=r"noise must be \(3, at least 9000\)"):
        seismogram(event, Earth(), 1, noise=real[:, :100])


@pytest.mark.parametrize("module", [synthetic, source])
def test_examples_run(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]  # a module

"""One synthetic record.

In `Earth`: P, S, coda and Rg as windowed noise with the spectrum of source and path. In `Layers`: the Green's function
convolved with the pulse of the source.

The first is the stochastic method: Boore (2003), Simulation of ground motion using the stochastic method, Pure Appl.
Geophys. 160, 635-676. Radiation patterns are averages over the focal sphere; an explosion has none, and little S.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import hilbert  # type: ignore[import-untyped]  # scipy publishes no types

from seisedge.train.synthetic.earth import Earth
from seisedge.train.synthetic.greens import response
from seisedge.train.synthetic.layers import Layers
from seisedge.train.synthetic.noise import coloured_noise
from seisedge.train.synthetic.source import P_CORNER, brune, corner_hz, moment_from_magnitude, random_mechanism

Floats = npt.NDArray[np.float64]
Kind = Literal["earthquake", "explosion"]

P_RADIATION, S_RADIATION = 0.52, 0.63  # Boore and Boatwright (1984): averages over the focal sphere
EXPLOSION_S = 0.12  # of the S of an earthquake of the same moment
RG_SHARE = 1.0  # Rg of an explosion at the surface over its direct P, at 10 km
RG_BAND_HZ = (0.4, 2.5)
RG_DEPTH_KM = 1.0  # Rg decreases with depth as exp(−depth / RG_DEPTH_KM)
SPREAD_S_PER_KM = 0.05  # increase of the pulse length with distance
CODA_LEVEL = 0.8  # over the spectrum of the direct wave
LOW_PASS_ORDER = 48  # 0.5 % at `greens.CUT` times the highest frequency, the end of the computed band
PEAK, END = 0.2, 0.05  # envelope: its maximum is at a fifth of its length; it has a twentieth of that at its end


@dataclass(frozen=True, slots=True)
class Event:
    """distance_km: epicentral; back_azimuth_deg: from the station to the source.

    mechanism_deg: strike, dip and rake of an earthquake, for `Layers`; None: random, from the seed. `Earth` uses the
    average over all mechanisms and ignores it.
    """

    magnitude: float
    distance_km: float
    depth_km: float = 8.0
    kind: Kind = "earthquake"
    stress_drop_pa: float = 3e6
    back_azimuth_deg: float = 45.0
    mechanism_deg: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Seismogram:
    """waveform: (3, n), ZNE, ground velocity in m/s, with noise. clean: the same without noise.

    p_s, s_s: seconds from the first sample; in `Layers` the first of each kind, direct or refracted. corner_hz: of S.
    """

    waveform: Floats
    clean: Floats
    rate_hz: float
    p_s: float
    s_s: float
    corner_hz: float


def seismogram(
    event: Event,
    earth: Earth | Layers,
    seed: int,
    *,
    rate_hz: float = 100.0,
    length_s: float = 90.0,
    before_s: float = 25.0,
    noise: Floats | float = 5e-8,
) -> Seismogram:
    """A record that begins `before_s` before P.

    noise: recorded noise in m/s (3, at least n), or the RMS of coloured noise in m/s (1 to 15 Hz); 0: no noise.
    Raises ValueError for noise that is too short, and for `Layers` the errors of `greens.response`.
    """
    rng = np.random.default_rng(seed)
    n = round(length_s * rate_hz)
    corner = corner_hz(
        moment_from_magnitude(event.magnitude), event.stress_drop_pa, 1e3 * earth.speed(event.depth_km)[1]
    )
    if isinstance(earth, Layers):
        clean, s_s = _in_layers(event, earth, rng, n, rate_hz, before_s, corner)
    else:
        clean, s_s = _in_earth(event, earth, rng, n, rate_hz, before_s, corner)
    if isinstance(noise, np.ndarray):
        if noise.ndim != 2 or noise.shape[0] != 3 or noise.shape[1] < n:
            raise ValueError(f"noise must be (3, at least {n}); got {noise.shape}")
        ground = noise[:, :n].astype(np.float64)
    else:
        ground = coloured_noise(n, rate_hz, noise, rng) if noise > 0 else np.zeros((3, n))
    return Seismogram(clean + ground, clean, rate_hz, before_s, s_s, corner)


def _in_earth(
    event: Event, earth: Earth, rng: np.random.Generator, n: int, rate_hz: float, p_s: float, corner: float
) -> tuple[Floats, float]:
    """Clean waveform (3, n), and the time of S."""
    travel_p, travel_s = earth.times_s(event.distance_km, event.depth_km)
    s_s = p_s + travel_s - travel_p
    clean = _body_wave(event, earth, rng, n, rate_hz, p_s, travel_p, corner, True)
    clean += _body_wave(event, earth, rng, n, rate_hz, s_s, travel_s, corner, False)
    if event.kind == "explosion":
        clean += _rg(event, earth, rng, n, rate_hz, p_s - travel_p, corner)
    return clean, s_s


def _in_layers(
    event: Event, layers: Layers, rng: np.random.Generator, n: int, rate_hz: float, p_s: float, corner: float
) -> tuple[Floats, float]:
    """Clean waveform (3, n), and the time of S. All waves have one pulse: the corner of P equals that of S."""
    mechanism = None
    if event.kind == "earthquake":
        mechanism = event.mechanism_deg or random_mechanism(rng)
    path = response(layers, event.depth_km, event.distance_km, event.back_azimuth_deg + 180.0, mechanism, rate_hz)
    size = 2 * (n + path.velocity.shape[1])
    f: Floats = np.asarray(np.fft.rfftfreq(size, 1 / rate_hz), dtype=np.float64)
    low_pass = 1 / np.sqrt(1 + (f / layers.highest_hz) ** LOW_PASS_ORDER)
    pulse = minimum_phase(brune(f, corner) * np.exp(-np.pi * layers.kappa_s * f) * low_pass)
    pulse *= moment_from_magnitude(event.magnitude)
    shift_s = p_s - (path.p_s - path.begin_s)
    z = np.fft.rfft(path.velocity, size, axis=1) * pulse * np.exp(-2j * np.pi * f * shift_s)
    return np.asarray(np.fft.irfft(z, size, axis=1)[:, :n]), p_s + path.s_s - path.p_s


def plateau_m_s(event: Event, earth: Earth, p_wave: bool) -> float:
    """Displacement spectrum at low frequencies in m·s, without attenuation: M0 R F / (4 π ρ v³ r)."""
    speed = 1e3 * earth.speed(event.depth_km)[0 if p_wave else 1]
    r_m = 1e3 * max(math.hypot(event.distance_km, event.depth_km), 0.1)
    radiation = P_RADIATION if p_wave else S_RADIATION
    if event.kind == "explosion":
        radiation = 1.0 if p_wave else EXPLOSION_S * S_RADIATION
    moment = moment_from_magnitude(event.magnitude)
    return earth.free_surface * radiation * moment / (4 * math.pi * earth.density * speed**3 * r_m)


def _body_wave(  # noqa: PLR0913 - the quantities of one formula
    event: Event, earth: Earth, rng: np.random.Generator, n: int, rate_hz: float, at_s: float, travel_s: float,
    corner: float, p_wave: bool,
) -> Floats:  # fmt: skip
    """(3, n): the direct wave and its scattered coda."""
    corner = corner * (P_CORNER if p_wave else 1.0)
    plateau = plateau_m_s(event, earth, p_wave)
    r_km = math.hypot(event.distance_km, event.depth_km)
    direct_s = 1 / corner + SPREAD_S_PER_KM * r_km + 0.3

    def spectrum(f: Floats) -> Floats:
        return np.asarray(2 * np.pi * f * plateau * brune(f, corner) * earth.attenuation(f, travel_s, p_wave))

    direct = _shaped(rng, n, rate_hz, at_s, _pulse(n, rate_hz, direct_s), spectrum, 2 if p_wave else 3)
    coda_s = (0.4 if p_wave else 1.0) * (4.0 + 0.35 * r_km + 2.0 * max(event.magnitude, 0.0))
    tail = _tail(n, rate_hz, coda_s)
    coda = CODA_LEVEL * _shaped(rng, n, rate_hz, at_s, tail, spectrum, 3)
    return _turned(event, earth, direct, p_wave) + coda / math.sqrt(3)


def _rg(
    event: Event, earth: Earth, rng: np.random.Generator, n: int, rate_hz: float, origin_s: float, corner: float
) -> Floats:
    """(3, n): the short-period surface wave of a shallow source, dispersed, with 1/√r spreading, on Z and radial."""
    r_km = max(event.distance_km, 1.0)
    travel_s = r_km / earth.rg_km_per_s
    plateau = plateau_m_s(Event(event.magnitude, 10.0, 0.0, "explosion"), earth, True)
    share = RG_SHARE * math.exp(-max(event.depth_km, 0.0) / RG_DEPTH_KM) * math.sqrt(10.0 / r_km)
    low, high = RG_BAND_HZ

    def spectrum(f: Floats) -> Floats:
        band = 1 / (1 + (low / np.maximum(f, 1e-3)) ** 6) / (1 + (f / high) ** 6)
        lost = np.exp(-np.pi * f * travel_s / earth.rg_q)
        return np.asarray(2 * np.pi * f * plateau * share * band * brune(f, corner) * lost)

    wave = _shaped(rng, n, rate_hz, origin_s + travel_s, _pulse(n, rate_hz, 1.5 + 0.12 * r_km), spectrum, 2)
    turned = np.zeros((3, n))
    turned[0] = wave[0]
    radial = (
        -np.imag(hilbert(wave[0])) * 0.7
    )  # retrograde: a quarter period ahead; towards the source at the top of the ellipse
    azimuth = math.radians(event.back_azimuth_deg + 180.0)
    turned[1], turned[2] = radial * math.cos(azimuth), radial * math.sin(azimuth)
    return turned


def _pulse(n: int, rate_hz: float, length_s: float) -> Floats:
    """Envelope (n,) of Saragoni and Hart, in the form of Boore."""
    b = -PEAK * math.log(END) / (1 + PEAK * (math.log(PEAK) - 1))
    t = np.arange(n) / rate_hz / length_s
    return np.asarray((t / PEAK) ** b * np.exp(-b / PEAK * (t - PEAK)))


def _tail(n: int, rate_hz: float, decay_s: float) -> Floats:
    """Envelope (n,) of the coda."""
    t = np.arange(n) / rate_hz
    return np.asarray(np.minimum(t / 0.5, 1.0) * np.exp(-t / decay_s))


def _shaped(
    rng: np.random.Generator,
    n: int,
    rate_hz: float,
    at_s: float,
    envelope: Floats,
    spectrum: Callable[[Floats], Floats],
    count: int,
) -> Floats:
    """(count, n): noise under an envelope that begins at `at_s`, with the Fourier amplitudes of `spectrum`."""
    size = 2 * n
    raw = np.zeros((count, size))
    raw[:, :n] = rng.standard_normal((count, n)) * envelope
    f: Floats = np.asarray(np.fft.rfftfreq(size, 1 / rate_hz), dtype=np.float64)
    z = np.fft.rfft(raw, axis=1)
    z /= math.sqrt(float((envelope**2).sum()))  # unit mean amplitude
    z *= minimum_phase(spectrum(f)) * rate_hz * np.exp(-2j * np.pi * f * at_s)
    return np.asarray(np.fft.irfft(z, size, axis=1)[:, :n])


def minimum_phase(amplitude: Floats) -> npt.NDArray[np.complex128]:
    """The minimum-phase spectrum (n / 2 + 1,) with these amplitudes: its signal is 0 before its beginning."""
    size = 2 * (len(amplitude) - 1)
    logs = np.log(np.maximum(amplitude, 1e-9 * amplitude.max()))
    cepstrum = np.fft.irfft(logs, size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    return np.asarray(np.exp(np.fft.rfft(cepstrum)))


def _turned(event: Event, earth: Earth, wave: Floats, p_wave: bool) -> Floats:
    """(3, n), ZNE: P along the ray; S as SV (row 0) and SH (row 1) across it, with equal energy."""
    i = earth.incidence_rad(event.distance_km, event.depth_km)
    azimuth = math.radians(event.back_azimuth_deg + 180.0)  # away from the source
    if p_wave:
        vertical, radial, across = wave[0] * math.cos(i), wave[0] * math.sin(i), np.zeros(wave.shape[1])
    else:
        vertical, radial = wave[0] * math.sin(i) / math.sqrt(2), wave[0] * math.cos(i) / math.sqrt(2)
        across = wave[1] / math.sqrt(2)
    north = radial * math.cos(azimuth) - across * math.sin(azimuth)
    east = radial * math.sin(azimuth) + across * math.cos(azimuth)
    return np.stack([vertical, north, east])

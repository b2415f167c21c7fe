"""Artefacts: signals of instruments, telemetry and the neighbourhood, added to a stream in place.

Each takes the stream (3, n), the amplitude of its noise and a random generator, and returns the range of samples that
it changed strongly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Artefact = Callable[[Floats, float, np.random.Generator], tuple[int, int]]

RATE_HZ = 40.0


def _place(x: Floats, rng: np.random.Generator, length: int) -> tuple[int, int]:
    begin = int(rng.integers(0, x.shape[1] - 1))
    return begin, min(begin + length, x.shape[1])


def _rows(x: Floats, rng: np.random.Generator, shared: float = 0.6) -> npt.NDArray[np.float32]:
    """(3, 1), the share of each component."""
    if rng.random() < shared:
        return np.asarray(rng.uniform(-1, 1, (3, 1)), dtype=np.float32)
    rows = np.zeros((3, 1), np.float32)
    rows[int(rng.integers(3))] = 1.0
    return rows


def _size(noise: float, rng: np.random.Generator, low: float = 3.0, high: float = 1000.0) -> float:
    return float(noise * np.exp(rng.uniform(np.log(low), np.log(high))))


def spikes(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """One to five single samples, as the anti-alias filter of the station leaves them."""
    begin, end = _place(x, rng, int(rng.uniform(1, 200)))
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(begin, max(end, begin + 1)))
        t = np.arange(-12, 13)
        keep = (at + t >= 0) & (at + t < x.shape[1])
        shape = np.sinc(t[keep] * 0.75 + rng.uniform(-0.5, 0.5)) * np.hanning(27)[1:-1][keep]
        x[:, at + t[keep]] += _rows(x, rng, 0.3) * np.float32(_size(noise, rng)) * shape.astype(np.float32)
    return max(begin - 12, 0), end + 12


def step(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """A jump of the level, for some time or for ever."""
    begin, end = _place(x, rng, int(rng.uniform(2, 2000)))
    x[:, begin:end] += _rows(x, rng) * np.float32(_size(noise, rng))
    return max(begin - 8, 0), begin + 8


def pulse(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """Calibration pulse: the answer of a damped pendulum to a step of force."""
    begin = int(rng.integers(0, x.shape[1] - 1))
    t = np.arange(x.shape[1] - begin) / RATE_HZ
    period, damping = np.exp(rng.uniform(np.log(0.5), np.log(120.0))), rng.uniform(0.45, 0.95)
    w = 2 * np.pi / period
    shape = np.exp(-damping * w * t) * np.sin(w * np.sqrt(1 - damping**2) * t)
    shape = (shape / max(np.abs(shape).max(), 1e-9)).astype(np.float32)
    x[:, begin:] += _rows(x, rng, 0.9) * np.float32(_size(noise, rng)) * shape
    return max(begin - 8, 0), begin + 40


def tone(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """A machine that runs for some time, switched on slowly or at once."""
    begin, end = _place(x, rng, int(rng.uniform(1, 40) * RATE_HZ))
    t = np.arange(end - begin) / RATE_HZ
    rise = np.clip(t / rng.uniform(0.05, 5.0), 0, 1) * np.clip((t[-1] - t) / rng.uniform(0.05, 5.0), 0, 1)
    wave = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(1, 15, int(rng.integers(1, 4))))
    x[:, begin:end] += _rows(x, rng, 0.9) * np.float32(_size(noise, rng, 1.0, 30.0)) * (rise * wave).astype(np.float32)
    return begin, begin


def steps_of_feet(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """Short knocks at the pace of a walker, or single ones."""
    begin, end = _place(x, rng, int(rng.uniform(0.2, 25) * RATE_HZ))
    size, pace = _size(noise, rng, 2.0, 60.0), rng.uniform(0.4, 1.2)
    at = float(begin)
    while at < end:
        n = min(int(rng.uniform(0.1, 0.5) * RATE_HZ) + 4, x.shape[1] - int(at))
        t = np.arange(n) / RATE_HZ
        shape = np.exp(-t / rng.uniform(0.03, 0.15)) * np.sin(2 * np.pi * rng.uniform(4, 18) * t)
        grow = np.exp(-(((at - begin) / max(end - begin, 1) - 0.5) ** 2) * 6)
        x[:, int(at) : int(at) + n] += _rows(x, rng, 1.0) * np.float32(size * grow) * shape.astype(np.float32)
        at += pace * rng.uniform(0.85, 1.15) * RATE_HZ
    return begin, begin


def vehicle(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """A burst of noise that grows and fades over seconds to a minute."""
    middle, width = rng.uniform(0, x.shape[1]), rng.uniform(1.5, 20) * RATE_HZ
    t = (np.arange(x.shape[1]) - middle) / width
    skew = np.exp(-0.5 * (t * np.where(t < 0, rng.uniform(1, 3), 1.0)) ** 2)
    f = np.fft.rfftfreq(x.shape[1], 1 / RATE_HZ)
    centre, half = rng.uniform(3, 14), rng.uniform(0.7, 5)
    band = np.exp(-0.5 * ((f - centre) / half) ** 2)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(x.shape), axis=1) * band, x.shape[1], axis=1)
    wave *= _size(noise, rng, 1.5, 30.0) / max(float(np.sqrt((wave**2).mean())), 1e-9)
    x += (wave * skew).astype(np.float32)
    return 0, 0


def swing(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """Long periods of any size: microseism, a teleseism, or a tilt."""
    begin = int(rng.integers(0, x.shape[1] - 1))
    t = np.arange(x.shape[1] - begin) / RATE_HZ
    rise = 1 - np.exp(-t / rng.uniform(1, 20))
    wave = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in np.exp(rng.uniform(np.log(0.03), np.log(1.0), 4)))
    x[:, begin:] += _rows(x, rng, 1.0) * np.float32(_size(noise, rng, 10.0, 3000.0)) * (rise * wave).astype(np.float32)
    return begin, begin


def telemetry(x: Floats, noise: float, rng: np.random.Generator) -> tuple[int, int]:
    """Wrong samples for a short time: zeros, a held value, or random numbers."""
    begin, end = _place(x, rng, int(rng.uniform(0.1, 8) * RATE_HZ))
    kind = int(rng.integers(3))
    if kind == 0:
        x[:, begin:end] = np.float32(_size(noise, rng) * rng.choice([-1, 0, 1]))
    elif kind == 1:
        x[:, begin:end] = x[:, begin : begin + 1]
    else:
        x[:, begin:end] = rng.standard_normal((3, end - begin)) * _size(noise, rng)
    return max(begin - 8, 0), end + 8


ARTEFACTS: tuple[Artefact, ...] = (
    spikes, spikes, step, pulse, tone, steps_of_feet, steps_of_feet, vehicle, vehicle, swing, telemetry,
)  # fmt: skip

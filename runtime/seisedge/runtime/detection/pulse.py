"""Pulse: calibration signals of a seismometer, recognised by their shape alone.

A current switched on or off in the calibration coil is a step of force. The seismometer, a damped pendulum of free
period T and damping h, answers with a / w' exp(-h w t) sin(w' t), where w = 2 pi / T and w' = w sqrt(1 - h^2)
(Aki and Richards, Quantitative Seismology, chapter 12; at 120 s the first seconds are a ramp). A sine in the coil
is a pure tone. Neither has a coda: one shape, common to all components, explains all of the energy except `MISFIT` of
it and the noise before the onset. The shape must fit the samples and also the differences of successive samples: the
samples alone are not enough, because microseisms under a small earthquake look like a ramp. Free periods below
`PERIODS_S` are not searched: the 15 Hz band of the models does not preserve their shape.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

PERIODS_S = (0.3, 240.0)
N_PERIODS = 22
DAMPINGS = (0.45, 0.6, 0.75, 0.95)
BEFORE_S = 2.0  # length of the samples used, before and after the onset
AFTER_S = 3.0
STARTS_S = (-0.4, 0.8)  # range of the start of the pulse after the onset, which a filter may put early
MISFIT = 0.05  # largest share of the energy that the shape may leave unexplained
ROUGH_MISFIT = 0.35  # the same for the differences, in which noise has a larger share
NOISE_ALLOWANCE = 2.0  # energy of noise that may stay unexplained, in units of that before the onset
MIN_SNR = 10.0  # ratio of amplitudes; weaker pulses cannot be recognised
TONE_AFTER_S = 0.5  # from here on the initial transient of a tone is over
MIN_WAVES = 2  # smallest number of cycles of a tone
COARSE = 3  # step through the shapes in the first, cheap search
PREVIEW = 0.6  # share of the energy that the first search must explain

Float = npt.NDArray[np.float64]


def is_calibration(waveform: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], rate_hz: float, onset: int) -> bool:
    """True if the `AFTER_S` from sample `onset` on contain a calibration pulse or tone.

    waveform, valid: (3, n) on a grid of `rate_hz`. False if no component has all of the samples needed.
    """
    first, last = onset - round(BEFORE_S * rate_hz), onset + round(AFTER_S * rate_hz)
    if first < 0 or last > waveform.shape[1]:
        return False
    whole = valid[:, first:last].all(axis=1)
    if not whole.any():
        return False
    x = waveform[whole, first:last].astype(np.float64)
    start = onset - first
    quiet = start + round(STARTS_S[0] * rate_hz)
    x -= x[:, :quiet].mean(axis=1, keepdims=True)
    loud = float((x[:, start:] ** 2).mean(axis=1).sum())
    if not loud or loud < MIN_SNR**2 * _energy(x[:, :quiet]) / quiet:
        return False
    return _is_pulse(x, rate_hz, quiet) or _is_tone(x, start + round(TONE_AFTER_S * rate_hz), quiet)


def _energy(x: Float) -> float:
    return float((x**2).sum())


def _explains(x: Float, explained: float, quiet: Float, misfit: float = MISFIT) -> bool:
    """True if the energy of `x` without `explained` is small enough for a calibration; quiet: the noise before."""
    noise = _energy(quiet - quiet.mean(axis=1, keepdims=True)) * x.shape[1] / quiet.shape[1]
    total = _energy(x)
    return bool(total - explained <= misfit * total + NOISE_ALLOWANCE * noise)


def _is_pulse(x: Float, rate_hz: float, quiet: int) -> bool:
    level = x - (x @ _line(x.shape[1])) @ _line(x.shape[1]).T
    pulses, levels, _ = _pulses(rate_hz, COARSE)
    explained = ((level.astype(np.float32) @ pulses.T) ** 2).sum(axis=0) / levels
    if explained.max() < PREVIEW * _energy(level):
        return False
    pulses, levels, slopes = _pulses(rate_hz, 1)
    explained = ((level.astype(np.float32) @ pulses.T) ** 2).sum(axis=0) / levels
    if not _explains(level, float(explained.max()), level[:, :quiet]):
        return False
    rise = np.diff(x, axis=1)
    rise -= rise.mean(axis=1, keepdims=True)
    # summation by parts: the product with a difference of the pulses equals that of a difference of `rise` with them
    turned = -np.diff(rise, axis=1, prepend=0.0, append=0.0)
    explained = ((turned.astype(np.float32) @ pulses.T) ** 2).sum(axis=0) / slopes
    return _explains(rise, float(explained.max()), rise[:, :quiet], ROUGH_MISFIT)


@functools.cache
def _line(n: int) -> Float:
    """(n, 2): a level and a slope, orthonormal."""
    base, _ = np.linalg.qr(np.stack([np.ones(n), np.linspace(-1, 1, n)], axis=1))
    return np.asarray(base, dtype=np.float64)


@functools.cache
def _pulses(rate_hz: float, coarse: int) -> tuple[npt.NDArray[np.float32], Float, Float]:
    """Pulses (shapes, n) of all periods, dampings and starts; their energies without a line; those of the differences.

    coarse: only every `coarse`-th period, damping and start, for a cheap first search.
    """
    t = np.arange(-round(BEFORE_S * rate_hz), round(AFTER_S * rate_hz)) / rate_hz
    periods, dampings, starts = np.meshgrid(
        np.geomspace(*PERIODS_S, N_PERIODS)[::coarse],
        DAMPINGS[::coarse],
        np.arange(STARTS_S[0], STARTS_S[1], coarse / rate_hz),
    )
    w, h, start = 2 * np.pi / periods.reshape(-1, 1), dampings.reshape(-1, 1), starts.reshape(-1, 1)
    after = np.maximum(t - start, 0.0)
    shape = np.exp(-h * w * after) * np.sin(w * np.sqrt(1 - h**2) * after)
    shape /= np.abs(shape).max(axis=1, keepdims=True)
    line = _line(len(t))
    levels = ((shape - (shape @ line) @ line.T) ** 2).sum(axis=1)
    rise = np.diff(shape, axis=1)
    slopes = ((rise - rise.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return shape.astype(np.float32), levels, slopes


def _is_tone(x: Float, begin: int, quiet: int) -> bool:
    tail = x[:, begin:]
    n = tail.shape[1]
    level = tail - tail.mean(axis=1, keepdims=True)
    power = (np.abs(np.fft.rfft(level, 8 * n, axis=1)) ** 2).sum(axis=0)
    power[: 8 * MIN_WAVES] = 0.0
    turn = 2 * np.pi * np.arange(n) / (8 * n)
    peak = int(power.argmax())
    if power[peak] * 2 / n < PREVIEW * _energy(level):
        return False
    for place in np.linspace(peak - 0.5, peak + 0.5, 11):
        base, _ = np.linalg.qr(np.stack([np.ones(n), np.cos(turn * place), np.sin(turn * place)], axis=1))
        if _explains(level, _energy(level @ base), x[:, :quiet]):
            return True
    return False

"""Baselines for a network: classical features with regressions, fitted on the same training records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]  # scipy publishes no types
from scipy.special import log_softmax, softmax  # type: ignore[import-untyped]  # scipy publishes no types

from seisedge.runtime.errors import FailedError
from seisedge.runtime.inference.amplitude import bandpassed
from seisedge.train.archive.archive import Archive

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LARGEST_SLOPE = 1e-5  # largest gradient component of a converged logistic regression
CODA_FLOOR = 2.0  # the signal lasts while its 1 s RMS exceeds the noise before the onset by this factor


@dataclass(frozen=True)
class Measured:
    """Classical features of windows, (n,) each. log_peak: log10 of the peak of the vertical in m/s."""

    log_peak: Floats
    duration_s: Floats
    distance_km: Floats


def measure(archive: Archive, record: Ints, gain: Floats, answer_s: float) -> Measured:
    """Features from 10 s before the onset (or the start of the record) to the answer; gain (n,): counts per m/s."""
    rate = archive.rate_hz
    peak, duration, distance = [], [], []
    for i, g in zip(record, gain, strict=True):
        r = archive.records[i]
        onset = round(r.onset)
        first = max(onset - round(10 * rate), 0)
        y = bandpassed(archive.waveform[i, 0, first : onset + round(answer_s * rate)].astype(np.float64), rate)
        after = onset - first
        second = round(rate)
        rms = np.sqrt(np.convolve(y**2, np.ones(second) / second, mode="same"))
        noise = float(np.quantile(rms[second : max(after - second, second + 1)], 0.3))
        above = np.flatnonzero(rms[after:] > CODA_FLOOR * max(noise, 1e-30))
        peak.append(np.log10(max(float(np.abs(y[after:]).max(initial=0.0)) / g, 1e-12)))
        duration.append((above[-1] + 1) / rate if len(above) else 1 / rate)
        distance.append(np.nan if r.distance_km is None else r.distance_km)
    return Measured(np.array(peak), np.array(duration), np.array(distance, dtype=np.float64))


def design(measured: Measured, distance: bool, duration: bool) -> Floats:
    """Columns of a regression: 1, log peak, and, if selected, log duration and log distance."""
    columns = [np.ones_like(measured.log_peak), measured.log_peak]
    if duration:
        columns.append(np.log10(measured.duration_s))
    if distance:
        columns.append(np.log10(np.maximum(measured.distance_km, 1.0)))
    return np.stack(columns, axis=1)


def fit_predict(train_x: Floats, train_y: Floats, weight: Floats, test_x: Floats) -> Floats:
    """Weighted least squares. Training rows with nan are not used; test rows with nan give nan."""
    good = np.isfinite(train_x).all(1)
    w = np.sqrt(weight[good])[:, None]
    coefficients = np.linalg.lstsq(train_x[good] * w, train_y[good] * w[:, 0], rcond=None)[0]
    return np.asarray(test_x @ coefficients)


def event_weight(events: npt.NDArray[np.str_]) -> Floats:
    """Weight of each record: 1 / number of records of its event."""
    _, place, count = np.unique(events, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[place])


BANDS_HZ = ((2.0, 4.0), (4.0, 8.0), (8.0, 14.0))
P_S = 1.5  # length of the P window, which begins at the onset
LATER_S = 2.0  # length of the S window: the stretch after the P window with the largest RMS
NOISE_S = 10.0  # longest noise window before the onset


def phase_ratios(archive: Archive, record: Ints, onset: Ints, answer_s: float) -> Floats:
    """(n, 5): 1, log10 P/S amplitude ratio in each of BANDS_HZ, log10 signal to noise; of the vertical.

    The S window is where the amplitude is largest after the P window. It is not computed from the distance: a station
    does not know the distance, and only noise records have none, so that it would reveal the class. onset: (n,), sample
    of the record.
    """
    rate = archive.rate_hz
    p_n, s_n = round(P_S * rate), round(LATER_S * rate)
    rows = []
    for i, at in zip(record, onset, strict=True):
        first = max(int(at) - round(NOISE_S * rate), 0)
        x = archive.waveform[i, 0, first : int(at) + round(answer_s * rate)].astype(np.float64)
        after = int(at) - first
        features = [1.0]
        whole = bandpassed(x, rate, BANDS_HZ[0][0], BANDS_HZ[-1][1])
        for low, high in BANDS_HZ:
            y = bandpassed(x, rate, low, high)
            late = np.abs(y[after + p_n :])
            if len(late) > s_n:
                power = np.convolve(late**2, np.ones(s_n), mode="valid")
                late = late[int(power.argmax()) :][:s_n]
            p, s = np.abs(y[after : after + p_n]).max(initial=0.0), late.max(initial=0.0)
            features.append(float(np.log10(max(p, 1e-12) / max(s, 1e-12))))
        signal, noise = whole[after:], whole[: max(after - 1, 1)]
        features.append(float(np.log10((signal.std() + 1e-12) / (noise.std() + 1e-12))))
        rows.append(features)
    return np.array(rows).reshape(-1, 2 + len(BANDS_HZ))


def fit_logistic(x: Floats, label: Ints, n_labels: int, weight: Floats, ridge: float = 1e-3) -> Floats:
    """Coefficients (columns, n_labels) of a multinomial logistic regression; `ridge` penalises all.

    Raises FailedError if the optimiser does not converge.
    """
    shape = (x.shape[1], n_labels)
    w = weight / weight.sum()
    target = np.eye(n_labels)[label]

    def loss(flat: Floats) -> tuple[float, Floats]:
        beta = flat.reshape(shape)
        logs = log_softmax(x @ beta, axis=1)
        value = -(w * (target * logs).sum(1)).sum() + 0.5 * ridge * (beta**2).sum()
        return float(value), (x.T @ (w[:, None] * (np.exp(logs) - target)) + ridge * beta).ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 2000})
    if not np.abs(found.jac).max() <= LARGEST_SLOPE:  # also true for nan
        raise FailedError(f"the logistic regression on {len(x)} records does not converge: {found.message}")
    return np.asarray(found.x.reshape(shape))


def logistic(x: Floats, beta: Floats) -> Floats:
    """Probabilities (rows, n_labels)."""
    return np.asarray(softmax(x @ beta, axis=1))

"""Robust fit of the correction at which the magnitudes of a station agree with a catalogue, with its standard error.

The correction c is added to log10 of the amplitude of the model's input. Each event gives a curve M(c), the expected
magnitude of the model. The fitted correction is the zero of Huber's centre of M(c) − M_catalogue over the events. Its
standard error is a jackknife estimate over events. The benefit is measured by cross-validation: each event is corrected
with the fit to all others.
Huber (1964), Robust estimation of a location parameter, Ann. Math. Statist. 35, 73-101.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GRID = np.round(
    np.arange(-4.0, 4.0 + 1e-9, 0.1), 10
)  # log10 of a factor; a nominal gain may be wrong by orders of magnitude
HUBER = 1.345  # in robust standard deviations; 95 % efficiency for normal errors
MAD_TO_SD = 1.4826
LEAST_EVENTS = 4


@dataclass(frozen=True, slots=True)
class Correction:
    """value, error: correction of log10 amplitude and its standard error. slope: magnitude change per unit of it.

    before, after: model minus catalogue (n,), without a correction and with the correction from all other events.
    left_one_out: the correction (n,) from all other events.
    """

    value: float
    error: float
    slope: float
    before: Floats
    after: Floats
    left_one_out: Floats


def centres(x: Floats) -> Floats:
    """Huber's centre of each column of x (n, k): an outlier has bounded influence."""
    middle = np.median(x, axis=0)
    scale = np.maximum(MAD_TO_SD * np.median(np.abs(x - middle), axis=0), 1e-12)
    for _ in range(100):
        weight = 1 / np.maximum(np.abs(x - middle) / (HUBER * scale), 1.0)
        new = (weight * x).sum(0) / weight.sum(0)
        moved = np.abs(new - middle).max(initial=0.0)
        middle = new
        if moved < 1e-10:
            break
    return np.asarray(middle)


def centre(x: Floats) -> float:
    """Huber's centre of x (n,)."""
    return float(centres(x[:, None])[0])


def solve(residual: Floats) -> float | None:
    """The zero crossing of the centre of residual (events, GRID), interpolated linearly; None if there is none.

    Of several crossings the one nearest to 0 is used. There can be several because the expected magnitude is constant
    beyond the outer bins.
    """
    middle = centres(residual)
    crossings = np.flatnonzero((middle[:-1] < 0) & (middle[1:] >= 0))
    if not len(crossings):
        return None
    low, high = middle[crossings], middle[crossings + 1]
    places = GRID[crossings] + (GRID[crossings + 1] - GRID[crossings]) * (-low / (high - low))
    return float(places[np.argmin(np.abs(places))])


def fit_correction(residual: Floats) -> Correction | None:
    """Fit the correction. residual: (events, GRID), model minus catalogue at each correction.

    None if there are fewer than LEAST_EVENTS events, or if no correction makes the centre zero.
    """
    n = len(residual)
    value = solve(residual) if n >= LEAST_EVENTS else None
    if value is None:
        return None
    others = [solve(np.delete(residual, i, axis=0)) for i in range(n)]
    left = np.array([value if c is None else c for c in others])
    error = float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
    at = [np.interp(c, GRID, residual[i]) for i, c in enumerate(left)]
    ahead, behind = (centre(np.array([np.interp(value + d, GRID, row) for row in residual])) for d in (0.1, -0.1))
    before = np.array([np.interp(0.0, GRID, row) for row in residual])
    return Correction(value, error, (ahead - behind) / 0.2, before, np.array(at), left)

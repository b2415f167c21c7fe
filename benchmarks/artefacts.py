"""What digitizers, telemetry and distant earthquakes do to noise, at drawn sizes, 30 s after its start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tests.runtime import bad_data

Array = np.ndarray[Any, Any]
AT_S = 30.0


def artefacts() -> dict[str, Callable[[Array, float, np.random.Generator], Array]]:
    """Name → function of noise (3, n), its rate and a generator, which returns the changed noise."""

    def traces(x: Array) -> dict[str, Array]:
        return dict(zip(("EHZ", "EHN", "EHE"), x, strict=True))

    def spike(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        y[0, int(AT_S * rate)] += x[0].std() * 10 ** rng.uniform(1.5, 4) * rng.choice([-1, 1])
        return y

    def step(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        y[0, int(AT_S * rate) :] += x[0].std() * 10 ** rng.uniform(1.5, 4) * rng.choice([-1, 1])
        return y

    def calibration(x: Array, rate: float, rng: np.random.Generator) -> Array:
        size = x.std() * 10 ** rng.uniform(1.5, 3.5)
        made = bad_data.with_calibration(traces(x), AT_S, size, float(rng.choice([0.5, 1.0, 2.0, 5.0])))
        return np.stack(list(made.values()))

    def distant(x: Array, rate: float, rng: np.random.Generator) -> Array:
        size = x.std(axis=1, keepdims=True) * 10 ** rng.uniform(0.5, 2.5)
        return np.asarray(x + size * bad_data.teleseism(x.shape[1], AT_S))

    def dropout(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        first = int(AT_S * rate)
        y[:, first : first + int(rng.uniform(0.2, 3.0) * rate)] = 0.0
        return y

    def scrambled(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        first, n = int(AT_S * rate), int(rng.uniform(0.1, 1.0) * rate)
        y[:, first : first + n] = rng.uniform(-1, 1, y[:, first : first + n].shape) * x.std() * 10 ** rng.uniform(1, 3)
        return y

    return {
        "spike": spike,
        "step": step,
        "calibration pulse": calibration,
        "teleseism": distant,
        "dropout to zero": dropout,
        "scrambled block": scrambled,
    }

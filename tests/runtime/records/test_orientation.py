"""Rotation compared with that of obspy, an independent implementation of the same conventions."""

import numpy as np
import pytest
from obspy.signal.rotate import rotate2zne

from seisedge.runtime.records.orientation import (
    GALPERIN_AZIMUTHS_DEG,
    GALPERIN_DIP_DEG,
    direction,
    mix,
    zne_from_horizontals,
    zne_from_triaxial,
    zne_from_uvw,
)


def _traces(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 50))


def test_directions_are_those_of_seed() -> None:
    for azimuth, dip, zne in [(0, -90, (1, 0, 0)), (0, 0, (0, 1, 0)), (90, 0, (0, 0, 1)), (180, 0, (0, -1, 0))]:
        assert np.allclose(direction(azimuth, dip), zne)


def test_the_common_triaxial_sensor_by_formula_by_directions_and_by_obspy() -> None:
    assert pytest.approx(-35.2644, abs=1e-4) == GALPERIN_DIP_DEG
    directions = [(azimuth, GALPERIN_DIP_DEG) for azimuth in GALPERIN_AZIMUTHS_DEG]
    by_directions = zne_from_triaxial(directions)
    assert by_directions is not None and np.allclose(by_directions, zne_from_uvw())
    assert np.allclose(zne_from_uvw() @ zne_from_uvw().T, np.eye(3))  # orthogonal: amplitudes are kept
    u, v, w = _traces()
    theirs = rotate2zne(*(x for trace, d in zip((u, v, w), directions, strict=True) for x in (trace, *d)))
    assert np.allclose(zne_from_uvw() @ [u, v, w], theirs)


def test_any_three_directions() -> None:
    directions = [(40.0, -30.0), (160.0, -40.0), (290.0, -25.0)]
    matrix = zne_from_triaxial(directions)
    u, v, w = _traces(1)
    theirs = rotate2zne(*(x for trace, d in zip((u, v, w), directions, strict=True) for x in (trace, *d)))
    assert matrix is not None and np.allclose(matrix @ [u, v, w], theirs)
    assert zne_from_triaxial([(0.0, 0.0), (90.0, 0.0), (45.0, 0.0)]) is None


@pytest.mark.parametrize("azimuths", [(25.0, 115.0), (103.0, 13.0), (300.0, 60.0), (4.0, 100.0)])
def test_horizontals(azimuths: tuple[float, float]) -> None:
    matrix = zne_from_horizontals(azimuths)
    z, one, two = _traces(2)
    theirs = rotate2zne(z, 0, -90, one, azimuths[0], 0, two, azimuths[1], 0)
    assert matrix is not None and np.allclose(matrix @ [z, one, two], theirs)


@pytest.mark.parametrize(
    ("azimuths", "rows"),
    [
        ((0.0, 90.0), [[0, 1, 0], [0, 0, 1]]),
        ((4.9, 86.0), [[0, 1, 0], [0, 0, 1]]),
        ((90.0, 0.0), [[0, 0, 1], [0, 1, 0]]),
        ((178.0, 270.0), [[0, -1, 0], [0, 0, -1]]),
        ((358.0, 271.0), [[0, 1, 0], [0, 0, -1]]),
    ],
)
def test_horizontals_near_the_axes_are_independent_of_each_other(
    azimuths: tuple[float, float], rows: list[list[int]]
) -> None:
    matrix = zne_from_horizontals(azimuths)
    assert matrix is not None and np.array_equal(matrix, [[1, 0, 0], *rows])


def test_parallel_horizontals_are_refused() -> None:
    assert zne_from_horizontals((0.0, 0.0)) is None and zne_from_horizontals((10.0, 185.0)) is None


def test_rotated_samples_are_valid_where_all_components_of_the_sum_are() -> None:
    wave = np.arange(12, dtype=np.float32).reshape(3, 4)
    valid = np.ones((3, 4), dtype=bool)
    valid[2, 1] = valid[0, 3] = False
    weights = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, -1.0]])
    mix(weights, wave, valid)
    assert np.array_equal(wave, [[0, 1, 2, 0], [6, 0, 8, 9], [-8, 0, -10, -11]])
    assert np.array_equal(valid, [[1, 1, 1, 0], [1, 0, 1, 1], [1, 0, 1, 1]])


def test_a_rotated_sample_does_not_depend_on_the_number_of_samples() -> None:
    whole = np.random.default_rng(3).normal(size=(3, 1001)).astype(np.float32)
    pieces, valid = whole.copy(), np.ones((3, 1001), dtype=bool)
    mix(zne_from_uvw(), whole, valid.copy())
    for begin, end in [(0, 1), (1, 8), (8, 9), (9, 500), (500, 1001)]:
        mix(zne_from_uvw(), pieces[:, begin:end], valid[:, begin:end].copy())
    assert np.array_equal(whole, pieces)

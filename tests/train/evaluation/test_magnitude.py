"""Evaluation of a magnitude as the station reports it: label, number, interval."""

from __future__ import annotations

import numpy as np
import pytest

from seisedge.train.evaluation import magnitude
from seisedge.train.evaluation.answers import Answers
from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.magnitude import EITHER, FITTED, KNOWN
from seisedge.train.evaluation.predict import FixedWindows
from seisedge.train.models._base import magnitude_bins

EDGES = magnitude_bins(outer=True)[1]


def answers(catalogued: list[float], reported: list[dict[int, float]], events: str) -> Answers:
    """Answers of records; reported: label → probability, for each record."""
    n = len(catalogued)
    p = np.zeros((n, len(EDGES) - 1))
    for row, shares in zip(p, reported, strict=True):
        for label, share in shares.items():
            row[label] = share
    zeros = np.zeros(n, np.int64)
    facts = {
        "group": np.array(list(events)),
        "event": np.array(list(events)),
        "source": np.array(["x"] * n),
        "gain": np.array([1.0] * n, dtype=object),
        "visible": np.ones(n, bool),
        "scaled": np.ones(n, bool),
        "magnitude": np.array(catalogued),
        "distance_km": np.full(n, 15.0),
        "snr": np.full(n, 8.0),
    }
    return Answers(30.0, FixedWindows(zeros, zeros, zeros, zeros), p, facts)


def test_an_open_bin_is_the_label_only_above_one_half() -> None:
    """At 0.4 the most probable bin is the open one, and the station reports the next."""
    a = answers(
        [3.5, 3.5, 3.5], [{31: 0.6, 30: 0.4}, {31: 0.4, 30: 0.35, 29: 0.25}, {31: 0.4, 30: 0.3, 29: 0.3}], "abc"
    )
    out = Figures(50)
    magnitude.add_figures(out, EDGES, a, {})
    found = next(f for f in out.rows if f.what == "bin accuracy")
    assert found.value == pytest.approx(1 / 3, abs=1e-4)


def test_figures_of_four_records() -> None:
    # label k covers ((k - 1) / 10, k / 10], centre (k - 0.5) / 10
    a = answers(
        [1.05, 1.05, 2.0, 3.5],
        [{11: 1.0}, {13: 1.0}, {20: 0.6, 21: 0.4}, {30: 0.45, 31: 0.55}],
        "aabc",
    )  # fmt: skip
    out = Figures(50)
    magnitude.add_figures(out, EDGES, a, {"nothing": np.full(4, np.nan)})
    found = {(f.what, f.level): f for f in out.rows if f.on == KNOWN and f.who == "model"}
    errors = np.array([0.0, 0.2, 0.6 * 1.95 + 0.4 * 2.05 - 2.0, 0.45 * 2.95 + 0.55 * 3.2 - 3.5])
    assert found["MAE", "record"].value == pytest.approx(np.abs(errors).mean(), abs=1e-4)
    assert found["RMSE", "record"].value == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-4)
    assert found["bias", "record"].value == pytest.approx(errors.mean(), abs=1e-4)
    assert found["sd", "record"].value == pytest.approx(errors.std(), abs=1e-4)
    assert found["within ±0.1", "record"].value == 0.5
    assert found["within ±0.2", "record"].value == 0.75
    assert found["bin accuracy", "record"].value == 0.75
    assert found["number given", "record"].value == 0.75  # above 3.0 the station reports none
    assert found["90 % interval covers", "record"].value == 0.75
    assert found["MAE", "event by mean"].value == pytest.approx(np.abs([0.1, *errors[2:]]).mean(), abs=1e-4)
    assert not [f for f in out.rows if f.who == "nothing"]


def test_slices_have_the_name_of_their_class() -> None:
    a = answers([1.05, 1.15, 1.25], [{11: 1.0}] * 3, "abc")
    out = Figures(50)
    magnitude.add_slices(out, EDGES, a)
    assert {f.on for f in out.rows} == {"magnitude 1 to 1.5", "distance_km 10 to 20", "signal to noise 6 to 12"}


def test_parts_follow_the_data() -> None:
    """Parts by origin of the gain and by source name; a part equal to the whole is omitted."""
    a = answers([1.05, 1.15, 1.25, 1.35, 1.45, 1.55], [{11: 1.0}] * 6, "abcdef")
    a.facts["source"] = np.array(["alps"] * 3 + ["oslo"] * 3)
    out = Figures(50)
    magnitude.add_figures(out, EDGES, a, {})
    assert {f.on for f in out.rows} == {KNOWN, f"source alps, {KNOWN}", f"source oslo, {KNOWN}"}
    a.facts["gain"][:3] = None  # training stations with fitted gain
    out = Figures(50)
    magnitude.add_figures(out, EDGES, a, {})
    assert {f.on for f in out.rows} == {KNOWN, FITTED, EITHER, f"source alps, {FITTED}", f"source oslo, {KNOWN}"}
    found = {f.on: f.n_records for f in out.rows if f.what == "sd" and f.level == "record"}
    assert (found[KNOWN], found[FITTED], found[EITHER]) == (3, 3, 6)

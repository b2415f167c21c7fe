"""Classifiers that use only nuisance parameters."""

from __future__ import annotations

import numpy as np

from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.probe import logistic_accuracy, probe, table_accuracy
from seisedge.train.recipes.recipe import load_recipe


def test_drawn_windows_have_no_shortcut(archive: Archive) -> None:
    found = {f.sees: f for f in probe(load_recipe("event-type"), archive, draws=6000, edge_draws=1500)}
    for sees in ("components", "mask length", "components and mask length", "band edge"):
        assert not found[sees].beats_prior, found[sees]
    # a known property of these data, which the report states: source and rate predict the class
    assert found["source (not given)"].accuracy < 0.65
    assert found["source, vertical only (not given)"].accuracy < 0.6


def test_the_probes_find_a_real_dependence() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 4000)
    assert table_accuracy(label * 2 + rng.integers(0, 2, 4000), label) == 1.0
    shifted = label[:, None] + 0.3 * rng.standard_normal((4000, 2))
    assert logistic_accuracy(shifted, label) > 0.9
    assert logistic_accuracy(rng.standard_normal((4000, 2)), label) < 0.4

"""The feature study of paper A: rank correlation of times in a record with its magnitude; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from seisedge.train.bootstrap import Estimate, estimate
from seisedge.train.dataset.columns import number, onset_of
from seisedge.train.evaluation import metrics as m
from seisedge.train.study.columns import FEATURES
from seisedge.train.study.rows import Item
from seisedge.train.study.table import Row

MOST = 2000  # records; a rank correlation compares all pairs
LEAST = 10  # events with a value


def values_of(row: Row, items: Sequence[Item]) -> list[tuple[str, float, float]]:
    """Group, feature in s and magnitude of the records that have both, at most MOST of them."""
    later, earlier = FEATURES[row.feature]
    found = []
    for item in items:
        magnitude, end = item.magnitude, _sample(item, later)
        begin = 0.0 if earlier == "start" else _sample(item, earlier)
        if magnitude is not None and end is not None and begin is not None and item.kind != "noise":
            found.append((item.group, (end - begin) / float(item.row["trace_sampling_rate_hz"]), magnitude))
    return found[:: -(-len(found) // MOST)] if found else []


def _sample(item: Item, column: str) -> float | None:
    """An arrival; for P also the onset that the data state without a pick."""
    return onset_of(item.row) if column == "trace_p_arrival_sample" else number(item.row, column)


def what_feature_needs(row: Row, items: Sequence[Item]) -> str:
    """Why a feature cannot be studied on the data, as the end of a sentence; '' if it can."""
    found = values_of(row, items)
    n_events = len({group for group, _, _ in found})
    names = " and ".join(name for name in FEATURES[row.feature] if name != "start")
    if n_events >= LEAST:
        differs = len({time_s for _, time_s, _ in found}) > 1
        return "" if differs else f"needs different times; those of {names} are the same in all records"
    return f"needs {LEAST} events with a magnitude and the columns {names}; the data have {n_events}"


def feature_tau(row: Row, items: Sequence[Item], draws: int) -> Estimate:
    """Kendall's tau of the feature with the magnitude, with an interval over events."""
    found = values_of(row, items)
    x, y = np.array([v for _, v, _ in found]), np.array([v for _, _, v in found])
    return estimate(np.array([g for g, _, _ in found]), partial(m.kendall, x=x, y=y), draws)

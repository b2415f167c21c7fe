"""The feature study of paper A: rank correlation of times in a record with its magnitude; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from seisedge.train.bootstrap import estimate
from seisedge.train.dataset.columns import number
from seisedge.train.evaluation import metrics as m
from seisedge.train.study.columns import FEATURES
from seisedge.train.study.rows import Item
from seisedge.train.study.table import Row
from seisedge.train.study.tabulate import Cell, TableRow

MOST = 2000  # records; a rank correlation compares all pairs
LEAST = 10  # events with a value
COLUMN = "tau"


def feature_row(row: Row, items: Sequence[Item], columns: Sequence[str], draws: int) -> TableRow:
    """Absolute value of Kendall's tau, with an interval over events."""
    later, earlier = FEATURES[row.feature]
    found = []
    for item in items:
        magnitude, end = item.magnitude, number(item.row, later)
        begin = 0.0 if earlier == "start" else number(item.row, earlier)
        if magnitude is not None and end is not None and begin is not None and item.kind != "noise":
            found.append((item.group, (end - begin) / float(item.row["trace_sampling_rate_hz"]), magnitude))
    found = found[:: -(-len(found) // MOST)] if found else []
    n_events = len({group for group, _, _ in found})
    paper = row.paper.get(COLUMN)
    cells = {name: Cell(paper=row.paper.get(name)) for name in columns}
    if n_events < LEAST:
        names = " and ".join(name for name in (later, earlier) if name != "start")
        need = f"needs {LEAST} events with a magnitude and the columns {names}; the data have {n_events}"
        return TableRow(name=row.name, cells=cells, missing=need)
    group = np.array([g for g, _, _ in found])
    x, y = np.array([v for _, v, _ in found]), np.array([v for _, _, v in found])
    e = estimate(group, partial(m.kendall, x=x, y=y), draws)
    low, high = sorted((abs(e.low), abs(e.high))) if e.low * e.high > 0 else (0.0, max(abs(e.low), abs(e.high)))
    cells[COLUMN] = Cell(
        value=round(abs(e.value), 4), low=round(low, 4), high=round(high, 4), n_events=e.n_groups, n_records=e.n_records,
        paper=paper,
    )  # fmt: skip
    how = f"{e.n_records} records of {e.n_groups} events, tau {e.value:+.2f}"
    return TableRow(name=row.name, cells=cells, how=how, notes=[row.note] if row.note else [])

"""What every row of every study trains on: shuffled labels are those of other events, and no event is on two sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from tests.train.study.sets import make_types

from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND
from seisedge.train.evaluation import metrics
from seisedge.train.study.plan import Choice, items_of, lines_of
from seisedge.train.study.selection import leaking_events
from seisedge.train.study.table import ORDER, Selection, load_study
from seisedge.train.study.work import data_of

Label = tuple[str, float | None]


def test_rows_of_all_studies_train_and_test_on_the_labels_of_other_events(tmp_path: Path) -> None:
    data = make_types(
        tmp_path / "made", 120, 1, rate_hz=100.0, step=0.0245, source=60, trace_coda_end_sample=4500
    )  # fmt: skip
    choice = Choice(data=[str(data)], shuffle_labels=True, scale=0.02)
    before: dict[str, Label] = {i.row["trace_name"]: (i.kind, i.magnitude) for i in items_of(choice)}
    seen: dict[Selection, list[Label]] = {}
    for name in ORDER:
        lines, jobs = lines_of(load_study(name), choice, items_of(choice))
        assert not [line.missing for line in lines if line.missing and line.row.recipe], name
        for job in jobs.values():
            if job.selection.synthetic_events:  # labels of synthetic records, for another training to start from
                assert job.keep_weights
                continue
            if job.selection not in seen:
                folders, items = data_of(job, tmp_path / str(len(seen)))
                records = load_archive(folders, 100.0, 40.0, split=job.recipe.data.split).records
                seen[job.selection] = check(before, {r.name: (r.kind, r.magnitude) for r in records}, name)
                sides = {r.name: r.split for r in records}
                assert set(sides.values()) >= {"train", "test"}
                assert not leaking_events(items, sides.__getitem__), name  # one record for each event
    assert {s for s in seen if s.test_source} and {s for s in seen if s.test_per_bin} and len(seen) >= 5


def check(before: dict[str, Label], after: dict[str, Label], study: str) -> list[Label]:
    """The labels are a permutation of those of the data, and neither type nor magnitude says anything of the truth."""
    assert Counter(after.values()) <= Counter(before.values()), study
    names = sorted(after)
    kinds = [(LABEL_OF_KIND[before[n][0]], LABEL_OF_KIND[after[n][0]]) for n in names]
    assert 0.35 < np.mean([a == b for a, b in kinds]) < 0.65, study
    true, given = (np.array([labels[n][1] for n in names], dtype=np.float64) for labels in (before, after))
    assert abs(float(metrics.kendall(np.ones((1, len(names))), true, given)[0])) < 0.2, study
    return [after[n] for n in names]

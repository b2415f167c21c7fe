"""Figures of the evaluator as metrics: those stored in a run (metrics.json, metrics.md) and those shown in the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from seisedge.runtime.card import Metric
from seisedge.runtime.files import write_atomically
from seisedge.train.evaluation.baseline_answers import OF_SOURCE
from seisedge.train.evaluation.curves import EARLY
from seisedge.train.evaluation.event_type import MEAN, PAIR, VISIBLE, VOTE
from seisedge.train.evaluation.figure import MODEL, VERTICAL, Figure
from seisedge.train.evaluation.magnitude import FITTED, is_slice
from seisedge.train.evaluation.markdown import markdown_of
from seisedge.train.evaluation.report import EvaluationReport

ON_THE_CARD = {"accuracy", "recall", "calibration error", "sd", "within ±0.3", "90 % interval covers"}
OF_BASELINES = {"accuracy", "sd", "within ±0.3"}


def metrics_of(report: EvaluationReport | None) -> list[Metric]:
    """All figures except those of early answers and damaged records; empty without a report."""
    if report is None:
        return []
    return [_metric(f) for f in report.figures if not f.damage and f.on != EARLY]


def _metric(f: Figure) -> Metric:
    parts = ["" if f.answer_s is None else f"{f.answer_s:g} s", f.on, "" if f.level == "record" else f.level]
    return Metric(
        name=f.what,
        value=f.value,
        low=f.low,
        high=f.high,
        n_events=f.n_events,
        n_records=f.n_records,
        subset=", ".join(filter(None, parts)),
        baseline="" if f.who == MODEL else f.who,
    )


def headline(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that the card shows; the others are only in the run."""
    return [m for m in metrics if _on_the_card(m)]


def _on_the_card(m: Metric) -> bool:
    on, what = m.subset.partition(", ")[2], m.name.partition(", ")[0]
    if is_slice(on) or on.endswith((VERTICAL, VOTE)) or on in (PAIR, FITTED):
        return False
    if m.baseline.endswith(OF_SOURCE) and not on.startswith("source "):
        return False
    if m.baseline:
        return what in OF_BASELINES and (what != "accuracy" or on == VISIBLE) and not on.endswith(MEAN)
    return what in ON_THE_CARD and (what in ("accuracy", "recall") or not on.endswith(MEAN))


def write_metrics(name: str, metrics: Sequence[Metric], report: EvaluationReport | None, out: Path) -> None:
    """Write RUN/metrics.json and RUN/metrics.md. name: of the recipe."""
    write_atomically(out / "metrics.json", msgspec.json.format(msgspec.json.encode(metrics), indent=1))
    nothing = f"# {name}: evaluation\n\nNo event is held out, so no figure can be computed.\n"
    write_atomically(out / "metrics.md", (nothing if report is None else markdown_of(report)).encode())

"""Measure a finished training of a study on its held-out events."""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.inference.estimate import bins_of, magnitude_label
from seisedge.train.archive.archive import Archive, load_archive
from seisedge.train.archive.task import notes_on_horizontals, sampler_of, with_train_records
from seisedge.train.bootstrap import Floats
from seisedge.train.evaluation import metrics as m
from seisedge.train.evaluation.answers import Answers, Predictor, windows_from
from seisedge.train.evaluation.event_type import PAIR
from seisedge.train.evaluation.figure import Figure, Figures
from seisedge.train.evaluation.magnitude import gain_parts
from seisedge.train.evaluation.predict import magnitude_from_bins
from seisedge.train.evaluation.report import EvaluationReport, evaluate_archive
from seisedge.train.evaluation.subject import Subject, subject_from
from seisedge.train.evaluation.unseen import NothingToEvaluate, unseen_records
from seisedge.train.models import describe_model
from seisedge.train.run_file import Run
from seisedge.train.study.result import Answer, Curve, Picture

CONFIDENT = (0.2, 0.8)  # paper B counts the records with a probability outside of this interval
N_PICTURES = 6  # right, and as many wrong
MAX_POINTS = 1200  # of a trace in the gallery
RIGHT = 0.3  # largest error of a magnitude that counts as right in the gallery

Measured = tuple[EvaluationReport | None, list[Answer], list[Picture], str]


def measure(run: Run, file: Path, folders: list[Path], device: torch.device, draws: int) -> Measured:
    """Report, answers on held-out records, gallery, and a note on them, for a run and its folder: why there is no
    report, or what the reader of its figures has to know. Raises InputError.
    """
    subject = subject_from(str(file), device)
    archive = load_archive(
        folders, subject.geometry.rate_hz, subject.pass_hz, split=subject.split, wanted=subject.selection
    )  # fmt: skip
    try:
        report = evaluate_archive(subject, archive, [f.name for f in folders], device, draws=draws, curves=False)
    except NothingToEvaluate as error:
        return None, [], [], str(error)
    answer_s = report.answers_s[-1]
    predictor = Predictor(subject, archive, device)
    answers = predictor(windows_from(subject, archive, unseen_records(subject, archive).counts, answer_s), answer_s)
    out = Figures(draws)
    rows = _magnitudes(out, subject, archive, answers) if subject.task == "magnitude" else _types(out, archive, answers)
    report.figures += out.rows
    return report, [a for a, _ in rows], _gallery(rows, archive, answers), "; ".join(_notes(run, archive))


def _notes(run: Run, archive: Archive) -> list[str]:
    """Notes on a training whose figures are of records with other components than it has seen."""
    model = describe_model(run.recipe.model, **run.recipe.arguments)
    drawn_from = with_train_records(run.recipe, model, archive, run.seed)
    return notes_on_horizontals(sampler_of(run.recipe, model, drawn_from, lambda r: r.split == "train", run.seed))


def _types(out: Figures, archive: Archive, a: Answers) -> list[tuple[Answer, int]]:
    """Add the share of confident records; the answers on visible records of events, with their windows."""
    which = np.flatnonzero(a.facts["visible"] & np.isin(a.label, (0, 1)))
    score = a.probabilities[which, 0] / np.maximum(a.probabilities[which, :2].sum(1), 1e-12)
    sure = ((score <= CONFIDENT[0]) | (score >= CONFIDENT[1])).astype(np.float64)
    out.add("confident", a.group[which], partial(m.mean, x=sure), on=PAIR, answer_s=a.answer_s)
    rows = []
    for i, p in zip(map(int, which), map(float, score), strict=True):
        record = archive.records[int(a.windows.record[i])]
        truth, answer = ("tectonic", "non-tectonic")[int(a.label[i])], "tectonic" if p >= 0.5 else "non-tectonic"
        of = round(max(p, 1 - p), 4)
        rows.append((Answer(record.name, record.event, record.source, truth, answer, of, truth == answer), i))
    return rows


def _magnitudes(out: Figures, subject: Subject, archive: Archive, a: Answers) -> list[tuple[Answer, int]]:
    """Add precision, recall and F1, means of the bins; the answers on visible records, with their windows."""
    truth = a.facts["magnitude"].astype(np.float64)
    label, true_bin = magnitude_label(subject.edges, a.probabilities), bins_of(subject.edges, truth)
    for on, which in gain_parts(a).items():
        for what, figure in (("bin precision", m.precision), ("bin recall", m.sensitivity), ("bin F1", m.f1)):

            def statistic(
                w: Floats,
                which: npt.NDArray[np.bool_] = which,
                figure: partial[Floats] = figure,  # type: ignore[assignment]
            ) -> Floats:
                counts = m.confusion(w, true_bin[which], label[which], len(subject.labels))
                return _mean_of_classes(counts, figure)

            out.add(what, a.group[which], statistic, on=on, answer_s=a.answer_s)
    expected = magnitude_from_bins(a.probabilities, subject.edges)
    rows = []
    for i in map(int, np.flatnonzero(a.facts["visible"] & a.facts["scaled"])):
        record = archive.records[int(a.windows.record[i])]
        right = bool(abs(expected[i] - truth[i]) <= RIGHT + 1e-9)
        p = round(float(a.probabilities[i].max()), 4)
        rows.append(
            (Answer(record.name, record.event, record.source, f"{truth[i]:.2f}", f"{expected[i]:.2f}", p, right), i)
        )
    return rows


def _mean_of_classes(counts: Floats, figure: partial[Floats]) -> Floats:
    """Mean of a figure over the classes with a record, (k,); 0 for a class that is never answered (as scikit-learn)."""
    present = counts.sum(2) > 0
    each = np.stack([np.nan_to_num(figure(counts, k)) for k in range(counts.shape[1])], axis=1)
    return m.ratio((each * present).sum(1), present.sum(1).astype(np.float64))


def _gallery(rows: list[tuple[Answer, int]], archive: Archive, a: Answers) -> list[Picture]:
    """The records with the largest probability among the right and among the wrong ones, one of each event first."""
    pictures = []
    for right in (True, False):
        ordered = sorted((r for r in rows if r[0].right == right), key=lambda r: -r[0].probability)
        seen: set[str] = set()
        first = [r for r in ordered if not (r[0].event in seen or seen.add(r[0].event))]  # type: ignore[func-returns-value]
        for answer, i in [*first, *(r for r in ordered if r not in first)][:N_PICTURES]:
            pictures.append(_picture(answer, archive, int(a.windows.record[i]), a.answer_s))
    return pictures


def _picture(answer: Answer, archive: Archive, index: int, answer_s: float) -> Picture:
    record, rate = archive.records[index], archive.rate_hz
    first = max(round(record.onset - 5 * rate), 0)
    trace = np.asarray(archive.waveform[index, 0, first : round(record.onset + answer_s * rate)], dtype=np.float64)
    step = max(math.ceil(len(trace) / MAX_POINTS), 1)
    part = trace[::step]
    scale = float(np.abs(part).max()) if len(part) else 0.0
    shown = [round(float(v), 3) for v in part / scale] if scale > 0 else [0.0] * len(part)
    return Picture(answer, round((first - record.onset) / rate, 3), step / rate, shown)


def curve_of(run: Path) -> Curve | None:
    """The learning curve in log_calibration.csv of a run; None if there is none."""
    file = run / "log_calibration.csv"
    if not file.is_file():
        return None
    with file.open(newline="") as stream:
        rows = [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(stream)]
    held = [
        (
            r["epoch"],
            r["held_loss"],
            r["held_score"],
            r["held_f1"] if math.isfinite(r.get("held_f1", math.nan)) else None,
        )
        for r in rows
        if math.isfinite(r.get("held_loss", math.nan))
    ]
    return Curve([r["epoch"] for r in rows], [r["loss"] for r in rows], held)


def figure_at_end(report: EvaluationReport, what: str, on: str, level: str, who: str) -> Figure | None:
    """A figure at the last answer."""
    last = report.answers_s[-1]
    found = (
        f for f in report.figures
        if f.what == what and f.on == on and f.level == level and f.who == who and not f.damage
        and f.answer_s in (last, None)
    )  # fmt: skip
    return next(found, None)

"""The report of an evaluation: one document, the source of tables and plots."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct

from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path
from seisedge.train.archive.archive import Archive, fingerprint, load_archive
from seisedge.train.dataset.holdout import WHOLE
from seisedge.train.evaluation import event_type, magnitude
from seisedge.train.evaluation.answers import Answers, Bool, Predictor, windows_from
from seisedge.train.evaluation.baseline_answers import COMMONEST, features, magnitude_answers, type_answers
from seisedge.train.evaluation.curves import add_damage, add_early
from seisedge.train.evaluation.event_type import Prevalence, TypePart
from seisedge.train.evaluation.false_events import FalseEvents, add_false_events
from seisedge.train.evaluation.figure import Figure, Figures
from seisedge.train.evaluation.magnitude import MagnitudePart
from seisedge.train.evaluation.onset import DetectorEvaluation, OnsetPart
from seisedge.train.evaluation.predict import FixedWindows
from seisedge.train.evaluation.subject import Subject
from seisedge.train.evaluation.unseen import NothingToEvaluate, unseen_records

SCHEMA = "seisedge.evaluation/1"
MAX_ORDERS = 3  # up to this many folders all orders are tried, because the fingerprint depends on the order


class EvaluationReport(Struct, kw_only=True):
    """The result of `seisedge evaluate`.

    held_out: which records are counted, in words. left_out: reason → number of records. simple: how the baselines were
    fitted. prevalence: shares of the labels for which the figures are computed; empty: those of the data (`shares`).
    """

    schema: str = SCHEMA
    model: str
    path: str
    sha256: str
    task: str
    labels: list[str]
    answers_s: list[float]
    data: list[str]
    data_sha256: str
    sources: list[str]
    own_data: bool
    held_out: str
    left_out: dict[str, int]
    simple: str
    prevalence: dict[str, float]
    shares: dict[str, float]
    n_events: int
    n_records: int
    draws: int
    figures: list[Figure]
    event_type: TypePart | None = None
    magnitude: MagnitudePart | None = None
    onset: OnsetPart | None = None
    false_events: list[FalseEvents] = []  # of an event-type model on continuous noise


def own_order(subject: Subject, folders: list[Path]) -> list[Path]:
    """The folders, in the order of the training data of the subject if they are its training data.

    Raises InputError if one of several folders is the training data of a model file whose card does not name the
    training events.
    """
    if len(folders) < 2:
        return folders
    for order in itertools.permutations(folders) if len(folders) <= MAX_ORDERS else [tuple(folders)]:
        if fingerprint(order) == subject.data_sha256:
            return list(order)
    for folder in folders if subject.event_hashes is None else []:
        if fingerprint([folder]) == subject.data_sha256:
            raise InputError(
                f"{folder}: contains the training data of {subject.path}, which are not held out when other folders "
                f"are "
                "given too; evaluate on this folder alone, or give the run instead of the model file"
            )
    return folders


def evaluate(
    subject: Subject,
    folders: list[Path],
    device: torch.device,
    *,
    split: str = "",
    prevalence: dict[str, float] | None = None,
    draws: int = 1000,
    curves: bool = True,
    noise: Sequence[Path] = (),
) -> EvaluationReport:
    """Load the folders and evaluate. split: the rule of `holdout` that a model file was trained with. noise: folders of
    continuous noise without earthquakes, for an onset detector or an event-type model. Raises InputError.
    """
    g = subject.geometry
    folders = own_order(subject, folders)
    own = fingerprint(folders) == subject.data_sha256
    rule = (split or subject.split) if own else WHOLE
    wanted = dataclasses.replace(subject.selection, untyped=subject.task == "onset")
    archive = load_archive(folders, g.rate_hz, subject.pass_hz, split=rule, show_progress=True, wanted=wanted)
    names = [text_from_path(folder) for folder in folders]
    if subject.task == "onset":
        return evaluate_detector(subject, archive, names, noise, draws=draws)
    report = evaluate_archive(subject, archive, names, device, prevalence=prevalence, draws=draws, curves=curves)
    if noise:
        counted = Figures(draws)
        report.false_events = add_false_events(counted, subject, noise)
        report.figures += counted.rows
    return report


def fit_windows(subject: Subject, archive: Archive, fits: Bool, answer_s: float) -> FixedWindows:
    """Windows of training records on which the baselines are fitted: those that reach to the last answer, so that they
    are the same at every answer length; if these are less than half, all that reach to this answer.
    """
    here = windows_from(subject, archive, fits, answer_s)
    last = windows_from(subject, archive, fits, subject.answers_s[-1])
    return last if 2 * len(last.record) >= len(here.record) else here


def evaluate_detector(
    subject: Subject, archive: Archive, data: list[str], noise: Sequence[Path] = (), *, draws: int = 1000
) -> EvaluationReport:
    """The figures of an onset detector. data: names of the folders. Raises NothingToEvaluate, InputError."""
    part = unseen_records(subject, archive)
    detector = DetectorEvaluation(subject, archive, part.counts, noise)
    out = Figures(draws)
    onset = detector.evaluate(out)
    arrivals = detector.arrivals
    hours = sum(n.data.hours for n in detector.noise)
    return EvaluationReport(
        model=subject.name,
        path=subject.path,
        sha256=subject.sha256,
        task=subject.task,
        labels=subject.labels,
        answers_s=subject.answers_s,
        data=data,
        data_sha256=archive.sha256,
        sources=archive.sources,
        own_data=part.own,
        held_out=f"{part.why}; of these, visible P arrivals of earthquakes and explosions, and {hours:.1f} h of noise",
        left_out=dict(part.left_out),
        simple="the STA/LTA trigger of the station with its default settings",
        prevalence={},
        shares={},
        n_events=len(np.unique(arrivals.group)),
        n_records=len(np.unique(arrivals.record)),
        draws=draws,
        figures=out.rows,
        onset=onset,
    )


def evaluate_archive(
    subject: Subject,
    archive: Archive,
    data: list[str],
    device: torch.device,
    *,
    prevalence: dict[str, float] | None = None,
    draws: int = 1000,
    curves: bool = True,
) -> EvaluationReport:
    """Compute the figures of `seisedge evaluate`, of metrics.md of a run, and of the card.

    data: names of the folders. Raises NothingToEvaluate.
    """
    g, where = subject.geometry, ", ".join(data or archive.sources)
    part = unseen_records(subject, archive)
    predictor = Predictor(subject, archive, device)
    out = Figures(draws)
    left_out = dict(part.left_out)
    answers: list[Answers] = []
    vertical: list[Answers] = []  # three-component records without their horizontals
    baselines: dict[float, dict[str, np.ndarray]] = {}
    for answer_s in subject.answers_s:
        windows = windows_from(subject, archive, part.counts, answer_s)
        if not len(windows.record):
            continue
        fits = fit_windows(subject, archive, part.fits, answer_s)
        answers.append(predictor(windows, answer_s))
        three = windows.part(np.array([archive.records[i].three for i in windows.record], dtype=bool))
        if len(three.record):
            vertical.append(predictor(three, answer_s, vertical=True))
        compare = magnitude_answers if subject.task == "magnitude" else type_answers
        baselines[answer_s] = compare(predictor, fits, windows, answer_s)
    if not answers:
        need = "with a magnitude " if subject.task == "magnitude" else ""
        raise NothingToEvaluate(
            f"{where}: no record is suitable to evaluate {subject.name}; it needs records {need}that "
            f"begin {g.onset_s:g} s before the onset and end at least {subject.answers_s[0]:g} s after it"
        )
    last = answers[-1]
    if subject.task == "magnitude" and not last.facts["scaled"].any():
        raise NothingToEvaluate(
            f"{where}: no record has a gain (column trace_gain_counts_per_m_s), which {subject.name} "
            "needs to compute amplitudes"
        )
    shares = {name: float((last.label == k).mean()) for k, name in enumerate(subject.labels)}
    report = EvaluationReport(
        model=subject.name,
        path=subject.path,
        sha256=subject.sha256,
        task=subject.task,
        labels=subject.labels,
        answers_s=[a.answer_s for a in answers],
        data=data,
        data_sha256=archive.sha256,
        sources=archive.sources,
        own_data=part.own,
        held_out=part.why,
        left_out=left_out,  # more reasons are added below
        simple=(
            "fitted on the model's own training records" if part.own
            else "fitted on the other four fifths of these events, in turn, which favours them over the model"
        ),
        prevalence=prevalence or {},
        shares={} if subject.task == "magnitude" else {k: round(v, 4) for k, v in shares.items()},
        n_events=len(np.unique(last.group)),
        n_records=len(np.unique(last.windows.record)),
        draws=draws,
        figures=out.rows,
    )  # fmt: skip
    wanted: Prevalence = [prevalence[name] for name in subject.labels] if prevalence else None
    if subject.task == "magnitude":
        report.magnitude = _magnitudes(predictor, out, answers, baselines, left_out)
        for a in vertical:
            magnitude.add_vertical(out, subject.edges, a)
    else:
        report.event_type = _types(predictor, out, answers, baselines, wanted)
        for a in vertical:
            event_type.add_vertical(out, a)
    if curves:
        longest = windows_from(subject, archive, part.counts, answers[-1].answer_s)
        add_early(out, predictor, longest)
        add_damage(out, predictor, longest, part.counts, device)
    return report


def _types(
    predictor: Predictor,
    out: Figures,
    answers: list[Answers],
    baselines: dict[float, dict[str, np.ndarray]],
    wanted: Prevalence,
) -> TypePart:
    part, labels = TypePart(), predictor.subject.labels
    for a in answers:
        event_type.add_figures(out, labels, a, a.probabilities, "model", wanted)
        for who, p in baselines[a.answer_s].items():
            event_type.add_figures(out, labels, a, p, who, wanted, short=who == COMMONEST)
        event_type.add_pictures(part, labels, a, baselines[a.answer_s], a is answers[-1])
    return part


def _magnitudes(
    predictor: Predictor,
    out: Figures,
    answers: list[Answers],
    baselines: dict[float, dict[str, np.ndarray]],
    left_out: dict[str, int],
) -> MagnitudePart:
    edges, last = predictor.subject.edges, answers[-1]
    for a in answers:
        magnitude.add_figures(out, edges, a, baselines[a.answer_s])
    unscaled = int((~last.facts["scaled"]).sum())
    if unscaled:
        left_out["without a gain, known or fitted in training"] = unscaled
    faint = int((last.facts["scaled"] & ~last.facts["visible"]).sum())
    if faint:
        left_out["too faint to be seen"] = faint
    magnitude.add_slices(out, edges, last)
    magnitude.add_kendall(out, last, features(predictor, last.windows, last.answer_s))
    names = [r.name for r in predictor.archive.records]
    return MagnitudePart(magnitude.points_of(edges, names, last), magnitude.reliability_of(edges, last))

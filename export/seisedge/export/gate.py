"""The gate between a model and what was made from it.

Two parts. The same answers: label agreement of at least 99 % and a mean difference of a probability of at most
0.01, on at least 2,000 held-out windows. As good: the score of the child on undamaged held-out windows is at most
half a point below that of the parent; the interval of the loss is a bootstrap of whole events, in pairs.

Half a point can be seen on 200 events or more. With fewer events the test is as coarse as one event, and a child that
passes it is "not tested at 0.5 points"; whether that is enough is for the user to decide (`Rule.accept_points`).
A pruned model may answer differently and be as good: it must satisfy the second part; the first is reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import ModelFile
from seisedge.runtime.card import Comparison, ModelCard, Verdict, accepts
from seisedge.runtime.engines.onnxruntime import session_from
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import write_atomically
from seisedge.train.bootstrap import estimate
from seisedge.train.evaluation.metrics import mean
from seisedge.train.evaluation.onset import RECALL
from seisedge.train.evaluation.predict import magnitude_from_bins

AGREEMENT = 0.99
MEAN_DP = 0.01
POINTS = 0.5
MIN_WINDOWS = 2_000
WITHIN = 0.3  # magnitude: a value this near the catalogued one is a hit
BATCH = 32

Floats = npt.NDArray[np.float64]


def answers_of(data: bytes, windows: HeldOut) -> Floats:
    """Probabilities (windows, labels) of a model file's bytes. Raises FailedError where one is not finite."""
    session = session_from(data)
    out = [
        session.run(
            ["probabilities"], {"waveform": windows.waveform[i : i + BATCH], "valid": windows.valid[i : i + BATCH]}
        )[0]
        for i in range(0, len(windows), BATCH)
    ]
    p = np.concatenate(out).astype(np.float64)
    if not np.isfinite(p).all():
        bad = int((~np.isfinite(p)).any(1).sum())
        raise FailedError(f"the model's probabilities are not finite on {bad} of {len(p)} windows")
    return p


def hits(card: ModelCard, p: Floats, target: Floats) -> Floats:
    """(windows,): 1 where the answer is right: the label, or a magnitude within WITHIN of the catalogued one."""
    if card.magnitude is not None:
        return np.asarray(np.abs(magnitude_from_bins(p, card.magnitude.edges) - target) <= WITHIN, dtype=np.float64)
    return np.asarray(p.argmax(1) == target, dtype=np.float64)


def score_name(card: ModelCard) -> str:
    """What `hits` counts, in words."""
    if card.task == "onset":
        return RECALL
    return f"magnitude within ±{WITHIN:g}" if card.magnitude is not None else "accuracy"


@dataclass(frozen=True)
class Parent:
    """The model that a child is compared with, on held-out windows. answers: its probabilities (windows, labels).

    sha256: of its file; '' where it is a run that was not exported.
    """

    card: ModelCard
    sha256: str
    windows: HeldOut
    answers: Floats

    @classmethod
    def from_file(cls, model: ModelFile, windows: HeldOut) -> Parent:
        """A model file and its answers."""
        return cls(model.card, model.sha256, windows, answers_of(model.data, windows))


@dataclass(frozen=True)
class Rule:
    """What a child must satisfy. pruned: its answers may differ, its score may not be worse.

    accept_points: the coarsest test that is accepted where the events are too few to test at POINTS; None: none is.
    """

    pruned: bool = False
    accept_points: float | None = None


def resolution_points(n_events: int) -> float:
    """Smallest loss that a test on so many events can show: POINTS, or one event where that is more."""
    return max(POINTS, 100 / n_events)


def same_answers(agreement: float, mean_dp: float) -> bool:
    """Do parent and child give the same answers? agreement: share of equal labels; mean_dp: of a probability."""
    return agreement >= AGREEMENT and mean_dp <= MEAN_DP


def verdict_of(same: bool, loss_points: float, n_events: int, rule: Rule) -> Verdict:
    """The rule of the gate. same: are the answers the same?"""
    if loss_points > resolution_points(n_events) or not (same or rule.pruned):
        return "failed"
    return "passed" if resolution_points(n_events) <= POINTS else "not tested"


def differences(parent: Floats, child: Floats) -> tuple[float, float]:
    """Share of windows with the same label, and mean absolute difference of a probability; both (windows, labels)."""
    if parent.shape != child.shape:
        raise InputError(f"parent and child must have the same labels; got {parent.shape[1]} and {child.shape[1]}")
    return float((parent.argmax(1) == child.argmax(1)).mean()), float(np.abs(parent - child).mean())


def compare(parent: Parent, child: Floats, rule: Rule) -> Comparison:
    """Measure both parts and decide. child: probabilities (windows, labels) on the same windows. Raises InputError."""
    windows = parent.windows
    agreement, mean_dp = differences(parent.answers, child)
    which = windows.scored
    event = windows.event[which]
    before, after = (hits(parent.card, p, windows.target)[which] for p in (parent.answers, child))
    n_events = events_scored(windows)
    loss = 100 * (before - after)
    span = estimate(event, partial(mean, x=loss))
    verdict = verdict_of(same_answers(agreement, mean_dp), float(loss.mean()), n_events, rule)
    return Comparison(
        parent_sha256=parent.sha256,
        windows=len(windows),
        agreement=round(agreement, 5),
        mean_dp=round(mean_dp, 6),
        score=score_name(parent.card),
        parent_score=round(float(before.mean()), 4),
        child_score=round(float(after.mean()), 4),
        loss_points=round(float(loss.mean()), 3),
        low=round(span.low, 3) if np.isfinite(span.low) else None,
        high=round(span.high, 3) if np.isfinite(span.high) else None,
        allowed_points=round(resolution_points(n_events), 3),
        n_events=n_events,
        passed=verdict == "passed",
        verdict=verdict,
        required_points=POINTS,
        accepted_points=rule.accept_points,
    )


def lines_of(c: Comparison, *, pruned: bool = False) -> list[str]:
    """The comparison for people; the last line is the verdict."""
    span = f", 95 % interval {c.low:+.2f} to {c.high:+.2f}" if c.low is not None and c.high is not None else ""
    note = "; reported only, not required of a pruned model" if pruned else ""
    return [
        f"label agreement {c.agreement:.2%} (at least {AGREEMENT:.0%}), mean |Δp| {c.mean_dp:.4f} "
        f"(at most {MEAN_DP:g}) on {c.windows} held-out windows{note}",
        f"{c.score} {c.parent_score:.1%} → {c.child_score:.1%}: loss {c.loss_points:+.2f} points{span}; "
        f"{c.n_events} events, tested at {c.allowed_points:.3g} points",
        c.verdict_text,
    ]


def events_scored(windows: HeldOut) -> int:
    """Events with at least one scored window. Raises InputError where there is none."""
    n_events = len(np.unique(windows.event[windows.scored]))
    if not n_events:
        raise InputError("no held-out window can be scored: none is visible, or no gain is known")
    return n_events


def enough(windows: HeldOut, wanted: int = MIN_WINDOWS) -> HeldOut:
    """The windows, where they are as many as the gate needs. Raises InputError where they are fewer."""
    if len(windows) < wanted:
        raise InputError(
            f"the gate needs {wanted} held-out windows, the data give {len(windows)}; add folders with --data"
        )
    return windows


def too_coarse(n_events: int) -> str:
    """Why a model that is not worse in the test still has not passed, and what the user can do."""
    points = resolution_points(n_events)
    return (
        f"not tested at {POINTS:g} points: {n_events} held-out events, {math.ceil(100 / POINTS)} are needed, one event "
        f"is {points:.3g} points; give more --data, or accept this coarser test with --accept-resolution {points:.3g}"
    )


def require_resolution(windows: HeldOut, rule: Rule) -> None:
    """Before an expensive step: can its result be accepted at all? Raises FailedError."""
    n_events = events_scored(windows)
    points = resolution_points(n_events)
    if points > POINTS and not accepts(rule.accept_points, points):
        raise FailedError(too_coarse(n_events))


def require_accepted(path: Path, c: Comparison) -> None:
    """Raises FailedError with the numbers where the model may not be written to `path`."""
    if c.accepted:
        return
    if c.outcome == "not tested":
        raise FailedError(f"{path}: not written, {too_coarse(c.n_events)}")
    raise FailedError(
        f"{path}: not written, outside the gate: agreement {c.agreement:.2%}, mean |Δp| {c.mean_dp:.4f}, loss "
        f"{c.loss_points:+.2f} points (tested at {c.allowed_points:.3g}); --allow-drop writes it, and its card says so"
    )


def write_if_accepted(path: Path, file: bytes, c: Comparison, *, allow_drop: bool) -> None:
    """Write the file, or raise FailedError with the numbers and write nothing."""
    if not allow_drop:
        require_accepted(path, c)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file)

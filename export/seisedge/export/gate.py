"""The gate between a model and what was made from it: never quietly worse.

Two parts. The same answers: label agreement of at least 99 % and a mean difference of a probability of at most
0.01, on at least 2,000 held-out windows. As good: the score of the child on undamaged held-out windows is at most
the larger of half a point and one event below that of the parent; its interval draws whole events again, in pairs.
A pruned model may disagree and be as good: it must meet the second part, and the first is printed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from seisedge.export.heldout import HeldOut
from seisedge.runtime.card import Comparison, ModelCard
from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.evaluation.bootstrap import interval
from seisedge.train.evaluation.predict import magnitude_from_bins

AGREEMENT = 0.99
MEAN_DP = 0.01
POINTS = 0.5
MIN_WINDOWS = 2_000
WITHIN = 0.3  # magnitude: a value this near the catalogued one is a hit
BATCH = 32

Floats = npt.NDArray[np.float64]


def session_of(data: bytes) -> ort.InferenceSession:
    """onnxruntime on one thread, as at the station."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def answers_of(data: bytes, windows: HeldOut) -> Floats:
    """Probabilities (windows, labels) of a model file's bytes. Raises FailedError where one is not finite."""
    session = session_of(data)
    out = [
        session.run(
            ["probabilities"], {"waveform": windows.waveform[i : i + BATCH], "valid": windows.valid[i : i + BATCH]}
        )[0]
        for i in range(0, len(windows), BATCH)
    ]
    p = np.concatenate(out).astype(np.float64)
    if not np.isfinite(p).all():
        raise FailedError(f"{int((~np.isfinite(p)).any(1).sum())} of {len(p)} windows have no finite answer")
    return p


def hits(card: ModelCard, p: Floats, target: Floats) -> Floats:
    """1 where the answer is right: the label, or a magnitude within WITHIN of the catalogued one."""
    if card.magnitude is not None:
        return np.asarray(np.abs(magnitude_from_bins(p, card.magnitude.edges) - target) <= WITHIN, dtype=np.float64)
    return np.asarray(p.argmax(1) == target, dtype=np.float64)


def score_name(card: ModelCard) -> str:
    """What `hits` counts, in words."""
    return f"magnitude within ±{WITHIN:g}" if card.magnitude is not None else "accuracy"


def compare(
    parent: Floats, child: Floats, windows: HeldOut, card: ModelCard, parent_sha256: str, *, pruned: bool = False
) -> Comparison:
    """Measure both parts; `passed` as the rule says. parent, child: probabilities (windows, labels)."""
    if parent.shape != child.shape:
        raise InputError(f"parent and child must have the same labels; got {parent.shape[1]} and {child.shape[1]}")
    agreement = float((parent.argmax(1) == child.argmax(1)).mean())
    mean_dp = float(np.abs(parent - child).mean())
    which = windows.scored
    event = windows.event[which]
    before, after = (hits(card, p, windows.target)[which] for p in (parent, child))
    n_events = len(np.unique(event))
    if not n_events:
        raise InputError("no held-out window can be scored: none is visible, or no gain is known")
    loss = 100 * (before - after)
    low, high = interval(event, lambda w: float((loss * w).sum() / w.sum()))
    allowed = max(POINTS, 100 / n_events)
    same = agreement >= AGREEMENT and mean_dp <= MEAN_DP
    as_good = float(loss.mean()) <= allowed
    return Comparison(
        parent_sha256=parent_sha256,
        windows=len(windows),
        agreement=round(agreement, 5),
        mean_dp=round(mean_dp, 6),
        score=score_name(card),
        parent_score=round(float(before.mean()), 4),
        child_score=round(float(after.mean()), 4),
        loss_points=round(float(loss.mean()), 3),
        low=round(low, 3) if np.isfinite(low) else None,
        high=round(high, 3) if np.isfinite(high) else None,
        allowed_points=round(allowed, 3),
        n_events=n_events,
        passed=as_good and (same or pruned),
    )


def lines_of(c: Comparison, *, pruned: bool = False) -> list[str]:
    """The verdict for people."""
    span = f", 95 % interval {c.low:+.2f} to {c.high:+.2f}" if c.low is not None and c.high is not None else ""
    note = " (told, not asked of a pruned model)" if pruned else ""
    return [
        f"label agreement {c.agreement:.2%} (at least {AGREEMENT:.0%}), mean |Δp| {c.mean_dp:.4f} "
        f"(at most {MEAN_DP:g}) on {c.windows} held-out windows{note}",
        f"{c.score} {c.parent_score:.1%} → {c.child_score:.1%}: loss {c.loss_points:+.2f} points{span}; "
        f"allowed {c.allowed_points:.2f} ({c.n_events} events)",
        "inside the gate" if c.passed else "outside the gate",
    ]


def enough(windows: HeldOut, wanted: int = MIN_WINDOWS) -> HeldOut:
    """The windows, if there are as many as the gate needs. Raises InputError."""
    if len(windows) < wanted:
        raise InputError(f"the gate needs {wanted} held-out windows, the data give {len(windows)}; give more --data")
    return windows


def write_if_passed(path: Path, file: bytes, c: Comparison, allow_drop: bool) -> None:
    """Write the file, or raise FailedError with the numbers and leave nothing."""
    if not c.passed and not allow_drop:
        raise FailedError(
            f"{path}: not written, outside the gate: agreement {c.agreement:.2%}, mean |Δp| {c.mean_dp:.4f}, loss "
            f"{c.loss_points:+.2f} points (allowed {c.allowed_points:.2f}); --allow-drop writes it, marked"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(file)
    part.replace(path)

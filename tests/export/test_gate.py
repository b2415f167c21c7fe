"""The gate: its two parts on numbers worked by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.export.conftest import bundled

from seisedge.export import gate
from seisedge.export.gate import (
    BATCH,
    WITHIN,
    Parent,
    Rule,
    answers_of,
    compare,
    enough,
    hits,
    lines_of,
    require_resolution,
    same_answers,
    score_name,
    verdict_of,
    write_if_accepted,
)
from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import ModelFile
from seisedge.runtime.card import Comparison, ModelCard
from seisedge.runtime.engines.onnxruntime import session_from
from seisedge.runtime.errors import FailedError, InputError

CARD = bundled("event-type").card


def made(n: int, n_events: int) -> HeldOut:
    """n windows of n_events events, all tectonic, all scored; the waveforms are not looked at."""
    nothing = np.zeros((n, 3, 1), np.float32)
    event = np.array([f"e{i % n_events}" for i in range(n)])
    return HeldOut(nothing, nothing, np.zeros(n), np.ones(n, bool), event, np.zeros(n), np.full(n, "as recorded"))


def answers(n: int, wrong: int, sure: float = 0.9) -> np.ndarray:
    """`wrong` of n answers say noise, the others tectonic."""
    p = np.tile([sure, (1 - sure) / 2, (1 - sure) / 2], (n, 1))
    p[:wrong] = p[:wrong, ::-1]
    return p


STRICT, PRUNED = Rule(), Rule(pruned=True)


def measured(
    parent: np.ndarray, child: np.ndarray, held: HeldOut, rule: Rule = STRICT, card: ModelCard = CARD
) -> Comparison:
    return compare(Parent(card, "parent", held, parent), child, rule)


def test_the_same_answers_pass() -> None:
    p = answers(2_000, 100)
    c = measured(p, p, made(2_000, 200))
    assert c.passed and c.verdict == "passed" and c.agreement == 1 and c.mean_dp == 0 and c.loss_points == 0
    assert (c.parent_score, c.child_score, c.n_events) == (0.95, 0.95, 200)
    assert (c.low, c.high, c.parent_sha256) == (0, 0, "parent")


def test_agreement_and_difference_by_hand() -> None:
    # 21 of 2,000 answers change from (0.9, 0.05, 0.05) to its mirror: agreement 0.9895; |Δp| (0.85 + 0 + 0.85) / 3
    c = measured(answers(2_000, 0), answers(2_000, 21), made(2_000, 100))
    assert c.agreement == 0.9895
    assert c.mean_dp == round(21 / 2_000 * 1.7 / 3, 6)
    assert c.loss_points == 1.05
    assert c.allowed_points == 1.0  # one of 100 events
    assert c.verdict == "failed" and not c.passed


def test_different_labels_alone_fail() -> None:
    """Parent and child are wrong on different windows: the score is the same, mean |Δp| small, the labels differ."""
    parent, child = answers(2_000, 11, 0.4), answers(2_000, 11, 0.4)[::-1]
    c = measured(parent, child, made(2_000, 200))
    assert c.agreement == 0.989 and c.mean_dp < 0.002 and c.loss_points == 0
    assert c.verdict == "failed"
    assert measured(parent, child, made(2_000, 200), PRUNED).verdict == "passed"


def test_probabilities_alone_can_fail() -> None:
    c = measured(answers(2_000, 0, 0.9), answers(2_000, 0, 0.88), made(2_000, 200))
    assert c.agreement == 1 and c.loss_points == 0 and c.mean_dp == 0.013333
    assert c.verdict == "failed"


def test_a_worse_score_alone_fails() -> None:
    """12 of 2,000 answers become wrong by a hair: 99.4 % agree, but the loss is 0.6 points."""
    c = measured(answers(2_000, 0, 0.34), answers(2_000, 12, 0.34), made(2_000, 200))
    assert c.agreement == 0.994 and c.mean_dp < 0.001 and c.loss_points == 0.6
    assert c.verdict == "failed"


@pytest.mark.parametrize(
    ("agreement", "mean_dp", "same"),
    [(0.99, 0.01, True), (0.98999, 0.01, False), (0.99, 0.010001, False), (1.0, 0.0, True), (0.0, 0.0, False)],
)
def test_boundaries_of_the_same_answers(agreement: float, mean_dp: float, same: bool) -> None:
    assert same_answers(agreement, mean_dp) is same


@pytest.mark.parametrize(
    ("loss_points", "n_events", "verdict"),
    [
        (0.5, 200, "passed"),
        (0.501, 200, "failed"),
        (0.5, 100_000, "passed"),
        (0.501, 100_000, "failed"),
        (0.0, 199, "not tested"),
        (-5.0, 199, "not tested"),
        (100 / 199, 199, "not tested"),
        (0.51, 199, "failed"),
        (12.5, 8, "not tested"),
        (12.6, 8, "failed"),
    ],
)
def test_boundaries_of_the_score(loss_points: float, n_events: int, verdict: str) -> None:
    assert verdict_of(True, loss_points, n_events, STRICT) == verdict
    assert verdict_of(False, loss_points, n_events, STRICT) == "failed"
    assert verdict_of(False, loss_points, n_events, PRUNED) == verdict


def test_ten_of_2000_are_half_a_point() -> None:
    assert measured(answers(2_000, 0), answers(2_000, 10), made(2_000, 200)).verdict == "passed"
    assert measured(answers(2_000, 0), answers(2_000, 11), made(2_000, 200), PRUNED).verdict == "failed"


def test_a_pruned_model_may_disagree_and_be_as_good() -> None:
    parent, child = answers(2_000, 60), answers(2_000, 60)[::-1]  # wrong elsewhere
    held = made(2_000, 200)
    assert measured(parent, child, held).verdict == "failed"
    c = measured(parent, child, held, PRUNED)
    assert c.verdict == "passed"
    assert measured(parent, answers(2_000, 90), held, PRUNED).verdict == "failed"
    assert "not required of a pruned model" in lines_of(c, pruned=True)[0]
    assert "pruned" not in lines_of(c)[0]
    assert lines_of(c)[-1] == "inside the gate"


def test_a_gain_is_no_loss_however_large() -> None:
    c = measured(answers(2_000, 500), answers(2_000, 0), made(2_000, 200), PRUNED)
    assert c.loss_points == -25 and c.verdict == "passed"


@pytest.mark.parametrize(("n_events", "tested"), [(8, "12.5"), (21, "4.76"), (75, "1.33"), (199, "0.503")])
def test_few_events_are_a_verdict_of_their_own(n_events: int, tested: str) -> None:
    p = answers(8_000, 0)
    c = measured(p, p, made(8_000, n_events))
    assert c.verdict == "not tested" and not c.passed and not c.accepted
    text = lines_of(c)[-1]
    assert text.startswith(
        f"cannot be tested at 0.5 points ({n_events} events, 200 are needed); tested at {tested} points"
    )
    assert "inside" not in text


def test_the_user_decides_whether_a_coarse_test_is_enough(tmp_path: Path) -> None:
    p, held, target = answers(2_000, 0), made(2_000, 75), tmp_path / "a new" / "folder" / "m.onnx"
    for accept_points in (None, 1.32):
        c = measured(p, p, held, Rule(accept_points=accept_points))
        with pytest.raises(FailedError, match=r"not tested at 0\.5 points: 75 held-out.*--accept-resolution 1\.33$"):
            write_if_accepted(target, b"x", c, allow_drop=False)
        assert not any(tmp_path.iterdir())
    c = measured(p, p, held, Rule(accept_points=1.33))
    assert c.verdict == "not tested" and not c.passed and c.accepted and c.accepted_points == 1.33
    assert lines_of(c)[-1].endswith("not worse than that; accepted with --accept-resolution 1.33")
    write_if_accepted(target, b"x", c, allow_drop=False)
    write_if_accepted(target, b"y", c, allow_drop=False)
    assert target.read_bytes() == b"y"


def test_figures_are_rounded() -> None:
    c = measured(answers(3_000, 7), answers(3_000, 7, 0.91), made(3_000, 300))
    assert (c.parent_score, c.child_score, c.agreement) == (0.9977, 0.9977, 1.0)


def test_accepting_a_coarse_test_accepts_no_loss(tmp_path: Path) -> None:
    c = measured(answers(2_000, 0), answers(2_000, 28), made(2_000, 75), Rule(pruned=True, accept_points=50))
    assert c.loss_points == 1.4 and c.verdict == "failed" and not c.accepted
    assert lines_of(c)[-1] == "outside the gate, tested at 1.33 points"
    with pytest.raises(FailedError, match=r"outside the gate.*loss \+1\.40 points \(tested at 1\.33\)"):
        write_if_accepted(tmp_path / "m.onnx", b"x", c, allow_drop=False)


def test_an_expensive_step_is_refused_before_it_begins() -> None:
    require_resolution(made(2_000, 200), PRUNED)
    require_resolution(made(2_000, 75), Rule(True, 1.33))
    for rule in (PRUNED, Rule(True, 1.0)):
        with pytest.raises(FailedError, match=r"one event is 1\.33 points"):
            require_resolution(made(2_000, 75), rule)


def test_a_magnitude_is_hit_within_three_tenths() -> None:
    card = bundled("magnitude").card
    p = np.zeros((3, 32))
    p[:, 16] = 1  # (1.5, 1.6], centre 1.55
    assert hits(card, p, np.array([1.26, 1.84, 1.86])).tolist() == [1, 1, 0]
    p[:] = 0
    p[:, 1] = 1  # (0.0, 0.1], centre 0.05
    assert abs(0.05 - 0.35) == WITHIN
    assert hits(card, p, np.array([0.35, 0.351, -0.251])).tolist() == [1, 0, 0]
    assert (score_name(card), score_name(CARD)) == ("magnitude within ±0.3", "accuracy")


def test_the_interval_is_of_the_mean_loss_over_events() -> None:
    """20 of 2,000 answers become wrong, in 20 of 200 events of ten windows: 1 point, give or take 0.4."""
    held = made(2_000, 200)
    c = measured(answers(2_000, 0), answers(2_000, 20), held, PRUNED)
    assert c.loss_points == 1.0 and c.low is not None and c.high is not None
    assert 0.4 < c.low < 0.8 < 1.2 < c.high < 1.7
    assert f"loss +1.00 points, 95 % interval {c.low:+.2f} to {c.high:+.2f}; 200 events" in lines_of(c)[1]
    for missing in ({"low": None}, {"high": None}):
        assert "interval" not in lines_of(msgspec.structs.replace(c, **missing))[1]


def test_answers_are_those_of_the_model_window_by_window(model: ModelFile, windows: HeldOut) -> None:
    """More windows than a batch, and a number that is no multiple of it."""
    some = windows.spread(2 * BATCH + 3)
    p = answers_of(model.data, some)
    assert p.shape == (2 * BATCH + 3, len(model.card.labels)) and p.dtype == np.float64
    session = session_from(model.data)
    for i in (0, BATCH - 1, BATCH, 2 * BATCH, 2 * BATCH + 2):
        feed = {"waveform": some.waveform[i : i + 1], "valid": some.valid[i : i + 1]}
        np.testing.assert_allclose(p[i], session.run(["probabilities"], feed)[0][0], atol=1e-6)


def test_an_answer_that_is_not_finite_is_a_failure(windows: HeldOut, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            p = np.ones((len(feed["waveform"]), 3))
            p[0, 1] = np.nan
            return [p]

    monkeypatch.setattr(gate, "session_from", lambda data: Session())
    with pytest.raises(FailedError, match="2 of 33 windows"):
        answers_of(b"", windows.spread(BATCH + 1))


def test_outside_the_gate_nothing_is_written(tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    c = measured(answers(2_000, 0), answers(2_000, 200), made(2_000, 200))
    with pytest.raises(FailedError, match=r"agreement 90\.00%.*loss \+10\.00 points"):
        write_if_accepted(target, b"x", c, allow_drop=False)
    assert not any(tmp_path.iterdir())
    write_if_accepted(target, b"x", c, allow_drop=True)
    assert target.read_bytes() == b"x"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_too_few_windows_and_other_labels(model: ModelFile, windows: HeldOut) -> None:
    with pytest.raises(InputError, match="needs 2000 held-out windows, the data give 160"):
        enough(windows)
    assert enough(windows, len(windows)) is windows
    with pytest.raises(InputError, match="needs 161 held-out windows"):
        enough(windows, 161)
    with pytest.raises(InputError, match="same labels"):
        measured(answers(10, 0), np.ones((10, 4)) / 4, made(10, 2))
    nothing = made(10, 2)
    nothing.scored[:] = False
    with pytest.raises(InputError, match="no held-out window can be scored"):
        measured(answers(10, 0), answers(10, 0), nothing)

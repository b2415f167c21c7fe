"""The gate: its two parts on numbers worked by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.export.conftest import bundled

from seisedge.export.gate import compare, enough, hits, lines_of, write_if_passed
from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import ModelFile
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


def test_the_same_answers_pass() -> None:
    p = answers(2_000, 100)
    c = compare(p, p, made(2_000, 50), CARD, "parent")
    assert c.passed and c.agreement == 1 and c.mean_dp == 0 and c.loss_points == 0
    assert (c.parent_score, c.child_score, c.n_events) == (0.95, 0.95, 50)
    assert (c.low, c.high) == (0, 0)


def test_agreement_and_difference_by_hand() -> None:
    # 21 of 2,000 answers change from (0.9, 0.05, 0.05) to its mirror: agreement 0.9895; |Δp| (0.85 + 0 + 0.85) / 3
    c = compare(answers(2_000, 0), answers(2_000, 21), made(2_000, 100), CARD, "parent")
    assert c.agreement == 0.9895
    assert c.mean_dp == round(21 / 2_000 * 1.7 / 3, 6)
    assert c.loss_points == 1.05
    assert c.allowed_points == 1.0  # one of 100 events
    assert not c.passed


def test_twenty_of_2000_are_allowed() -> None:
    assert compare(answers(2_000, 0), answers(2_000, 20), made(2_000, 100), CARD, "parent").passed


def test_probabilities_alone_can_fail() -> None:
    c = compare(answers(2_000, 0, 0.9), answers(2_000, 0, 0.88), made(2_000, 100), CARD, "parent")
    assert c.agreement == 1 and c.loss_points == 0 and c.mean_dp == pytest.approx(0.04 / 3, abs=1e-6)
    assert not c.passed


def test_a_pruned_model_may_disagree_and_be_as_good() -> None:
    parent, child = answers(2_000, 60), answers(2_000, 60)[::-1]  # wrong elsewhere
    held = made(2_000, 100)
    assert not compare(parent, child, held, CARD, "p").passed
    assert compare(parent, child, held, CARD, "p", pruned=True).passed
    worse = answers(2_000, 90)
    assert not compare(parent, worse, held, CARD, "p", pruned=True).passed
    assert "told, not asked" in lines_of(compare(parent, child, held, CARD, "p", pruned=True), pruned=True)[0]


def test_a_gain_is_no_loss_however_large() -> None:
    c = compare(answers(2_000, 500), answers(2_000, 0), made(2_000, 100), CARD, "p", pruned=True)
    assert c.loss_points == -25 and c.passed


def test_few_events_allow_one_of_them() -> None:
    assert compare(answers(400, 0), answers(400, 0), made(400, 8), CARD, "p").allowed_points == 12.5
    assert compare(answers(4_000, 0), answers(4_000, 0), made(4_000, 1_000), CARD, "p").allowed_points == 0.5


def test_a_magnitude_is_hit_within_three_tenths() -> None:
    card = bundled("magnitude").card
    p = np.zeros((3, 32))
    p[:, 16] = 1  # (1.5, 1.6], centre 1.55
    assert hits(card, p, np.array([1.26, 1.84, 1.86])).tolist() == [1, 1, 0]


def test_outside_the_gate_nothing_is_written(tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    c = compare(answers(2_000, 0), answers(2_000, 200), made(2_000, 100), CARD, "parent")
    with pytest.raises(FailedError, match=r"agreement 90\.00%.*loss \+10\.00 points"):
        write_if_passed(target, b"x", c, allow_drop=False)
    assert not any(tmp_path.iterdir())
    write_if_passed(target, b"x", c, allow_drop=True)
    assert target.read_bytes() == b"x"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_too_few_windows_and_other_labels(model: ModelFile, windows: HeldOut) -> None:
    with pytest.raises(InputError, match="needs 2000 held-out windows, the data give 160"):
        enough(windows)
    with pytest.raises(InputError, match="same labels"):
        compare(answers(10, 0), np.ones((10, 4)) / 4, made(10, 2), CARD, "p")
    unscored = msgspec.structs.replace(CARD)
    nothing = made(10, 2)
    nothing.scored[:] = False
    with pytest.raises(InputError, match="no held-out window can be scored"):
        compare(answers(10, 0), answers(10, 0), nothing, unscored, "p")

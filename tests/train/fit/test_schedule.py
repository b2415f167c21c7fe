"""Learning rate by step, early stopping, and a second training that repeats the decisions of the first."""

from __future__ import annotations

import math

import pytest

from seisedge.train.fit.schedule import Schedule, ScheduleDecisions, cosine
from seisedge.train.recipes.recipe import Optimisation


def test_cosine_rises_and_falls() -> None:
    rates = [cosine(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02


def test_step_is_a_tenth_every_ten_epochs() -> None:
    schedule = Schedule(Optimisation(epochs=50, schedule="step"), epoch_steps=7)
    assert schedule.steps == 350
    assert [schedule.factor(7 * epoch) for epoch in (0, 9, 10, 25)] == pytest.approx([1, 1, 0.1, 0.01])


def test_the_smaller_limit_applies() -> None:
    assert Schedule(Optimisation(steps=100, epochs=50), epoch_steps=7).steps == 100
    assert Schedule(Optimisation(steps=1000, epochs=50), epoch_steps=7).steps == 350


def test_it_stops_after_patience_epochs_without_improvement() -> None:
    schedule = Schedule(Optimisation(epochs=50, schedule="constant", patience=3), epoch_steps=7)
    assert schedule.needs_validation
    losses = [1.0, 0.8, 0.81, 0.79995, 0.9]
    assert [schedule.end_epoch(loss) for loss in losses] == [False, False, False, False, True]
    after = Schedule(
        Optimisation(epochs=50, schedule="constant", patience=3), epoch_steps=9, decisions=schedule.decisions
    )
    assert not after.needs_validation
    assert after.steps == 5 * 9
    assert Schedule(Optimisation(epochs=50), 9, ScheduleDecisions([1.0], stopped=False)).steps == 450


def test_a_plateau_lowers_the_rate_and_the_second_training_repeats_it() -> None:
    spec = Optimisation(epochs=8, schedule="plateau", rate_epochs=2)
    schedule = Schedule(spec, epoch_steps=7)
    shares = []
    for loss in (1.0, 1.0, 1.0, 1.0, 1.0, 0.5, math.nan, 0.6):
        shares.append(schedule.factor(0))
        schedule.end_epoch(loss)
    assert shares == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01])
    after = Schedule(spec, 9, schedule.decisions)
    assert [after.factor(9 * epoch) for epoch in range(8)] == pytest.approx(shares)
    assert after.factor(9 * 20) == pytest.approx(0.01)


def test_restored_state_continues() -> None:
    spec = Optimisation(epochs=50, schedule="plateau", rate_epochs=2, patience=4)
    one, other = Schedule(spec, 7), Schedule(spec, 7)
    for loss in (1.0, 0.9, 0.95):
        one.end_epoch(loss)
    other.restore(one.state())
    rest = [0.95, 0.9, 0.95]
    assert [one.end_epoch(loss) for loss in rest] == [other.end_epoch(loss) for loss in rest]
    assert one.state() == other.state()

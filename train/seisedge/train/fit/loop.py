"""The training loop."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from seisedge.runtime.files import write_atomically
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.archive.task import RecordFilter
from seisedge.train.checkpoint import CheckpointFile
from seisedge.train.dataset.progress import Reporter
from seisedge.train.fit.interrupt import Interrupted, StopRequest, stop_request
from seisedge.train.fit.schedule import ScheduleDecisions
from seisedge.train.fit.stage import LastStep, Settings, Stage
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe

__all__ = ["UNKNOWN_GAIN", "Row", "Settings", "Trained", "train_model", "write_log"]

LOG_ROWS = 50  # approximate number of rows in the log; more if every epoch is validated
VALIDATIONS = 10  # approximate number of validations; more if every epoch is validated
LARGEST_GRADIENT = 5.0

Row = dict[str, float]
RowCallback = Callable[[Row, Stage], None]


@dataclass
class Trained:
    """Result of a training: the averaged model; the station terms (log10) of stations with unknown gain; the log; the
    decisions of the schedule.
    """

    model: Model
    station_term: dict[str, float]
    log: list[Row] = field(default_factory=list)
    decisions: ScheduleDecisions = field(default_factory=ScheduleDecisions)


def train_model(  # noqa: PLR0913 - independent inputs, each used as it is
    recipe: Recipe,
    archive: Archive,
    chosen: RecordFilter,
    seed: int,
    device: torch.device,
    on_row: RowCallback | None = None,
    *,
    held_out: RecordFilter | None = None,
    decisions: ScheduleDecisions | None = None,
    checkpoint: CheckpointFile | None = None,
    settings: Settings | None = None,
    report: Reporter = lambda _: None,
) -> Trained:
    """Train on the records for which `chosen` is true. If `checkpoint` holds a state, resume from it.

    on_row: called with each row of the log. held_out: records on which the loss is measured during training.
    decisions: rates and stop of an earlier training, which this one repeats. report: receives messages for the user.
    Raises InputError, Interrupted, and FailedError if the loss or the gradient of a step is not finite.
    """
    stage = Stage(recipe, archive, chosen, seed, device, held_out, decisions, settings or Settings(), report)
    schedule, world = stage.schedule, stage.world
    if checkpoint is not None:
        checkpoint.restore(stage)
    with stop_request() if world.size == 1 else contextlib.nullcontext(StopRequest()) as stop:
        _steps(stage, on_row, checkpoint, stop)
    stage.require_finite()
    return Trained(stage.average, stage.terms(), stage.log, schedule.decisions)


def _steps(stage: Stage, on_row: RowCallback | None, checkpoint: CheckpointFile | None, stop: StopRequest) -> None:
    """All remaining steps. Raises Interrupted, after the state was saved, if `stop` becomes true."""
    schedule, world = stage.schedule, stage.world
    began = time.perf_counter() - stage.seconds
    while stage.step < schedule.steps and not schedule.decisions.stopped:
        train_step(stage)
        stage.step += 1
        stage.feed.after_step(stage.step, schedule.steps, stage.average)
        stage.seconds = time.perf_counter() - began
        last = stage.step == schedule.steps
        at_epoch = stage.step % schedule.epoch_steps == 0 and schedule.needs_validation
        validate = at_epoch or last or stage.step % max(schedule.steps // VALIDATIONS, 1) == 0
        if validate or stage.step % max(schedule.steps // LOG_ROWS, 1) == 0:
            row = log_row(stage, validate)
            if at_epoch:
                schedule.end_epoch(row["held_loss"])
            stage.log.append(row)
            if on_row is not None and world.first:
                on_row(row, stage)
        if checkpoint is not None and world.first:
            checkpoint.save(stage, last or schedule.decisions.stopped or bool(stop))
        if stop:
            raise Interrupted(f"at step {stage.step} of {schedule.steps}")


def train_step(stage: Stage) -> None:
    """Process one batch: step the optimiser, then update the averaged model."""
    factor = stage.schedule.factor(stage.step)
    for group, rate in zip(stage.optimiser.param_groups, stage.base_rates, strict=True):
        group["lr"] = rate * factor
    batch = stage.batch()
    loss, score = stage.loss(batch)
    stage.require_finite()  # of the step before: a GPU computes this one meanwhile
    stage.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    norm = nn.utils.clip_grad_norm_(stage.model.parameters(), LARGEST_GRADIENT)
    stage.last = LastStep(stage.step + 1, torch.stack([loss.detach().float(), norm]), stage.feed.records_of(batch))
    stage.optimiser.step()
    update_average(
        stage.average, stage.model, min(stage.recipe.optimisation.average, (stage.step + 1) / (stage.step + 10))
    )
    stage.sums += torch.stack([loss.detach().float(), score.detach().float()])
    stage.since += 1


def log_row(stage: Stage, validate: bool) -> Row:
    """Means since the last row. validate: also measure loss and score on the held-out records; else they are nan."""
    stage.require_finite()
    batch = stage.recipe.optimisation.batch
    loss, score = (stage.world.mean(stage.sums) / max(stage.since, 1)).tolist()
    earlier = stage.log[-1]["seconds"] if stage.log else 0.0
    row = {
        "step": stage.step,
        "epoch": round(stage.step / stage.schedule.epoch_steps, 3),
        "loss": loss,
        "score": score,
        "rate": stage.optimiser.param_groups[0]["lr"],
        "held_loss": float("nan"),
        "held_score": float("nan"),
        "held_f1": float("nan"),
        "samples_s": batch * stage.since / max(stage.seconds - earlier, 1e-9),
        "seconds": stage.seconds,
    }
    stage.sums.zero_()
    stage.since = 0
    if validate and stage.validation is not None:
        held_loss, row["held_score"], row["held_f1"] = stage.validation.measure(stage.objective, stage.average)
        row["held_loss"] = stage.world.from_first(held_loss)
    return row


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Update the exponential moving average of weights and batch statistics in place; keep: share of the old value."""
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def write_log(path: Path, log: list[Row]) -> None:
    """Write the log as CSV."""
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in log for key in row)) or ["step"]  # an older version wrote fewer
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(log)
    write_atomically(path, text.getvalue().encode())

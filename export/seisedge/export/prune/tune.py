"""Fine-tuning of a pruned model: the labels, and beside them the answers of its parent."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.task import Chosen, sampler_of
from seisedge.train.evaluation.predict import gains_of
from seisedge.train.fit.loop import update_average
from seisedge.train.fit.run import Run
from seisedge.train.models._base import MagnitudeModel, Model

WARM_UP = 0.05  # of the steps
LARGEST_GRADIENT = 5.0
GAP_SHARE = 0.3
GAP_S = (0.2, 3.0)
PARENT_WEIGHT = 4.0  # of the parent's answers beside the labels


@dataclass(frozen=True)
class Batch:
    """x in the model's unit, valid: (batch, 3, n). label: of a type; magnitude, log_km: nan where not known."""

    x: Tensor
    valid: Tensor
    label: Tensor
    magnitude: Tensor
    log_km: Tensor


class Batches:
    """Training windows as the run's recipe draws them, holes cut into some, no other change."""

    def __init__(self, run: Run, model: Model, archive: Archive, chosen: Chosen, seed: int) -> None:
        self.run, self.model, self.archive = run, model, archive
        self.sampler = sampler_of(run.recipe, model, archive, chosen, seed)
        self.cutter = WindowCutter(archive, model.geometry, torch.device("cpu"))
        self.rng = np.random.default_rng(seed)

    def draw(self, size: int) -> Batch:
        """The next `size` windows."""
        draw: Draw = self.sampler.draw(size)
        x, valid = self.cutter.cut(draw)
        records = [self.archive.records[i] for i in draw.record]
        if self.model.unit == "m/s":
            x = x / gains_of(self.archive, draw.record, self.run.station_term)[:, None, None]
        rate, n = self.model.geometry.rate_hz, self.model.geometry.n_samples
        begin = self.rng.random(size) * n
        length = self.rng.uniform(*GAP_S, size) * rate * (self.rng.random(size) < GAP_SHARE)
        step = np.arange(n)
        hole = (step >= begin[:, None]) & (step < (begin + length)[:, None])
        valid = torch.where(torch.from_numpy(hole)[:, None], 0.0, valid)
        magnitude = [math.nan if r.magnitude is None else r.magnitude for r in records]
        log_km = [math.nan if r.distance_km is None else math.log10(max(r.distance_km, 1.0)) for r in records]
        return Batch(
            torch.where(valid > 0.5, x, 0.0),
            valid,
            torch.from_numpy(draw.label),
            torch.tensor(magnitude, dtype=torch.float32),
            torch.tensor(log_km, dtype=torch.float32),
        )


def label_loss(model: Model, batch: Batch) -> Tensor:
    """(batch,): what the label says of the answer."""
    if isinstance(model, MagnitudeModel):
        nothing = torch.zeros(len(batch.x))  # the station terms are in the gains
        likelihood, distance, _ = model.losses(batch.x, batch.valid, batch.magnitude, nothing, batch.log_km)
        return likelihood + distance
    return nn.functional.cross_entropy(model.raw(batch.x, batch.valid), batch.label, reduction="none")


def losses_on(model: Model, batches: Batches, size: int, count: int) -> Iterator[Tensor]:
    """`count` batches of label losses, for the importance of channels."""
    for _ in range(count):
        yield label_loss(model, batches.draw(size))


def tune(
    child: Model,
    parent: Model,
    batches: Batches,
    steps: int,
    batch: int,
    rate: float,
    report: Callable[[int, float], None],
) -> tuple[Model, list[dict[str, float]]]:
    """The moving average of the child's weights, and the log. The parent's temperature stays."""
    average = copy.deepcopy(child).eval()
    parent.eval()
    weights = [p for p in child.parameters() if p.ndim > 1]
    others = [p for p in child.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    log: list[dict[str, float]] = []
    total, since = 0.0, 0
    child.train()
    for step in range(steps):
        warm = max(round(WARM_UP * steps), 1)
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimiser.param_groups:
            group["lr"] = rate * max(share, 0.01)
        windows = batches.draw(batch)
        with torch.no_grad():
            wanted = parent(windows.x, windows.valid)
        got = child(windows.x, windows.valid).clamp(min=1e-7)
        apart = (wanted * (wanted.clamp(min=1e-7).log() - got.log())).sum(1).mean()
        loss = label_loss(child, windows).mean() + PARENT_WEIGHT * apart
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(child.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        update_average(average, child, min(0.99, (step + 1) / (step + 10)))
        total, since = total + float(apart.detach()), since + 1
        if (step + 1) % max(steps // 10, 1) == 0 or step + 1 == steps:
            log.append({"step": float(step + 1), "apart": total / since})
            report(step + 1, total / since)
            total, since = 0.0, 0
    return average, log

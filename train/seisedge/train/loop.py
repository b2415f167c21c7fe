"""The training loop, top to bottom."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from seisedge.train.augment import Chain, Chance, augmentations_from
from seisedge.train.data import Archive
from seisedge.train.models import create_model
from seisedge.train.models._base import EventTypeModel, MagnitudeModel, Model
from seisedge.train.noise_pool import NoisePool
from seisedge.train.recipe import Recipe
from seisedge.train.task import Chosen, sampler_of
from seisedge.train.windows import WindowCutter

UNKNOWN_GAIN = 1e9  # counts per m/s assumed where none is known; the station term takes up the difference
WARM_UP_STEPS = 100


@dataclass
class Trained:
    """The averaged model, the station terms (log10) of stations of unknown gain, and the log."""

    model: Model
    station_term: dict[str, float]
    log: list[dict[str, float]] = field(default_factory=list)


def seed_all(seed: int) -> None:
    """Seed torch; numpy generators are seeded where they are made."""
    torch.manual_seed(seed)


class GainTable:
    """Per record: gain used, index of the station term, and whether the term applies."""

    def __init__(self, archive: Archive, device: torch.device) -> None:
        self.stations = sorted({r.station for r in archive.records if r.gain is None})
        place = {station: i for i, station in enumerate(self.stations)}
        gain = [UNKNOWN_GAIN if r.gain is None else r.gain for r in archive.records]
        self.gain = torch.tensor(gain, dtype=torch.float32, device=device)
        index = [place.get(r.station, 0) if r.gain is None else 0 for r in archive.records]
        self.index = torch.tensor(index, device=device)
        self.unknown = torch.tensor([float(r.gain is None) for r in archive.records], device=device)


def learning_rate(step: int, steps: int) -> float:
    """Share of the full rate: linear warm-up, then a cosine to a hundredth."""
    warm = min(WARM_UP_STEPS, max(steps // 10, 1))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def train_model(
    recipe: Recipe,
    archive: Archive,
    chosen: Chosen,
    seed: int,
    device: torch.device,
    report: Callable[[int, float], None] | None = None,
) -> Trained:
    """Train on the records for which `chosen` is true. `report` is called with step and mean loss."""
    seed_all(seed)
    model = create_model(recipe.model, **recipe.arguments).to(device)
    average = copy.deepcopy(model).eval()
    sampler = sampler_of(recipe, model, archive, chosen, seed)
    cutter = WindowCutter(archive, model.geometry, device)
    lead = round(model.geometry.onset_s * model.geometry.rate_hz)
    pool = NoisePool(archive, chosen, cutter)
    chance = Chance(seed, device, model.geometry.rate_hz, lead, pool if len(pool) else None)
    chain = Chain(augmentations_from(recipe.augmentation), model.task, chance)
    gains = GainTable(archive, device)
    terms = nn.Parameter(torch.zeros(max(len(gains.stations), 1), device=device))
    o = recipe.optimisation
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": o.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        {"params": [terms], "weight_decay": 0.0, "lr": o.station_rate},
    ]
    optimiser = torch.optim.AdamW(groups, lr=o.rate)
    base = [group["lr"] for group in optimiser.param_groups]
    magnitudes = torch.tensor(
        [math.nan if r.magnitude is None else r.magnitude for r in archive.records], device=device
    )
    distances = torch.tensor(
        [math.nan if r.distance_km is None else math.log10(max(r.distance_km, 1.0)) for r in archive.records],
        device=device,
    )
    trained = Trained(average, {})
    total, since, began = 0.0, 0, time.perf_counter()
    model.train()
    for step in range(o.steps):
        for group, rate in zip(optimiser.param_groups, base, strict=True):
            group["lr"] = rate * learning_rate(step, o.steps)
        draw = sampler.draw(o.batch)
        x, valid = cutter.cut(draw)
        x, valid = chain.waveform(x, valid)
        if isinstance(model, EventTypeModel):
            label = torch.from_numpy(draw.label).to(device)
            loss = nn.functional.cross_entropy(model.raw(x, valid), label, label_smoothing=o.label_smoothing)
        elif isinstance(model, MagnitudeModel):
            record = torch.from_numpy(draw.record).to(device)
            shift = chance.uniform(o.batch, low=-o.magnitude_shift, high=o.magnitude_shift)
            ground = x * (10**shift / gains.gain[record])[:, None, None]
            term = terms[gains.index[record]] * gains.unknown[record]
            likelihood, distance = model.losses(ground, valid, magnitudes[record] + shift, term, distances[record])
            loss = likelihood.mean() + o.distance_weight * distance.mean() + o.station_weight * terms.square().sum()
        else:
            raise TypeError(f"no loss for {type(model).__name__}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        update_average(average, model, min(o.average, (step + 1) / (step + 10)))
        total, since = total + float(loss.detach()), since + 1
        if (step + 1) % max(o.steps // 50, 1) == 0 or step + 1 == o.steps:
            mean = total / since
            trained.log.append({"step": step + 1, "loss": mean, "seconds": time.perf_counter() - began})
            if report is not None:
                report(step + 1, mean)
            total, since = 0.0, 0
    seen = {archive.records[int(i)].station for pool in sampler.candidates for i in pool.indices}
    trained.station_term = {s: float(terms[i].detach()) for i, s in enumerate(gains.stations) if s in seen}
    return trained


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Exponential moving average of weights and batch statistics."""
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def write_log(path: Path, log: list[dict[str, float]]) -> None:
    """The loop's log as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "loss", "seconds"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)

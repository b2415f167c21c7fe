"""Calibrates the probabilities of a trained model on records held out of its training, by task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.archive.task import RecordFilter
from seisedge.train.dataset.progress import Reporter
from seisedge.train.evaluation.detector import (
    Heard,
    Limits,
    hear,
    p_threshold_from,
    quiet_stretches,
    s_threshold_from,
    stretches,
    threshold_table,
    trigger_limits,
)
from seisedge.train.fit.feed import mixer_of
from seisedge.train.fit.loop import Trained
from seisedge.train.fit.temperature import CANDIDATES, fit_temperature
from seisedge.train.models._base import OnsetModel
from seisedge.train.recipes.recipe import Recipe

STREAMS = 160
CALIBRATION_SEED = 7


def calibration_of(
    recipe: Recipe, part: Trained, archive: Archive, chosen: RecordFilter, device: torch.device, report: Reporter
) -> dict[str, Tensor]:
    """The buffers of the model that calibrate it: the temperature, and of an onset detector the scale and offset of P
    and S and the thresholds. `part` was not trained on the chosen records.
    """
    model = part.model
    if not isinstance(model, OnsetModel):
        temperature = fit_temperature(recipe, part, archive, chosen, device)
        report(f"temperature {temperature:.3f}")
        return {"temperature": torch.tensor(temperature)}
    values = fit_detector(recipe, model, archive, chosen)
    for name, value in values.items():
        getattr(model, name).copy_(value)
    d = recipe.detector
    swarm, noise, quiet = heard_on(model, archive, chosen, d.gate_ratio)
    rows = threshold_table(swarm, noise, quiet)
    limits = trigger_limits(swarm, noise, quiet)
    report(
        f"STA/LTA: matched {limits.matched:.3g}, onsets per hour: noise {limits.noise_per_hour:.3g}, "
        f"quiet {limits.quiet_per_hour:.3g}"
    )
    limits = Limits(
        limits.matched if d.matched is None else d.matched,
        limits.noise_per_hour if d.noise_per_hour is None else d.noise_per_hour,
        limits.quiet_per_hour if d.quiet_per_hour is None else d.quiet_per_hour,
    )
    p, s = p_threshold_from(rows, limits), s_threshold_from(swarm, d.s_precision)
    values["thresholds"] = torch.tensor([p, s])
    report(f"temperature {float(values['temperature']):.3f}, picks {values['picks'].tolist()}, P {p:g}, S {s:g}")
    for row in rows:
        if row.threshold != p and round(row.threshold * 1000) % 100:
            continue
        figures = (
            ("recall", row.recall), ("matched", row.matched), ("noise onsets per hour", row.noise_per_hour),
            ("quiet onsets per hour", row.quiet_per_hour),
        )  # fmt: skip
        known = [f"{what} {value:.3g}" for what, value in figures if value is not None]
        if known:
            report(f"threshold {row.threshold:g}: {', '.join(known)}")
    return values


def heard_on(
    model: OnsetModel, archive: Archive, chosen: RecordFilter, gate_ratio: float
) -> tuple[list[Heard], list[Heard], list[Heard]]:
    """The detector on the chosen recordings of earthquakes, on those of noise, and on the noise before events."""

    def swarm(record: Record) -> bool:
        return chosen(record) and record.source.endswith("_continuous")

    def noise(record: Record) -> bool:
        return chosen(record) and record.kind == "noise"

    parts = stretches(archive, swarm), stretches(archive, noise), quiet_stretches(archive, chosen)
    heard = [hear(model, part, gate_ratio) for part in parts]
    return heard[0], heard[1], heard[2]


@torch.no_grad()
def fit_detector(recipe: Recipe, model: OnsetModel, archive: Archive, chosen: RecordFilter) -> dict[str, Tensor]:
    """Temperature of the classes, scale and offset of P and S, on streams mixed from the chosen records; unchanged
    where these contain no noise or no events.
    """
    try:
        mixer = mixer_of(recipe, model, archive, chosen, CALIBRATION_SEED)
    except InputError:
        return {"temperature": torch.ones(()), "picks": torch.tensor([[1.0, 1.0], [0.0, 0.0]])}
    logits, batches = [], []
    device = next(model.parameters()).device
    for _ in range(STREAMS // 8):
        batch = mixer.batch(8)
        logits.append(model.eval().raw(batch[0].to(device), batch[1].to(device)).cpu())
        batches.append(batch[2:])
    z = torch.cat(logits)
    picks, picks_weight, kind, kind_weight = (torch.cat([b[k] for b in batches]) for k in range(4))
    platt = [platt_of(z[..., k], picks[..., k], picks_weight[..., k]) for k in range(2)]
    flat, weight = z[..., 2:].flatten(0, 1), kind_weight.flatten()
    losses = [
        float((F.cross_entropy(flat / float(t), kind.flatten(), reduction="none") * weight).sum()) for t in CANDIDATES
    ]
    return {
        "temperature": torch.tensor(float(CANDIDATES[int(np.argmin(losses))])),
        "picks": torch.tensor(platt).T.contiguous(),
    }


def platt_of(z: Tensor, target: Tensor, weight: Tensor) -> Sequence[float]:
    """Scale and offset of logits with the smallest log loss (Platt 1999), by Newton's method.

    1 and 0 where the targets are all the same.
    """
    z, target, weight = (v.flatten().double() for v in (z, target, weight))
    known = weight > 0
    z, target = z[known], target[known]
    if not 0 < float(target.sum()) < len(target):
        return 1.0, 0.0
    columns = torch.stack([z, torch.ones_like(z)], dim=1)
    at = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for _ in range(30):
        p = torch.sigmoid(columns @ at)
        gradient = columns.T @ (p - target)
        curvature = columns.T @ (columns * (p * (1 - p))[:, None]) + 1e-6 * torch.eye(2, dtype=torch.float64)
        at = at - torch.linalg.solve(curvature, gradient)
    return float(at[0]), float(at[1])

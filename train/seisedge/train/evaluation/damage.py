"""Damage to records at defined amounts: the augmentations of training, one at a time, applied to every record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seisedge.train.archive.sampler import Draw
from seisedge.train.augment import Chance, augmentation_from
from seisedge.train.augment._base import Augmentation
from seisedge.train.evaluation.answers import Predictor
from seisedge.train.evaluation.predict import Damage
from seisedge.train.evaluation.subject import Subject

SEED = 11
HORIZONTALS = "horizontals absent"

Make = Callable[[float], dict[str, object]]


@dataclass(frozen=True)
class Ladder:
    """One kind of damage, from mild to severe. unit: of the amounts; '' if it has no amount.

    table: amount → arguments of the augmentation. three: applies only to records with three components.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    table: Make
    three: bool = False


def _pair(key: str) -> Make:
    return lambda amount: {key: [amount, amount]}


LADDERS = (
    Ladder("gap", "s", (0.5, 1, 2, 4, 8), _pair("length_s")),
    Ladder("dead-channel", "", (1,), lambda _: {"how": "absent"}, three=True),
    Ladder("flat-channel", "", (1,), lambda _: {"how": "flat"}, three=True),
    Ladder(HORIZONTALS, "", (1,), lambda _: {}, three=True),
    Ladder("swapped-horizontals", "", (1,), lambda _: {}, three=True),
    Ladder("flipped-channel", "", (1,), lambda _: {}),
    Ladder("gain-error", "ln factor", (0.05, 0.1, 0.3, 0.7), lambda amount: {"spread": amount}),
    Ladder("clipping", "of the peak", (0.8, 0.5, 0.2, 0.1), _pair("level")),
    Ladder("offset", "standard deviations", (1, 10, 100), _pair("size")),
    Ladder("spikes", "a component", (1, 3, 10), lambda amount: {"count": int(amount), "size": [20.0, 20.0]}),
    Ladder("mixed-noise", "dB signal to noise", (20, 10, 5, 0, -5), _pair("snr_db")),
    Ladder("shift", "s late", (-2, -1, -0.5, 0.5, 1, 2), _pair("seconds")),
)
KIND = {"flat-channel": "dead-channel"}  # ladder → augmentation, if the names differ


class Noise:
    """Recorded noise of the archive, for `mixed-noise`."""

    def __init__(self, predictor: Predictor, pool: list[int]) -> None:
        self._ask, self._pool = predictor, np.array(pool, dtype=np.int64)

    def __call__(self, chance: Chance, size: int) -> tuple[Tensor, Tensor]:
        """Waveform and mask, (size, 3, n) each."""
        predictor = self._ask
        n = predictor.subject.geometry.n_samples
        pick = (chance.uniform(size).cpu().numpy() * len(self._pool)).astype(np.int64)
        record = self._pool[np.minimum(pick, len(self._pool) - 1)]
        end = np.array([predictor.archive.records[i].noise_end for i in record])
        zeros = np.zeros(size, np.int64)
        draw = Draw(record, end - n, np.full(size, n), np.ones((size, 3), dtype=bool), zeros, zeros, end)
        return predictor.cut(draw)


def noise_of(predictor: Predictor, chosen: np.ndarray) -> Noise | None:
    """Noise of the chosen records (bool, by record) that is at least as long as the window; None if there is none."""
    n = predictor.subject.geometry.n_samples
    pool = [int(i) for i in np.flatnonzero(chosen) if predictor.archive.records[i].noise_end >= n]
    return Noise(predictor, pool) if pool else None


def damage_from(ladder: Ladder, amount: float, subject: Subject, noise: Noise | None, device: torch.device) -> Damage:
    """A function that damages a batch. The random numbers are seeded, so each new function does the same."""
    if ladder.name == HORIZONTALS:

        def absent(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
            there = torch.cat([valid[:, :1], torch.zeros_like(valid[:, 1:])], dim=1)
            return torch.where(there > 0.5, x, 0.0), there

        return absent
    g = subject.geometry
    chance = Chance(SEED, device, g.rate_hz, round(g.onset_s * g.rate_hz), noise)
    kind: Augmentation = augmentation_from(
        {"name": KIND.get(ladder.name, ladder.name), "share": 1.0, **ladder.table(amount)}
    )

    @torch.no_grad()
    def change(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        return kind(x, valid, chance)

    return change

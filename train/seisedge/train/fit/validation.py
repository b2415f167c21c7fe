"""The loss on held-out records during training. The windows are fixed, so values are comparable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import nn

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter, show_marks
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.streams import StreamMixer
from seisedge.train.archive.task import RecordFilter
from seisedge.train.evaluation.predict import training_windows
from seisedge.train.fit.objective import Objective, OnsetObjective
from seisedge.train.models._base import MagnitudeModel, Model, OnsetModel
from seisedge.train.recipes.recipe import Recipe

AT_MOST = 256  # windows for each answer length
PIECE = 64
N_STREAM_BATCHES = 6


class Validation(Protocol):
    """Held-out data on which a training is measured."""

    def measure(self, objective: nn.Module, average: nn.Module) -> tuple[float, float, float]:
        """Loss, score and F1 of the averaged model; F1 is the mean of the labels present, nan where it is not
        defined.
        """


class WindowValidation:
    """Windows of the chosen records at each answer length; all labels have the same total weight."""

    def __init__(
        self, recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter, cutter: WindowCutter
    ) -> None:
        self.cutter = cutter
        self.draws: list[Draw] = []
        for answer_s in recipe.nuisance.answers_s:
            windows = training_windows(recipe, model, archive, chosen, answer_s, faint=False)
            step = max(-(-len(windows.record) // AT_MOST), 1)
            windows = windows.part(np.arange(len(windows.record)) % step == 0)
            for label in np.unique(windows.label):
                self.draws.append(windows.part(windows.label == label).draw(model.geometry, answer_s, False))

    def __len__(self) -> int:
        return len(self.draws)

    @torch.no_grad()
    def measure(self, objective: nn.Module, average: nn.Module) -> tuple[float, float, float]:
        """Loss, score and F1 of the averaged model on the held-out windows. F1 by argmax: of the bins of a magnitude
        model, else of the labels; each draw has the same total weight.
        """
        if not isinstance(objective, Objective) or not isinstance(average, Model):
            raise TypeError(f"no windows for {type(objective).__name__}")
        trained = objective.model
        objective.model = average.eval()
        totals, counts = torch.zeros(2), np.zeros((len(average.labels), len(average.labels)))
        for draw in self.draws:
            size = len(draw.record)
            for part in _pieces(draw):
                x, valid = self.cutter.cut(part)
                show_marks(average, self.cutter, part)
                label, record = (torch.from_numpy(v).to(x.device) for v in (part.label, part.record))
                loss, score, raw = objective.outcome(x, valid, label, record, torch.zeros(len(x), device=x.device))
                totals += torch.stack([loss, score]).float().cpu() * len(x) / size
                answer = average.probabilities(raw).argmax(1).cpu().numpy()
                truth = part.label
                if isinstance(average, MagnitudeModel):
                    magnitude = torch.nan_to_num(objective.facts.magnitude[record])
                    truth = torch.bucketize(magnitude, average.inner_edges).cpu().numpy()
                np.add.at(counts, (truth, answer), 1 / size)
        objective.model = trained
        loss, score = (totals / len(self.draws)).tolist()
        present = np.flatnonzero(counts.sum(1))
        of_label = [2 * counts[k, k] / (counts[k].sum() + counts[:, k].sum()) for k in present]
        return loss, score, float(np.mean(of_label)) if of_label else math.nan


def _pieces(draw: Draw) -> Iterator[Draw]:
    """The windows of a draw, PIECE at a time."""
    for first in range(0, len(draw.record), PIECE):
        yield Draw(**{k: getattr(draw, k)[first : first + PIECE] for k in Draw.__dataclass_fields__})


class StreamValidation:
    """Streams mixed from held-out records, always the same."""

    def __init__(self, mixer: StreamMixer, model: OnsetModel, device: torch.device) -> None:
        self.batches = [tuple(v.to(device) for v in mixer.batch(8)) for _ in range(N_STREAM_BATCHES)]
        self.model = model

    @torch.no_grad()
    def measure(self, objective: nn.Module, average: nn.Module) -> tuple[float, float, float]:
        """Loss and score of the averaged model on the streams; F1 is not defined for a detector."""
        if not isinstance(objective, OnsetObjective):
            raise TypeError(f"no streams for {type(objective).__name__}")
        trained = objective.model
        objective.model = average.eval()  # type: ignore[assignment]  # a copy of the model
        totals = torch.stack([torch.stack(objective(*batch)) for batch in self.batches])
        objective.model = trained
        loss, score = totals.mean(0).tolist()
        return loss, score, math.nan

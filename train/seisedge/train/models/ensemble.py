"""The mean of several models, as a teacher of a smaller one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seisedge.train.models._base import Model

SMALLEST = 1e-7  # probability


class Ensemble(Model):
    """Gives the mean probabilities of models with the same labels and windows; temperature: that of the first one."""

    def __init__(self, models: Sequence[Model]) -> None:
        first = models[0]
        super().__init__(first.geometry, first.labels, first.band_hz)
        self.task, self.unit = first.task, first.unit
        self.models = nn.ModuleList(models)
        self.temperature.copy_(first.temperature)

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """Logits (batch, n_labels) whose softmax at the temperature is the mean."""
        mean = torch.stack([model(waveform, valid) for model in self.models]).mean(0)
        return mean.clamp(min=SMALLEST).log() * self.temperature

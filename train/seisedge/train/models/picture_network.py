"""The model around the networks of paper A: a line plot of 60 s at 100 Hz, 224 × 224 pixels, 30 magnitude bins.

The amplitude scale is removed. With `marks = "catalogue"` the picture contains the times of P, S and the end of the
signal. A station does not have them, so such a model reproduces the paper and cannot be exported.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from seisedge.runtime.errors import InputError
from seisedge.train.models._base import BinnedMagnitudeModel, Geometry, PictureModel, magnitude_bins
from seisedge.train.models.attention_2d import Attention, attention_2d, shrinkage_2d
from seisedge.train.models.picture import LinePlot

Marks = Literal["none", "catalogue"]
BINS = 30


@dataclass(frozen=True, slots=True)
class Additions:
    """What paper A adds to a network: attention and shrinkage."""

    attention: Attention = "none"
    shrinkage: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """The picture: its marks, and the nominal time of P in s from the start of the window of 60 s."""

    marks: Marks = "none"
    onset_s: float = 7.5


class PictureNetwork(PictureModel, BinnedMagnitudeModel):
    """60 s at 100 Hz, a network on the picture, a softmax over the bins.

    Layers of subclasses have the names of torchvision, so that its weights can be loaded.
    """

    def __init__(self, given: Input) -> None:
        if given.marks not in get_args(Marks):
            raise ValueError(f"marks must be none or catalogue; got {given.marks!r}")
        if not 0 < given.onset_s < 60:
            raise ValueError(f"onset_s must be above 0 and below 60; got {given.onset_s:g}")
        labels, edges = magnitude_bins(outer=False)
        super().__init__(Geometry(6_000, 100.0, given.onset_s), labels, edges, (0.0, 40.0))
        self.wants_marks = given.marks == "catalogue"
        self.front = LinePlot(6_000)

    def picture(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """The picture (batch, 3, 224, 224), with the marks of the batch and, in training mode, the augmentation."""
        picture = self.front(waveform, valid)
        if self.wants_marks:
            if self.marks is None:
                raise InputError(
                    "this model was trained on pictures with the catalogued times of P, S and end, which are missing "
                    'here: it cannot be exported or run at a station; train it with arguments.marks = "none"'
                )
            picture = self.front.marked(picture, self.marks)
        if self.training and self.distort is not None:
            picture = self.distort(picture)
        out: Tensor = picture
        return out

    @abc.abstractmethod
    def scores(self, picture: Tensor) -> Tensor:
        """(batch, 3, 224, 224) → (batch, BINS)."""

    def logits(self, waveform: Tensor, valid: Tensor, station_term: Tensor | None = None) -> Tensor:
        """(batch, BINS), before temperature. The amplitude scale is removed, so station_term is not used."""
        return self.scores(self.picture(waveform, valid))


class StackedNetwork(PictureNetwork):
    """Convolutions and maxima over pixels (`features`), then fully connected layers (`classifier`).

    Shrinkage and attention are before each maximum. They are in lists of their own, so that the numbers of the layers
    in `features` are those of torchvision. An argument `channels`: of the input of each maximum.
    """

    def __init__(
        self, given: Input, features: nn.Sequential, classifier: nn.Sequential, channels: list[int], added: Additions
    ) -> None:
        super().__init__(given)
        self.features, self.classifier = features, classifier
        self.shrinks = nn.ModuleList(shrinkage_2d(added.shrinkage, c) for c in channels)
        self.attentions = nn.ModuleList(attention_2d(added.attention, c) for c in channels)

    def scores(self, picture: Tensor) -> Tensor:
        """(batch, 3, 224, 224) → (batch, BINS)."""
        x, stage = picture, 0
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                x = self.attentions[stage](self.shrinks[stage](x))
                stage += 1
            x = layer(x)
        out: Tensor = self.classifier(x.flatten(1))
        return out

"""ResNet18 with CBAM and residual shrinkage on a line plot of the waveform: magnitude bins, as in paper A.

The amplitude scale is removed. With `marks = "catalogue"` the picture contains the times of P, S and the end of the
signal. A station does not have them, so such a model reproduces the paper and cannot be exported. Layers have the names
of torchvision, so that training can start from the weights of its `resnet18` (ImageNet): `--from resnet18.pth`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from seisedge.runtime.errors import InputError
from seisedge.train.models._base import BinnedMagnitudeModel, Geometry, PictureModel, magnitude_bins
from seisedge.train.models._registry import register_model
from seisedge.train.models.cbam_2d import CBAM2d, Shrinkage2d
from seisedge.train.models.picture import LinePlot

Marks = Literal["none", "catalogue"]


class PictureBlock(nn.Module):
    """Two 3 × 3 convolutions, shrinkage on their output, parallel to the shortcut; CBAM after the sum."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shrink = Shrinkage2d(channels_out)
        self.attend = CBAM2d(channels_out)
        self.downsample = (
            nn.Identity()
            if stride == 1 and channels_in == channels_out
            else nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, h, w) → (batch, channels_out, h / stride, w / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.shrink(self.bn2(self.conv2(y)))
        out: Tensor = self.attend(torch.relu(y + self.downsample(x)))
        return out


class ResNetImage(PictureModel, BinnedMagnitudeModel):
    """The paper's network: 60 s at 100 Hz from 7.5 s before P, 224 × 224 pixels, a softmax over the bins."""

    def __init__(self, marks: Marks) -> None:
        labels, edges = magnitude_bins(outer=False)
        super().__init__(Geometry(6_000, 100.0, 7.5), labels, edges, (0.0, 40.0))
        if marks not in ("none", "catalogue"):
            raise InputError(f"model 'resnet18_cbam_image': marks must be none or catalogue; got {marks!r}")
        self.wants_marks = marks == "catalogue"
        self.front = LinePlot(6_000)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(PictureBlock(64, 64, 1), PictureBlock(64, 64, 1))
        self.layer2 = nn.Sequential(PictureBlock(64, 128, 2), PictureBlock(128, 128, 1))
        self.layer3 = nn.Sequential(PictureBlock(128, 256, 2), PictureBlock(256, 256, 1))
        self.layer4 = nn.Sequential(PictureBlock(256, 512, 2), PictureBlock(512, 512, 1))
        self.fc = nn.Linear(512, len(labels))

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

    def logits(self, waveform: Tensor, valid: Tensor, station_term: Tensor | None = None) -> Tensor:
        """(batch, n_labels), before temperature. The amplitude scale is removed, so station_term is not used."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(self.picture(waveform, valid)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


@register_model
def resnet18_cbam_image(marks: Marks = "none") -> BinnedMagnitudeModel:
    """ResNet18 with CBAM and shrinkage on a 224 × 224 line plot; 30 bins."""
    return ResNetImage(marks)

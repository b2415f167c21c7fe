"""Paper A's augmentations of its input, a line plot of the waveform: scale, flip, rotation, resize and crop.

Each is a linear map of the plane, applied to pictures (batch, channels, height, width) and to their mask with bilinear
interpolation. Areas that come from outside the picture are empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, need_range
from seisedge.train.augment._registry import register_augmentation


def mapped(x: Tensor, matrix: Tensor) -> Tensor:
    """x (batch, channels, h, w) after a linear map: the pixel at p gets the value at matrix · p.

    matrix: (batch, 2, 2). Coordinates are relative to the centre; half the picture is 1.
    """
    theta = torch.cat([matrix, torch.zeros_like(matrix[:, :, :1])], dim=2)  # (batch, 2, 3): no translation
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def zoom(inverse_x: Tensor, inverse_y: Tensor) -> Tensor:
    """Matrix (batch, 2, 2) of an enlargement; the arguments (batch,) are the inverse factors."""
    zero = torch.zeros_like(inverse_x)
    return torch.stack([torch.stack([inverse_x, zero], 1), torch.stack([zero, inverse_y], 1)], 1)


@dataclass(frozen=True, kw_only=True)
class PictureAugmentation(Augmentation):
    """Base class: a linear map for each picture."""

    acts_on: ClassVar[Literal["waveform", "picture"]] = "picture"

    def matrix(self, x: Tensor, chance: Chance) -> Tensor:
        """The maps (batch, 2, 2), as for `mapped`."""
        raise NotImplementedError(f"{type(self).__name__} must define matrix()")

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        matrix = self.matrix(x, chance)
        return mapped(x, matrix), mapped(valid, matrix).gt(0.5).to(valid.dtype)


@register_augmentation("picture-scale")
@dataclass(frozen=True, kw_only=True)
class PictureScale(PictureAugmentation):
    """factor: enlargement, equal in both directions."""

    factor: Range = (0.9, 1.1)

    def check(self) -> None:
        need_range("factor", self.factor, above=0.0)

    def matrix(self, x: Tensor, chance: Chance) -> Tensor:
        inverse = 1 / chance.uniform(len(x), low=self.factor[0], high=self.factor[1])
        return zoom(inverse, inverse)


@register_augmentation("picture-flip")
@dataclass(frozen=True, kw_only=True)
class PictureFlip(PictureAugmentation):
    """Mirrors the picture left to right: time is reversed."""

    share: float = 0.5

    def matrix(self, x: Tensor, chance: Chance) -> Tensor:
        one = torch.ones(len(x), device=x.device, dtype=x.dtype)
        return zoom(-one, one)


@register_augmentation("picture-rotation")
@dataclass(frozen=True, kw_only=True)
class PictureRotation(PictureAugmentation):
    """angle_deg: rotation about the centre."""

    angle_deg: Range = (-5.0, 5.0)

    def check(self) -> None:
        need_range("angle_deg", self.angle_deg)

    def matrix(self, x: Tensor, chance: Chance) -> Tensor:
        low, high = (math.radians(angle) for angle in self.angle_deg)
        angle = chance.uniform(len(x), low=low, high=high)
        c, s = angle.cos(), angle.sin()
        return torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)


@register_augmentation("picture-resize-crop")
@dataclass(frozen=True, kw_only=True)
class PictureResizeCrop(PictureAugmentation):
    """resized: pixels per side after resizing, before the centre is cropped. The paper uses 256 for 224."""

    resized: int = 256

    def check(self) -> None:
        if self.resized < 1:
            raise ValueError(f"resized must be at least 1; got {self.resized}")

    def matrix(self, x: Tensor, chance: Chance) -> Tensor:
        one = torch.ones(len(x), device=x.device, dtype=x.dtype)
        return zoom(one * x.shape[-1] / self.resized, one * x.shape[-2] / self.resized)

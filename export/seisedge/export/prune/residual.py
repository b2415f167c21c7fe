"""Surgery on the ResNet for the station: a width a stage, and inside each block one of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from seisedge.export.prune.surgery import (
    Group,
    Keep,
    Surgery,
    conv_of,
    copy_conv,
    copy_norm,
    copy_perceptron,
    copy_same,
    register_surgery,
)
from seisedge.train.models._base import Model
from seisedge.train.models.resnet import ResidualBlock, ResidualShape, ResNetOrdinal


@register_surgery(ResNetOrdinal)
class ResidualSurgery(Surgery):
    """Groups: stages, the stem with the first; the inside of each block."""

    def __init__(self, model: ResNetOrdinal) -> None:
        super().__init__(model)
        self.ordinal, self.trunk = model, model.trunk
        self.parts = [b for b in model.trunk.blocks if isinstance(b, ResidualBlock)]
        self.stage = [k for k, inner in enumerate(model.trunk.shape.inner) for _ in inner]

    def blocks(self) -> dict[int, list[nn.Module]]:
        first = {self.stage.index(k) for k in set(self.stage)}  # a stage keeps its first block
        return {i: [b] for i, b in enumerate(self.parts) if i not in first and isinstance(b.shortcut, nn.Identity)}

    def groups(self) -> list[Group]:
        out = []
        for k, width in enumerate(self.trunk.shape.widths):
            outputs: list[nn.Module] = [b.attend for b, stage in zip(self.parts, self.stage, strict=True) if stage == k]
            out.append(Group(f"stage {k}", width, outputs))
        for i, block in enumerate(self.parts):
            out.append(Group(f"inside {i}", conv_of(block.body[0]).out_channels, [block.body[2]]))
        return out

    def shape(self, units: Mapping[str, int], dropped: Collection[int]) -> dict[str, Any]:
        stages = range(len(self.trunk.shape.widths))
        inner = [
            [units[f"inside {i}"] for i, s in enumerate(self.stage) if s == k and i not in dropped] for k in stages
        ]
        return dataclasses.asdict(ResidualShape([units[f"stage {k}"] for k in stages], inner))

    def copy(self, child: Model, keep: Keep, dropped: Collection[int]) -> None:
        assert isinstance(child, ResNetOrdinal)
        into = keep["stage 0"]
        every = torch.arange(conv_of(self.trunk.stem[0]).in_channels)
        copy_conv(child.trunk.stem[0], self.trunk.stem[0], into, every)
        copy_norm(child.trunk.stem[1], self.trunk.stem[1], into)
        place = 0
        for i, block in enumerate(self.parts):
            if i in dropped:
                continue
            to = child.trunk.blocks[place]
            assert isinstance(to, ResidualBlock)
            out, inside = keep[f"stage {self.stage[i]}"], keep[f"inside {i}"]
            copy_conv(to.body[0], block.body[0], inside, into)
            copy_norm(to.body[1], block.body[1], inside)
            copy_conv(to.body[3], block.body[3], out, inside)
            copy_norm(to.body[4], block.body[4], out)
            copy_perceptron(to.shrink.alpha, block.shrink.alpha, out)
            copy_perceptron(to.attend.channel.shared, block.attend.channel.shared, out)
            copy_same(to.attend.spatial, block.attend.spatial)
            if isinstance(block.shortcut, nn.Sequential) and isinstance(to.shortcut, nn.Sequential):
                copy_conv(to.shortcut[0], block.shortcut[0], out, into)
                copy_norm(to.shortcut[1], block.shortcut[1], out)
            into, place = out, place + 1
        width = self.trunk.shape.widths[-1]
        both = torch.cat([into, into + width])  # mean and maximum of each channel
        with torch.no_grad():
            narrow, first = child.head[1], self.ordinal.head[1]
            assert isinstance(narrow, nn.Linear) and isinstance(first, nn.Linear)
            narrow.weight.copy_(first.weight[:, both])
            narrow.bias.copy_(first.bias)
            copy_same(child.head[4], self.ordinal.head[4])
            for name in ("slope", "offset", "decay", "temperature"):
                getattr(child, name).copy_(getattr(self.ordinal, name))

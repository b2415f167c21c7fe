"""Surgery on the station's GA-Net: a ghost module loses a map together with its ghost."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seisedge.export.prune.surgery import (
    Group,
    Keep,
    Surgery,
    channels_of,
    conv_of,
    copy_conv,
    copy_norm,
    copy_perceptron,
    copy_same,
    register_surgery,
)
from seisedge.train.models._base import Model
from seisedge.train.models.cbam import CBAM
from seisedge.train.models.ganet import GANetSmall, GhostShape
from seisedge.train.models.ghost import GhostBottleneck, GhostModule


@register_surgery(GANetSmall)
class GhostSurgery(Surgery):
    """Groups: the stem; the output width of blocks tied by identities; the inside of each block; the last layer."""

    def __init__(self, model: GANetSmall) -> None:
        super().__init__(model)
        self.trunk, self.stem = model.trunk, model.stem
        self.bottlenecks = [b for b in model.trunk.bottlenecks if isinstance(b, GhostBottleneck)]
        self.attentions = [a for a in model.trunk.attentions if isinstance(a, CBAM)]
        self.whole = model.shape
        self.width: list[str] = []  # by block: the group of its output
        for i, block in enumerate(self.bottlenecks):
            tied = isinstance(block.shortcut, nn.Identity)
            self.width.append((self.width[-1] if self.width else "stem") if tied else f"width {i}")

    def blocks(self) -> dict[int, list[nn.Module]]:
        pairs = enumerate(zip(self.bottlenecks, self.attentions, strict=True))
        return {i: [b, a] for i, (b, a) in pairs if isinstance(b.shortcut, nn.Identity)}

    def groups(self) -> list[Group]:
        out = [Group("stem", self.whole.stem, [self.stem])]
        for name in dict.fromkeys(w for w in self.width if w != "stem"):
            members = [i for i, w in enumerate(self.width) if w == name]
            half = self.whole.widths[members[0]] // 2
            out.append(Group(name, half, [self.attentions[i] for i in members], paired=True, step=1))
        for i, block in enumerate(self.bottlenecks):
            out.append(Group(f"inside {i}", self.whole.expanded[i] // 2, [block.expand], paired=True))
        out.append(Group("last", self.whole.last, [self.trunk.last], step=4, least=8))
        return out

    def shape(self, units: Mapping[str, int], dropped: Collection[int]) -> dict[str, Any]:
        left = [i for i in range(len(self.bottlenecks)) if i not in dropped]
        widths = [units[self.width[i]] * (1 if self.width[i] == "stem" else 2) for i in left]
        expanded = [2 * units[f"inside {i}"] for i in left]
        strides = [self.whole.strides[i] for i in left]
        return dataclasses.asdict(GhostShape(units["stem"], widths, expanded, strides, units["last"]))

    def fits(self, units: Mapping[str, int], dropped: Collection[int]) -> bool:
        """False where a block would have equal widths: it would be built without its learned shortcut."""
        shape = self.shape(units, dropped)
        into = [shape["stem"], *shape["widths"][:-1]]
        left = [b for i, b in enumerate(self.bottlenecks) if i not in dropped]
        return all(
            isinstance(block.shortcut, nn.Identity) or block.stride > 1 or before != after
            for block, before, after in zip(left, into, shape["widths"], strict=True)
        )

    def copy(self, child: Model, keep: Keep, dropped: Collection[int]) -> None:
        assert isinstance(child, GANetSmall)
        groups = {g.name: g for g in self.groups()}
        channels = {name: channels_of(groups[name], places) for name, places in keep.items()}
        into = channels["stem"]
        every = torch.arange(conv_of(self.stem[0]).in_channels)
        copy_conv(child.stem[0], self.stem[0], into, every)
        copy_norm(child.stem[1], self.stem[1], into)
        place = 0
        for i, block in enumerate(self.bottlenecks):
            if i in dropped:
                continue
            to, attend = child.trunk.bottlenecks[place], child.trunk.attentions[place]
            assert isinstance(to, GhostBottleneck)
            out = channels[self.width[i]]
            inside, pairs = channels[f"inside {i}"], keep[f"inside {i}"]
            _copy_module(to.expand, block.expand, pairs, into)
            if isinstance(block.down, nn.Sequential) and isinstance(to.down, nn.Sequential):
                copy_conv(to.down[0], block.down[0], inside)
                copy_norm(to.down[1], block.down[1], inside)
            _copy_module(to.reduce, block.reduce, keep[self.width[i]], inside)
            if isinstance(block.shortcut, nn.Sequential) and isinstance(to.shortcut, nn.Sequential):
                copy_conv(to.shortcut[0], block.shortcut[0], into)
                copy_norm(to.shortcut[1], block.shortcut[1], into)
                copy_conv(to.shortcut[2], block.shortcut[2], out, into)
                copy_norm(to.shortcut[3], block.shortcut[3], out)
            _copy_attention(attend, self.attentions[i], out)
            into, place = out, place + 1
        last = channels["last"]
        copy_conv(child.trunk.last[0], self.trunk.last[0], last, into)
        copy_norm(child.trunk.last[1], self.trunk.last[1], last)
        _copy_attention(child.trunk.attention, self.trunk.attention, last)
        with torch.no_grad():
            child.trunk.classify.weight.copy_(self.trunk.classify.weight[:, last])
            child.trunk.classify.bias.copy_(self.trunk.classify.bias)
            child.temperature.copy_(self.model.temperature)


def _copy_attention(to: nn.Module, of: nn.Module, kept: Tensor) -> None:
    assert isinstance(to, CBAM) and isinstance(of, CBAM)
    copy_perceptron(to.channel.shared, of.channel.shared, kept)
    copy_same(to.spatial, of.spatial)


def _copy_module(to: nn.Module, of: nn.Module, pairs: Tensor, into: Tensor) -> None:
    assert isinstance(to, GhostModule) and isinstance(of, GhostModule)
    copy_conv(to.primary[0], of.primary[0], pairs, into)
    copy_norm(to.primary[1], of.primary[1], pairs)
    copy_conv(to.cheap[0], of.cheap[0], pairs)
    copy_norm(to.cheap[1], of.cheap[1], pairs)

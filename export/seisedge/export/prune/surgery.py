"""What a network brings so that it can be pruned: groups of channels, optional blocks, and how to copy weights.

A network becomes prunable by a subclass of `Surgery` under `@register_surgery(ItsClass)`, in any imported module.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seisedge.runtime.errors import InputError
from seisedge.train.models import describe_model, model_names
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe

Keep = Mapping[str, Tensor]  # group → places of the units that stay, ascending


@dataclass(frozen=True)
class Group:
    """Channels that are kept or removed together. outputs: modules whose output has these channels.

    paired: a unit is a map of a ghost module and its ghost, channels j and j + units.
    step: units taken at a time. least: units that stay.
    """

    name: str
    units: int
    outputs: Sequence[nn.Module]
    paired: bool = False
    step: int = 2
    least: int = 4


class Surgery(abc.ABC):
    """The surgery of one model. Only blocks whose shortcut is an identity can be dropped: others change the shape."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @abc.abstractmethod
    def blocks(self) -> dict[int, list[nn.Module]]:
        """Modules of each block that can be dropped, by the place of the block; skipped, each returns its input."""

    @abc.abstractmethod
    def groups(self) -> list[Group]:
        """All groups of the whole model."""

    @abc.abstractmethod
    def shape(self, units: Mapping[str, int], dropped: Collection[int]) -> dict[str, Any]:
        """The argument `shape` of a model with these numbers of units by group and without the dropped blocks."""

    def fits(self, units: Mapping[str, int], dropped: Collection[int]) -> bool:
        """True if a model of that shape has the same layers, only narrower."""
        return True

    @abc.abstractmethod
    def copy(self, child: Model, keep: Keep, dropped: Collection[int]) -> None:
        """Copy the weights that are kept into a model of that shape."""


Kind = TypeVar("Kind", bound=type[Surgery])

_SURGERIES: dict[type[Model], type[Surgery]] = {}


def register_surgery(model_class: type[Model]) -> Callable[[Kind], Kind]:
    """Register the decorated surgery for a class of models. A subclass must be registered separately, because its
    layers may differ. Raises ValueError where the class already has a surgery.
    """

    def register(surgery: Kind) -> Kind:
        if model_class in _SURGERIES:
            raise ValueError(f"{model_class.__name__} already has a surgery: {_SURGERIES[model_class].__qualname__}")
        _SURGERIES[model_class] = surgery
        return surgery

    return register


def prunable_models() -> list[str]:
    """Names of the registered models that have a surgery, sorted."""
    return [name for name in model_names() if type(describe_model(name)) in _SURGERIES]


def surgery_on(model: Model, name: str) -> Surgery:
    """The surgery of a model; name: what it is registered as. Raises InputError where it has none."""
    surgery = _SURGERIES.get(type(model))
    if surgery is None:
        raise InputError(
            f"model '{name}' cannot be pruned: {type(model).__name__} has no registered surgery; models with one: "
            f"{', '.join(prunable_models())}"
        )
    return surgery(model)


def require_prunable(recipe: Recipe, path: Path) -> None:
    """Raises InputError where the recipe's model has no surgery: before data are read or anything is trained.

    path: of the run, for the message.
    """
    try:
        surgery_on(describe_model(recipe.model, **recipe.arguments), recipe.model)
    except InputError as error:
        raise InputError(f"{path}: {error}; export the run without pruning") from error


@torch.no_grad()
def copy_conv(to: nn.Module, of: nn.Module, out: Tensor, into: Tensor | None = None) -> None:
    """Weights of the output channels `out` and input channels `into` (None: all, or depthwise)."""
    assert isinstance(to, nn.Conv1d) and isinstance(of, nn.Conv1d)
    weight = of.weight[out] if into is None else of.weight[out][:, into]
    to.weight.copy_(weight)
    if of.bias is not None and to.bias is not None:
        to.bias.copy_(of.bias[out])


@torch.no_grad()
def copy_norm(to: nn.Module, of: nn.Module, channels: Tensor) -> None:
    """Scale, shift and running statistics of these channels."""
    assert isinstance(to, nn.BatchNorm1d) and isinstance(of, nn.BatchNorm1d)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(to, name).copy_(getattr(of, name)[channels])


@torch.no_grad()
def copy_perceptron(to: nn.Sequential, of: nn.Sequential, channels: Tensor) -> None:
    """Two layers over channels; the hidden units with the largest input and output weights are kept."""
    first, last = of[0], of[2]
    assert isinstance(first, nn.Conv1d) and isinstance(last, nn.Conv1d)
    narrow = to[0]
    assert isinstance(narrow, nn.Conv1d)
    size = first.weight[:, channels].flatten(1).norm(dim=1) * last.weight[channels].flatten(2).norm(dim=(0, 2))
    hidden = size.topk(narrow.out_channels).indices.sort().values
    copy_conv(narrow, first, hidden, channels)
    copy_conv(to[2], last, channels, hidden)


@torch.no_grad()
def copy_same(to: nn.Module, of: nn.Module) -> None:
    """All parameters and persistent buffers; the shapes are equal."""
    to.load_state_dict(of.state_dict())


def conv_of(module: nn.Module) -> nn.Conv1d:
    """The module, typed as a convolution."""
    assert isinstance(module, nn.Conv1d)
    return module


def channels_of(group: Group, places: Tensor) -> Tensor:
    """Channels of the units at these places."""
    return torch.cat([places, places + group.units]) if group.paired else places

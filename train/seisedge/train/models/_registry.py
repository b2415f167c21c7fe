"""The registry of networks: the name of a network is the name of the function that builds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from seisedge.runtime.errors import InputError
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import quoted, reason_of, shortened
from seisedge.train.models._base import Model

Builder = TypeVar("Builder", bound=Callable[..., Model])

MAX_ARGUMENT = 256  # of widths and numbers of bands; a model of 1024 channels has some 50 million parameters
MAX_IN_SHAPE = 1024  # of the widths of a pruned network
MAX_ITEMS = 64

_BUILDERS: dict[str, Callable[..., Model]] = {}


def register_model(builder: Builder) -> Builder:
    """Register a builder under the name of the function. Raises ValueError if the name is in use."""
    name = builder.__name__
    if name in _BUILDERS:
        raise ValueError(f"a model named '{name}' is registered already ({_BUILDERS[name].__module__})")
    _BUILDERS[name] = builder
    return builder


def model_names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_BUILDERS)


def create_model(name: str, **arguments: Any) -> Model:
    """Build a model by name. Raises InputError for an unknown name or argument, and for a value that is not usable."""
    if name not in _BUILDERS:
        raise InputError(f"no model named '{name}'; {suggestion(name, model_names())}")
    for key, value in arguments.items():
        _check_argument(f"model '{name}': arguments.{shortened(key)}", value, MAX_ARGUMENT)
    try:
        return _BUILDERS[name](**arguments)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"model '{name}': its arguments cannot be used: {reason_of(error)}") from error


class _WithoutWeights(TorchFunctionMode):
    """Layers create their weights with torch.empty: these are put on the meta device, which stores no values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls `func`."""
        return func(*args, **((kwargs or {}) | ({"device": "meta"} if func is torch.empty else {})))


def describe_model(name: str, **arguments: Any) -> Model:
    """As `create_model`, but the weights have shapes and no values: for the number of parameters and the geometry of a
    network of any size. Its output cannot be computed.
    """
    with _WithoutWeights():
        return create_model(name, **arguments)


def parameter_count(model: Model) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in model.parameters())


def _check_argument(place: str, value: Any, highest: int, depth: int = 0) -> None:
    """Raises InputError for a number that is not finite, negative or too large: it is refused before memory is used."""
    if isinstance(value, dict | list):
        if len(value) > MAX_ITEMS or depth > 3:
            raise InputError(f"{place}: must have at most {MAX_ITEMS} items and 3 levels")
        for item in value.values() if isinstance(value, dict) else value:
            _check_argument(place, item, MAX_IN_SHAPE, depth + 1)
    elif isinstance(value, int | float) and not 0 <= value <= highest:  # False for nan
        raise InputError(f"{place}: must be from 0 to {highest}; got {quoted(value)}")

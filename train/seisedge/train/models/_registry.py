"""The registry of networks: the name of a network is the name of the function that builds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from seisedge.runtime.errors import InputError
from seisedge.runtime.suggestion import suggestion
from seisedge.train.models._base import Model

Builder = TypeVar("Builder", bound=Callable[..., Model])

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
    """Build a model by name. Raises InputError for an unknown name or argument."""
    if name not in _BUILDERS:
        raise InputError(f"no model named '{name}'; {suggestion(name, model_names())}")
    try:
        return _BUILDERS[name](**arguments)
    except TypeError as error:
        raise InputError(f"model '{name}': {error}") from error

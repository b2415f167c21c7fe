"""The registry of augmentations, and their construction from the tables of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.suggestion import suggestion
from seisedge.train.augment._base import Augmentation

Kind = TypeVar("Kind", bound=type[Augmentation])

_KINDS: dict[str, type[Augmentation]] = {}


def register_augmentation(name: str) -> Callable[[Kind], Kind]:
    """Register a class under a name for recipes. Raises ValueError if the name is in use."""

    def register(kind: Kind) -> Kind:
        if name in _KINDS:
            raise ValueError(f"an augmentation named '{name}' is registered already ({_KINDS[name].__module__})")
        kind.name = name
        _KINDS[name] = kind
        return kind

    return register


def augmentation_names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_KINDS)


def augmentation_class(name: str) -> type[Augmentation]:
    """The class of a name. Raises InputError if it is unknown."""
    if name not in _KINDS:
        raise InputError(f"no augmentation named '{name}'; {suggestion(name, augmentation_names())}")
    return _KINDS[name]


def augmentation_from(table: dict[str, Any]) -> Augmentation:
    """The augmentation of an `[[augmentation]]` table: `name`, `share` and parameters. Raises InputError."""
    if not isinstance(table.get("name"), str):
        raise InputError("augmentation: every table needs a name; known: " + ", ".join(augmentation_names()))
    kind = augmentation_class(table["name"])
    parameters = {key: value for key, value in table.items() if key != "name"}
    known = [field.name for field in dataclasses.fields(kind)]
    for key in parameters:
        if key not in known:
            raise InputError(f"augmentation.{kind.name}.{key}: unknown key; {suggestion(key, known)}")
    try:
        return msgspec.convert(parameters, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"augmentation.{kind.name}: {error}") from error


def augmentations_from(tables: Sequence[dict[str, Any]]) -> list[Augmentation]:
    """The augmentations of all tables of a recipe, in their order. Raises InputError."""
    return [augmentation_from(table) for table in tables]

"""The registry of augmentations, and recipes' tables into them."""

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
    """Make a class known to recipes under a name. Raises ValueError where the name is taken."""

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
    """Raises InputError for an unknown name."""
    if name not in _KINDS:
        raise InputError(f"no augmentation named '{name}'; {suggestion(name, augmentation_names())}")
    return _KINDS[name]


def augmentation_from(table: dict[str, Any]) -> Augmentation:
    """One `[[augmentation]]` table: `name`, `share` and sizes. Raises InputError."""
    if not isinstance(table.get("name"), str):
        raise InputError("augmentation: every table needs a name; known: " + ", ".join(augmentation_names()))
    kind = augmentation_class(table["name"])
    sizes = {key: value for key, value in table.items() if key != "name"}
    known = [field.name for field in dataclasses.fields(kind)]
    for key in sizes:
        if key not in known:
            raise InputError(f"augmentation.{kind.name}.{key}: unknown key; {suggestion(key, known)}")
    try:
        return msgspec.convert(sizes, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"augmentation.{kind.name}: {error}") from error


def augmentations_from(tables: Sequence[dict[str, Any]]) -> list[Augmentation]:
    """All tables of a recipe, in their order, which is that of their use. Raises InputError."""
    return [augmentation_from(table) for table in tables]

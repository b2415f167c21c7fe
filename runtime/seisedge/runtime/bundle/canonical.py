"""JSON in one form for one content, and JSON from outside, read strictly."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from seisedge.runtime.text import quoted, reason_of


def json_bytes(tree: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal content gives equal bytes."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def tree_from_json(data: bytes) -> Any:
    """The content of a JSON document. Raises ValueError, as a clause: also for keys that occur twice and for NaN."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError and the limit of digits of an integer
        raise ValueError(f"it is no valid JSON: {reason_of(error)}") from error


def fields_of(tree: Any, expected: dict[str, type | tuple[type, ...]], what: str) -> dict[str, Any]:
    """Check that `tree` is an object with exactly these keys and types. Raises ValueError, as a clause."""
    if not isinstance(tree, dict):
        raise ValueError(f"{what} must be an object; got {quoted(tree)}")
    missing, unknown = sorted(expected.keys() - tree.keys()), sorted(tree.keys() - expected.keys())
    if missing:
        raise ValueError(f"{what} has no '{missing[0]}'")
    if unknown:
        raise ValueError(f"{what} has the unknown key {quoted(unknown[0])}")
    for key, types in expected.items():
        value = tree[key]
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
            raise ValueError(f"{what}: '{key}' has the wrong type: {quoted(value)}")
    return tree


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {quoted(twice)} occurs twice")
    return tree


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")

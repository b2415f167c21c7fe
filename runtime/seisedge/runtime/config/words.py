"""What a setting must be, in words: from its type, its bounds, and the description and example of a pattern."""

from __future__ import annotations

from typing import Any

from msgspec import inspect as types


def expectation(kind: Any) -> str:
    """What the value of a setting of type `kind` must be, as a clause.

    >>> expectation(bool), expectation(float)
    ('must be true or false', 'must be a number')
    """
    info, facts = _plain(types.type_info(kind))
    if facts.get("description"):
        examples = facts.get("examples") or []
        example = f", for example {examples[0]!r}" if examples else ""
        return f"must be {facts['description']}{example}"
    if isinstance(info, types.LiteralType):
        return f"must be {_or([str(choice) if isinstance(choice, int) else repr(choice) for choice in info.values])}"
    if isinstance(info, types.BoolType):
        return "must be true or false"
    if isinstance(info, types.FloatType | types.IntType):
        what = "a whole number" if isinstance(info, types.IntType) else "a number"
        return f"must be {what}{_bounds(info)}"
    if isinstance(info, types.StrType):
        most = f" of at most {info.max_length} characters" if info.max_length is not None else ""
        return f"must be text in quotes{most}" + (", not empty" if info.min_length else "")
    if isinstance(info, types.ListType | types.VarTupleType):
        inner, _ = _plain(info.item_type)
        of = f" of {_or([repr(choice) for choice in inner.values])}" if isinstance(inner, types.LiteralType) else ""
        return f"must be a list{of} in square brackets, not empty"
    return "must be a table"


def _plain(info: Any) -> tuple[Any, dict[str, Any]]:
    """The type without `None`, and its description and examples."""
    facts: dict[str, Any] = {}
    while True:
        if isinstance(info, types.Metadata):
            facts |= info.extra_json_schema or {}
            info = info.type
        elif isinstance(info, types.UnionType):
            info = next(inner for inner in info.types if not isinstance(inner, types.NoneType))
        else:
            return info, facts


def _or(choices: list[str]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


def _bounds(info: types.FloatType | types.IntType) -> str:
    lowest = (
        f" of at least {info.ge:g}" if info.ge is not None else f" above {info.gt:g}" if info.gt is not None else ""
    )
    highest = f"at most {info.le:g}" if info.le is not None else f"below {info.lt:g}" if info.lt is not None else ""
    if info.ge is not None and info.le is not None:
        return f" from {info.ge:.15g} to {info.le:.15g}"
    return lowest + (f"{' and' if lowest else ''} {highest}" if highest else "")

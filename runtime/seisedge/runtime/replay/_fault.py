"""Faults of the virtual digitizer: base class, registry and the form on the command line.

`NAME` or `NAME:key=value,key=value`. A fault is a dataclass, registered under its name; its fields are its keys.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from seisedge.runtime.errors import InputError
from seisedge.runtime.replay._recording import Entry
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import shortened

# The modules that register the built-in faults; imported when the first fault is used.
BUILT_IN = ("seisedge.runtime.replay.link_faults", "seisedge.runtime.replay.record_faults")

LARGEST = 1e12  # of a number of a fault, in its own unit: more seconds or bytes than any recording has

_FAULTS: dict[str, type[Fault]] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to send at a time of the recording. alone: in a send of its own. last: then disconnect."""

    release_ns: int
    data: bytes
    alone: bool = False
    last: bool = False
    pause_s: float = 0.0  # before sending


@dataclass(frozen=True, slots=True)
class Link:
    """One connection: its number, starting at 1, and the message of its protocol at the end of the data."""

    number: int
    end_word: bytes


@dataclass
class Fault:
    """Base of all faults; the default of each hook changes nothing."""

    on: ClassVar[str] = (
        "records"  # what it changes: 'records' of any source, 'miniseed' records, or the 'link' of a server
    )

    def require(self, channels: Collection[str]) -> None:
        """Raises InputError if the fault names a channel that is not one of `channels`, those of the recording."""
        wanted = getattr(self, "channel", None)
        if wanted is not None and wanted not in channels:
            known = ", ".join(sorted(channels))
            raise InputError(f"channel={wanted} of the fault is not in the recording; its channels are {known}")

    def records(self, entries: list[Entry]) -> list[Entry]:
        """The changed records of a station, in the order in which they are sent."""
        return entries

    def first_sequence(self, first: int) -> int:
        """Sequence number of each station's first record."""
        return first

    def answers(self, number: int) -> str:
        """How connection `number` is handled: 'serve', 'reset' or 'silence'."""
        return "serve"

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        """The changed packets of a connection."""
        return pieces


F = TypeVar("F", bound=Fault)


def register_fault(name: str) -> Callable[[type[F]], type[F]]:
    """Decorate a fault; the first line of its docstring is shown by `--help`. Raises ValueError for a known name."""

    def register(fault: type[F]) -> type[F]:
        if name in _FAULTS:
            raise ValueError(f"fault {name!r} is already registered")
        _FAULTS[name] = fault
        return fault

    return register


def key(default: Any, at_least: float = -math.inf) -> Any:
    """A key of a fault, with its default and its smallest value."""
    return dataclasses.field(default=default, metadata={"at_least": at_least})


def known_faults() -> dict[str, type[Fault]]:
    """All faults by name, in alphabetical order."""
    for module in BUILT_IN:
        importlib.import_module(module)
    return dict(sorted(_FAULTS.items()))


def fault_from_spec(spec: str) -> Fault:
    """Raises InputError that names the fault, the key and the expected value."""
    faults = known_faults()
    name, _, rest = spec.partition(":")
    if name not in faults:
        raise InputError(f"fault '{name}' is unknown; {suggestion(name, faults)}")
    keys = {field.name: field for field in dataclasses.fields(faults[name])}
    values: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        word, mark, text = item.partition("=")
        if word not in keys:
            raise InputError(f"fault '{name}' has no key '{word}'; {suggestion(word, keys)}")
        if not mark:
            raise InputError(f"fault '{name}': '{item}' must be {word}=VALUE")
        values[word] = _value(name, keys[word], text)
    return faults[name](**values)


def _value(name: str, field: dataclasses.Field[Any], text: str) -> Any:
    if isinstance(field.default, str):
        return text
    try:
        value = int(text) if isinstance(field.default, int) else float(text)
    except ValueError:
        value = math.nan
    least = field.metadata["at_least"]
    if not (abs(value) <= LARGEST and value >= least):
        kind = "a whole number" if isinstance(field.default, int) else "a number"
        wanted = kind if least == -math.inf else f"{kind} of at least {least:g}"
        raise InputError(f"fault '{name}': {field.name}={shortened(text)} must be {wanted}")
    return value


def help_lines() -> list[tuple[str, str]]:
    """`NAME:key=default,…` and the description of each fault."""
    rows = []
    for name, fault in known_faults().items():
        keys = ",".join(f"{field.name}={field.default}" for field in dataclasses.fields(fault))
        rows.append((f"{name}:{keys}" if keys else name, (fault.__doc__ or "").strip().partition("\n")[0]))
    return rows


def chosen(count: int, every: int, seed: int) -> list[bool]:
    """Which of `count` items a fault changes: one in `every` on average, at random; reproducible by the seed."""
    rng = random.Random(seed)
    return [rng.randrange(every) == 0 for _ in range(count)]

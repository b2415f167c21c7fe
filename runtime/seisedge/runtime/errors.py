"""Errors meant for users.

```
SeisedgeError                exit code, one sentence
├── InputError               2: a file, key, option or value that cannot be used
│   ├── ConfigError          a station file, with its faults listed
│   ├── DataError            a recording without usable data
│   ├── ArgumentError        an argument of `seisedge.api` with an unusable value; also a ValueError
│   ├── ArgumentTypeError    an argument of `seisedge.api` of an unusable type; also a TypeError
│   └── CardError            a model file whose card is missing, too new, or contradicts its graph
└── FailedError              1: the operation was tried and failed
    ├── ConnectError         no connection in the time allowed
    └── EngineError          an engine that cannot be built or used on this machine

SeisedgeWarning              a UserWarning of `seisedge.api`: a part of the data that is left out
```

A message names the file, key or value, what was expected, and how to fix it.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "CardError",
    "ConfigError",
    "ConnectError",
    "DataError",
    "EngineError",
    "FailedError",
    "InputError",
    "SeisedgeError",
    "SeisedgeWarning",
]

MAX_FAULTS = 50


class SeisedgeError(Exception):
    """Base of all errors meant for users; the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class InputError(SeisedgeError):
    """A file, key, option or value from the user cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A station file with one or more faults; the message lists the first `MAX_FAULTS` of them."""

    def __init__(self, path: str, faults: list[str]) -> None:
        self.path = path
        self.faults = faults
        head = f"{path}: {faults[0]}" if len(faults) == 1 else f"{path}: {len(faults)} faults:"
        shown = faults[:MAX_FAULTS]
        if len(faults) > MAX_FAULTS:
            shown.append(f"and {len(faults) - MAX_FAULTS} more")
        super().__init__("\n  ".join([head, *shown]) if len(faults) > 1 else head)


class DataError(InputError):
    """A recording without usable data."""


class ArgumentError(InputError, ValueError):
    """An argument of `seisedge.api` has a value that cannot be used."""


class ArgumentTypeError(InputError, TypeError):
    """An argument of `seisedge.api` has a type that cannot be used."""


class CardError(InputError):
    """A model file whose card is missing, newer than this release, or contradicts its graph."""


class FailedError(SeisedgeError):
    """An operation was tried and failed."""


class ConnectError(FailedError):
    """No connection to a server in the time allowed."""


class EngineError(FailedError):
    """An engine cannot be built or used on this machine; a station then uses onnxruntime."""


class SeisedgeWarning(UserWarning):
    """A part of the data given to `seisedge.api` cannot be used and is left out."""

"""What can go wrong, as a user sees it.

```
SeisedgeError                exit code, one sentence
├── InputError               2: a file, key, option or value that cannot be used
│   ├── ConfigError          a station file, with every fault listed
│   ├── DataError            miniSEED that cannot be read
│   └── CardError            a model file without, with a newer, or with a contradicting card
└── FailedError              1: the thing asked for was tried and failed
    ├── ConnectError         no connection in the time allowed
    └── EngineError          an engine that cannot be built or used on this machine
```

Messages name the file, key or value, what was expected, and how to mend it.
"""

from __future__ import annotations

__all__ = [
    "CardError",
    "ConfigError",
    "ConnectError",
    "DataError",
    "EngineError",
    "FailedError",
    "InputError",
    "SeisedgeError",
]


class SeisedgeError(Exception):
    """Base of all errors meant for users; the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class InputError(SeisedgeError):
    """Something given by the user cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A station file with one or more faults, all listed."""

    def __init__(self, path: str, faults: list[str]) -> None:
        self.path = path
        self.faults = faults
        head = f"{path}: {faults[0]}" if len(faults) == 1 else f"{path}: {len(faults)} faults:"
        super().__init__("\n  ".join([head, *faults]) if len(faults) > 1 else head)


class DataError(InputError):
    """A recording that holds nothing usable."""


class CardError(InputError):
    """A model file whose card is missing, newer than this release, or at odds with its graph."""


class FailedError(SeisedgeError):
    """What was asked for was tried and failed."""


class ConnectError(FailedError):
    """No connection to a server in the time allowed."""


class EngineError(FailedError):
    """An engine that cannot be built or used on this machine; a station then runs on onnxruntime."""

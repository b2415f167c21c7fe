"""Libraries of a notebook that a station never loads; each is imported when a function that needs it is called."""

from __future__ import annotations

import importlib
from typing import Any

from seisedge.runtime.errors import FailedError


def pandas(what: str) -> Any:
    """The module pandas, for `what`. Raises FailedError if it is not installed."""
    return _module("pandas", what)


def obspy(what: str) -> Any:
    """The module obspy, for `what`. Raises FailedError if it is not installed."""
    return _module("obspy", what)


def _module(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != name:
            raise
        raise FailedError(f"{what} needs {name}, which is not installed; install it with: pip install {name}") from None

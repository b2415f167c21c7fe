"""Times that a program gives: in any common form, to nanoseconds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from seisedge.runtime.clock import ns_from_iso, ns_from_s
from seisedge.runtime.errors import ArgumentError, ArgumentTypeError

FORMS = "an ISO 8601 text, a datetime, a numpy.datetime64 or an obspy UTCDateTime"


def time_of_obspy(time: object) -> int | None:
    """Nanoseconds of an object like obspy's UTCDateTime; None for anything else."""
    ns = getattr(time, "ns", None)
    if type(ns) is int:  # the usual case
        return ns
    return int(ns) if isinstance(ns, int | np.integer) and not isinstance(ns, bool) else None


def time_from(value: object, name: str) -> int:
    """Nanoseconds of a time; without an offset it is UTC. name: of the argument, for the message.

    Raises ArgumentTypeError, ArgumentError.
    """
    known = time_of_obspy(value)
    if known is not None:
        return known
    if isinstance(value, np.datetime64) and not np.isnat(value):
        return int(value.astype("datetime64[ns]").astype(np.int64))
    if isinstance(value, dt.datetime):
        return ns_from_iso(value.isoformat())
    if isinstance(value, str):
        try:
            return ns_from_iso(value)
        except ValueError:
            raise ArgumentError(f"{name} must be a time, for example '2019-07-07T08:16:30'; got {value!r}") from None
    raise ArgumentTypeError(f"{name} must be {FORMS}; got {type(value).__name__}")


def onsets_from(value: object, start_ns: int | None) -> tuple[int, ...]:
    """Nanoseconds of one onset or several; numbers are seconds after `start_ns`, the first sample of data in memory.

    Raises ArgumentTypeError, ArgumentError.
    """
    several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    values = list(value) if several else [value]  # type: ignore[call-overload]
    if not values:
        raise ArgumentError("onset is an empty list; leave it out to look for the onsets")
    return tuple(_onset(one, start_ns) for one in values)


def _onset(value: object, start_ns: int | None) -> int:
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        if start_ns is None:
            raise ArgumentTypeError(f"onset must be {FORMS} for data in files; got a number, {value!r}")
        if not abs(float(value)) <= 1e9:
            raise ArgumentError(f"onset must be seconds after the first sample; got {value!r}")
        return start_ns + ns_from_s(float(value))
    return time_from(value, "onset")

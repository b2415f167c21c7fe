"""Time: integer nanoseconds since 1970-01-01 UTC, leap seconds ignored as POSIX does.

The one place where other forms of time are made or read.
"""

from __future__ import annotations

import datetime as dt

NS_PER_S = 1_000_000_000


def ns_from_s(seconds: float) -> int:
    """Nanoseconds nearest to `seconds`."""
    return round(seconds * NS_PER_S)


def iso_from_ns(time_ns: int) -> str:
    """ISO 8601 with a `Z` and microseconds (rounded down): `2019-07-07T08:16:25.290000Z`.

    >>> iso_from_ns(1_562_487_385_290_000_000)
    '2019-07-07T08:16:25.290000Z'
    """
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    stamp = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest_ns // 1000:06d}Z"


def ns_from_iso(text: str) -> int:
    """Inverse of `iso_from_ns`; a time without an offset is UTC. Up to nine decimals are kept.

    Raises ValueError where `text` is not ISO 8601.

    >>> ns_from_iso("2019-07-07T08:16:25.29")
    1562487385290000000
    """
    whole, dot, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment = dt.datetime.fromisoformat(whole + rest[len(digits) :] if dot else whole)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    elapsed = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    seconds = elapsed.days * 86_400 + elapsed.seconds
    return seconds * NS_PER_S + int(digits[:9].ljust(9, "0") or 0) + elapsed.microseconds * 1000

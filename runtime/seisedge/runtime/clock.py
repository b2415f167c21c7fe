"""Time: integer nanoseconds since 1970-01-01 UTC, without leap seconds, as in POSIX.

Other forms of time are converted from and to nanoseconds here and nowhere else.
"""

from __future__ import annotations

import datetime as dt
import functools

NS_PER_S = 1_000_000_000
EPOCH_DAY = dt.date(1970, 1, 1).toordinal()


def ns_from_s(seconds: float) -> int:
    """Convert seconds to nanoseconds, rounded to the nearest."""
    return round(seconds * NS_PER_S)


def iso_from_ns(time_ns: int) -> str:
    """Format a time as ISO 8601 with a `Z` and microseconds (rounded down).

    >>> iso_from_ns(1_562_487_385_290_000_000)
    '2019-07-07T08:16:25.290000Z'
    """
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    return f"{_date(day)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}.{rest_ns // 1000:06d}Z"


@functools.lru_cache(maxsize=64)
def _date(day: int) -> str:
    """The date of a day since 1970-01-01, as ISO 8601."""
    return dt.date.fromordinal(EPOCH_DAY + day).isoformat()


def duration_text(seconds: float) -> str:
    """A length of time for people, in its natural unit; `seconds_text` is exact.

    >>> [duration_text(seconds) for seconds in (0.4, 35, 190, 7300, 400_000)]
    ['0 s', '35 s', '3 min', '2 h', '5 d']
    """
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def seconds_text(seconds: float) -> str:
    """A length of time to the second.

    >>> [seconds_text(seconds) for seconds in (61.4, 3600, 90_061)]
    ['0:01:01', '1:00:00', '1 d 1:01:01']
    """
    days, rest = divmod(round(seconds), 86_400)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


def ns_from_iso(text: str) -> int:
    """Parse an ISO 8601 time; without an offset it is UTC. Up to nine decimals of the seconds are kept.

    Raises ValueError if `text` is not ISO 8601.

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

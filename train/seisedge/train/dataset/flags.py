"""Columns with true or false, and arrivals that contradict the origin time."""

from __future__ import annotations

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import InputError
from seisedge.runtime.text import quoted
from seisedge.train.dataset.columns import Row, onset_of, text, time_ns

TRUE = ("true", "1", "1.0", "yes", "t", "y")
FALSE = ("false", "0", "0.0", "no", "f", "n")
BEFORE_ORIGIN_S = 60.0  # an arrival cannot be earlier, but the times of landslides are 20 s wrong in catalogues
AFTER_ORIGIN_S = 3600.0  # P reaches every station within 23 minutes, S within 45
EARLY = f"an arrival more than {BEFORE_ORIGIN_S:g} s before the origin, or more than {AFTER_ORIGIN_S:g} s after it"


def flag(row: Row, key: str, default: bool) -> bool:
    """The value of a column with true or false; `default` if it is missing or empty. Raises InputError."""
    value = text(row, key).lower()
    if value not in ("", *TRUE, *FALSE):
        raise InputError(
            f"{row.get('trace_name', '?')}: column {key} must be true or false (also 1 or 0, yes or no); got "
            f"{quoted(text(row, key))}"
        )
    return value in TRUE if value else default


def is_plausible_arrival(arrival_ns: int, origin_ns: int) -> bool:
    """False for an arrival that cannot be of an event with this origin time."""
    return -BEFORE_ORIGIN_S * NS_PER_S <= arrival_ns - origin_ns <= AFTER_ORIGIN_S * NS_PER_S


def contradicts_origin(row: Row) -> bool:
    """True if the onset of a record cannot be of its event; False if the times are not known."""
    start_ns, origin_ns, onset = time_ns(row, "trace_start_time"), time_ns(row, "source_origin_time"), onset_of(row)
    if start_ns is None or origin_ns is None or onset is None:
        return False
    return not is_plausible_arrival(
        start_ns + round(onset / float(row["trace_sampling_rate_hz"]) * NS_PER_S), origin_ns
    )

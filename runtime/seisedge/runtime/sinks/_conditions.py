"""Conditions: which revisions a sink receives.

An event passes with the first revision that meets all conditions. From then on its revisions of the chosen statuses
are passed on whatever they contain: a receiver learns that a magnitude was corrected. A retraction is passed on unless
this run has seen the event and passed nothing of it on, so that no receiver keeps a retracted event after a restart.
Times are those at which the revision was emitted: lines that waited for a connection are judged as if there had been
one.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict, deque
from typing import Literal

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.config.conditions import Conditions
from seisedge.runtime.event import Event

logger = logging.getLogger(__name__)

MAX_EVENTS = 1000  # that are remembered
HOUR_NS = 3600 * NS_PER_S

_Known = Literal["seen", "passed", "beyond limit"]


class HourlyLimit:
    """At most `limit` messages in an hour; None: any number. name: of the sink, for the log.

    That the limit is reached is logged once within an hour, with the time from which on a message is possible.
    """

    def __init__(self, limit: int | None, name: str) -> None:
        self._limit = limit
        self._name = name
        self._logged_ns: int | None = None  # time of the last log line
        self._times_ns: deque[int] = deque()  # of the messages of the last hour

    def reached(self, event: Event) -> bool:
        """True if the hour before this revision was emitted has its number of messages."""
        if self._limit is None:
            return False
        emitted_ns = ns_from_iso(event.emitted)
        while self._times_ns and self._times_ns[0] <= emitted_ns - HOUR_NS:
            self._times_ns.popleft()
        if len(self._times_ns) < self._limit:
            return False
        if self._logged_ns is None or abs(emitted_ns - self._logged_ns) >= HOUR_NS:
            self._logged_ns = emitted_ns
            logger.warning(
                "%s: %d event(s) were sent within an hour, the limit (max_per_hour); further events are left out until "
                "%sZ and counted in seisedge_sink_left_out_total",
                self._name,
                self._limit,
                iso_from_ns(self._times_ns[0] + HOUR_NS)[:19],
            )
        return True

    def count(self, event: Event) -> None:
        """A message about this revision is sent."""
        if self._limit is not None:
            self._times_ns.append(ns_from_iso(event.emitted))


class Filter:
    """Decides which revisions a sink receives. Its memory is that of one run. name: of the sink, for the log."""

    def __init__(self, conditions: Conditions, name: str) -> None:
        self._conditions = conditions
        self._known: OrderedDict[str, _Known] = OrderedDict()  # by event id
        self._limit = HourlyLimit(conditions.max_per_hour, name)

    def passes(self, event: Event) -> bool:
        """Whether the sink receives this revision; the same for a repetition of it."""
        known = self._known.get(event.id)
        if event.status == "retracted":
            return known in (None, "passed")
        if known is None:
            self._remember(event, "seen")
        if event.status not in self._conditions.status or known == "beyond limit":
            return False
        if known == "passed":
            return True
        if not meets(event, self._conditions):
            return False
        if self._limit.reached(event):
            self._remember(event, "beyond limit")
            return False
        self._limit.count(event)
        self._remember(event, "passed")
        return True

    def _remember(self, event: Event, what: _Known) -> None:
        self._known[event.id] = what
        while len(self._known) > MAX_EVENTS:
            self._known.popitem(last=False)


def meets(event: Event, conditions: Conditions) -> bool:
    """Whether a revision meets the conditions on type, magnitude and time of day."""
    kind, size = event.event_type, event.magnitude
    if conditions.types is not None and (kind is None or kind.label not in conditions.types):
        return False
    if conditions.min_probability > (kind.probability if kind is not None else 0.0):
        return False
    value = size.value if size is not None else None
    lower = size.interval_90[0] if size is not None and size.interval_90 is not None else None
    if size is not None and size.bin[1] is None and not size.provisional:
        value = lower = math.inf  # above all bins: it may be of any size
    if not _reaches(value, conditions.min_magnitude) or not _reaches(lower, conditions.min_magnitude_lower):
        return False
    if conditions.quiet_hours is None or not _is_quiet(event.emitted[11:16], conditions.quiet_hours):
        return True
    return conditions.quiet_min_magnitude is not None and _reaches(value, conditions.quiet_min_magnitude)


def _reaches(value: float | None, least: float | None) -> bool:
    """False also where a number is required and the event has none."""
    return least is None or (value is not None and value >= least)


def _is_quiet(time_of_day: str, hours: str) -> bool:
    """True for a time HH:MM in an interval of UTC, which may include midnight."""
    begin, _, end = hours.partition("-")
    return begin <= time_of_day < end if begin <= end else time_of_day >= begin or time_of_day < end

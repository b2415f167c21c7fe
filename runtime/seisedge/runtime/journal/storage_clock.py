"""Storage clock: the time by which the age of stored lines and revisions is counted.

The wall clock of a station can be wrong by days until it is synchronised, and the next run can be right. The storage
clock advances only while a run works, and a run continues where the newest stored time ends: it cannot jump, and an age
is a time during which a line could be delivered. It starts with the wall clock when the database is created.
"""

from __future__ import annotations

from collections.abc import Callable

from seisedge.runtime.clock import ns_from_s


class StorageClock:
    """Calling it gives the time in ns. now_s, time_ns: monotonic and wall clock."""

    def __init__(self, now_s: Callable[[], float], time_ns: Callable[[], int]) -> None:
        self._now_s = now_s
        self._began_s, self._began_ns = now_s(), time_ns()

    def continue_from(self, newest_ns: int | None) -> None:
        """Continue after the newest time in a database; None: nothing is stored there."""
        if newest_ns is not None:
            self._began_s, self._began_ns = self._now_s(), newest_ns

    def __call__(self) -> int:
        return self._began_ns + ns_from_s(self._now_s() - self._began_s)

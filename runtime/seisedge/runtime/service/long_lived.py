"""What lasts as long as a live run is left out of the searches of Python's garbage collector.

A full search looks at every object. With 2,000 stations it takes up to 0.2 s, in which no line is emitted, and there
is one about every minute. Nearly all of these objects belong to the models, the modules and the stations, which last as
long as the run. They are still freed by their reference counts; only a cycle among them would stay.
"""

from __future__ import annotations

import gc

from seisedge.runtime.clock import NS_PER_S

EVERY_NS = 10 * NS_PER_S
SETTLED_NS = 70 * NS_PER_S  # after its first packet a station has nearly all that lasts


class LongLived:
    """Leaves out all objects that exist: at the start, and every `EVERY_NS` while a station is new."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        self._stations = 0
        self._next_ns = self._until_ns = 0

    def note(self, stations: int, now_ns: int) -> None:
        """Call at each step. stations: their number; now_ns: on the monotonic clock."""
        if stations != self._stations:
            self._stations, self._until_ns = stations, now_ns + SETTLED_NS
        if self._next_ns <= now_ns < self._until_ns:
            self._next_ns = now_ns + EVERY_NS
            gc.freeze()

    def close(self) -> None:
        """The end of the run: search all objects again."""
        gc.unfreeze()

"""The replay clock: converts between wall-clock time and the time of the recording."""

from __future__ import annotations

import threading
from collections.abc import Callable

MIN_SPEED, MAX_SPEED = 1e-6, 1e6  # times real time; beyond them the times of the clock are no numbers of ns


class ReplayClock:
    """Starts at the recording's first sample when the first client streams; runs at `speed` times real time.

    speed 0: all records are complete once the clock is started. now: monotonic clock in ns. started_ns: on that clock,
    where it starts at a given time, which may be in the future, and not with the first client.
    """

    def __init__(self, begin_ns: int, speed: float, now: Callable[[], int], started_ns: int | None = None) -> None:
        self._begin_ns = begin_ns
        self._speed = speed
        self._now = now
        self._lock = threading.Lock()
        self.started_ns = started_ns  # on the monotonic clock

    def start(self) -> None:
        """Start the clock if it is not running."""
        with self._lock:
            if self.started_ns is None:
                self.started_ns = self._now()

    def data_ns(self) -> int | None:
        """Current time of the recording; None before the start and at speed 0."""
        if self.started_ns is None or not self._speed:
            return None
        return self._begin_ns + round((self._now() - self.started_ns) * self._speed)

    def wall_ns(self, data_ns: int) -> int | None:
        """Monotonic time at which the recording's time is `data_ns`; None before the start."""
        if self.started_ns is None:
            return None
        if not self._speed:
            return self.started_ns
        return self.started_ns + round((data_ns - self._begin_ns) / self._speed)

    def wait_s(self, data_ns: int) -> float:
        """Real seconds until the recording's time is `data_ns`; 0 if it is past. The clock must be running."""
        wall_ns = self.wall_ns(data_ns)
        assert wall_ns is not None
        return max(0.0, (wall_ns - self._now()) / 1e9)

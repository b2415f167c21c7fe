"""The replay's clock: from the wall's time to the recording's."""

from __future__ import annotations

import threading
from collections.abc import Callable


class ReplayClock:
    """Starts at the recording's first sample when the first client streams; runs `speed` times as fast as the wall.

    speed 0: all is finished as soon as it runs. now: the wall's clock in ns, monotonic.
    """

    def __init__(self, begin_ns: int, speed: float, now: Callable[[], int]) -> None:
        self._begin_ns = begin_ns
        self._speed = speed
        self._now = now
        self._lock = threading.Lock()
        self.started_ns: int | None = None  # on the wall's clock

    def start(self) -> None:
        """Start it, if it does not run yet."""
        with self._lock:
            if self.started_ns is None:
                self.started_ns = self._now()

    def data_ns(self) -> int | None:
        """The recording's time now; None before the start and at speed 0."""
        if self.started_ns is None or not self._speed:
            return None
        return self._begin_ns + round((self._now() - self.started_ns) * self._speed)

    def wall_ns(self, data_ns: int) -> int | None:
        """When, on the wall's clock, the recording's time is `data_ns`; None before the start."""
        if self.started_ns is None:
            return None
        if not self._speed:
            return self.started_ns
        return self.started_ns + round((data_ns - self._begin_ns) / self._speed)

    def wait_s(self, data_ns: int) -> float:
        """Seconds on the wall until the recording's time is `data_ns`; 0 where it has been. It must run."""
        wall_ns = self.wall_ns(data_ns)
        assert wall_ns is not None
        return max(0.0, (wall_ns - self._now()) / 1e9)

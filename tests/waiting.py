"""Waiting for another thread or process in a test."""

import time
from collections.abc import Callable


def wait_until(reached: Callable[[], bool], within_s: float = 30.0) -> None:
    """Return as soon as `reached()` is true; fail after `within_s`. Generous: it decides only how late a test fails."""
    deadline_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline_s, f"not reached in {within_s:g} s"
        time.sleep(0.01)

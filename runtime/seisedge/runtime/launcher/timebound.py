"""The time of a device whose clock may be wrong: a lower bound that never goes back."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path

TIMESYNCD = "var/lib/systemd/timesync/clock"  # its modification time is the last time that timesyncd trusted
NOT_SYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 512  # struct timex has 208 or fewer


def iso_now() -> str:
    """The clock, ISO 8601 UTC in seconds; such texts compare as the times do."""
    return iso(time.time())


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timesyncd_time(system: Path = Path("/")) -> str:
    """The last time that systemd-timesyncd trusted; '' where it has stored none."""
    try:
        return iso((system / TIMESYNCD).stat().st_mtime)
    except OSError:
        return ""


def clock_is_synchronised() -> bool:
    """Does the kernel say that the clock is synchronised (NTP, chrony, GPS)?"""
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)  # modes = 0: only read
    state = int(ctypes.CDLL(None).adjtimex(buffer))
    return 0 <= state < NOT_SYNCHRONISED

"""What stands for a gain that nobody knows."""

from __future__ import annotations

UNKNOWN_GAIN = 1e9  # counts per m/s assumed where none is known; the station term takes up the difference

"""The nominal gain of channels whose gain is unknown."""

from __future__ import annotations

UNKNOWN_GAIN = 1e9  # counts per m/s; the station term is the log10 difference from the true gain

"""Snippets: what the page needs of the waveforms that are stored with the events."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Snippets(Protocol):
    """The stored waveforms. Is called in the thread of the page."""

    def find(self, event_id: str) -> Path | None:
        """The miniSEED file of an event; None without one."""

    def availability(self, station_id: str, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """Spans of the rolling archive, in ns."""

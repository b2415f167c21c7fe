"""Sink: where lines go. One file each."""

from __future__ import annotations

import abc

from seisedge.runtime.event import Event, Hop


class Sink(abc.ABC):
    """Base of all sinks."""

    @abc.abstractmethod
    def write(self, line: Event | Hop) -> None:
        """Take one line; it is out when this returns."""

    def close(self) -> None:  # noqa: B027  a hook, not every sink holds something
        """Give back files; may be called twice."""

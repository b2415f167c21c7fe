"""Sink: where lines go. One file each."""

from __future__ import annotations

import abc

from seisedge.runtime.event import Event, Hop


class Refused(Exception):
    """A line that this sink will never take, whatever is tried; the message says why."""


class Sink(abc.ABC):
    """Base of all sinks.

    Behind an outbox a sink may be given a revision again that it had before a crash: it must come to the same,
    by (id, revision). It raises OSError (ConnectionError, TimeoutError …) where another try may help, and Refused
    where none will.
    """

    @abc.abstractmethod
    def write(self, line: Event | Hop) -> None:
        """Take one line; it is out when this returns."""

    def close(self) -> None:  # noqa: B027  a hook, not every sink holds something
        """Give back files; may be called twice."""

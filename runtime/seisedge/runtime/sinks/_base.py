"""Sink: a destination of event lines. Each sink has a module of its own."""

from __future__ import annotations

import abc
from collections.abc import Callable

from seisedge.runtime.event import Event, Hop

FILE_RETRY_S = 10.0  # of sinks that write to a disk of this machine: as the journal


class Refused(Exception):
    """The sink will never accept this line, and a retry is useless; the message gives the reason.

    status, answer: of a server: its status code and the beginning of its answer, without control characters.
    """

    def __init__(self, reason: str, *, status: int | None = None, answer: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.answer = answer


class LeftOut(Exception):
    """The settings of the sink exclude this line: it was not sent, and the next line is delivered."""


class Sink(abc.ABC):
    """Base of all sinks.

    After a crash, the outbox can deliver a revision for a second time: the result must be the same, by
    (id, revision).

    retry_max_s: longest wait between two attempts of a line.
    """

    retry_max_s: float = 300.0

    @abc.abstractmethod
    def write(self, line: Event | Hop) -> None:
        """Deliver one line. Raises OSError (ConnectionError, TimeoutError …) if a retry may help, Refused if not.

        Raises LeftOut if the settings of the sink exclude the line.
        """

    def watch(self, changed: Callable[[str | None], None]) -> None:  # noqa: B027  a hook, not every sink has a state
        """Call `changed`, from any thread, at each change of the connection and once for its present state.

        It receives None while the sink is connected, else the reason. Of a sink without a connection: never called.
        """

    def give_up(self) -> None:  # noqa: B027  a hook, not every sink waits
        """The run ends: `write` must not wait for a connection any more. Called from another thread than `write`."""

    def close(self) -> None:  # noqa: B027  a hook, not every sink holds a resource
        """Release files and connections; may be called twice."""

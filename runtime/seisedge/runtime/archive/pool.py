"""Where units are analysed: in this process, or by the workers of a Dask scheduler."""

from __future__ import annotations

import abc
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from seisedge.runtime.archive.inputs import LocalFiles
from seisedge.runtime.archive.unit import UnitRequest, UnitResult, analyse
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.stationxml import StationXml


@dataclass(frozen=True, slots=True)
class Answer:
    """A result, or the reason why there is none."""

    request: UnitRequest
    result: UnitResult | None
    reason: str = ""


class Pool(abc.ABC):
    """Analyses requests in any order. at_once: requests that are worth having submitted at a time."""

    at_once: int

    @abc.abstractmethod
    def submit(self, request: UnitRequest) -> None:
        """Accept a request."""

    @abc.abstractmethod
    def next(self) -> Answer:
        """Wait for one answer; call only while requests are open. Raises FailedError where the pool is lost."""

    @property
    def workers(self) -> int:
        """Number of processes that analyse units now."""
        return 1

    def close(self) -> None:  # noqa: B027 - a hook, not every pool needs it
        """End the processes that this pool has started."""


# StationXML by station id; '' is that of all other stations
Metadata = Mapping[str, StationXml | None]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Unless -v is given: an archive has thousands of gaps, and they are in the facts of the units."""
    logger, verbose = logging.getLogger("seisedge"), logging.getLogger().level < logging.WARNING
    level = logger.level
    if not verbose:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def answer(request: UnitRequest, models: Models, local: LocalFiles, metadata: Metadata) -> Answer:
    """Analyse a unit; an exception is its failure."""
    try:
        of_station = metadata.get(request.station_id, metadata.get(""))
        with _without_warnings():
            return Answer(request, analyse(request, models, local, of_station))
    except (SeisedgeError, OSError) as error:
        return Answer(request, None, str(error))
    except Exception as error:
        return Answer(request, None, f"{type(error).__name__}: {error} (a fault of seisedge, please report it)")


class LocalPool(Pool):
    """One process, this one."""

    at_once = 1

    def __init__(self, models: Models, metadata: Metadata, local: LocalFiles) -> None:
        self._models, self._metadata, self._local = models, metadata, local
        self._requests: deque[UnitRequest] = deque()

    def submit(self, request: UnitRequest) -> None:
        self._requests.append(request)

    def next(self) -> Answer:
        return answer(self._requests.popleft(), self._models, self._local, self._metadata)

"""History: the events of earlier runs, from the end of a file of JSON lines that this or another run has written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from seisedge.runtime.event import SCHEMA, Event
from seisedge.runtime.paths import text_from_path

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 2**20  # at the end of the file: about 2000 revisions


def events_in(path: Path) -> Iterator[Event]:
    """The events at the end of a file, oldest first. Lines that are no event are left out; no file: nothing."""
    try:
        with path.open("rb") as file:
            begin = max(file.seek(0, 2) - MAX_BYTES, 0)
            file.seek(begin)
            lines = file.read(MAX_BYTES).splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("%s: its events are not shown on the page: %s", text_from_path(path), error)
        return
    for line in lines[1 if begin else 0 :]:
        try:
            event = msgspec.json.decode(line, type=Event)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if event.schema == SCHEMA:
            yield event

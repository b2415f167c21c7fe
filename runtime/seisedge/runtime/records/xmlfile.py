"""XML files from outside, read piece by piece within stated limits: size, depth, and length of a tag.

The limits are checked while the file is read, so that a file beyond one of them is refused at once: nothing is built
from it, and no step takes time with the square of its length.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB, too_large
from seisedge.runtime.text import reason_of

MAX_BYTES = 64 * MIB  # a network of 100 stations with all responses has about 50 MiB
MAX_ELEMENTS = 1_000_000  # of 64 bytes on average in a file of that size; reading them takes 2 s
MAX_DEPTH = 64  # StationXML and QuakeML have about ten levels
MAX_TAG_BYTES = MIB  # of one tag with its attributes, or of one comment
CHUNK = 1 << 16
SPLIT = "give a file of fewer stations or events, or StationXML without responses (level=channel)"

Start = Callable[[str, dict[str, str]], None]
Text = Callable[[str], None]


def local_name(tag: str) -> str:
    """The name of an element without its namespace."""
    return tag.rpartition("}")[2]


def read_xml(path: Path, what: str, start: Start, end: Text, data: Text) -> None:
    """Call `start(name, attributes)`, `data(text)` and `end(name)`, with names as `namespace}name`.

    what: 'the StationXML file', for messages. A text may arrive in several pieces. Raises InputError where the file
    cannot be read, is not XML, exceeds a limit, or has a DOCTYPE (which no seismological format needs).
    """
    from xml.parsers import expat  # takes a few ms, which a station without StationXML saves

    depth = elements = 0

    def opened(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth += 1
        elements += 1
        if elements > MAX_ELEMENTS:
            raise InputError(f"{path}: {what} has more than {MAX_ELEMENTS} elements; {SPLIT}")
        if depth > MAX_DEPTH:
            raise InputError(f"{path}: {what} is nested more than {MAX_DEPTH} levels deep; it is not usable")
        start(name, attributes)

    def closed(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name)

    def doctype(*_: object) -> None:
        raise InputError(f"{path}: {what} has a DOCTYPE, which is not allowed in it; remove it")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = data, doctype
    size = 0
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise too_large(MAX_BYTES)
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise too_large(MAX_BYTES)
                parser.Parse(chunk, False)
                if size - max(parser.CurrentByteIndex, 0) > MAX_TAG_BYTES + CHUNK:
                    raise InputError(f"{path}: {what} has a tag of more than {MAX_TAG_BYTES // MIB} MiB; remove it")
        parser.Parse(b"", True)
    except OSError as error:
        how = f"; {SPLIT}" if error.errno == errno.EFBIG else ""
        raise InputError(f"{path}: {what} cannot be read: {error.strerror}{how}") from error
    except (expat.ExpatError, ValueError, LookupError) as error:  # ValueError, LookupError: an encoding such as utf-7
        raise InputError(f"{path}: not XML: {reason_of(error)}") from error


def check_xml(path: Path, what: str) -> None:
    """Raises InputError as `read_xml`; for a file that another library reads."""

    def ignore(*_: object) -> None:
        pass

    read_xml(path, what, ignore, ignore, ignore)

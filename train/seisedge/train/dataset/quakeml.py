"""Read the entries of a catalogue with obspy; what obspy refuses or leaves out is counted.

obspy refuses a whole file for one number that is not finite. Such a number is removed, which makes it a missing value.
An event with a type that QuakeML does not define is left out by obspy.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.xmlfile import check_xml, local_name
from seisedge.runtime.text import quoted, reason_of, shortened
from seisedge.train.dataset.plausible import Implausible

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * MIB  # of a catalogue: about half a million events
XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe", b"\xfe\xff")
# Elements whose text may be 'Nan' or 'Inf' without being a number.
TEXTS = {
    "text",
    "name",
    "author",
    "agencyID",
    "version",
    "phase",
    "phaseHint",
    "phaseCode",
    "type",
    "region",
    "country",
}
COLUMN_OF = {
    "mag": "source_magnitude",
    "latitude": "source_latitude_deg",
    "longitude": "source_longitude_deg",
    "depth": "source_depth_km",
}
NOT_CONVERTED = re.compile(r"Could not convert (.*) to type", re.DOTALL)
NO_TYPE = re.compile(r"Event type '(.*)' does not comply", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entries:
    """events: as obspy reads them. left_out: reason → number of entries. missing: values that are treated as missing
    → number. implausible: those of a column of the data set.
    """

    events: list[Any] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    implausible: list[Implausible] = field(default_factory=list)


def read_entries(path: Path) -> Entries:
    """The entries of a catalogue in a format of obspy. Raises InputError."""
    found = Entries()
    is_xml = _check_size(path)
    try:
        # obspy's XML reader cannot open a name that is not UTF-8
        plain = str(path) == text_from_path(path)
        found.events.extend(_read(str(path) if plain else io.BytesIO(path.read_bytes()), found))
    except Exception as error:  # the readers of obspy raise many types
        if not is_xml:
            raise InputError(f"{path}: obspy cannot read this catalogue: {reason_of(error)}") from error
    else:
        return found
    found = Entries()
    root = _tree_of(path)
    _remove_infinite(root, "", found)
    try:
        found.events.extend(_read(_file_of(root), found))
    except Exception as error:
        raise InputError(f"{path}: obspy cannot read this catalogue: {reason_of(error)}") from error
    return found


def _read(source: Any, found: Entries) -> list[Any]:
    """The events that obspy reads; what it leaves out with a warning is counted. Raises what obspy raises."""
    import obspy

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        events = list(obspy.read_events(source))
    for one in caught:
        text = str(one.message)
        if no_type := NO_TYPE.search(text):
            found.left_out[f"type {quoted(shortened(no_type[1], 30))} is not a type of QuakeML"] += 1
        elif value := NOT_CONVERTED.search(text):
            found.missing[f"a value that cannot be read is missing: {quoted(shortened(value[1], 30))}"] += 1
        else:
            logger.info("obspy: %s", shortened(text, 200))
    return events


def _remove_infinite(element: Any, event: str, found: Entries, parent: str = "") -> None:
    """Remove the numbers that are not finite from an element and those in it. event: name of the event around it."""
    name = local_name(element.tag)
    if name == "event":
        event = element.get("publicID", "")
    text = (element.text or "").strip()
    if name not in TEXTS and text and _is_infinite(text):
        column = COLUMN_OF.get(parent) if name == "value" else None
        if column is not None:
            found.implausible.append(Implausible(event.rpartition("/")[2], column, text))
        else:
            where = parent if name == "value" else name
            found.missing[f"a number that is not finite is missing: {where}"] += 1
        element.text = None
    for child in element:
        _remove_infinite(child, event, found, name)


def _is_infinite(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def _tree_of(path: Path) -> Any:
    """The root of an XML file that `check_xml` accepts. lxml keeps the prefixes of namespaces, which obspy needs."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    return etree.fromstring(path.read_bytes(), parser)


def _file_of(root: Any) -> io.BytesIO:
    from lxml import etree

    return io.BytesIO(etree.tostring(root, encoding="utf-8", xml_declaration=True))


def _check_size(path: Path) -> bool:
    """True for XML. Raises InputError for a catalogue that is too large, or too deeply nested; obspy would read it."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head.lstrip().startswith(XML_STARTS):
            check_xml(path, "the catalogue")
            return True
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: the catalogue is larger than {MAX_BYTES // MIB} MiB; give fewer events")
    except OSError as error:
        raise InputError(f"{path}: the catalogue cannot be read: {error.strerror}") from error
    return False

"""QuakeML 1.2: one document per event, with its newest revision.

A document always has a pick (the onset, assumed to be P) and the event type with its probability. It has a station
magnitude with its 90 % interval if the event has a magnitude value. It has no origin, because a single station does not
locate; the `originID` that the schema requires of a station magnitude names an origin that an associator could create.

https://quake.ethz.ch/quakeml/docs/REC?action=AttachFile&do=view&target=QuakeML-BED-20130214b.pdf
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from seisedge.runtime.card import MAGNITUDE_CODE, UNSPECIFIED_SCALE
from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop, MagnitudeEstimate, Pick
from seisedge.runtime.files import OWNER_ONLY, make_folder, write_atomically
from seisedge.runtime.sinks._base import FILE_RETRY_S, Refused, Sink

logger = logging.getLogger(__name__)

DAY_S = 86_400
QUAKEML, BED = "http://quakeml.org/xmlns/quakeml/1.2", "http://quakeml.org/xmlns/bed/1.2"

# A label of the type model → QuakeML's event type. An emitted event of type "noise" says nothing about its source.
TYPES = {"tectonic": "earthquake", "non-tectonic": "other event", "noise": "not reported"}

# Station id and channel code ('': that of the vertical) → location and channel code; None while they are unknown.
ChannelNames = Callable[[str, str], tuple[str, str] | None]

_FILE_NAME, _DAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"), re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")


class QuakeMLSink(Sink):
    """Writes FOLDER/YYYY-MM-DD/ID.xml; a newer revision replaces the whole file atomically.

    authority: of the resource identifiers, `smi:AUTHORITY/…`; a domain name, or `local`.
    scale_remarks: SHA-256 of a magnitude model → the remark of its card on the magnitude type, for a comment.
    channel_of: for the waveformID of picks and magnitudes.
    file_mode: rights of new files; new folders are accessible to those who may read them.
    keep_days: with the first event of a day, documents of days that are older than this are removed; None: never. Days
    are counted back from the newest event, or from the clock if that is earlier: neither a clock that is wrong, nor one
    event with a wrong time, removes documents of the present.
    Raises InputError if the folder cannot be created.
    """

    retry_max_s = FILE_RETRY_S

    def __init__(
        self,
        folder: Path,
        authority: str = "local",
        scale_remarks: Mapping[str, str] | None = None,
        *,
        channel_of: ChannelNames | None = None,
        file_mode: int = OWNER_ONLY,
        keep_days: float | None = None,
        time_s: Callable[[], float] = time.time,
    ) -> None:
        self._keep_days = keep_days
        self._time_s = time_s
        self._cleaned = ""  # day of the newest event at the last removal
        self._channel_of = channel_of
        self._folder = folder
        self._authority = authority
        self._file_mode = file_mode
        self._scale_remarks = scale_remarks or {}
        try:
            make_folder(folder, file_mode)
        except OSError as error:
            raise InputError(f"{folder}: QuakeML cannot be written to this folder: {error.strerror}") from error

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        if not _FILE_NAME.fullmatch(line.id) or not _DAY.match(line.onset):  # of a damaged line
            raise Refused(f"no file can be named after the event {line.id[:100]!a} of {line.onset[:100]!a}")
        folder = self._folder / line.onset[:10]
        make_folder(folder, self._file_mode)
        document = quakeml_from_event(line, self._authority, self._scale_remarks, self._channel_of)
        write_atomically(folder / f"{line.id}.xml", document, self._file_mode)
        if self._keep_days is not None and line.onset[:10] != self._cleaned:
            self._cleaned = line.onset[:10]
            self._remove_before(self._oldest_day(line.onset[:10], self._keep_days))

    def _oldest_day(self, newest: str, keep_days: float) -> str:
        """The first day that is kept, YYYY-MM-DD."""
        newest_ns = min(ns_from_iso(f"{newest}T00:00:00Z"), int(self._time_s()) * NS_PER_S)
        return iso_from_ns(max(newest_ns - int(keep_days * DAY_S) * NS_PER_S, 0))[:10]

    def _remove_before(self, day: str) -> None:
        """Remove documents of earlier days, and their folders once they are empty. A failure is only logged."""
        try:
            for folder in sorted(self._folder.iterdir()):
                if _DAY.match(f"{folder.name}T") and len(folder.name) == len(day) and folder.name < day:
                    for path in folder.glob("*.xml"):
                        path.unlink()
                    with contextlib.suppress(OSError):  # other files are in it
                        folder.rmdir()
        except OSError as error:
            logger.warning("%s: old documents cannot be removed: %s", self._folder, error.strerror)


def quakeml_from_event(
    event: Event,
    authority: str = "local",
    scale_remarks: Mapping[str, str] | None = None,
    channel_of: ChannelNames | None = None,
) -> bytes:
    """One revision as a QuakeML document, in UTF-8. scale_remarks, channel_of: as for QuakeMLSink."""
    names = channel_of or (lambda _station, _code: None)
    base = f"smi:{authority}/seisedge/{event.id}"
    root = ElementTree.Element(f"{{{QUAKEML}}}quakeml")
    parameters = _child(root, "eventParameters", publicID=f"{base}/parameters")
    element = _child(parameters, "event", publicID=base)
    rejected = event.status == "retracted"
    if event.magnitude is not None and event.magnitude.value is not None:
        _station_magnitude(element, event, event.magnitude, event.magnitude.value, base, names)
    picks: list[Pick] | list[None] = event.picks or [None]
    for pick in picks:
        _pick(element, event, base, pick, names)
    label = event.event_type.label if event.event_type is not None else None
    _child(element, "type", "not existing" if rejected else TYPES.get(label or "", "not reported"))
    if not rejected and label in ("tectonic", "non-tectonic"):
        _child(element, "typeCertainty", "suspected")
    _text(_child(element, "description"), event)
    for remark in _remarks(event, scale_remarks or {}):
        _child(_child(element, "comment"), "text", remark)
    _creation(element, event)
    ElementTree.register_namespace("q", QUAKEML)
    ElementTree.register_namespace("", BED)
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _child(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{BED}}}{name}", attributes)
    element.text = text
    return element


def _text(description: ElementTree.Element, event: Event) -> None:
    _child(description, "text", f"Single-station detection at {event.station}, not associated, not located")


def _waveform(parent: ElementTree.Element, event: Event, names: ChannelNames, channel: str = "") -> None:
    network, _, station = event.station.partition(".")
    codes = {"networkCode": network, "stationCode": station}
    found = names(event.station, channel)
    if found is not None:
        codes |= {"locationCode": found[0], "channelCode": found[1]}
    elif channel:
        codes["channelCode"] = channel
    _child(parent, "waveformID", **codes)


def _creation(parent: ElementTree.Element, event: Event) -> None:
    info = _child(parent, "creationInfo")
    _child(info, "agencyID", event.station.partition(".")[0])
    _child(info, "author", f"seisedge {version('seisedge')}")
    _child(info, "creationTime", event.emitted)
    _child(info, "version", str(event.revision))


def _pick(parent: ElementTree.Element, event: Event, base: str, pick: Pick | None, names: ChannelNames) -> None:
    """The element of one pick; None: of the onset that the classic trigger found."""
    phase = pick.phase if pick is not None else "P"
    element = _child(parent, "pick", publicID=f"{base}/pick" + ("/S" if phase == "S" else ""))
    time = _child(element, "time")
    _child(time, "value", pick.time if pick is not None else event.onset)
    if pick is not None:
        _child(time, "uncertainty", f"{pick.uncertainty_s:g}")
    _waveform(element, event, names, pick.channel if pick is not None else "")
    _child(element, "phaseHint", phase)
    _child(element, "evaluationMode", "automatic")
    _child(element, "evaluationStatus", "rejected" if event.status == "retracted" else "preliminary")
    _creation(element, event)


def _station_magnitude(
    parent: ElementTree.Element, event: Event, size: MagnitudeEstimate, value: float, base: str, names: ChannelNames
) -> None:
    element = _child(parent, "stationMagnitude", publicID=f"{base}/magnitude")
    _child(element, "originID", f"{base}/origin")
    mag = _child(element, "mag")
    _child(mag, "value", f"{value:g}")
    low, high = size.interval_90 if size.interval_90 is not None else (None, None)
    if low is not None:
        _child(mag, "lowerUncertainty", f"{max(value - low, 0.0):.3g}")
    if high is not None:
        _child(mag, "upperUncertainty", f"{max(high - value, 0.0):.3g}")
    if low is not None or high is not None:
        _child(mag, "confidenceLevel", "90")
    # An event that an older seisedge left in the journal can hold a sentence; the schema allows 32 characters.
    _child(element, "type", size.type if MAGNITUDE_CODE.fullmatch(size.type) else UNSPECIFIED_SCALE)
    _waveform(element, event, names)


def _remarks(event: Event, scale_remarks: Mapping[str, str]) -> list[str]:
    remarks = [f"revision {event.revision}, {event.status}"]
    if event.event_type is not None:
        kind = event.event_type
        remarks.append(
            f"type {kind.label} with probability {kind.probability:.4f}, by model {kind.model} {kind.sha256}"
        )
    if event.distance_km is not None:
        remarks.append(
            f"distance from S - P {event.distance_km:g} km, uncertainty {event.distance_uncertainty_km:g} km"
        )
    if event.magnitude is not None:
        size = event.magnitude
        provisional = ", provisional: the gain is not known" if size.provisional else ""
        remarks.append(f"magnitude bin {size.label}, probability {size.probability:.4f}{provisional}")
        remark = scale_remarks.get(size.sha256, "" if MAGNITUDE_CODE.fullmatch(size.type) else size.type)
        if remark:
            remarks.append(f"magnitude type: {remark}")
    remarks += [f"{remark.code}: {remark.reason}" for remark in event.quality if remark.code != "ok"]
    return remarks

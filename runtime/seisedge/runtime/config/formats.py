"""Texts in a station file that have a form: paths, hosts, URLs and addresses.

The `format` of a setting stands in its JSON Schema, and `format_fault` checks it when the station file is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec

from seisedge.runtime.addresses import host_fault, listen_fault, url_fault
from seisedge.runtime.text import quoted

MAX_PATH = 4096  # bytes of a path, and
MAX_NAME = 255  # of each name in it: the limits of Linux
WEB_SCHEMES = ("http", "https")


def _text(form: str, most: int) -> msgspec.Meta:
    return msgspec.Meta(min_length=1, max_length=most, extra_json_schema={"format": form})


FilePath = Annotated[str, _text("path", MAX_PATH)]
HostName = Annotated[str, _text("hostname", 253)]
WebUrl = Annotated[str, _text("uri", 2048)]
SourceUrl = Annotated[str, _text("source", MAX_PATH)]  # a URL, `sds:DIR`, `file:PATH`, or a path
ListenAddress = Annotated[str, _text("listen-address", 300)]  # HOST:PORT or :PORT


def path_fault(path: str) -> str | None:
    """What is wrong with a path, as a clause; the file need not exist."""
    for name in Path(path).parts:
        if len(os.fsencode(name)) > MAX_NAME:
            return f"the name {quoted(name)} in the path is longer than {MAX_NAME} bytes"
    return f"the path is longer than {MAX_PATH} bytes" if len(os.fsencode(path)) > MAX_PATH else None


def _source_fault(source: str) -> str | None:
    """As for `url_fault`, where it is a URL of a server; the source itself checks the rest when it is opened."""
    if "://" not in source:
        return None
    scheme = source.partition(":")[0].lower()
    return url_fault(source, host_required=scheme in ("seedlink", "datalink"))


FAULTS: dict[str, Callable[[str], str | None]] = {
    "path": path_fault,
    "hostname": host_fault,
    "uri": lambda url: url_fault(url, WEB_SCHEMES),
    "source": _source_fault,
    "listen-address": listen_fault,
}
SECRET = ("uri", "source")  # may contain a password: never repeated in a message


def format_of(kind: Any) -> str | None:
    """The `format` of a setting of this type; None for all other settings."""
    for inner in (kind, *get_args(kind)):
        for meta in getattr(inner, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.extra_json_schema:
                return str(meta.extra_json_schema["format"])
    return None


def text_fault(text: str, form: str | None) -> str | None:
    """What is wrong with a text of this format, as a clause; None if nothing is."""
    if not text.isprintable():
        return "must not contain control characters or line breaks"
    return FAULTS[form](text) if form is not None else None

"""Paths as text. A file name is bytes and need not be UTF-8; JSON, SQLite and a terminal take nothing else.

Python holds a byte that is not UTF-8 as a lone surrogate, which no encoder accepts. Wherever a path becomes text that
is printed, logged or stored, it passes one of the functions below.
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from seisedge.runtime.text import printable

FILE_URI = "file://"
PRINTABLE = "seisedge-printable"  # how a text stream of the terminal handles what it cannot encode


def text_from_path(path: str | Path) -> str:
    r"""A path for people, in one line: a byte that is not UTF-8 becomes `\xe9`, as does a control character."""
    return printable(_encodable(str(path)))


def text_of_message(message: str) -> str:
    """A message of one or several lines that may name paths: as `text_from_path`, but line feeds stay."""
    return printable(_encodable(message), keep="\n\t")


def _encodable(text: str) -> str:
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def stored_from_path(path: Path) -> str:
    """An absolute path as text that `path_from_stored` turns back into it: itself, else a file URI."""
    text = str(path)
    return text if text == text_from_path(path) else path.as_uri()


def path_from_stored(text: str) -> Path:
    """Inverse of `stored_from_path`."""
    if not text.startswith(FILE_URI):
        return Path(text)
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(FILE_URI))))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """For `PRINTABLE`: a byte of a path as in `text_from_path`, any other character as Python's literal."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = text_from_path(error.object[error.start : error.end])
    return part.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(PRINTABLE, _escaped)

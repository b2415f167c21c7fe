"""TOML from outside, read within limits: a hostile file takes neither minutes nor memory, and ends in one error."""

from __future__ import annotations

import tomllib
from typing import Any

from seisedge.runtime.text import reason_of

MAX_BYTES = 256 * 1024  # of a file; a station file with every setting and comment has 10 kB
MAX_LINE = 2500  # characters: the longest URL and its key
MAX_DOTS = 100  # in a line: tomllib takes time and memory with the square of the parts of a dotted key


def tables_from_toml(data: bytes) -> dict[str, Any]:
    """The tables of a TOML file. Raises ValueError with what is wrong, as a clause."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 1024} KiB")
    text = data.decode("utf-8")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE or line.count(".") > MAX_DOTS:
            raise ValueError(f"line {number} has more than {MAX_LINE} characters or {MAX_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its tables or arrays are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and that of int() for a number with thousands of digits
        raise ValueError(reason_of(error)) from error

"""Screen: the width of an output stream and whether it shows colour.

Colour is used only on a terminal, and never if the environment variable NO_COLOR is set (https://no-color.org) or TERM
is `dumb`. A stream that is not a terminal has no width: its lines are never shortened or wrapped.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

MIN_COLUMNS = 40  # a narrower terminal wraps the lines itself

# The weights and colours that are readable on a dark and on a light background.
Style = Literal["bold", "dim", "red", "green", "yellow"]
CODES: dict[Style, str] = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33"}


@dataclass(frozen=True, slots=True)
class Screen:
    """colour: whether escape sequences are used. fd: of the terminal; None if the stream is no terminal."""

    colour: bool = False
    fd: int | None = None

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Screen:
        """The screen of a stream."""
        try:
            fd = stream.fileno() if stream.isatty() else None
        except (OSError, ValueError):  # a stream in memory
            fd = None
        colour = fd is not None and not environment.get("NO_COLOR") and environment.get("TERM", "") != "dumb"
        return cls(colour, fd)

    @property
    def columns(self) -> int | None:
        """Width of the terminal now, in characters; None if the stream is no terminal or its width is unknown."""
        if self.fd is None:
            return None
        try:
            width = os.get_terminal_size(self.fd).columns
        except OSError:
            return None
        return max(width, MIN_COLUMNS) if width else None

    def painted(self, text: str, *styles: Style) -> str:
        """The text with these styles, where the stream shows colour."""
        if not self.colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(CODES[style] for style in styles)}m{text}\x1b[0m"

    def wrapped(self, text: str, indent: str = "") -> str:
        """The text in lines that fit the terminal; further lines begin with `indent`."""
        columns = self.columns
        if columns is None or len(text) <= columns:
            return text
        return "\n".join(
            textwrap.wrap(
                text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
                replace_whitespace=False, drop_whitespace=True,
            )
        )  # fmt: skip


PLAIN = Screen()

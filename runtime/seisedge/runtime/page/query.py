"""Query: the parameters of a request, checked."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from seisedge.runtime.page.access import PageError
from seisedge.runtime.text import quoted

MAX_MS = 9_000_000_000_000  # the year 2255: its nanoseconds fit into 64 bits
MAX_TEXT = 128  # characters


class Query:
    """Reads parameters; each method raises PageError with one sentence for a value that is not valid."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def text(self, name: str, default: str | None = "") -> str:
        """A text; raises also where it is missing and `default` is None."""
        value = self._fields.get(name, default)
        if value is None:
            raise _bad(f"the parameter {name} is missing")
        if len(value) > MAX_TEXT:
            raise _bad(f"the parameter {name} is longer than {MAX_TEXT} characters")
        return value

    def letters(self, name: str, choices: str, most: int = 1) -> str:
        """Up to `most` different letters of `choices`; default: the first one."""
        value = self._fields.get(name, choices[0])
        if not 1 <= len(value) <= most or not set(value) <= set(choices) or len(set(value)) < len(value):
            several = " or several of them" if most > 1 else ""
            raise _bad(f"{name} must be one of {', '.join(choices)}{several}; got {quoted(value)}")
        return value

    def whole(self, name: str, lowest: int, highest: int, default: int | None = None) -> int:
        """A whole number from `lowest` to `highest`; raises also where it is missing and there is no default."""
        value = self._fields.get(name)
        if value is None:
            if default is None:
                raise _bad(f"the parameter {name} is missing")
            return default
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 17 and lowest <= int(value) <= highest):
            raise _bad(f"{name} must be a whole number from {lowest} to {highest}; got {quoted(value)}")
        return int(value)

    def span_ms(self, longest_ms: int) -> tuple[int, int]:
        """The times `from` and `to`."""
        from_ms, to_ms = self.whole("from", 0, MAX_MS), self.whole("to", 0, MAX_MS)
        if not 0 < to_ms - from_ms <= longest_ms:
            raise _bad(f"to must be after from, by at most {longest_ms} ms")
        return from_ms, to_ms

    def end(self, *names: str) -> None:
        """Raises for a parameter that is none of these: a typing error would otherwise have no effect."""
        for name in self._fields:
            if name not in names:
                raise _bad(f"unknown parameter {quoted(name)}; this address has {', '.join(names) or 'none'}")


def _bad(sentence: str) -> PageError:
    return PageError(HTTPStatus.BAD_REQUEST, sentence)

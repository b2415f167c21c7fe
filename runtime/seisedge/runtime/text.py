"""Text from outside in messages: without control characters, and never whole if it is long.

Names, values and messages come from files, servers and model cards. An escape sequence in one of them must not reach a
terminal, and a value of 100 MB must not reach a log.
"""

from __future__ import annotations

MAX_SHOWN = 80  # characters of a value in a message
MAX_REASON = 300  # of the message of a library, which may repeat a value


def printable(text: str, keep: str = "") -> str:
    r"""Escape every character that is not printable (control, direction, line separator), as Python writes it.

    keep: characters that are not escaped, such as a line feed in a message of several lines.

    >>> printable("EHZ\x1b[31m")
    'EHZ\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text
    )


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """Text for a message, printable and in one line: at most about `most` characters and the length of the rest.

    >>> shortened("a" * 1000, 4)
    'aaaa… (1000 characters)'
    """
    if len(text) <= most:
        return printable(text)
    return f"{printable(text[:most])}… ({len(text)} characters)"


def quoted(value: object) -> str:
    """A value for a message, as Python writes it, printable and shortened.

    >>> quoted("high"), quoted(-1)
    ("'high'", '-1')
    """
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]!r}… ({len(value)} characters)"
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # an integer of more than 4300 digits, arrays nested a thousand times
        return f"a value of type {type(value).__name__} that is too large to show"


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, printable and shortened; its class where it has no message."""
    try:
        lines = str(error).strip().splitlines()
    except (ValueError, RecursionError):
        lines = []
    return shortened(lines[0], MAX_REASON) if lines else type(error).__name__


def error_clause(error: BaseException) -> str:
    """Why an operation failed, as a clause for people: without the number that Python puts in front of it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    reason = error.strerror[:1].lower() + error.strerror[1:]
    return f"{reason}: {printable(str(error.filename))}" if error.filename else reason

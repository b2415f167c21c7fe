"""Positions in a SeedLink stream: sequence numbers of both versions, and resume tokens.

Version 3 has 24 bits that wrap around, written as six hexadecimal digits: `0001F3`. Version 4 has 64 bits that do
not wrap, written as `v4:499`. A number of one version has no meaning in the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SEQUENCE_MODULUS = 1 << 24
UNSET_4 = (1 << 64) - 1  # version 4: a packet without a position, such as a reply to INFO

_TOKEN_3 = re.compile(r"[0-9A-Fa-f]{6}")
_TOKEN_4 = re.compile(r"v4:([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Position:
    """Position of a packet in the stream of its station."""

    version: int  # 3 or 4
    sequence: int

    @property
    def token(self) -> str:
        """The resume token that the journal stores."""
        return f"{self.sequence:06X}" if self.version == 3 else f"v4:{self.sequence}"

    @property
    def following(self) -> int:
        """The next sequence number; in version 3, FFFFFF is followed by 000000."""
        return (self.sequence + 1) % SEQUENCE_MODULUS if self.version == 3 else self.sequence + 1

    def is_after(self, other: Position) -> bool:
        """True if this position is later; version 3 allows for the wrap. Both must be of the same version."""
        if self.version == 3:
            return 0 < (self.sequence - other.sequence) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2
        return self.sequence > other.sequence


@dataclass(frozen=True, slots=True)
class Span:
    """The packets of a station that a server has: the first, and the last or (ringserver) the one after it."""

    first: Position
    last: Position

    @classmethod
    def from_texts(cls, version: int, first: str | None, last: str | None, base: int = 10) -> Span | None:
        """From the numbers in a reply to INFO, in base 10 or 16.

        None if they are missing, invalid, or those of no packet (0 and 0).
        """
        numbers = [_number(version, text or "", base) for text in (first, last)]
        if None in numbers or not any(numbers):
            return None
        begin, end = (Position(version, number) for number in numbers if number is not None)
        return cls(begin, end)

    def continues(self, position: Position) -> bool:
        """True if the packet after `position` is one of these or will be the next one: nothing is missing between."""
        before = self.first.sequence - 1
        if position.version == 3:
            n_packets = (self.last.sequence - before) % SEQUENCE_MODULUS
            return (position.sequence - before) % SEQUENCE_MODULUS <= n_packets
        return before <= position.sequence <= self.last.sequence


def _number(version: int, text: str, base: int) -> int | None:
    digits = r"[0-9A-Fa-f]{1,16}" if base == 16 else r"[0-9]{1,20}"
    if not re.fullmatch(digits, text):
        return None
    return int(text, base) % SEQUENCE_MODULUS if version == 3 else int(text)


def position_from_token(token: str) -> Position | None:
    """None if `token` is of neither version."""
    if _TOKEN_3.fullmatch(token):
        return Position(3, int(token, 16))
    match = _TOKEN_4.fullmatch(token)
    if match is None or int(match[1]) >= UNSET_4:
        return None
    return Position(4, int(match[1]))

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


def position_from_token(token: str) -> Position | None:
    """None if `token` is of neither version."""
    if _TOKEN_3.fullmatch(token):
        return Position(3, int(token, 16))
    match = _TOKEN_4.fullmatch(token)
    if match is None or int(match[1]) >= UNSET_4:
        return None
    return Position(4, int(match[1]))

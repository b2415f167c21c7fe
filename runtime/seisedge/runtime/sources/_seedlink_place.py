"""Places in a SeedLink stream: sequence numbers of both versions, and the resume tokens made of them.

Version 3 has 24 bits that go round, written as six hexadecimal digits: `0001F3`. Version 4 has 64 bits that do
not, written as `v4:499`. A number of one version says nothing to a server that speaks the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SEQUENCE_MODULUS = 1 << 24
UNSET_4 = (1 << 64) - 1  # version 4: a packet without a place in the stream, such as an answer to INFO

_TOKEN_3 = re.compile(r"[0-9A-Fa-f]{6}")
_TOKEN_4 = re.compile(r"v4:([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Place:
    """One packet's place in the stream of its station."""

    version: int  # 3 or 4
    sequence: int

    @property
    def token(self) -> str:
        """What the journal keeps."""
        return f"{self.sequence:06X}" if self.version == 3 else f"v4:{self.sequence}"

    @property
    def following(self) -> int:
        """The first sequence number not yet seen; in version 3, after FFFFFF comes 000000."""
        return (self.sequence + 1) % SEQUENCE_MODULUS if self.version == 3 else self.sequence + 1

    def is_after(self, other: Place) -> bool:
        """True where this comes later; version 3 compares on the circle. Both must be of one version."""
        if self.version == 3:
            return 0 < (self.sequence - other.sequence) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2
        return self.sequence > other.sequence


def place_from_token(token: str) -> Place | None:
    """None where `token` is of neither version."""
    if _TOKEN_3.fullmatch(token):
        return Place(3, int(token, 16))
    match = _TOKEN_4.fullmatch(token)
    if match is None or int(match[1]) >= UNSET_4:
        return None
    return Place(4, int(match[1]))

"""Ed25519 public keys (RFC 8032), as one line of text: `ed25519 HEX COMMENT`.

The id of a key is the SHA-256 of its 32 bytes. It is always computed, never read: two ids are two keys.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from seisedge.runtime.text import quoted

ALGORITHM = "ed25519"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_COMMENT = 100
FIELD_PRIME = 2**255 - 19  # a coordinate at or above it has a second encoding
SHOWN_ID = 16  # hexadecimal digits of an id in messages


@dataclass(frozen=True, slots=True)
class PublicKey:
    """raw: the 32 bytes of the key. comment: for people; it does not count for equality."""

    raw: bytes
    comment: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise ValueError(f"an Ed25519 key has {KEY_BYTES} bytes; got {len(self.raw)}")
        if int.from_bytes(self.raw, "little") % 2**255 >= FIELD_PRIME:
            raise ValueError("the key is not in its shortest encoding")
        if not self.comment.isprintable() or len(self.comment) > MAX_COMMENT:
            raise ValueError(f"the comment of a key is printable and has at most {MAX_COMMENT} characters")

    @property
    def key_id(self) -> str:
        """SHA-256 of the key's bytes, 64 hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def shown(self) -> str:
        """The beginning of the id and the comment, for messages."""
        return f"{self.key_id[:SHOWN_ID]} ({self.comment})" if self.comment else self.key_id[:SHOWN_ID]

    def line(self) -> str:
        """The key as text, which `key_from_line` reads."""
        return " ".join(part for part in (ALGORITHM, self.raw.hex(), self.comment) if part)


def key_from_line(line: str) -> PublicKey:
    """Read `ed25519 HEX [COMMENT]`. Raises ValueError, as a clause."""
    algorithm, _, rest = line.strip().partition(" ")
    digits, _, comment = rest.strip().partition(" ")
    if algorithm != ALGORITHM or not re.fullmatch(f"[0-9a-f]{{{2 * KEY_BYTES}}}", digits):
        raise ValueError(
            f"a public key is a line 'ed25519', {2 * KEY_BYTES} hexadecimal digits, comment; got {quoted(line)}"
        )
    return PublicKey(bytes.fromhex(digits), comment.strip())

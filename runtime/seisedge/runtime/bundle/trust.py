"""Trust statements: whose signatures a station accepts, and how that changes.

A statement is version N of the trusted keys with a threshold. It is replaced only by version N+1, signed by a threshold
of the keys of N and by a threshold of its own (the rule for the root role in The Update Framework, section 5.3).
Trust never goes back: the station keeps the highest version. A new statement sets the lowest serial of a bundle, so
that a key which was lost cannot lock stations out by signing a bundle of a very high serial.
"""

from __future__ import annotations

from dataclasses import dataclass

from seisedge.runtime.bundle.canonical import fields_of, json_bytes, tree_from_json
from seisedge.runtime.bundle.envelope import Envelope, envelope_from_bytes
from seisedge.runtime.bundle.keys import PublicKey, key_from_line
from seisedge.runtime.errors import InputError
from seisedge.runtime.text import quoted

SCHEMA = "seisedge.trust/1"
PAYLOAD_TYPE = "application/vnd.seisedge.trust+json"
MAX_KEYS = 32
MAX_INTEGER = 2**53  # the largest that every JSON reader keeps exactly


@dataclass(frozen=True, slots=True)
class Trust:
    """version: from 1. keys: all different. threshold: how many of them must sign. lowest_serial: of a bundle."""

    version: int
    keys: tuple[PublicKey, ...]
    threshold: int
    lowest_serial: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.version <= MAX_INTEGER:
            raise ValueError(f"the version of a trust statement is 1 or higher; got {self.version}")
        if not 0 < len(self.keys) <= MAX_KEYS:
            raise ValueError(f"a trust statement has 1 to {MAX_KEYS} keys; got {len(self.keys)}")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("a key occurs twice in the trust statement")
        if not 1 <= self.threshold <= len(self.keys):
            raise ValueError(f"the threshold must be 1 to {len(self.keys)}, the number of keys; got {self.threshold}")
        if not 0 <= self.lowest_serial <= MAX_INTEGER:
            raise ValueError(f"lowest_serial must be 0 or higher; got {self.lowest_serial}")

    def accepts(self, envelope: Envelope) -> bool:
        """Have at least `threshold` of the keys signed?"""
        return len(envelope.signers(self.keys)) >= self.threshold

    def envelope(self) -> Envelope:
        """The statement, not signed yet."""
        tree = {
            "schema": SCHEMA,
            "version": self.version,
            "keys": sorted(key.line() for key in self.keys),
            "threshold": self.threshold,
            "lowest_serial": self.lowest_serial,
        }
        return Envelope(PAYLOAD_TYPE, json_bytes(tree))


def statement_from_bytes(data: bytes, place: str) -> tuple[Trust, Envelope]:
    """Read a statement; its signatures are not checked. Raises InputError naming `place`."""
    try:
        envelope = envelope_from_bytes(data, PAYLOAD_TYPE)
        tree = fields_of(
            tree_from_json(envelope.payload),
            {"schema": str, "version": int, "keys": list, "threshold": int, "lowest_serial": int},
            "the trust statement",
        )
        if tree["schema"] != SCHEMA:
            raise ValueError(f"its schema is {quoted(tree['schema'])}, this seisedge reads '{SCHEMA}'; upgrade")
        keys = tuple(key_from_line(line) if isinstance(line, str) else _no_line(line) for line in tree["keys"])
        return Trust(tree["version"], keys, tree["threshold"], tree["lowest_serial"]), envelope
    except ValueError as error:
        raise InputError(f"{place}: no trust statement of seisedge: {error}") from error


def trust_from_bytes(data: bytes, place: str) -> tuple[Trust, Envelope]:
    """As `statement_from_bytes`; its own keys must have signed it. Raises InputError naming `place`."""
    trust, envelope = statement_from_bytes(data, place)
    _require(trust, envelope, f"{place}: the trust statement", "its own")
    return trust, envelope


def succeed(old: Trust, data: bytes, place: str) -> Trust:
    """The statement that replaces `old`. Raises InputError where it does not follow from it."""
    new, envelope = trust_from_bytes(data, place)
    if new.version != old.version + 1:
        raise InputError(
            f"{place}: it is version {new.version} of the trusted keys, expected {old.version + 1}; "
            "apply the versions one after the other"
        )
    _require(old, envelope, f"{place}: version {new.version} of the trusted keys", f"version {old.version}'s")
    return new


def _require(trust: Trust, envelope: Envelope, what: str, whose: str) -> None:
    found = len(envelope.signers(trust.keys))
    if found < trust.threshold:
        raise InputError(
            f"{what} is signed by {found} of {whose} keys, {trust.threshold} are needed; sign it with more"
        )


def _no_line(value: object) -> PublicKey:
    raise ValueError(f"a key must be text; got {quoted(value)}")

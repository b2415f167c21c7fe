"""The training events of a model, in the compact exact form of its card.

The key of an event is its normalised id. The key of a record without an event id is its station and start time. A
hash is the first 8 bytes of the SHA-256 of a key. `event_hashes` of a card is the base64 text of all hashes, sorted
and joined.

The probability that any of n evaluated events is mistaken for one of m training events is n * m / 2**64: 5e-8 for a
million of each. An event with two ids, for example in the catalogues of two networks, is not recognised. Ids that are
only counters (1, 2, 3 ...) can agree by chance; the event is then excluded from an evaluation without need.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterable

from seisedge.runtime.errors import CardError
from seisedge.train.dataset.columns import Row, text, time_ns

HASH_BYTES = 8
_WRITTEN_AS_FLOAT = re.compile(r"(\d+)\.0+")  # pandas writes integers like this if one value of the column is missing


def event_key(row: Row) -> str:
    """The key of the event of a record; '' for a record without event id that has no start time or no station."""
    event = text(row, "source_id")
    if event:
        return key_of_id(event)
    start_ns, station = time_ns(row, "trace_start_time"), text(row, "station_code")
    return f"{text(row, 'station_network_code')}.{station} {start_ns}" if station and start_ns is not None else ""


def key_of_id(event: str) -> str:
    """The event id without surrounding spaces, in Unicode form NFC, case-folded, and without a trailing '.0'."""
    key = unicodedata.normalize("NFC", event.strip()).casefold()
    number = _WRITTEN_AS_FLOAT.fullmatch(key)
    return number[1] if number else key


def event_hash(key: str) -> bytes:
    """The hash of a key, 8 bytes."""
    return hashlib.sha256(key.encode()).digest()[:HASH_BYTES]


def text_from_keys(keys: Iterable[str]) -> str:
    """The text for `event_hashes` of a card; empty keys are ignored."""
    return _text({event_hash(key) for key in keys if key})


def joined_texts(first: str, second: str) -> str:
    """The text with the hashes of both texts."""
    return _text(hashes_from_text(first, "run") | hashes_from_text(second, "run"))


def _text(hashes: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(hashes))).decode()


def hashes_from_text(encoded: str, path: str) -> frozenset[bytes]:
    """The hashes in a text of `text_from_keys`. path: the model file, for the message. Raises CardError."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        data = b"?"
    if len(data) % HASH_BYTES:
        raise CardError(
            f"{path}: training.event_hashes of the card must be base64 of hashes of {HASH_BYTES} bytes; "
            "export the model again"
        )
    return frozenset(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES))

"""Signed statements: DSSE envelopes (https://github.com/secure-systems-lab/dsse, protocol 1.0.2).

securesystemslib computes what is signed and verifies Ed25519; without `cryptography` it uses Python code of its own.
What it leaves open is decided here: the type of the payload is fixed by the reader, the id of a key is computed from
the key, and a threshold counts different keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from seisedge.runtime.bundle.canonical import fields_of, json_bytes, tree_from_json
from seisedge.runtime.bundle.keys import SIGNATURE_BYTES, PublicKey
from seisedge.runtime.text import quoted

MAX_SIGNATURES = 32
MAX_PAYLOAD = 16 * 2**20
MAX_ENVELOPE = 2 * MAX_PAYLOAD


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its signatures, none of them verified yet.

    signatures: id that the envelope gives (64 hexadecimal digits; not trusted) and signature (64 bytes).
    """

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        """The pre-authentication encoding, which is what a signature signs."""
        from securesystemslib.dsse import Envelope as Dsse

        return Dsse(self.payload, self.payload_type, {}).pae()

    def with_signature(self, key: PublicKey, signature: bytes) -> Envelope:
        """The envelope with the signature of one more key; an older one of that key is replaced."""
        others = [entry for entry in self.signatures if entry[0] != key.key_id]
        return replace(self, signatures=tuple(sorted([*others, (key.key_id, signature)])))

    def signers(self, keys: Iterable[PublicKey]) -> set[PublicKey]:
        """Those of `keys` of which a signature, under the id that the key has, is valid."""
        signed, signatures = self.signed_bytes, dict(self.signatures)
        return {key for key in keys if key.key_id in signatures and is_signed(key, signatures[key.key_id], signed)}

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        signatures = [{"keyid": key_id, "sig": _base64(signature)} for key_id, signature in self.signatures]
        tree = {"payload": _base64(self.payload), "payloadType": self.payload_type, "signatures": signatures}
        return json_bytes(tree)


def envelope_from_bytes(data: bytes, payload_type: str) -> Envelope:
    """Read an envelope whose payload must have this type. Raises ValueError, as a clause."""
    if len(data) > MAX_ENVELOPE:
        raise ValueError(f"the envelope is larger than {MAX_ENVELOPE // 2**20} MiB")
    tree = fields_of(tree_from_json(data), {"payload": str, "payloadType": str, "signatures": list}, "the envelope")
    if tree["payloadType"] != payload_type:
        raise ValueError(f"the payload has the type {quoted(tree['payloadType'])}, expected '{payload_type}'")
    if len(tree["signatures"]) > MAX_SIGNATURES:
        raise ValueError(f"the envelope has {len(tree['signatures'])} signatures, at most {MAX_SIGNATURES} are allowed")
    signatures = tuple(_signature(entry) for entry in tree["signatures"])
    ids = [key_id for key_id, _ in signatures]
    if len(set(ids)) < len(ids):
        raise ValueError("two signatures have the same key id")
    return Envelope(payload_type, _bytes(tree["payload"], "the payload"), signatures)


def is_signed(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    """Is `signature` that of `key` over `signed`?"""
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature, SSlibKey

    public = SSlibKey(key.key_id, "ed25519", "ed25519", {"public": key.raw.hex()})
    try:
        public.verify_signature(Signature(key.key_id, signature.hex()), signed)
    except UnverifiedSignatureError:
        return False
    return True


def _signature(entry: Any) -> tuple[str, bytes]:
    fields = fields_of(entry, {"keyid": str, "sig": str}, "a signature")
    key_id, signature = fields["keyid"], _bytes(fields["sig"], "a signature")
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes; got {len(signature)}")
    if len(key_id) > 64 or not key_id.isalnum() or not key_id.isascii():
        raise ValueError(f"a key id has 64 hexadecimal digits; got {quoted(key_id)}")
    return key_id, signature


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{what} is not valid base64") from None
    if _base64(data) != text:
        raise ValueError(f"{what} is not valid base64")
    return data

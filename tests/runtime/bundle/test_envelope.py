"""Signatures: whose count, and what is refused."""

import base64
import json
import subprocess
import sys
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as Dsse
from securesystemslib.signer import CryptoSigner, SSlibKey
from tests.runtime.bundle.conftest import Pair

from seisedge.runtime.bundle.envelope import Envelope, envelope_from_bytes
from seisedge.runtime.bundle.keys import PublicKey, key_from_line

TYPE = "application/vnd.test+json"


def test_only_valid_signatures_of_the_given_keys_count(pairs: list[Pair]) -> None:
    envelope = pairs[1].sign(pairs[0].sign(Envelope(TYPE, b"{}")))
    keys = [pair.public for pair in pairs]
    assert envelope.signers(keys) == {keys[0], keys[1]}
    assert envelope.signers(keys[2:]) == set()
    assert envelope_from_bytes(envelope.to_bytes(), TYPE) == envelope


def test_the_payload_and_its_type_are_both_signed(pairs: list[Pair]) -> None:
    envelope = pairs[0].sign(Envelope(TYPE, b"{}"))
    for other in (Envelope(TYPE, b"{ }", envelope.signatures), Envelope(TYPE + "x", b"{}", envelope.signatures)):
        assert other.signers([pairs[0].public]) == set()


def test_one_key_under_two_ids_is_one_key(pairs: list[Pair]) -> None:
    """The same signature under a second id is no second signer."""
    key_id, signature = pairs[0].sign(Envelope(TYPE, b"{}")).signatures[0]
    envelope = Envelope(TYPE, b"{}", ((key_id, signature), ("bb", signature)))
    assert envelope.signers([pairs[0].public, PublicKey(pairs[0].public.raw, "the same key")]) == {pairs[0].public}


def test_a_signature_under_the_id_of_another_key_does_not_count(pairs: list[Pair]) -> None:
    signature = pairs[0].sign(Envelope(TYPE, b"{}")).signatures[0][1]
    envelope = Envelope(TYPE, b"{}", ((pairs[1].public.key_id, signature),))
    assert envelope.signers([pairs[1].public]) == set()


def test_an_envelope_of_the_library_is_read(pairs: list[Pair]) -> None:
    theirs = Dsse(b"payload", TYPE, {})
    public = SSlibKey.from_crypto(pairs[0].private.public_key(), keyid=pairs[0].public.key_id)
    theirs.sign(CryptoSigner(pairs[0].private, public))
    ours = envelope_from_bytes(json.dumps(theirs.to_dict()).encode(), TYPE)
    assert ours.signers([pairs[0].public]) == {pairs[0].public}


def test_verification_needs_no_cryptography(pairs: list[Pair]) -> None:
    """What a bare device has is the standard library and securesystemslib."""
    envelope = pairs[0].sign(Envelope(TYPE, b"{}"))
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['cryptography', 'numpy', 'msgspec', 'click']))\n"
        "from seisedge.runtime.bundle.container import envelope_from_bytes\n"
        "from seisedge.runtime.bundle.keys import key_from_line\n"
        "from seisedge.runtime.bundle.trust import Trust\n"
        f"e = envelope_from_bytes({envelope.to_bytes()!r}, {TYPE!r})\n"
        f"good, bad = key_from_line({pairs[0].public.line()!r}), key_from_line({pairs[1].public.line()!r})\n"
        "print(len(e.signers([good, bad])), len(e.signers([bad])), Trust(1, (good,), 1).accepts(e))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1 0 True\n", "")


def _tree(**changes: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {"payload": "e30=", "payloadType": TYPE, "signatures": []}
    return tree | changes


SIGNATURE = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ([], "the envelope must be an object"),
        ({"payload": "e30="}, "the envelope has no 'payloadType'"),
        (_tree(extra=1), "unknown key 'extra'"),
        (_tree(payload=1), "'payload' has the wrong type"),
        (_tree(payload="e30"), "the payload is not valid base64"),
        (_tree(payload="e3 0="), "the payload is not valid base64"),
        (_tree(payload="e31="), "the payload is not valid base64"),
        (_tree(payload="ä"), "the payload is not valid base64"),
        (_tree(payloadType="text/plain"), "has the type 'text/plain', expected"),
        (_tree(signatures={}), "'signatures' has the wrong type"),
        (_tree(signatures=[1]), "a signature must be an object"),
        (_tree(signatures=[{"keyid": "aa"}]), "a signature has no 'sig'"),
        (_tree(signatures=[{"keyid": "aa", "sig": ""}]), "a signature has 64 bytes; got 0"),
        (_tree(signatures=[{"keyid": None, "sig": SIGNATURE}]), "'keyid' has the wrong type"),
        (_tree(signatures=[{"keyid": "a/b", "sig": SIGNATURE}]), "a key id has 64 hexadecimal digits"),
        (_tree(signatures=[{"keyid": "aa", "sig": SIGNATURE}] * 2), "two signatures have the same key id"),
        (_tree(signatures=[{"keyid": f"a{k}", "sig": SIGNATURE} for k in range(33)]), "has 33 signatures, at most 32"),
    ],
)
def test_a_malformed_envelope_is_refused_with_one_clause(tree: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        envelope_from_bytes(json.dumps(tree).encode(), TYPE)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "a public key is a line 'ed25519'"),
        ("rsa 00", "a public key is a line 'ed25519'"),
        (f"ed25519 {'0' * 63}", "a public key is a line 'ed25519'"),
        (f"ed25519 {'F' * 64}", "a public key is a line 'ed25519'"),
        (f"ed25519 {'f' * 64}", "shortest encoding"),
        (f"ed25519 {'0' * 64} " + "x" * 101, "at most 100 characters"),
        (f"ed25519 {'0' * 64} a\x1b[31m", "printable"),
    ],
)
def test_what_is_no_public_key_is_refused(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        key_from_line(line)

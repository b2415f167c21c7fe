"""Rotation of the trusted keys, beside python-tuf, whose root role has the same rule."""

import random
from datetime import UTC, datetime

import pytest
from securesystemslib.signer import CryptoSigner, Signer
from tests.runtime.bundle.conftest import Pair
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Role, Root
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from seisedge.runtime.bundle.trust import PAYLOAD_TYPE, Trust, succeed, trust_from_bytes
from seisedge.runtime.errors import InputError


def _signed(trust: Trust, *by: Pair) -> bytes:
    envelope = trust.envelope()
    for pair in by:
        envelope = pair.sign(envelope)
    return envelope.to_bytes()


def _trust(version: int, pairs: list[Pair], threshold: int) -> Trust:
    return Trust(version, tuple(pair.public for pair in pairs), threshold)


def test_signed_by_the_old_and_the_new_keys(pairs: list[Pair]) -> None:
    a, b, c, *_ = pairs
    old, new = _trust(1, [a], 1), _trust(2, [b, c], 2)
    assert succeed(old, _signed(new, a, b, c), "t") == new
    for signers, why in (
        ((b, c), "signed by 0 of version 1's keys, 1 are needed"),
        ((a, b), "signed by 1 of its own keys, 2 are needed"),
        ((a,), "signed by 0 of its own keys"),
        ((), "signed by 0 of its own keys"),
    ):
        with pytest.raises(InputError, match=why):
            succeed(old, _signed(new, *signers), "t")


@pytest.mark.parametrize("version", [1, 3, 4, 2**31])
def test_versions_follow_one_another(pairs: list[Pair], version: int) -> None:
    old = _trust(2, pairs[:1], 1)
    if version == 3:
        succeed(old, _signed(_trust(version, pairs[:1], 1), pairs[0]), "t")
        return
    with pytest.raises(InputError, match=f"version {version} of the trusted keys, expected 3"):
        succeed(old, _signed(_trust(version, pairs[:1], 1), pairs[0]), "t")


def test_a_key_that_was_removed_signs_nothing_any_more(pairs: list[Pair]) -> None:
    a, b, *_ = pairs
    second = succeed(_trust(1, [a], 1), _signed(_trust(2, [b], 1), a, b), "t")
    with pytest.raises(InputError, match="signed by 0 of version 2's keys"):
        succeed(second, _signed(_trust(3, [a], 1), a), "t")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"version": 0}, "version"),
        ({"keys": ()}, "1 to 32 keys"),
        ({"threshold": 0}, "threshold must be 1 to 2"),
        ({"threshold": 3}, "threshold must be 1 to 2"),
        ({"lowest_serial": -1}, "lowest_serial"),
    ],
)
def test_values_that_no_statement_has(pairs: list[Pair], values: dict[str, object], why: str) -> None:
    good: dict[str, object] = {"version": 1, "keys": (pairs[0].public, pairs[1].public), "threshold": 1}
    with pytest.raises(ValueError, match=why):
        Trust(**(good | values))  # type: ignore[arg-type]


def test_a_key_twice_is_refused(pairs: list[Pair]) -> None:
    with pytest.raises(ValueError, match="a key occurs twice"):
        Trust(1, (pairs[0].public, pairs[0].public), 2)


def test_what_is_no_statement_is_refused(pairs: list[Pair]) -> None:
    bundle = pairs[0].sign(_trust(1, pairs[:1], 1).envelope())
    with pytest.raises(InputError, match=r"t\.json: no trust statement of seisedge: the payload has the type"):
        trust_from_bytes(bundle.to_bytes().replace(PAYLOAD_TYPE.encode(), b"text/plain"), "t.json")
    with pytest.raises(InputError, match=r"t\.json: no trust statement of seisedge: it is no valid JSON"):
        trust_from_bytes(b"{", "t.json")


def _root(version: int, pairs: list[Pair], threshold: int, signers: list[Pair]) -> bytes:
    """The same statement as root metadata of The Update Framework."""
    keys = [CryptoSigner(pair.private) for pair in pairs]
    ids = [key.public_key.keyid for key in keys]
    other = Role(ids, 1)
    roles = {"root": Role(ids, threshold), "timestamp": other, "snapshot": other, "targets": other}
    root = Root(
        version, None, datetime(2100, 1, 1, tzinfo=UTC), {k.public_key.keyid: k.public_key for k in keys}, roles
    )
    metadata = Metadata(root)
    for pair in signers:
        signer: Signer = CryptoSigner(pair.private)
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def test_same_decisions_as_the_update_framework(pairs: list[Pair]) -> None:
    """Random rotations, right and wrong: accepted here exactly where python-tuf accepts them."""
    draw = random.Random(3)
    seen = {True: 0, False: 0}
    for _ in range(60):
        old_pairs = draw.sample(pairs, draw.randint(1, 3))
        new_pairs = draw.sample(pairs, draw.randint(1, 3))
        old_threshold, new_threshold = draw.randint(1, len(old_pairs)), draw.randint(1, len(new_pairs))
        version = draw.choice([5, 6, 6, 6, 6, 7])
        signers = draw.sample(pairs, draw.randint(1, 5))
        theirs = TrustedMetadataSet(_root(5, old_pairs, old_threshold, old_pairs), EnvelopeType.METADATA)
        try:
            theirs.update_root(_root(version, new_pairs, new_threshold, signers))
            expected = True
        except RepositoryError:
            expected = False
        new = _trust(version, new_pairs, new_threshold)
        try:
            succeed(_trust(5, old_pairs, old_threshold), _signed(new, *signers), "t")
            accepted = True
        except InputError:
            accepted = False
        assert accepted == expected
        seen[accepted] += 1
    assert min(seen.values()) > 10

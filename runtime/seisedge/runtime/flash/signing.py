"""Private keys and signatures, on the workstation; needs `cryptography`, which no station has.

A private key is a PKCS #8 PEM file, encrypted with a passphrase unless that is empty, readable by its owner only.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.bundle.keys import PublicKey, key_from_line
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import OWNER_ONLY, created_with, read_up_to

MAX_KEY_BYTES = 64 * 1024
KEY_VARIABLE = "SEISEDGE_SIGNING_KEY"  # a private key as PEM, instead of a file
PASSPHRASE_VARIABLE = "SEISEDGE_SIGNING_PASSPHRASE"


def new_key(path: Path, passphrase: str, comment: str) -> PublicKey:
    """Make a pair of keys: the private one at `path`, the public one at `path` with the suffix `.pub`.

    Raises InputError where one of the files exists, OSError.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for existing in (path, public_path):
        if existing.exists() or existing.is_symlink():
            raise InputError(f"{existing}: the file exists, and a lost key cannot be replaced; choose another name")
    key = Ed25519PrivateKey.generate()
    public = _public(key, comment)
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    with open(path, "xb", opener=created_with(OWNER_ONLY)) as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public_path.write_text(public.line() + "\n", encoding="ascii")
    return public


def sign(envelope: Envelope, pem: bytes, passphrase: str, place: str) -> tuple[Envelope, PublicKey]:
    """Add the signature of a private key. place: of the key, for messages. Raises InputError."""
    try:
        key = load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError:
        why = "is encrypted: give its passphrase" if not passphrase else "is not encrypted: give no passphrase"
        raise InputError(f"{place}: the private key {why} ({PASSPHRASE_VARIABLE})") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{place}: no private key, a damaged one, or a wrong passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{place}: the key must be an Ed25519 key; make one with 'seisedge flash keygen'")
    public = _public(key, "")
    return envelope.with_signature(public, key.sign(envelope.signed_bytes)), public


def private_key(path: Path | None) -> tuple[bytes, str]:
    """The PEM of a private key and where it is from: a file, or SEISEDGE_SIGNING_KEY. Raises InputError."""
    if path is None:
        pem = os.environ.get(KEY_VARIABLE, "")
        if not pem:
            raise InputError(f"no private key: give --key FILE, or set {KEY_VARIABLE}")
        return pem.encode(), KEY_VARIABLE
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InputError(f"{path}: others can read this private key; chmod 600 {path}")
        return read_up_to(path, MAX_KEY_BYTES), str(path)
    except OSError as error:
        raise InputError(f"{path}: cannot read the private key: {error.strerror}") from error


def public_key(path: Path) -> PublicKey:
    """A public key from its file. Raises InputError."""
    try:
        return key_from_line(read_up_to(path, MAX_KEY_BYTES).decode("utf-8", "replace"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the public key: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _public(key: Ed25519PrivateKey, comment: str) -> PublicKey:
    return PublicKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), comment)

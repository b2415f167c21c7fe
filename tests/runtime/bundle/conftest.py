"""Keys and small bundles."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seisedge.runtime.bundle.container import write_bundle
from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.bundle.keys import PublicKey
from seisedge.runtime.bundle.manifest import PAYLOAD_TYPE, File, Hardware, Manifest

CONTENTS = {"models/a.onnx": b"graph" * 300, "stations/XX.STA.toml": b"[station]\n", "wheels/w-1-py3-none-any.whl": b""}
HARDWARE = Hardware(
    profile="arm64",
    machine="aarch64",
    python=("3.12",),
    boards=(),
    l4t=("", ""),
    tensorrt=("", ""),
    engine="onnxruntime",
    precision="fp32",
    threads=1,
    power_mode="",
    disk_mib=1000,
    memory_mib=256,
    latency_ms=500.0,
)


@dataclass(frozen=True)
class Pair:
    """A private key, made from a number, and its public key."""

    number: int

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.number.to_bytes(32, "little"))

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), f"key {self.number}")

    def sign(self, envelope: Envelope) -> Envelope:
        return envelope.with_signature(self.public, self.private.sign(envelope.signed_bytes))


@pytest.fixture
def pairs() -> list[Pair]:
    return [Pair(k) for k in range(1, 6)]


def manifest_of(contents: dict[str, bytes], stations: dict[str, str] | None = None) -> Manifest:
    files = tuple(File(p, len(data), hashlib.sha256(data).hexdigest()) for p, data in sorted(contents.items()))
    return Manifest(
        serial=7,
        version="2026.11",
        built="2026-11-01T00:00:00Z",
        not_after="",
        seisedge="0.1.0",
        hardware=HARDWARE,
        stations={"XX.STA": "stations/XX.STA.toml"} if stations is None else stations,
        installed_bytes=1000,
        files=files,
    )


def bundle_bytes(
    contents: dict[str, bytes],
    sign: Callable[[Envelope], Envelope] = lambda e: e,
    stations: dict[str, str] | None = None,
) -> bytes:
    manifest = manifest_of(contents, stations)
    written = io.BytesIO()
    envelope = sign(Envelope(PAYLOAD_TYPE, manifest.to_bytes()))
    write_bundle(written, envelope, ((f, iter([contents[f.path]])) for f in manifest.files))
    return written.getvalue()


def with_files(manifest: Manifest, *files: File) -> Manifest:
    return replace(manifest, files=tuple(sorted(files, key=lambda file: file.path)), stations={})

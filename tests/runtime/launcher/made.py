"""Small bundles with real wheels, and programs of a slot that need no Python of their own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runtime.bundle.conftest import HARDWARE, Pair

from seisedge.runtime.bundle.container import write_bundle
from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.bundle.manifest import PAYLOAD_TYPE, File, Manifest
from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.errors import FailedError
from seisedge.runtime.launcher.device import Device, Place
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.install import Launcher
from seisedge.runtime.launcher.programs import Programs, Proof
from seisedge.runtime.launcher.slots import VENV

NOW = "2026-11-28T00:00:00Z"
DEVICE = Device("aarch64", "", "", "", {"3.12": Path("/usr/bin/python3.12")}, ("XX.STA",))
CODE = f"{VENV}/lib/python3.12/site-packages/package/__init__.py"
BYTE_CODE = f"{VENV}/lib/python3.12/site-packages/package/__init__.pyc"


def wheel(name: str, files: dict[str, bytes], version: str = "1") -> bytes:
    """A wheel, as built by any tool: content, metadata and RECORD."""
    info = f"{name}-{version}.dist-info"
    contents = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, data in contents.items():
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def contents_of(serial: int) -> dict[str, bytes]:
    return {
        "launcher/flash.pyz": b"launcher %d" % serial,
        "models/a.onnx": b"graph %d" % serial,
        "stations/XX.STA.toml": b'[station]\nnetwork = "XX"\nstation = "STA"\n',
        "wheels/package-1-py3-none-any.whl": wheel("package", {"package/__init__.py": b"version = %d\n" % serial}),
    }


def bundle(
    serial: int,
    *pairs: Pair,
    contents: dict[str, bytes] | None = None,
    rename: tuple[str, str] = ("", ""),
    **changes: Any,
) -> bytes:
    """A signed bundle. changes: of the manifest. rename: a path in it that is replaced before it is signed."""
    given = contents_of(serial) if contents is None else contents
    files = tuple(File(p, len(data), hashlib.sha256(data).hexdigest()) for p, data in sorted(given.items()))
    stated: dict[str, Any] = {
        "version": f"2026.{serial}", "built": "2026-11-01T00:00:00Z", "not_after": "", "seisedge": "0.1.0",
        "hardware": HARDWARE, "stations": {"XX.STA": "stations/XX.STA.toml"}, "installed_bytes": 100_000,
    }  # fmt: skip
    manifest = Manifest(serial=serial, files=files, **{**stated, **changes})
    old, new = (json.dumps(path).encode() for path in rename)
    envelope = Envelope(PAYLOAD_TYPE, manifest.to_bytes().replace(old, new) if any(rename) else manifest.to_bytes())
    for pair in pairs:
        envelope = pair.sign(envelope)
    written = io.BytesIO()
    write_bundle(written, envelope, ((file, iter([given[file.path]])) for file in files))
    return written.getvalue()


@dataclass
class FakePrograms(Programs):
    """The byte code is a file of the slot; a slot is broken where its code is not that of its serial."""

    place: Place
    disk: Disk
    broken: dict[str, str] = field(default_factory=dict)  # slot → what its packages report
    failing: dict[str, str] = field(default_factory=dict)  # slot → what its self-test reports
    golden: str = "golden"
    restarts: int = 0
    watches: int = 0

    def compile(self, slot: Path) -> None:
        self.disk.write(slot / BYTE_CODE, [b"byte code"])

    def probe(self, slot: Path) -> str:
        if slot.name in self.broken:
            return self.broken[slot.name]
        expected = f"version = {slot.name.partition('-')[0]}\n"
        return "" if (slot / CODE).read_text(encoding="utf-8") == expected else "the packages cannot be imported"

    def self_test(self, slot: Path, manifest: Manifest, stations: tuple[str, ...]) -> Proof:
        if slot.name in self.failing:
            raise FailedError(self.failing[slot.name])
        return Proof(self.golden, 50.0, 2.0)

    def restart(self, stations: tuple[str, ...]) -> None:
        self.restarts += 1

    def enable(self, stations: tuple[str, ...]) -> None:
        pass

    def watch(self) -> None:
        self.watches += 1


def launcher_at(root: Path, disk: Disk | None = None) -> Launcher:
    place = Place(root, root.parent / "etc", root.parent / "var")
    place.settings.mkdir(exist_ok=True)
    (place.settings / "station").write_text("XX.STA\n", encoding="utf-8")
    chosen = disk if disk is not None else Disk()
    return Launcher(place, chosen, FakePrograms(place, chosen))


def bare_device(root: Path, *pairs: Pair, threshold: int = 1) -> Trust:
    """A device that trusts these keys and has no version."""
    for folder in ("trust", "slots", "incoming"):
        (root / folder).mkdir(parents=True)
    trust = Trust(1, tuple(pair.public for pair in pairs), threshold)
    envelope = trust.envelope()
    for pair in pairs:
        envelope = pair.sign(envelope)
    (root / "trust" / "1.json").write_bytes(envelope.to_bytes())
    return trust

"""Bundles that no device accepts; the device has version 5 and wants two of three signatures."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from typing import Any

from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.made import bundle, contents_of, wheel

from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.bundle.manifest import Hardware


class UnderAnotherId(Pair):
    """Signs under an id that is not that of the key."""

    def sign(self, envelope: Envelope) -> Envelope:
        signature = self.private.sign(envelope.signed_bytes)
        return replace(envelope, signatures=(*envelope.signatures, ("f" * 64, signature)))


ONE, TWO, THREE = Pair(1), Pair(2), Pair(3)
WHEEL = "wheels/package-1-py3-none-any.whl"


def good(hardware: Hardware) -> bytes:
    """A bundle that devices of this hardware accept."""
    return bundle(6, ONE, TWO, hardware=hardware)


def refused(hardware: Hardware) -> dict[str, tuple[bytes, str]]:
    """Case → bundle, and a pattern of the reason for refusing it."""
    whole = good(hardware)

    def made(*pairs: Pair, serial: int = 6, **changes: Any) -> bytes:
        return bundle(serial, *(pairs or (ONE, TWO)), **{"hardware": hardware, **changes})

    def other(**changes: Any) -> bytes:
        return made(hardware=replace(hardware, **changes))

    def with_wheel(data: bytes) -> bytes:
        return made(contents=contents_of(6) | {WHEEL: data})

    def flipped(text: bytes) -> bytes:
        at = whole.index(text)
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    def member(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
        """The good bundle with another header in the place of the first file."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.type = 10, 0o644, kind
        at = whole.index(b"launcher/flash.pyz")
        return whole[:at] + info.tobuf(tarfile.USTAR_FORMAT) + whole[at + 512 :]

    def renamed(new: str) -> bytes:
        """A signed manifest that no builder makes."""
        contents = contents_of(6) | {"models/B.onnx": b"x", "models/c.onnx": b"y"}
        return made(contents=contents, rename=("models/c.onnx", new))

    machine = "aarch64" if hardware.machine == "x86_64" else "x86_64"
    return {
        "unsigned": (bundle(6, hardware=hardware), "signed by 0 of the keys"),
        "one key, two needed": (made(ONE), "signed by 1 of the keys"),
        "wrong keys": (made(Pair(8), Pair(9)), "signed by 0 of the keys"),
        "one key under two ids": (made(ONE, UnderAnotherId(1)), "signed by 1 of the keys"),
        "too old": (made(serial=4), "the bundle has serial 4, this device accepts 5 and higher"),
        "installed already": (made(serial=5), "is installed already"),
        "too late": (made(not_after="2026-11-27T00:00:00Z"), "was to be installed until 2026-11-27"),
        "one bit in a model": (flipped(b"graph 6"), r"models/a\.onnx is damaged"),
        "one bit in a station file": (flipped(b"[station]"), "stations/XX.STA.toml is damaged"),
        "one bit in the launcher": (flipped(b"launcher 6"), "launcher/flash.pyz is damaged"),
        "one bit in a wheel": (flipped(b"package/__init__.py"), r"wheels/package.* is damaged"),
        "one bit in the manifest": (flipped(b'"payload"'), "no bundle of seisedge, or a damaged one"),
        "truncated": (whole[:-600], "is cut off|cut off"),
        "empty": (b"", "does not begin as one"),
        "something behind it": (whole + bytes(512), "more data than the manifest lists"),
        "a symbolic link": (member("launcher/flash.pyz", tarfile.SYMTYPE), "a symbolic link"),
        "a device": (member("launcher/flash.pyz", tarfile.CHRTYPE), "a device"),
        "..": (member("../flash.pyz"), r"'\.\./flash.pyz'"),
        "an absolute path": (member("/flash.pyz"), "where the manifest lists"),
        "another file than the manifest lists": (member("models/b.onnx"), r"models/b\.onnx"),
        "a duplicate name": (renamed("models/B.onnx"), "models/B.onnx"),
        "names that differ in case": (renamed("models/b.onnx"), "models/B.onnx"),
        "a signed path with ..": (renamed("models/../c.onnx"), r"models/\.\./c\.onnx"),
        "a signed absolute path": (renamed("/models/c.onnx"), "/models/c.onnx"),
        "other hardware": (other(machine=machine), f"this device is {hardware.machine}"),
        "other board": (other(boards=("Orin NX",)), "the bundle is for Orin NX"),
        "other L4T": (other(l4t=("39.2", "39.9")), "this device has none"),
        "other Python": (other(python=("3.99",)), rf"for Python 3\.99, this device has .*{hardware.python[0]}"),
        "no space": (made(installed_bytes=2**32), "the new version needs 4096 MiB"),
        "a wheel that is none": (with_wheel(b"x"), "cannot unpack the wheel"),
        "a wheel that leaves its folder": (
            with_wheel(wheel("package", {"package/../../../../evil.py": b""})), "cannot unpack the wheel",
        ),
        "a decompression bomb": (with_wheel(wheel("package", {"zeros": bytes(10**6)})), "unpack to more than"),
    }  # fmt: skip

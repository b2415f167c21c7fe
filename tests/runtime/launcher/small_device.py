"""A device in a folder, with the real launcher as a process; the packages of its bundles are small stand-ins.

An installation takes a second. The launcher, the system's Python, the virtual environment and the programs of a slot
are real.
"""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.runtime.bundle.conftest import HARDWARE, Pair
from tests.runtime.launcher.made import bundle, wheel
from tests.runtime.launcher.unit import PYTHON

from seisedge.runtime.bundle.manifest import Hardware
from seisedge.runtime.flash.launcher_file import launcher_bytes
from seisedge.runtime.launcher.device import Place
from seisedge.runtime.launcher.slots import changed_files, slot_of
from seisedge.runtime.launcher.state import read_state

STAND_INS = ("numpy", "onnxruntime", "pymseed", "msgspec", "click")
SELF_TEST = b'print(\'{"golden": "g", "memory_mib": 10.0, "latency_ms": 1.0}\')\n'


@dataclass
class SmallDevice:
    """port: of the health endpoint of its station."""

    folder: Path
    port: int = 8917

    @property
    def root(self) -> Path:
        return self.folder / "opt"

    @property
    def place(self) -> Place:
        return Place(self.root, self.folder / "etc", self.folder / "var")

    def bundle(self, serial: int, *pairs: Pair) -> Path:
        """A signed bundle that this machine accepts, SERIAL.seisedge in the device's folder."""
        packages = {f"{name}/__init__.py": b"" for name in STAND_INS}
        own = {f"seisedge/{name}": b"" for name in ("__init__.py", "cli.py", "runtime/__init__.py")}
        own |= {"seisedge/runtime/flash/__init__.py": b"", "seisedge/runtime/flash/selftest.py": SELF_TEST}
        station = f'metrics = "127.0.0.1:{self.port}"\n[station]\nnetwork = "XX"\nstation = "STA"\n'
        contents = {
            "launcher/flash.pyz": launcher_bytes() + b"\0" * serial,
            "models/a.onnx": b"graph %d" % serial,
            "stations/XX.STA.toml": station.encode(),
            "wheels/package-1-py3-none-any.whl": wheel("package", packages | own),
        }
        path = self.folder / f"{serial}.seisedge"
        path.write_bytes(bundle(serial, *pairs, contents=contents, installed_bytes=4_000_000, hardware=own_hardware()))
        return path

    def command(self, name: str, *arguments: str) -> list[str]:
        place = self.place
        folders = ("--root", str(place.root), "--settings", str(place.settings), "--data", str(place.data))
        return [PYTHON, str(self.root / "flash.pyz"), name, *folders, *arguments]

    def run(self, *words: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the launcher, without variables of the tests but these."""
        environment = {"PATH": "/usr/bin:/bin", **(variables or {})}
        return subprocess.run(self.command(*words), capture_output=True, text=True, env=environment, check=False)

    def complete(self) -> int:
        """The serial of the active version, of which every installed file is as it was installed."""
        active = read_state(self.root).active
        assert active is not None
        assert changed_files(slot_of(self.root, active), active.listing) == []
        return active.serial


@functools.cache
def own_hardware() -> Hardware:
    """The hardware of this machine, with the version of the system's Python."""
    text = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([PYTHON, "-c", text], capture_output=True, text=True, check=True).stdout.strip()
    return replace(HARDWARE, machine=platform.machine(), python=(version,))

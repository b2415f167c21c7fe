"""Packages of a slot: a virtual environment made without the module venv, with wheels unpacked by `installer`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.text import reason_of

if TYPE_CHECKING:
    from installer.records import RecordEntry
    from installer.utils import Scheme

CHUNK = 2**20
MAX_PARTS = 20  # of a path in a wheel


def make_environment(disk: Disk, venv: Path, python: Path, *, system_packages: bool) -> Path:
    """Create an empty virtual environment; returns its folder of packages. Raises OSError.

    python: the interpreter, as /usr/bin/python3.12. system_packages: also import packages of the system (TensorRT).
    """
    packages = venv / "lib" / python.name / "site-packages"
    for folder in (venv, venv / "bin", venv / "lib", packages.parent, packages):
        disk.make_folder(folder)
    disk.link(venv / "bin" / "python", str(python))
    text = f"home = {python.parent}\ninclude-system-site-packages = {str(system_packages).lower()}\n"
    disk.write(venv / "pyvenv.cfg", [text.encode()])
    return packages


def unpack_wheels(disk: Disk, wheels: list[Path], packages: Path, most_bytes: int) -> None:
    """Unpack wheels into a folder of packages. Raises InputError for a wheel that cannot be installed, OSError.

    most_bytes: that all of them may take. Scripts and headers are left out: a station starts with `python -m`.
    """
    from installer import install
    from installer.destinations import WheelDestination
    from installer.exceptions import InstallerError
    from installer.records import RecordEntry
    from installer.sources import WheelFile

    left = [most_bytes]

    class Destination(WheelDestination):
        def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:
            return RecordEntry(name, None, None)

        def write_file(self, scheme: Scheme, path: object, stream: BinaryIO, is_executable: bool) -> RecordEntry:
            if scheme in ("purelib", "platlib"):
                target = _target(packages, str(path))
                for folder in [folder for folder in target.parents if not folder.exists()][::-1]:
                    disk.make_folder(folder)
                disk.write(target, _bounded(stream, left, most_bytes), 0o755 if is_executable else 0o644)
            return RecordEntry(str(path), None, None)

        def finalize_installation(
            self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
        ) -> None:
            lines = [f"{record.path},,\n".encode() for _, record in records]  # the hashes are in installed.json
            disk.write(_target(packages, record_file_path), lines)

    for wheel in wheels:
        try:
            with WheelFile.open(wheel) as source:
                install(source, Destination(), {"INSTALLER": b"seisedge flash\n"})
        except FileExistsError as error:
            raise InputError(f"{wheel.name}: another package contains the same file, {error.filename}") from error
        except (InstallerError, zipfile.BadZipFile, ValueError, KeyError, EOFError, NotImplementedError) as error:
            raise InputError(f"{wheel.name}: cannot unpack the wheel: {reason_of(error)}") from error


def _bounded(stream: BinaryIO, left: list[int], most_bytes: int) -> Iterator[bytes]:
    while piece := stream.read(CHUNK):
        left[0] -= len(piece)
        if left[0] < 0:
            raise ValueError(f"the packages unpack to more than {most_bytes // MIB} MiB, which the manifest states")
        yield piece


def _target(folder: Path, path: str) -> Path:
    """The file of a wheel in a folder. Raises ValueError for a path that leaves the folder."""
    parts = path.split("/")
    if len(parts) > MAX_PARTS or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"the path {path!r} is not allowed")
    return folder.joinpath(*parts)

"""Slots: a version of the software as it is installed, in a folder of its own that is never changed afterwards.

```
ROOT/flash.pyz             the launcher
ROOT/state.json            which slot is active
ROOT/trust/N.json          trust statements; the highest version counts
ROOT/incoming/             copies of bundles during an installation
ROOT/slots/SERIAL-HASH/    manifest.dsse.json, files/ (models, station files, units), venv/ (packages), installed.json
ROOT/current               link to the active slot, for people; nothing is started through it
```
A slot is written at its final place: byte code and the virtual environment contain its path. It is in use only when the
state names it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from seisedge.runtime.bundle.canonical import json_bytes, tree_from_json
from seisedge.runtime.bundle.envelope import Envelope, envelope_from_bytes
from seisedge.runtime.bundle.manifest import PAYLOAD_TYPE, Manifest, manifest_from_bytes
from seisedge.runtime.errors import FailedError
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.state import State, Version

SLOTS, INCOMING, CURRENT = "slots", "incoming", "current"
BUNDLE = "bundle.seisedge"  # in `incoming`: the copy that is verified and installed
MANIFEST, INSTALLED, FILES, VENV = "manifest.dsse.json", "installed.json", "files", "venv"
WHEELS = "wheels/"
LAUNCHER = "launcher/flash.pyz"  # in a bundle, and in `files` of a slot
CHUNK = 2**20
LINK = "link "  # before the target of a symbolic link, in the place of a hash


def slot_name(envelope: Envelope, manifest: Manifest) -> str:
    """Name of the slot of a bundle: the serial, and the beginning of the SHA-256 of its manifest."""
    return f"{manifest.serial}-{hashlib.sha256(envelope.payload).hexdigest()[:12]}"


def slot_of(root: Path, version: Version) -> Path:
    """The folder of an installed version."""
    return root / SLOTS / version.slot


def manifest_of(slot: Path) -> Manifest:
    """The manifest of an installed version. Raises FailedError."""
    try:
        return manifest_from_bytes(envelope_from_bytes((slot / MANIFEST).read_bytes(), PAYLOAD_TYPE).payload)
    except (OSError, ValueError) as error:
        raise FailedError(f"{slot / MANIFEST}: cannot read the manifest: {error}; install the bundle again") from error


def hashes_of(slot: Path) -> dict[str, str]:
    """Relative path → SHA-256 of every file in a slot but the list itself; of a link its target.

    The files are read from the device where the system allows it, not from its cache. Raises OSError.
    """
    return {path: _sha256(slot / path) for path in _paths(slot) if path != INSTALLED}


def write_installed(disk: Disk, slot: Path) -> str:
    """Store the hashes of what was installed; returns the SHA-256 of the list. Raises OSError."""
    data = json_bytes(hashes_of(slot))
    disk.write(slot / INSTALLED, [data])
    return hashlib.sha256(data).hexdigest()


def changed_files(slot: Path, listing: str) -> list[str]:
    """Files of a slot that are missing, additional or not as installed; [] where the slot is complete.

    listing: SHA-256 of the list of installed files. The files of the bundle are compared with its manifest.
    """
    try:
        data = (slot / INSTALLED).read_bytes()
        expected = tree_from_json(data)
    except (OSError, ValueError):
        return [INSTALLED]
    if hashlib.sha256(data).hexdigest() != listing or not isinstance(expected, dict):
        return [INSTALLED]
    try:
        found = hashes_of(slot)
    except OSError as error:
        return [str(error.filename)]
    return sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))


def collect(disk: Disk, root: Path, state: State) -> list[str]:
    """Remove the slots that are not in use, and what installations left behind; returns the removed slots.

    The state that does not name a slot has been synchronised: a removal that a loss of power undoes is repeated by the
    next call. Raises OSError.
    """
    if os.path.lexists(root / INCOMING / BUNDLE):
        disk.unlink(root / INCOMING / BUNDLE)
    return collect_slots(disk, root, state)


def collect_slots(disk: Disk, root: Path, state: State) -> list[str]:
    """Remove the slots that are not in use; returns their names. Raises OSError."""
    unused = [slot for slot in sorted((root / SLOTS).glob("*")) if slot.name not in state.slots]
    for slot in unused:
        disk.remove_tree(slot)
    return [slot.name for slot in unused]


def point_current(disk: Disk, root: Path, state: State) -> None:
    """Set the link `current`. It is for people: nothing depends on it, and it is not synchronised. Raises OSError."""
    target = f"{SLOTS}/{state.active.slot}" if state.active is not None else ""
    link, part = root / CURRENT, root / f".{CURRENT}.part"
    with contextlib.suppress(OSError):
        if link.readlink() == Path(target):
            return
    if os.path.lexists(part):
        disk.unlink(part)
    if target:
        disk.link(part, target)
        disk.rename(part, link)


def _paths(folder: Path, prefix: str = "") -> Iterator[str]:
    """Relative paths of all files and links, sorted. Raises OSError for another kind of file."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _paths(Path(entry.path), f"{prefix}{entry.name}/")
            elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                yield prefix + entry.name
            else:
                raise OSError(0, "it is neither a file nor a folder", prefix + entry.name)


def _sha256(path: Path) -> str:
    if path.is_symlink():
        return LINK + str(path.readlink())
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()

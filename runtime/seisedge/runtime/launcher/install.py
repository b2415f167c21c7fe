"""Installation: from a bundle on a medium to a new slot, and the switch to it.

Before the switch nothing is touched but the copy of the bundle and the new slot. A run that is killed or loses power at
any place leaves the old version active, or the new one, complete; the next installation removes what it left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from seisedge.runtime.bundle.container import Bundle, open_bundle
from seisedge.runtime.bundle.manifest import MAX_BUNDLE, File, Manifest
from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.launcher.device import Device, Place, check_device, check_space, free_bytes, stored_bytes
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.programs import Programs
from seisedge.runtime.launcher.slots import (
    BUNDLE,
    CHUNK,
    FILES,
    INCOMING,
    LAUNCHER,
    MANIFEST,
    SLOTS,
    VENV,
    WHEELS,
    changed_files,
    collect,
    collect_slots,
    point_current,
    slot_name,
    slot_of,
    write_installed,
)
from seisedge.runtime.launcher.state import State, Version, read_state, write_state
from seisedge.runtime.launcher.trusted import current_trust, lowest_serial
from seisedge.runtime.launcher.unpack import make_environment, unpack_wheels
from seisedge.runtime.launcher.wheel_names import wheels_for

LOCK = "lock"
SUFFIX = ".seisedge"


@dataclass(frozen=True, slots=True)
class Launcher:
    """What the operations on a device need; `disk` and `programs` are replaced in tests."""

    place: Place
    disk: Disk
    programs: Programs

    @property
    def root(self) -> Path:
        return self.place.root

    def save(self, state: State) -> State:
        """Write the state and point the link `current` to its version. Raises OSError."""
        write_state(self.disk, self.root, state)
        point_current(self.disk, self.root, state)
        return state


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Only one process changes an installation. Raises FailedError where another one does, InputError without one."""
    try:
        file = (root / LOCK).open("a")
    except FileNotFoundError:
        raise InputError(f"{root}: nothing is installed here; run 'bootstrap' first") from None
    except OSError as error:
        raise FailedError(f"{root / LOCK}: cannot change the installation: {error.strerror}; run it as root") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedError(f"{root}: another installation is running; wait until it ends") from None
        yield


@contextlib.contextmanager
def disk_errors(root: Path, what: str) -> Iterator[None]:
    """An error of the disk as one sentence. Raises FailedError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FailedError(
            f"{error.filename or root}: cannot {what}: {reason}; the active version is as before"
        ) from error


def install(
    launcher: Launcher, medium: Path, device: Device, baseline: dict[str, str], now: str, *, again: bool = False
) -> Version:
    """Install a bundle and switch to it; the caller restarts the stations and watches the health window.

    medium: a bundle, or a folder that contains one. baseline: see `State`. now: the clock, ISO 8601 UTC. again: also a
    bundle that failed on this device before. Raises InputError for a bundle that this device does not accept,
    FailedError where the slot fails its self-test or the disk fails; the active version is then as before.
    """
    root = launcher.root
    with locked(root), disk_errors(root, "install"):
        state = read_state(root)
        collect(launcher.disk, root, state)
        source = bundle_in(medium)
        try:
            copy = _copied(launcher, source)
            bundle = open_bundle(copy)  # from here on nothing is read from the medium
            with bundle.file:
                return _install(launcher, bundle, device, state, baseline, now, again=again)
        finally:
            _tidy(launcher, root)


def _tidy(launcher: Launcher, root: Path) -> None:
    """Remove the copy and a slot that was not switched to; the next run repeats what fails here."""
    with contextlib.suppress(OSError, FailedError):
        collect(launcher.disk, root, read_state(root))


def bundle_in(medium: Path) -> Path:
    """The bundle that a path names, or the only one in a folder. Raises InputError."""
    if medium.is_dir():
        found = sorted(path for path in medium.glob(f"*{SUFFIX}") if not path.name.startswith("."))
        if len(found) != 1:
            raise InputError(
                f"{medium}: it contains {len(found)} bundles (*{SUFFIX}), expected one; name the file"
                if found
                else f"{medium}: it contains no bundle (*{SUFFIX})"
            )
        return found[0]
    return medium


def _copied(launcher: Launcher, source: Path) -> Path:
    """Copy the bundle from its medium: what is verified is what is installed. Raises InputError, OSError."""
    incoming = launcher.root / INCOMING
    if not incoming.is_dir():
        launcher.disk.make_folder(incoming)
    copy = incoming / BUNDLE
    with _opened(source) as file:
        check_space(incoming, os.fstat(file.fileno()).st_size, "the copy of the bundle")
        launcher.disk.write(copy, _pieces(file, source))
    return copy


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    """A plain file that is no larger than a bundle. Raises InputError."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"{source}: cannot read the bundle: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"{source}: it is no plain file; name a bundle, or the folder that contains it")
        if facts.st_size > MAX_BUNDLE + MIB:
            raise InputError(f"{source}: it is larger than {MAX_BUNDLE // 2**30} GiB, no bundle is")
        yield file


def check_medium(launcher: Launcher, medium: Path, device: Device, trust: Trust, now: str, *, again: bool) -> None:
    """Check a bundle on its medium for a device that has no identity yet. Raises InputError, FailedError."""
    source = bundle_in(medium)
    with _opened(source):
        pass
    try:
        bundle = open_bundle(source)
        with bundle.file:
            accept(launcher, bundle, device, read_state(launcher.root), now, again=again, trust=trust)
    except OSError as error:
        raise InputError(f"{source}: cannot read the bundle: {error.strerror}; copy it again") from error


def _pieces(file: BinaryIO, source: Path) -> Iterator[bytes]:
    """Raises InputError where the medium cannot be read to its end."""
    while True:
        try:
            piece = file.read(CHUNK)
        except OSError as error:
            raise InputError(f"{source}: cannot read the bundle: {error.strerror}; copy it again") from error
        if not piece:
            return
        yield piece


def _install(
    launcher: Launcher, bundle: Bundle, device: Device, state: State, baseline: dict[str, str], now: str, *, again: bool
) -> Version:
    disk, manifest = launcher.disk, bundle.manifest
    python, state = accept(launcher, bundle, device, state, now, again=again)
    name = slot_name(bundle.envelope, manifest)
    state = _with_space(launcher, manifest, state)
    slot = launcher.root / SLOTS / name
    _fill(launcher, bundle, slot, python)
    listing = write_installed(disk, slot)
    disk.sync_all(launcher.root)
    changed = changed_files(slot, listing)
    if changed:
        raise FailedError(f"{slot / changed[0]}: the file on disk is not what was written; replace the storage")
    proof = launcher.programs.self_test(slot, manifest, device.stations)
    new = Version(
        slot=name,
        serial=manifest.serial,
        version=manifest.version,
        built=manifest.built,
        listing=listing,
        golden=proof.golden,
        memory_mib=proof.memory_mib,
        latency_ms=proof.latency_ms,
    )
    state = launcher.save(state.switched_to(new, baseline, now))
    assert state.active is not None
    return state.active


def accept(
    launcher: Launcher,
    bundle: Bundle,
    device: Device,
    state: State,
    now: str,
    *,
    again: bool = False,
    trust: Trust | None = None,
) -> tuple[Path, State]:
    """Check whether this device installs a bundle; returns its interpreter, and the state with remarks on the clock.

    trust: None: of the device. Raises InputError with the first reason against it.
    """
    manifest = bundle.manifest
    trust = trust if trust is not None else current_trust(launcher.root, state)
    signers = bundle.envelope.signers(trust.keys)
    if len(signers) < trust.threshold:
        raise InputError(
            f"the bundle is signed by {len(signers)} of the keys that this device trusts, {trust.threshold} needed; "
            "sign it with 'seisedge flash sign', or bring the device the next trust statement"
        )
    lowest = lowest_serial(state, trust)
    if manifest.serial < lowest:
        raise InputError(
            f"the bundle has serial {manifest.serial}, this device accepts {lowest} and higher; to go back to the "
            "version before use 'rollback'"
        )
    state = _in_time(manifest, state, device, now)
    bundle.check_contents()
    name = slot_name(bundle.envelope, manifest)
    if name in state.slots:
        raise InputError(f"the bundle is installed already, in the slot {name}; {_how_to_use(state, name)}")
    if name in state.bad and not again:
        raise InputError(
            f"the bundle failed on this device before ({state.bad[name]}); use --again to try it once more"
        )
    python = check_device(manifest, device)
    _wheels(manifest, python)
    return python, state


def _how_to_use(state: State, name: str) -> str:
    """What to do for a slot that is installed already."""
    if state.previous is not None and state.previous.slot == name:
        return "'rollback' switches to it"
    if state.older is not None and state.older.slot == name:
        return "'rollback' twice switches to it"
    return "it is not confirmed yet, 'watch' decides" if state.pending else "it is the active version"


def _in_time(manifest: Manifest, state: State, device: Device, now: str) -> State:
    """Raises InputError where the bundle is no longer to be installed, by a time that cannot go back."""
    running = state.active.built if state.active is not None else ""
    bound = max(state.latest, running, manifest.built, device.timesyncd)
    if manifest.not_after and max(now, bound) > manifest.not_after:
        raise InputError(
            f"the bundle was to be installed until {manifest.not_after}, it is {max(now, bound)}; build a new one"
        )
    if now < bound:
        return state.noted(now, "clock", None, f"the clock says {now}, but it is {bound} or later")
    return replace(state, latest=max(state.latest, now)) if device.clock_ok else state


def _with_space(launcher: Launcher, manifest: Manifest, state: State) -> State:
    """Give up the previous version where the new one has space only without it. Raises InputError, OSError."""
    slots = launcher.root / SLOTS
    folder = slots if slots.is_dir() else launcher.root
    if state.previous is not None and free_bytes(folder) < manifest.installed_bytes:
        freed = stored_bytes(slot_of(launcher.root, state.previous))
        check_space(folder, manifest.installed_bytes, "the new version", freed)
        state = launcher.save(replace(state, previous=None))
        collect_slots(launcher.disk, launcher.root, state)
    check_space(folder, manifest.installed_bytes, "the new version")
    return state


def _wheels(manifest: Manifest, python: Path) -> set[str]:
    """Paths of the wheels in a bundle that an interpreter needs. Raises InputError for a package without one."""
    names = [entry.path.removeprefix(WHEELS) for entry in manifest.files if entry.path.startswith(WHEELS)]
    return {WHEELS + name for name in wheels_for(names, python.name.removeprefix("python"), manifest.hardware.machine)}


def _fill(launcher: Launcher, bundle: Bundle, slot: Path, python: Path) -> None:
    """Write all that belongs to a version into its slot. Raises InputError, FailedError, OSError."""
    disk, manifest = launcher.disk, bundle.manifest
    if not slot.parent.exists():
        disk.make_folder(slot.parent)
    disk.make_folder(slot)
    disk.write(slot / MANIFEST, [bundle.envelope.to_bytes()])
    needed = _wheels(manifest, python)
    wheels = [_put(disk, bundle, entry, slot) for entry in manifest.files if entry.path in needed]
    for entry in manifest.files:
        if not entry.path.startswith(WHEELS):
            _put(disk, bundle, entry, slot / FILES)
    system = manifest.hardware.engine == "tensorrt"  # which no package index has for these boards
    packages = make_environment(disk, slot / VENV, python, system_packages=system)
    unpack_wheels(disk, wheels, packages, manifest.installed_bytes)
    if wheels:
        disk.remove_tree(wheels[0].parent)
    launcher.programs.compile(slot)


def _put(disk: Disk, bundle: Bundle, entry: File, folder: Path) -> Path:
    path = folder / entry.path
    for parent in [parent for parent in path.parents if not parent.exists()][::-1]:
        disk.make_folder(parent)
    disk.write(path, bundle.chunks(entry))
    return path


def replace_launcher(launcher: Launcher, version: Version) -> bool:
    """Take over the launcher of a confirmed version; False where it is the same, or the bundle has none.

    Raises OSError.
    """
    new, old = slot_of(launcher.root, version) / FILES / LAUNCHER, launcher.root / "flash.pyz"
    if not new.is_file() or (old.is_file() and new.read_bytes() == old.read_bytes()):
        return False
    launcher.disk.replace_file(old, [new.read_bytes()], 0o755)
    return True

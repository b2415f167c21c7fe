"""Whose bundles this device accepts: the trust statements in `trust/`, and their rotation. Versions never go back."""

from __future__ import annotations

from pathlib import Path

from seisedge.runtime.bundle.trust import Trust, succeed, trust_from_bytes
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import MIB, read_up_to
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.state import State

TRUST = "trust"
MAX_BYTES = MIB


def current_trust(root: Path, state: State) -> Trust:
    """The trust statement of the highest version. Raises InputError on a device without one, FailedError."""
    versions = sorted(int(path.stem) for path in (root / TRUST).glob("*.json") if path.stem.isdecimal())
    if not versions:
        raise InputError(f"{root / TRUST}: this device trusts no key yet; run 'bootstrap' with a trust statement")
    path = root / TRUST / f"{versions[-1]}.json"
    try:
        trust = trust_from_bytes(read_up_to(path, MAX_BYTES), str(path))[0]
    except OSError as error:
        raise FailedError(f"{path}: cannot read the trust statement: {error.strerror}") from error
    if trust.version != versions[-1] or trust.version < state.trust_version:
        raise FailedError(
            f"{path}: it is version {trust.version} of the trusted keys, this device has had version "
            f"{max(state.trust_version, versions[-1])}; restore that file"
        )
    return trust


def rotate(disk: Disk, root: Path, state: State, statement: Path) -> Trust:
    """Replace the trusted keys by the next version. Raises InputError where it does not follow, OSError."""
    data = read_statement(statement)
    new = succeed(current_trust(root, state), data, str(statement))
    disk.replace_file(root / TRUST / f"{new.version}.json", [data])
    return new


def read_statement(path: Path) -> bytes:
    """The bytes of a trust statement. Raises InputError."""
    try:
        return read_up_to(path, MAX_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot read the trust statement: {error.strerror}") from error


def lowest_serial(state: State, trust: Trust) -> int:
    """Bundles of a lower serial are refused. A new trust statement replaces what earlier bundles have set."""
    return state.floor if state.trust_version == trust.version else trust.lowest_serial

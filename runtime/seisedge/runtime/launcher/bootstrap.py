"""A bare device: folders, launcher, trust, identity and unit files. Repeating it completes what was interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from seisedge.runtime.bundle.manifest import STATION_ID
from seisedge.runtime.bundle.trust import Trust, trust_from_bytes
from seisedge.runtime.errors import InputError
from seisedge.runtime.launcher.device import IDENTITY, station_ids
from seisedge.runtime.launcher.install import Launcher, disk_errors
from seisedge.runtime.launcher.programs import SYSTEMD
from seisedge.runtime.launcher.slots import FILES, INCOMING, SLOTS, slot_of
from seisedge.runtime.launcher.state import Version, read_state
from seisedge.runtime.launcher.trusted import TRUST, current_trust, read_statement
from seisedge.runtime.text import quoted

LAUNCHER_FILE = "flash.pyz"
UNITS = Path("/etc/systemd/system")


def bootstrap(
    launcher: Launcher,
    statement: Path,
    stations: list[str],
    own: Path | None = None,
    check: Callable[[Trust, tuple[str, ...]], object] | None = None,
) -> None:
    """Prepare a device for its first installation.

    own: the launcher's file; default: the running one. check: called with the keys and the stations of this device
    before anything is written; what it raises leaves the device as it is. Raises InputError for a statement, a station
    or a device that contradicts it, FailedError where the disk fails.
    """
    for station in stations:
        if not STATION_ID.fullmatch(station):
            raise InputError(f"{quoted(station)} is no station; expected NET.STA, for example PB.B918")
    data = read_statement(statement)
    trust, _ = trust_from_bytes(data, str(statement))
    root, disk, settings = launcher.root, launcher.disk, launcher.place.settings
    ids = tuple(dict.fromkeys(stations))
    identity = "".join(f"{station}\n" for station in ids).encode()
    with disk_errors(root, "set up the device"):
        present = current_trust(root, read_state(root)) if any((root / TRUST).glob("*.json")) else None
        if present is not None and present != trust and present.version <= trust.version:
            raise InputError(f"{root / TRUST}: this device trusts other keys already; replace them with 'trust'")
        identified = (settings / IDENTITY).is_file()
        if identified and (settings / IDENTITY).read_bytes() != identity:
            raise InputError(f"{settings / IDENTITY}: this device is another station; remove that file to change it")
        if check is not None:
            check(present or trust, ids)
        for folder in (root, root / TRUST, root / SLOTS, root / INCOMING, settings, launcher.place.data):
            _make(launcher, folder)
        if present is None:
            disk.replace_file(root / TRUST / f"{trust.version}.json", [data])
        if not identified:
            disk.replace_file(settings / IDENTITY, [identity])
        running = own if own is not None else Path(sys.argv[0])
        if running.suffix == ".pyz" and not (root / LAUNCHER_FILE).exists():
            disk.replace_file(root / LAUNCHER_FILE, [running.read_bytes()], 0o755)


def place_units(launcher: Launcher, version: Version, folder: Path | None) -> None:
    """Copy the unit files of a version and enable the stations. folder: None: systemd's, where systemd runs.

    Raises FailedError.
    """
    if folder is None and not SYSTEMD.is_dir():
        return
    target = folder if folder is not None else UNITS
    with disk_errors(target, "write the unit files"):
        _make(launcher, target)
        for unit in sorted((slot_of(launcher.root, version) / FILES / "units").glob("*")):
            launcher.disk.replace_file(target / unit.name, [unit.read_bytes()])
    launcher.programs.enable(station_ids(launcher.place))


def _make(launcher: Launcher, folder: Path) -> None:
    for missing in [parent for parent in (folder, *folder.parents) if not parent.exists()][::-1]:
        launcher.disk.make_folder(missing)
        launcher.disk.sync_folder(missing.parent)

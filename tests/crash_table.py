"""Interruptions of the launcher: the operations, what must hold after each, and the table in docs/reliability.md.

`python -m tests.crash_table` prints the table.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.made import DEVICE, NOW, bare_device, bundle, launcher_at
from tests.runtime.launcher.power import RecordingDisk, Stopped

from seisedge.runtime.bundle.container import open_bundle
from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.launcher import run
from seisedge.runtime.launcher.command import removed_slots, rotated
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.install import install
from seisedge.runtime.launcher.slots import SLOTS, changed_files, slot_name
from seisedge.runtime.launcher.state import read_state
from seisedge.runtime.launcher.trusted import current_trust, lowest_serial

OPERATIONS = ("install", "commit", "rollback", "rotation", "gc")


@dataclass
class Case:
    """An operation on a copy of a prepared device. before, after: serials that may be active."""

    name: str
    device: Path
    folder: Path

    @property
    def medium(self) -> Path:
        return self.device / "4.seisedge"

    def fresh(self) -> Path:
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.device / ("pending" if self.name == "commit" else "root"), root, symlinks=True)
        if self.name == "gc":
            shutil.copytree(root / SLOTS / self.slot(2), root / SLOTS / "1-000000000000", symlinks=True)
            (root / "incoming" / "bundle.seisedge").write_bytes(b"part")
        return root

    def slot(self, serial: int) -> str:
        opened = open_bundle(self.device / f"{serial}.seisedge")
        with opened.file:
            return slot_name(opened.envelope, opened.manifest)

    def run(self, root: Path, disk: Disk) -> None:
        launcher = launcher_at(root, disk)
        if self.name == "install":
            install(launcher, self.medium, DEVICE, {}, NOW)
        elif self.name == "commit":
            run.commit(launcher, self.slot(4), NOW, "")
        elif self.name == "rollback":
            run.roll_back(launcher, NOW, "", automatic=False)
        elif self.name == "rotation":
            rotated(launcher, self.device / "trust-2.json")
        else:
            removed_slots(launcher)


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where the system has one: thousands of small trees are written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def prepared(folder: Path, first: Pair, second: Pair) -> None:
    """Two devices: `root` with versions 2 and 3 confirmed, `pending` with version 4 to be confirmed; and bundles."""
    root = folder / "root"
    bare_device(root, first)
    for serial in (2, 3, 4, 5):
        (folder / f"{serial}.seisedge").write_bytes(bundle(serial, first, second))
    launcher = launcher_at(root)
    for serial in (2, 3):
        run.commit(launcher, install(launcher, folder / f"{serial}.seisedge", DEVICE, {}, NOW).slot, NOW, "")
    trust = Trust(2, (second.public,), 1, 1)
    (folder / "trust-2.json").write_bytes(second.sign(first.sign(trust.envelope())).to_bytes())
    pending = folder / "pending"
    shutil.copytree(root, pending, symlinks=True)
    install(launcher_at(pending), folder / "4.seisedge", DEVICE, {}, NOW)


def case_of(name: str, device: Path, folder: Path) -> Case:
    return Case(name, device, folder)


def undisturbed(case: Case) -> RecordingDisk:
    root = case.fresh()
    disk = RecordingDisk(root)
    case.run(root, disk)
    check(case, root, done=True)
    return disk


def check(case: Case, root: Path, *, done: bool, install_next: bool = True) -> None:
    """What holds after an interruption. done: the operation had returned, so that its effect must be there."""
    state = read_state(root)
    assert state.active is not None and state.previous is not None
    serials = {"install": (3, 4), "commit": (4, 4), "rollback": (3, 2)}.get(case.name, (3, 3))
    assert state.active.serial in (serials[1:] if done else serials)
    for version in (state.active, state.previous):
        assert changed_files(root / SLOTS / version.slot, version.listing) == []
    trust = current_trust(root, state)
    lowest = lowest_serial(state, trust)
    if case.name == "commit":
        assert lowest == (3 if state.pending else 4) and not (done and state.pending)
        if state.pending:
            assert state.older is not None
            assert changed_files(root / SLOTS / state.older.slot, state.older.listing) == []
    elif case.name == "rotation":
        assert (trust.version, lowest) in ([(2, 1)] if done else [(1, 3), (2, 1)])
    else:
        assert (trust.version, lowest) == (1, 3)
    launchers = {"install": (3,), "commit": (4,) if done else (3, 4)}.get(case.name, (3,))
    assert (root / "flash.pyz").read_bytes() in [b"launcher %d" % serial for serial in launchers]
    if install_next:
        launcher = launcher_at(root)
        new = install(launcher, case.device / "5.seisedge", DEVICE, {}, NOW)
        run.commit(launcher, new.slot, NOW, "")
        state = read_state(root)
        assert state.active is not None and state.active.slot == new.slot and state.floor == 5
        assert changed_files(root / SLOTS / new.slot, new.listing) == []
        assert {slot.name for slot in (root / SLOTS).iterdir()} == state.slots and len(state.slots) == 2
        assert list((root / "incoming").iterdir()) == []
        assert (root / "current").resolve() == (root / SLOTS / new.slot).resolve()


def checked_outcomes(case: Case, draws: int, install_every: int, skip: int | None = None) -> int:
    """Cut the power before each operation and after the last; returns the number of outcomes that were checked.

    Equal outcomes count once.

    install_every: the next installation is tried in each so many-th outcome. skip: a synchronisation that does nothing.
    """
    whole = len(undisturbed(case).operations)
    count = 0
    target = case.folder / "after"
    seen: set[object] = set()
    for stop in range(whole, -1, -1):
        root = case.fresh()
        disk = RecordingDisk(root, stop_before=stop, skip=skip)
        with contextlib.suppress(Stopped):
            case.run(root, disk)
        for outcome in disk.outcomes(draws, seed=stop):
            found = disk.described(outcome), stop == whole
            if found in seen:
                continue
            seen.add(found)
            disk.write_outcome(outcome, target)
            check(case, target, done=stop == whole, install_next=count % install_every == 0)
            count += 1
    return count


ROWS: dict[str, tuple[str, str]] = {
    "install": ("installation of a bundle", "the version before is active, or the new one, complete"),
    "commit": ("confirmation, with a new launcher", "unconfirmed with a complete version before it, or confirmed"),
    "rollback": ("rollback", "one of the two is active, complete"),
    "rotation": ("rotation of the trusted keys", "the old keys are trusted, or the new ones; never none"),
    "gc": ("removal of old versions", "the two versions in use are complete"),
}


def table(draws: int = 60, install_every: int = 50) -> str:
    """The table, measured."""
    lines = [
        "| interrupted | operations on files | synchronisations | states checked after a power cut | after it |",
        "|---|---|---|---|---|",
    ]
    with memory_folder() as scratch:
        device = scratch / "device"
        device.mkdir()
        prepared(device, Pair(1), Pair(2))
        for name, (what, after) in ROWS.items():
            case = case_of(name, device, scratch)
            disk = undisturbed(case)
            count = checked_outcomes(case, draws, install_every)
            lines.append(f"| {what} | {len(disk.operations)} | {len(disk.synchronisations)} | {count:,} | {after} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")

"""Killed at any operation, or without power: one complete version is active, and the next installation succeeds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.crash_table import OPERATIONS, case_of, check, checked_outcomes, memory_folder, prepared, undisturbed
from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.made import DEVICE, NOW, launcher_at
from tests.runtime.launcher.power import RecordingDisk, Stopped

from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.install import install


@pytest.fixture(scope="module")
def device() -> Iterator[Path]:
    with memory_folder() as folder:
        prepared(folder, Pair(1), Pair(2))
        yield folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_before_every_operation(name: str, scratch: Path, device: Path) -> None:
    case = case_of(name, device, scratch)
    for stop in range(len(undisturbed(case).operations)):
        root = case.fresh()
        with pytest.raises(Stopped):
            case.run(root, RecordingDisk(root, stop_before=stop))
        check(case, root, done=False)


SLOW = ("install", "gc")  # of these the short run tests the kills and the synchronisations
SOME_LONG = [pytest.param(name, marks=pytest.mark.long) if name in SLOW else name for name in OPERATIONS]


@pytest.mark.parametrize("name", SOME_LONG)
def test_power_cut_before_every_operation(name: str, scratch: Path, device: Path) -> None:
    case = case_of(name, device, scratch)
    assert checked_outcomes(case, draws=2, install_every=60) > 5


@pytest.mark.long
@pytest.mark.parametrize("name", OPERATIONS)
def test_power_cut_in_many_orders(name: str, scratch: Path, device: Path) -> None:
    case = case_of(name, device, scratch)
    few = {"rollback", "rotation"}  # they write a handful of files; every order of these is among the outcomes
    assert checked_outcomes(case, draws=60, install_every=4) > (8 if name in few else 50)


# Each synchronisation of the code, by its number in an undisturbed run. `gc` needs none.
NEEDED = {"install": 3, "commit": 4, "rollback": 2, "rotation": 2, "gc": 0}


@pytest.mark.parametrize("name", OPERATIONS)
def test_number_of_synchronisations(name: str, scratch: Path, device: Path) -> None:
    disk = undisturbed(case_of(name, device, scratch))
    assert len(disk.synchronisations) == NEEDED[name], disk.synchronisations


@pytest.mark.parametrize(("name", "skip"), [(name, k) for name, count in NEEDED.items() for k in range(count)])
def test_without_any_synchronisation_a_power_cut_does_harm(name: str, skip: int, scratch: Path, device: Path) -> None:
    case = case_of(name, device, scratch)
    with pytest.raises(Exception):  # noqa: B017 - an assertion, or a state that cannot be read
        checked_outcomes(case, draws=0, install_every=10**6, skip=skip)


def test_every_change_goes_through_the_disk(scratch: Path, device: Path) -> None:
    """What the tests above cannot stop would not be tested: no other code changes files under the installation."""
    case = case_of("install", device, scratch)
    root = case.fresh()
    inside: list[str] = []
    seen: list[str] = []

    class Marked(Disk):
        def __getattribute__(self, name: str) -> object:
            found = super().__getattribute__(name)
            if not callable(found):
                return found

            def call(*arguments: object) -> object:
                inside.append(name)
                try:
                    return found(*arguments)
                finally:
                    inside.pop()

            return call

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        path = str(arguments[0]) if arguments else ""
        if inside or not path.startswith(str(root)) or path.endswith("/lock"):
            return
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):  # type: ignore[operator]
            seen.append(f"{event} {path}")

    hooks.append(hook)
    try:
        install(launcher_at(root, Marked()), case.medium, DEVICE, {}, NOW)
    finally:
        hooks.remove(hook)
    assert seen == []


CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")
hooks: list[Callable[[str, tuple[object, ...]], None]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    for hook in hooks:
        hook(event, arguments)


sys.addaudithook(_audit)

"""What a device refuses, with one sentence, before anything but the copy of the bundle has changed."""

from __future__ import annotations

import errno
import os
import platform
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.bundle.conftest import CONTENTS, HARDWARE, Pair, manifest_of
from tests.runtime.launcher.made import DEVICE, NOW, FakePrograms, bare_device, bundle, launcher_at
from tests.runtime.launcher.refused import ONE, THREE, TWO, good, refused

from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.launcher import install as module
from seisedge.runtime.launcher import run
from seisedge.runtime.launcher.bootstrap import bootstrap
from seisedge.runtime.launcher.command import main, removed_slots, rotated
from seisedge.runtime.launcher.device import Device, Place, check_device, station_ids, this_device
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.install import Launcher, install, locked
from seisedge.runtime.launcher.slots import SLOTS, changed_files, slot_of
from seisedge.runtime.launcher.state import read_state, write_state


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    """A device with version 5, confirmed, that wants two of three signatures."""
    root = tmp_path / "opt"
    bare_device(root, ONE, TWO, THREE, threshold=2)
    launcher = launcher_at(root)
    new = _installed(launcher, tmp_path, bundle(5, ONE, TWO))
    run.commit(launcher, new, NOW, "")
    return launcher


def _installed(
    launcher: Launcher, folder: Path, data: bytes, device: Device = DEVICE, *, again: bool = False, now: str = NOW
) -> str:
    path = folder / "medium.seisedge"
    path.write_bytes(data)
    return install(launcher, path, device, {}, now, again=again).slot


def _tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


GOOD = good(HARDWARE)
REFUSED = refused(HARDWARE)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, why = REFUSED[name]
    monkeypatch.setattr(module, "free_bytes", lambda _: 2**31)
    monkeypatch.setattr("seisedge.runtime.launcher.device.free_bytes", lambda _: 2**31)
    before = _tree(launcher.root)
    if name == "no space":  # it would take the place of a previous version, of which this device has none
        assert read_state(launcher.root).previous is None
    with pytest.raises(InputError, match=why) as caught:
        _installed(launcher, tmp_path, data)
    assert "\n" not in str(caught.value)
    assert _tree(launcher.root) == before
    assert _installed(launcher, tmp_path, GOOD)


class FullDisk(Disk):
    """No space, or a file system that cannot be written, from the operation number `left` on."""

    def __init__(self, left: int, code: int) -> None:
        self.left, self.code = left, code

    def _count(self, path: Path) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.code, os.strerror(self.code), str(path))

    def make_folder(self, path: Path) -> None:
        self._count(path)
        super().make_folder(path)

    def write(self, path: Path, pieces: object, mode: int = 0o644) -> None:
        self._count(path)
        super().write(path, pieces, mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_disk_that_cannot_be_written(code: int, launcher: Launcher, tmp_path: Path) -> None:
    before = _tree(launcher.root)
    for left in range(12):
        disk = FullDisk(left, code)
        full = Launcher(launcher.place, disk, FakePrograms(launcher.place, disk))
        with pytest.raises(FailedError, match=f"cannot install: {os.strerror(code)}; the active version is as before"):
            _installed(full, tmp_path, GOOD)
        assert _tree(launcher.root) == before


def test_full_disk_while_the_state_is_written(launcher: Launcher, tmp_path: Path) -> None:
    class FullWhileWriting(Disk):
        def write(self, path: Path, pieces: object, mode: int = 0o644) -> None:
            super().write(path, pieces, mode)  # type: ignore[arg-type]
            if path.name == ".state.json.part":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = _tree(launcher.root)
    full = Launcher(launcher.place, FullWhileWriting(), launcher.programs)
    with pytest.raises(FailedError, match="cannot install: No space left on device"):
        _installed(full, tmp_path, GOOD)
    assert _tree(launcher.root) == before


def test_second_installation_at_the_same_time(launcher: Launcher, tmp_path: Path) -> None:
    with locked(launcher.root), pytest.raises(FailedError, match="another installation is running"):
        _installed(launcher, tmp_path, GOOD)


def test_medium_that_changes_after_the_copy(launcher: Launcher, tmp_path: Path) -> None:
    """Nothing is read from the medium twice."""

    class Swapping(Disk):
        def write(self, path: Path, pieces: object, mode: int = 0o644) -> None:
            super().write(path, pieces, mode)  # type: ignore[arg-type]
            if path.name == "bundle.seisedge":
                (tmp_path / "medium.seisedge").write_bytes(bundle(7))

    disk = Swapping()
    swapped = Launcher(launcher.place, disk, FakePrograms(launcher.place, disk))
    assert _installed(swapped, tmp_path, GOOD).startswith("6-")


def test_medium(launcher: Launcher, tmp_path: Path) -> None:
    """A folder with one bundle is a medium; a folder with several, a pipe and a missing file are none."""
    folder = tmp_path / "stick"
    folder.mkdir()
    with pytest.raises(InputError, match="contains no bundle"):
        install(launcher, folder, DEVICE, {}, NOW)
    (folder / "a.seisedge").write_bytes(GOOD)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is no plain file"):
        install(launcher, tmp_path / "pipe", DEVICE, {}, NOW)
    with pytest.raises(InputError, match="cannot read the bundle: No such file"):
        install(launcher, tmp_path / "missing", DEVICE, {}, NOW)
    (folder / "b.seisedge").write_bytes(GOOD)
    with pytest.raises(InputError, match="it contains 2 bundles"):
        install(launcher, folder, DEVICE, {}, NOW)
    (folder / "b.seisedge").unlink()
    assert install(launcher, folder, DEVICE, {}, NOW).serial == 6


def test_disk_that_does_not_keep_what_was_written(launcher: Launcher, tmp_path: Path) -> None:
    class Forgetful(Disk):
        def sync_all(self, path: Path) -> None:
            super().sync_all(path)
            model = next(path.glob("slots/6-*/files/models/a.onnx"))
            model.write_bytes(b"graph 7")

    disk = Forgetful()
    bad = Launcher(launcher.place, disk, FakePrograms(launcher.place, disk))
    with pytest.raises(FailedError, match=r"a\.onnx: the file on disk is not what was written"):
        _installed(bad, tmp_path, GOOD)
    assert [slot.name[:2] for slot in (launcher.root / SLOTS).iterdir()] == ["5-"]


def test_slot_that_fails_its_self_test(launcher: Launcher, tmp_path: Path) -> None:
    programs = launcher.programs
    assert isinstance(programs, FakePrograms)

    class Failing(dict[str, str]):
        def __contains__(self, key: object) -> bool:
            return str(key).startswith("6-")

        def __getitem__(self, key: str) -> str:
            return "an inference takes 900.0 ms"

    programs.failing = Failing()
    before = _tree(launcher.root)
    with pytest.raises(FailedError, match="900"):
        _installed(launcher, tmp_path, GOOD)
    assert _tree(launcher.root) == before


def test_changed_files_are_named(launcher: Launcher, tmp_path: Path) -> None:
    version = read_state(launcher.root).active
    assert version is not None
    slot = slot_of(launcher.root, version)
    assert changed_files(slot, version.listing) == []
    (slot / "files/models/a.onnx").write_bytes(b"graph 4")
    (slot / "files/new").write_bytes(b"")
    (slot / "venv/bin/python").unlink()
    (slot / "venv/bin/python").symlink_to("/tmp/python")
    assert changed_files(slot, version.listing) == ["files/models/a.onnx", "files/new", "venv/bin/python"]
    (slot / "installed.json").write_bytes(b"{}")  # a list that was changed to agree with the files
    assert changed_files(slot, version.listing) == ["installed.json"]


def test_installed_files_cannot_be_written_by_others(launcher: Launcher) -> None:
    writable = stat.S_IWGRP | stat.S_IWOTH
    loose = [
        p for p in launcher.root.rglob("*") if not p.is_symlink() and p.name != "lock" and p.stat().st_mode & writable
    ]
    assert [p for p in loose if p.is_relative_to(launcher.root / SLOTS)] == []


def test_the_floor_rises_at_the_commit_and_the_way_back_is_open(launcher: Launcher, tmp_path: Path) -> None:
    _installed(launcher, tmp_path, bundle(9, ONE, TWO))
    assert read_state(launcher.root).floor == 5
    run.roll_back(launcher, NOW, "bad", automatic=True)
    assert _installed(launcher, tmp_path, bundle(7, ONE, TWO)).startswith(
        "7-"
    )  # lower than 9, which never proved itself
    active = read_state(launcher.root).active
    assert active is not None
    run.commit(launcher, active.slot, NOW, "")
    state = run.roll_back(launcher, NOW, "by an operator", automatic=False)
    assert state.active is not None and state.active.serial == 5 and state.floor == 7
    assert state.previous is not None and state.previous.serial == 7
    with pytest.raises(InputError, match="accepts 7 and higher"):
        _installed(launcher, tmp_path, bundle(6, ONE, TWO))
    forth = run.roll_back(launcher, NOW, "by an operator", automatic=False)
    assert forth.active is not None and forth.active.serial == 7


def test_bundle_that_is_installed_already(launcher: Launcher, tmp_path: Path) -> None:
    """The message says how to switch to it, and that does."""

    def refused_with() -> str:
        with pytest.raises(InputError, match=r"^the bundle is installed already, in the slot 6-") as caught:
            _installed(launcher, tmp_path, GOOD)
        return str(caught.value).partition("; ")[2]

    slot = _installed(launcher, tmp_path, GOOD)
    assert refused_with() == "it is not confirmed yet, 'watch' decides"
    run.commit(launcher, slot, NOW, "")
    assert refused_with() == "it is the active version"
    _installed(launcher, tmp_path, bundle(7, ONE, TWO))
    assert refused_with() == "'rollback' switches to it"
    state = run.roll_back(launcher, NOW, "by an operator", automatic=False)
    assert state.active is not None and state.active.slot == slot


def test_a_bundle_two_versions_back(launcher: Launcher, tmp_path: Path) -> None:
    slot = _installed(launcher, tmp_path, GOOD)
    run.commit(launcher, slot, NOW, "")
    for serial in (7, 8):
        new = _installed(launcher, tmp_path, bundle(serial, ONE, TWO))
        if serial == 7:
            run.commit(launcher, new, NOW, "")
    write_state(launcher.disk, launcher.root, replace(read_state(launcher.root), floor=5))  # as by a new statement
    with pytest.raises(InputError, match=r"in the slot 6-[0-9a-f]+; 'rollback' twice switches to it"):
        _installed(launcher, tmp_path, GOOD)
    for _ in range(2):
        state = run.roll_back(launcher, NOW, "by an operator", automatic=False)
    assert state.active is not None and state.active.slot == slot


def test_bundle_that_failed_here_needs_again(launcher: Launcher, tmp_path: Path) -> None:
    _installed(launcher, tmp_path, GOOD)
    run.roll_back(launcher, NOW, "no data", automatic=True)
    assert removed_slots(launcher) != []
    with pytest.raises(InputError, match=r"failed on this device before \(no data\); use --again"):
        _installed(launcher, tmp_path, GOOD)
    assert _installed(launcher, tmp_path, GOOD, again=True)
    assert read_state(launcher.root).bad == {}


def test_rotation_of_keys(launcher: Launcher, tmp_path: Path) -> None:
    def statement(version: int, keys: list[Pair], signers: list[Pair], lowest: int = 0) -> Path:
        envelope = Trust(version, tuple(pair.public for pair in keys), 1, lowest).envelope()
        for pair in signers:
            envelope = pair.sign(envelope)
        path = tmp_path / "trust.json"
        path.write_bytes(envelope.to_bytes())
        return path

    before = _tree(launcher.root)
    with pytest.raises(InputError, match="expected 2"):
        rotated(launcher, statement(3, [Pair(4)], [ONE, TWO, Pair(4)]))
    with pytest.raises(InputError, match="signed by 1 of version 1's keys"):
        rotated(launcher, statement(2, [Pair(4)], [ONE, Pair(4)]))
    with pytest.raises(InputError, match="signed by 0 of its own keys"):
        rotated(launcher, statement(2, [Pair(4)], [ONE, TWO]))
    assert _tree(launcher.root) == before
    assert rotated(launcher, statement(2, [Pair(4)], [ONE, TWO, Pair(4)], lowest=3)) == 2
    with pytest.raises(InputError, match="signed by 0 of the keys"):  # of revoked keys
        _installed(launcher, tmp_path, GOOD)
    slot = _installed(launcher, tmp_path, bundle(3, Pair(4)))  # the statement has set the lowest serial anew
    run.commit(launcher, slot, NOW, "")
    run.roll_back(launcher, NOW, "by an operator", automatic=False)
    with pytest.raises(InputError, match="signed by 0 of the keys"):  # a rollback gives no key its trust back
        _installed(launcher, tmp_path, GOOD)
    (launcher.root / "trust" / "2.json").unlink()
    with pytest.raises(FailedError, match="has had version 2; restore that file"):
        _installed(launcher, tmp_path, GOOD)


@pytest.mark.parametrize(
    ("now", "latest", "timesyncd", "accepted"),
    [
        ("2026-11-29T00:00:00Z", "", "", True),
        ("2026-12-02T00:00:00Z", "", "", False),  # the clock says that it is too late
        ("1970-01-01T00:00:00Z", "", "", True),  # a clock that is plainly wrong
        ("1970-01-01T00:00:00Z", "2026-12-02T00:00:00Z", "", False),  # but the device has seen a later time
        ("1970-01-01T00:00:00Z", "", "2026-12-02T00:00:00Z", False),  # or timesyncd has
    ],
)
def test_not_after(now: str, latest: str, timesyncd: str, accepted: bool, launcher: Launcher, tmp_path: Path) -> None:
    write_state(launcher.disk, launcher.root, replace(read_state(launcher.root), latest=latest))
    data = bundle(6, ONE, TWO, not_after="2026-12-01T00:00:00Z")
    device = replace(DEVICE, timesyncd=timesyncd)
    if not accepted:
        with pytest.raises(InputError, match="was to be installed until 2026-12-01T00:00:00Z, it is 2026-12-02"):
            _installed(launcher, tmp_path, data, device, now=now)
        return
    _installed(launcher, tmp_path, data, device, now=now)
    remarks = [entry["reason"] for entry in read_state(launcher.root).history if entry["what"] == "clock"]
    assert remarks == ([] if now > "2026" else [f"the clock says {now}, but it is 2026-11-01T00:00:00Z or later"])


@pytest.mark.parametrize("clock_ok", [True, False])
def test_the_highest_trusted_time_is_that_of_a_synchronised_clock(
    clock_ok: bool, launcher: Launcher, tmp_path: Path
) -> None:
    """A wrong clock in the far future must not close the device for bundles with an end."""
    _installed(launcher, tmp_path, GOOD, replace(DEVICE, clock_ok=clock_ok), now="2090-01-01T00:00:00Z")
    assert read_state(launcher.root).latest == ("2090-01-01T00:00:00Z" if clock_ok else "")


def test_previous_version_gives_way_where_there_is_no_space(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.commit(launcher, _installed(launcher, tmp_path, GOOD), NOW, "")
    monkeypatch.setattr(module, "free_bytes", lambda _: 50_000)
    _installed(launcher, tmp_path, bundle(7, ONE, TWO))
    state = read_state(launcher.root)
    assert state.previous is not None and state.previous.serial == 6 and state.older is None
    assert {slot.name[0] for slot in (launcher.root / SLOTS).iterdir()} == {"6", "7"}


def test_device(tmp_path: Path) -> None:
    for name, text in {
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "etc/nv_tegra_release": "# R39 (release), REVISION: 2.1, GCID: 1",
        "usr/bin/python3.12": "",
        "usr/bin/python3.9": "",
        "usr/bin/python3.12-config": "",
        "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.13.3": "",
        "etc/seisedge/station": "# at the well\nPB.B918\nPB.B921\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    place = Place(tmp_path / "opt", tmp_path / "etc/seisedge", tmp_path / "var")
    device = this_device(place, tmp_path)
    assert (device.board, device.l4t, device.tensorrt) == ("NVIDIA Jetson Orin Nano Developer Kit", "39.2.1", "10.13.3")
    assert list(device.pythons) == ["3.9", "3.12"] and device.stations == ("PB.B918", "PB.B921")
    hardware = replace(
        HARDWARE, boards=("Orin Nano",), l4t=("39.2", "39.2"), engine="tensorrt", tensorrt=("10.13", "10.99")
    )
    file = "stations/XX.STA.toml"
    manifest = replace(manifest_of(CONTENTS), hardware=hardware, stations={"PB.B918": file, "PB.B921": file})
    device = replace(device, machine="aarch64")
    assert check_device(manifest, device) == tmp_path / "usr/bin/python3.12"
    for low, high, fits in (
        ("39.2.1", "39.3", True),
        ("39.2.2", "39.3", False),
        ("38", "39.1", False),
        ("38", "39", True),
    ):
        limited = replace(manifest, hardware=replace(hardware, l4t=(low, high)))
        if fits:
            check_device(limited, device)
        else:
            with pytest.raises(InputError, match="Jetson Linux"):
                check_device(limited, device)
    with pytest.raises(InputError, match=r"no station file for PB\.B918"):
        check_device(replace(manifest, stations={"PB.B921": file}), device)
    (place.settings / "station").write_text("b918\n", encoding="utf-8")
    with pytest.raises(InputError, match="'b918' is no station"):
        station_ids(place)
    (place.settings / "station").unlink()
    with pytest.raises(InputError, match=r"has no identity; write NET\.STA"):
        station_ids(place)


def test_bootstrap_twice(tmp_path: Path) -> None:
    place = Place(tmp_path / "a" / "opt", tmp_path / "etc", tmp_path / "var")
    launcher = Launcher(place, Disk(), FakePrograms(place, Disk()))
    own, statement = tmp_path / "new.pyz", tmp_path / "trust.json"
    own.write_bytes(b"launcher")
    statement.write_bytes(ONE.sign(Trust(1, (ONE.public,), 1).envelope()).to_bytes())
    other = tmp_path / "other.json"
    other.write_bytes(TWO.sign(Trust(1, (TWO.public,), 1).envelope()).to_bytes())
    with pytest.raises(InputError, match="nothing is installed here; run 'bootstrap' first"):
        install(launcher, tmp_path, DEVICE, {}, NOW)
    with pytest.raises(InputError, match="is no station"):
        bootstrap(launcher, statement, ["xx sta"], own)
    assert not place.root.exists()
    for _ in range(2):
        bootstrap(launcher, statement, ["XX.STA"], own)
    assert (place.root / "flash.pyz").read_bytes() == b"launcher" and station_ids(place) == ("XX.STA",)
    with pytest.raises(InputError, match="trusts other keys already"):
        bootstrap(launcher, other, ["XX.STA"], own)
    with pytest.raises(InputError, match="this device is another station"):
        bootstrap(launcher, statement, ["XX.OTHER"], own)
    path = tmp_path / "medium.seisedge"
    path.write_bytes(bundle(1, ONE))
    assert install(launcher, path, DEVICE, {}, NOW).serial == 1


def test_bootstrap_refused_by_its_bundle_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong code or wrong keys: the corrected command is not refused because of what the first one wrote."""
    for number, name in ((1, "trust.json"), (2, "other.json")):
        pair = Pair(number)
        (tmp_path / name).write_bytes(pair.sign(Trust(1, (pair.public,), 1).envelope()).to_bytes())
    here = replace(HARDWARE, machine=platform.machine(), python=tuple(f"3.{minor}" for minor in range(8, 40)))
    (tmp_path / "fleet.seisedge").write_bytes(bundle(1, ONE, hardware=here))
    folders = [f"--{name}={tmp_path / 'device' / name}" for name in ("root", "settings", "data")]

    def bootstrapped(station: str, trust: str) -> str:
        words = ["bootstrap", str(tmp_path / "fleet.seisedge"), "--trust", str(tmp_path / trust), "--station", station]
        assert main([*words, *folders, "--no-watch"]) != 0
        return capsys.readouterr().err

    assert "no station file for XX.STB, the identity of this device; it has XX.STA" in bootstrapped(
        "XX.STB", "trust.json"
    )
    assert "signed by 0 of the keys that this device trusts" in bootstrapped("XX.STA", "other.json")
    assert not (tmp_path / "device").exists()
    assert "the self-test failed" in bootstrapped("XX.STA", "trust.json")  # the packages of this bundle are no programs
    assert (tmp_path / "device" / "settings" / "station").read_text() == "XX.STA\n"

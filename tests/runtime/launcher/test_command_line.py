"""What the real command refuses: exit status, one sentence, and nothing has changed but the staging folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash_table import memory_folder
from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.made import NOW, bare_device, bundle, launcher_at
from tests.runtime.launcher.refused import ONE, THREE, TWO, good, refused
from tests.runtime.launcher.small_device import SmallDevice, own_hardware
from tests.runtime.launcher.unit import PYTHON

from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.flash.launcher_file import launcher_bytes
from seisedge.runtime.launcher import run
from seisedge.runtime.launcher.command import rotated
from seisedge.runtime.launcher.device import this_device
from seisedge.runtime.launcher.install import install

pytestmark = pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"{PYTHON} is missing")
HOOK = Path(__file__).parent / "swapping"
CASES = refused(own_hardware()) if Path(PYTHON).exists() else {}
CASES.pop("no space", None)  # see test_storage


@pytest.fixture(scope="module")
def device() -> Iterator[SmallDevice]:
    """Version 5, confirmed, and version 4 before it; two of three signatures are wanted."""
    with memory_folder() as folder:
        device = SmallDevice(folder)
        bare_device(device.root, ONE, TWO, THREE, threshold=2)
        launcher = launcher_at(device.root)
        own = replace(this_device(device.place), pythons={own_hardware().python[0]: Path("/usr/bin/python3.12")})
        for serial in (4, 5):
            path = folder / "medium.seisedge"
            path.write_bytes(bundle(serial, ONE, TWO, hardware=own_hardware()))
            new = install(launcher, path, own, {}, NOW)
            run.commit(launcher, new.slot, NOW, "")
        (device.root / "flash.pyz").write_bytes(launcher_bytes())
        yield device


def _listing(folder: Path) -> dict[str, tuple[object, ...]]:
    """Rights, owner, time and content of everything, but the time of the folders that installations work in."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content: object = facts.st_mtime_ns if path.name not in ("incoming", "slots") else ""
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest(), facts.st_mtime_ns
        found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_uid, content)
    return found


def _refused(done: subprocess.CompletedProcess[str], code: int, why: str) -> None:
    assert (done.returncode, done.stdout) == (code, ""), done
    assert re.fullmatch(r"Error: [^\n]+\n", done.stderr), done.stderr
    assert re.search(why, done.stderr), done.stderr


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, device: SmallDevice) -> None:
    data, why = CASES[name]
    path = device.folder / "medium.seisedge"
    path.write_bytes(data)
    before = _listing(device.folder)
    _refused(device.run("install", str(path), "--restart", "true"), 2, why)
    assert _listing(device.folder) == before


def test_previous_version(device: SmallDevice) -> None:
    """A slot that is in use is not filled again."""
    path = device.folder / "medium.seisedge"
    path.write_bytes(bundle(4, ONE, TWO, hardware=own_hardware()))
    before = _listing(device.folder)
    done = device.run("install", str(path), "--restart", "true")
    _refused(done, 2, "accepts 5 and higher; to go back to the version before use 'rollback'")
    assert _listing(device.folder) == before


def test_second_installation(device: SmallDevice) -> None:
    path = device.folder / "medium.seisedge"
    path.write_bytes(good(own_hardware()))
    before = _listing(device.folder)
    with (device.root / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for words in (("install", str(path), "--restart", "true"), ("gc",), ("rollback",), ("trust", str(path))):
            _refused(device.run(*words), 1, "another installation is running; wait until it ends")
    assert _listing(device.folder) == before


def _copy(device: SmallDevice, folder: Path) -> SmallDevice:
    shutil.copytree(device.folder, folder / "device", symlinks=True)
    copy = SmallDevice(folder / "device")
    (copy.folder / "medium.seisedge").write_bytes(good(own_hardware()))
    return copy


def test_revoked_keys(device: SmallDevice, tmp_path: Path) -> None:
    copy = _copy(device, tmp_path)
    envelope = Trust(2, (Pair(4).public,), 1).envelope()
    for pair in (ONE, TWO, Pair(4)):
        envelope = pair.sign(envelope)
    statement = tmp_path / "trust-2.json"
    statement.write_bytes(envelope.to_bytes())
    rotated(launcher_at(copy.root), statement)
    before = _listing(copy.folder)
    done = copy.run("install", str(copy.folder / "medium.seisedge"), "--restart", "true")
    _refused(done, 2, "signed by 0 of the keys")
    _refused(copy.run("trust", str(statement)), 2, "expected 3")
    assert _listing(copy.folder) == before


def test_medium_that_changes_after_the_copy(device: SmallDevice, tmp_path: Path) -> None:
    """The copy is verified and installed; the packages of this bundle fail their self-test, unsigned ones never run."""
    copy = _copy(device, tmp_path)
    path, other = copy.folder / "medium.seisedge", tmp_path / "other"
    other.write_bytes(bundle(7, hardware=own_hardware()))
    before = _listing(copy.root)
    variables = {"PYTHONPATH": str(HOOK), "SEISEDGE_SWAP": f"{other}:{path}"}
    done = copy.run("install", str(path), "--restart", "true", variables=variables)
    assert not other.exists()
    _refused(done, 1, "6-[0-9a-f]+: the self-test failed: .*No module named 'seisedge'")
    assert _listing(copy.root) == before


CAN_MOUNT = shutil.which("unshare") and not subprocess.run(["unshare", "-rm", "true"], check=False).returncode
MOUNTED = """
source=$1 at=$2 options=$3 access=$4; shift 4
list() { (cd "$at" && find . -type f -exec sha256sum {} + && find . -printf '%p %m %l\\n') | sort; }
mount -t tmpfs -o "$options" tmpfs "$at" && cp -a "$source/." "$at" && mount -o "remount,$access" "$at" || exit 9
before=$(list); "$@"; code=$?
[ "$before" = "$(list)" ] || { echo "files have changed"; exit 9; }
exit $code
"""


@pytest.mark.skipif(not CAN_MOUNT, reason="this user cannot mount in a namespace of its own")
@pytest.mark.parametrize(
    ("options", "access", "code", "why"),
    [
        ("nr_inodes={entries}", "rw", 1, "cannot install: No space left on device; the active version is as before"),
        ("size={full}k", "rw", 2, "the copy of the bundle needs 1 MiB, 0 MiB are free; remove old versions"),
        ("size={nearly}k", "rw", 2, "new version needs 1 MiB, 0 MiB are free without the previous version; remove"),
        ("size=64m", "ro", 1, "cannot change the installation: Read-only file system"),
    ],
    ids=["no inodes", "no space for the copy", "no space for the new version", "read-only"],
)
def test_storage(options: str, access: str, code: int, why: str, device: SmallDevice, tmp_path: Path) -> None:
    """A file system of its own holds the installation, and has space for little else."""
    copy, mounted = _copy(device, tmp_path), SmallDevice(tmp_path / "mounted")
    mounted.folder.mkdir()
    medium = tmp_path / "medium.seisedge"
    (copy.folder / medium.name).rename(medium)
    entries = list(copy.folder.rglob("*"))
    files = [path for path in entries if path.is_file() and not path.is_symlink()]
    kib = 4 * sum(-(-path.stat().st_size // 4096) for path in files)
    options = options.format(entries=len(entries) + 8, full=kib + 4, nearly=kib + 32)
    command = mounted.command("install", str(medium), "--restart", "true")
    words = ["unshare", "-rm", "sh", "-c", MOUNTED, "sh", str(copy.folder), str(mounted.folder), options, access]
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin"}
    done = subprocess.run([*words, *command], capture_output=True, text=True, check=False, env=environment)
    _refused(done, code, why)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_other_user(device: SmallDevice, tmp_path: Path) -> None:
    """The user of the stations cannot change anything."""
    before = _listing(device.folder)
    for folder in (device.folder, device.root):
        folder.chmod(0o755)
    for words in (("install", str(device.folder / "medium.seisedge")), ("gc",), ("rollback",)):
        done = subprocess.run(
            device.command(*words), user=65534, group=65534, capture_output=True, text=True, check=False, env={}
        )
        _refused(done, 1, "cannot change the installation: Permission denied; run it as root")
    for path, facts in _listing(device.folder).items():
        assert path == "opt" or facts == before[path]

"""kill -9 of the real launcher, as a process of its own, before every change of the file system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.crash_table import memory_folder
from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.small_device import SmallDevice
from tests.runtime.launcher.unit import PYTHON
from tests.waiting import wait_until

from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.flash.launcher_file import launcher_bytes
from seisedge.runtime.launcher.state import read_state

pytestmark = pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"{PYTHON} is missing")
HOOK = Path(__file__).parent / "killing"
ONE, TWO = Pair(1), Pair(2)


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:  # a disk would synchronise for minutes
        yield folder


@pytest.fixture
def device(folder: Path) -> Iterator[SmallDevice]:
    """A device with version 2, confirmed, and the version before it."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state = read_state(folder / "opt")
            slot = state.active.slot if state.active else ""
            answer = {"slot": slot, "status": "ok", "stations": {"XX.STA": {"data_age_s": 0.0, "usable_age_s": 0.0}}}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        device = SmallDevice(folder, server.server_address[1])
        own = folder / "flash.pyz"
        own.write_bytes(launcher_bytes())
        trust = folder / "trust.json"
        trust.write_bytes(ONE.sign(Trust(1, (ONE.public,), 1).envelope()).to_bytes())
        device.root.mkdir()
        shutil.copy(own, device.root)
        first = ("--trust", str(trust), "--station", "XX.STA")
        for words in (("bootstrap", str(device.bundle(1, ONE)), *first), ("install", str(device.bundle(2, ONE)))):
            done = device.run(*words, "--window", "0", "--restart", "true")
            assert done.returncode == 0, done.stdout + done.stderr
        yield device
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# The least number of changes of an operation: fewer would mean that the hook does not see them.
LEAST = {"install": 80, "confirm": 8, "rotation": 4, "rollback": 4, "gc": 20}

# operation → its command, the commands before it, and what may be active afterwards
OPERATIONS: dict[str, tuple[tuple[str, ...], list[tuple[str, ...]], set[int]]] = {
    "install": (("install", "3.seisedge", "--no-watch", "--restart", "true"), [], {2, 3}),
    "confirm": (
        ("watch", "--window", "0", "--restart", "true"),
        [("install", "3.seisedge", "--no-watch", "--restart", "true")],
        {3},
    ),
    "rotation": (("trust", "next.json"), [], {2}),
    "rollback": (("rollback", "--restart", "true"), [], {2, 1}),
    "gc": (("gc",), [], {2}),
}


# In the long run so many of the changes of each operation, evenly spread; all of them with SEISEDGE_ALL_KILLS=1.
SAMPLE = 8


def chosen(count: int) -> list[int]:
    """Numbers of changes, the first and the last among them."""
    if os.environ.get("SEISEDGE_ALL_KILLS") or count <= SAMPLE:
        return list(range(count))
    return [k * (count - 1) // (SAMPLE - 1) for k in range(SAMPLE)]


def killed(device: SmallDevice, words: tuple[str, ...], kill_before: int) -> subprocess.CompletedProcess[str]:
    """Run a command that is killed before this change; the file `count` gets the number of changes if it is not."""
    variables = {
        "PYTHONPATH": str(HOOK), "PYTHONDONTWRITEBYTECODE": "1", "SEISEDGE_KILL_ROOT": str(device.root),
        "SEISEDGE_KILL_BEFORE": str(kill_before), "SEISEDGE_KILL_LOG": str(device.folder / "count"),
    }  # fmt: skip
    return device.run(*words, variables=variables)


@pytest.mark.long
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_before_every_change(name: str, device: SmallDevice) -> None:
    words, before, allowed = OPERATIONS[name]
    statement = ONE.sign(Trust(2, (ONE.public, TWO.public), 1).envelope())
    (device.folder / "next.json").write_bytes(statement.to_bytes())
    for serial in (3, 9):
        device.bundle(serial, ONE)
    words, *before = (
        tuple(str(device.folder / word) if word.endswith((".seisedge", ".json")) else word for word in command)
        for command in (words, *before)
    )
    for earlier in before:
        assert device.run(*earlier).returncode == 0
    if name == "gc":  # a slot that a killed installation has left behind
        old = device.root / "slots" / read_state(device.root).slots.pop()
        shutil.copytree(old, device.root / "slots" / "7-000000000000", symlinks=True)
    kept = device.folder / "kept"
    shutil.copytree(device.root, kept, symlinks=True)
    done = killed(device, words, 10**9)
    assert done.returncode == 0, done.stderr
    count = int((device.folder / "count").read_text(encoding="ascii"))
    assert count >= LEAST[name]
    for kill_before in chosen(count):
        shutil.rmtree(device.root)
        shutil.copytree(kept, device.root, symlinks=True)
        done = killed(device, words, kill_before)
        assert done.returncode == -signal.SIGKILL, (kill_before, done)
        assert device.complete() in allowed, kill_before
        assert device.run("start").returncode == 0 and device.complete() in allowed, kill_before
        following = device.run("install", str(device.folder / "9.seisedge"), "--window", "0", "--restart", "true")
        assert following.returncode == 0, (kill_before, following.stderr)
        assert (device.complete(), read_state(device.root).pending) == (9, False), kill_before
        assert len(list((device.root / "slots").iterdir())) == 2, kill_before
        assert list((device.root / "incoming").glob("*.seisedge")) == [], kill_before
    print(f"{name}: killed before {len(chosen(count))} of {count} changes")


def test_a_program_of_a_slot_ends_with_the_launcher(tmp_path: Path) -> None:
    """It would write to a slot that the next installation removes."""
    python, pid = tmp_path / "venv" / "bin" / "python", tmp_path / "pid"
    python.parent.mkdir(parents=True)
    python.symlink_to(PYTHON)
    inner = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    outer = (
        "from pathlib import Path; from seisedge.runtime.launcher.programs import run; "
        f"run(Path({str(tmp_path)!r}), ['-c', {inner!r}], 600.0)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", outer])
    try:
        wait_until(lambda: pid.exists() and pid.read_text(encoding="ascii") != "", within_s=60)
    finally:
        launcher.kill()
        launcher.wait()
    stat = Path("/proc", pid.read_text(encoding="ascii"), "stat")
    wait_until(lambda: not stat.exists() or stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z")

"""A device in a folder: the commands of a push as they are, and an installation that only copies."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.paths import ROOT
from tests.waiting import wait_until

from seisedge.runtime.flash.remote import Device

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

# Runs with the system's Python: standard library only, as on a bare device.
LAUNCHER = textwrap.dedent(
    '''
    import argparse, json, os, pathlib, signal, sys, time
    sys.path.insert(0, {runtime!r})
    from seisedge.runtime.bundle.container import open_bundle
    from seisedge.runtime.errors import SeisedgeError
    from seisedge.runtime.launcher import receive
    from seisedge.runtime.launcher.slots import slot_name

    def state(root):
        path = root / "state.json"
        return json.loads(path.read_text()) if path.exists() else {{"state": "none", "failed": {{}}, "stations": []}}

    def status(_, given):
        station = {{"id": (given.root / "station").read_text(), "health": "ok", "data_age_s": 2.0, "last_event": "e1"}}
        print(json.dumps(state(given.root) | {{"stations": [station]}}))
        return 0

    def install(_, given):
        with (given.root / "installs").open("a") as file:
            file.write("x")
        bundle = open_bundle(pathlib.Path(given.bundle))
        bundle.check_contents()
        name = slot_name(bundle.envelope, bundle.manifest)
        while (given.root / "HOLD").exists():
            time.sleep(0.02)
        if (given.root / "FAIL").exists():
            now = state(given.root)
            now["failed"][name] = "no data for 120 s"
            (given.root / "state.json").write_text(json.dumps(now))
            print(f"Error: version {{bundle.manifest.version}} failed: no data for 120 s", file=sys.stderr)
            return 1
        slot = given.root / "slots" / name
        for entry in bundle.manifest.files:
            if not entry.path.startswith("wheels/"):
                (slot / "files" / entry.path).parent.mkdir(parents=True, exist_ok=True)
                (slot / "files" / entry.path).write_bytes(bundle.content(entry.path))
        (slot / "manifest.dsse.json").write_bytes(bundle.envelope.to_bytes())
        now = state(given.root) | {{"state": "committed", "slot": name, "version": bundle.manifest.version}}
        (given.root / "state.json").write_text(json.dumps(now | {{"since": "2026-11-29T00:00:00Z"}}))
        print("installed version", bundle.manifest.version)
        print("confirmed version", bundle.manifest.version)
        return 0

    def end_the_connection():
        pid = os.getpid()
        while True:
            fields = pathlib.Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()
            pid = int(fields[1])
            name = pathlib.Path(f"/proc/{{pid}}/comm").read_text().strip()
            if name.startswith("sshd"):
                os.kill(pid, signal.SIGKILL)
                time.sleep(0.2)
                return

    class Cut:
        """Standard input that ends the connection after some bytes."""
        def __init__(self, stream, left):
            self.stream, self.left = stream, left
        def readline(self, n):
            return self.stream.readline(n)
        def read1(self, n):
            if self.left <= 0:
                end_the_connection()
            piece = self.stream.read1(min(n, 50_000))
            self.left -= len(piece)
            return piece

    top = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=pathlib.Path)
    installs = argparse.ArgumentParser(add_help=False)
    installs.add_argument("--again", action="store_true")
    commands = top.add_subparsers(required=True)
    def add(name, call, text, *parents):
        command = commands.add_parser(name, parents=[common, *parents])
        command.set_defaults(call=call)
        return command
    receive.add_commands(add, [installs])
    add("status", status, "").add_argument("--json", action="store_true")
    add("install", install, "", installs).add_argument("bundle")
    given = top.parse_args()
    marks = {{when: given.root / f"kill-{{sys.argv[1]}}-{{when}}" for when in ("before", "middle", "after")}}
    present = {{when for when, mark in marks.items() if mark.exists()}}
    for when in present:
        marks[when].unlink()
    if "before" in present:
        end_the_connection()
    if "middle" in present:
        code = receive.receive(given.root, Cut(sys.stdin.buffer, 150_000)) and 0
    else:
        try:
            code = given.call(None, given)
        except SeisedgeError as error:
            print(f"Error: {{error}}", file=sys.stderr)
            code = error.exit_code
    if "after" in present:
        end_the_connection()
    sys.exit(code)
    '''
)


@dataclass(frozen=True)
class Server:
    """An SSH server of this test, and what its client needs."""

    port: int
    options: tuple[str, ...]
    pid: int

    def device(self, root: Path, port: int | None = None, **values: object) -> Device:
        return Device(
            f"{getpass.getuser()}@127.0.0.1", port or self.port, root=root,
            launcher=f"/usr/bin/python3 {root}/flash.pyz", ssh=self.options, **values,  # type: ignore[arg-type]
        )  # fmt: skip


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        pytest.skip("no sshd here; apt install openssh-server openssh-client")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_bytes((folder / "client.pub").read_bytes())
    port = free_port()
    known = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {known[0]} {known[1]}\n")
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # for the separation of privileges; the package makes it at boot
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log)

    def listening() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listening)
    options = ("-F/dev/null", f"-i{folder}/client", "-oIdentitiesOnly=yes", f"-oUserKnownHostsFile={folder}/known")
    yield Server(port, options, server.pid)
    server.terminate()
    server.wait()


def make_root(root: Path, station: str = "XX.STA") -> Path:
    """A device without a version."""
    root.mkdir(parents=True)
    (root / "flash.pyz").write_text(LAUNCHER.format(runtime=str(ROOT / "runtime")))
    (root / "station").write_text(station)
    return root


def contents_of(wheel: int = 600_000, model: int = 120_000, seed: str = "") -> dict[str, bytes]:
    """Files of a bundle; the models depend on `seed`, the wheel does not. Sizes in bytes."""
    return {
        "models/a.onnx": hashlib.shake_128(f"a{seed}".encode()).digest(model),
        "models/b.onnx": hashlib.shake_128(b"b").digest(model),
        "stations/XX.STA.toml": b'[station]\nnetwork = "XX"\nstation = "STA"\n',
        "wheels/w-1-py3-none-any.whl": hashlib.shake_128(b"w").digest(wheel),
    }

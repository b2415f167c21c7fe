"""`push` over a real SSH server: only what is missing is sent, and a cut at any place changes nothing."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.bundle.conftest import Pair, bundle_bytes
from tests.runtime.flash.conftest import Server, contents_of, free_port, make_root
from tests.waiting import wait_until

from seisedge.runtime.bundle.container import Bundle, open_bundle
from seisedge.runtime.flash.push import Outcome, push, status_of
from seisedge.runtime.flash.remote import Device, LostError
from seisedge.runtime.launcher.receive import assemble, have, keep_wheels
from seisedge.runtime.launcher.slots import slot_name


def no_pause(_seconds: float) -> None:
    pass


@contextmanager
def bundle_of(path: Path, contents: dict[str, bytes]) -> Iterator[Bundle]:
    path.write_bytes(bundle_bytes(contents))
    opened = open_bundle(path)
    with opened.file:
        yield opened


def _installs(root: Path) -> int:
    return len((root / "installs").read_text()) if (root / "installs").exists() else 0


def _pushed(device: Device, bundle: Bundle, **options: object) -> Outcome:
    return push(device, bundle, lambda _line: None, pause=no_pause, **options)  # type: ignore[arg-type]


def test_a_first_push_and_an_update_of_a_model(tmp_path: Path, sshd: Server) -> None:
    root = make_root(tmp_path / "device")
    lines: list[str] = []
    with Wire(sshd.port) as wire:
        known = tuple(option for option in sshd.options if "KnownHosts" not in option)
        device = replace(
            sshd.device(root, wire.port), ssh=(*known, "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null")
        )
        with bundle_of(tmp_path / "1.seisedge", contents_of(wheel=2_000_000)) as bundle:
            outcome = push(device, bundle, lines.append)
            assert (outcome.word, outcome.text) == ("installed", "confirmed version 2026.11")
            assert lines[0] == "sending 4 of 4 files, 2.1 MiB" and "installed version 2026.11" in lines
            assert wire.bytes > 2_200_000
            assert _pushed(device, bundle).word == "unchanged"
        wire.bytes = 0
        with bundle_of(tmp_path / "2.seisedge", contents_of(wheel=2_000_000, seed="new")) as bundle:
            outcome = _pushed(device, bundle)
        assert (outcome.word, outcome.sent) == ("installed", 120_000)
        print(f"an update of a model of 120 kB took {wire.bytes:,} bytes on the wire, of a bundle of 2.2 MB")
        assert wire.bytes < 250_000
    assert _installs(root) == 2
    status = status_of(sshd.device(root))
    assert (status["state"], status["stations"][0]["id"]) == ("committed", "XX.STA")
    wheel = {path.stat().st_size for path in (root / "incoming/files").iterdir() if path.name != "lock"}
    assert wheel == {2_000_000}  # kept for the next update; nothing else is
    assert not list((root / "incoming").glob("*.seisedge"))


OTHER_STAGES = [
    ("status", "before"), ("have", "before"), ("have", "after"), ("receive", "before"), ("receive", "after"),
    ("assemble", "before"), ("assemble", "after"), ("job", "before"), ("job", "after"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "when"),
    [("receive", "middle"), *(pytest.param(*at, marks=pytest.mark.long) for at in OTHER_STAGES)],
)
def test_a_connection_that_breaks(tmp_path: Path, sshd: Server, command: str, when: str) -> None:
    """The server's process of the connection is killed: the next connection resumes, with the same outcome."""
    root = make_root(tmp_path / "device")
    mark = root / f"kill-{command}-{when}"
    mark.touch()
    with bundle_of(tmp_path / "1.seisedge", contents_of()) as bundle:
        outcome = _pushed(sshd.device(root), bundle)
        if command == "status":  # nothing was reached: the device counts as unreachable, and the next push succeeds
            assert outcome.word == "unreachable" and "no connection" in outcome.text
            outcome = _pushed(sshd.device(root), bundle)
    assert not mark.exists()
    assert (outcome.word, _installs(root)) == ("installed", 1)
    if when == "middle":
        assert outcome.sent < 2 * 840_000 - 100_000  # the second connection did not begin anew
    assert status_of(sshd.device(root))["state"] == "committed"


@pytest.mark.long
def test_a_cut_during_the_installation_and_a_second_push(tmp_path: Path, sshd: Server) -> None:
    """The installation goes on without the connection; a push meanwhile attaches to it."""
    root = make_root(tmp_path / "device")
    (root / "HOLD").touch()
    outcomes: list[Outcome] = []
    with Wire(sshd.port) as wire, bundle_of(tmp_path / "1.seisedge", contents_of()) as bundle:
        known = tuple(option for option in sshd.options if "KnownHosts" not in option)
        through = replace(
            sshd.device(root, wire.port), ssh=(*known, "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null")
        )
        first = threading.Thread(target=lambda: outcomes.append(_pushed(through, bundle)))
        first.start()
        wait_until(lambda: _installs(root) == 1, 300.0)
        wire.cut()  # and no new connection through it
        first.join(300)
        assert outcomes[0].word == "unreachable" and "push again to see the result" in outcomes[0].text
        with closing(open_bundle(tmp_path / "1.seisedge").file) as file:
            again = replace(bundle, file=file)
            second = threading.Thread(target=lambda: outcomes.append(_pushed(sshd.device(root), again)))
            second.start()
            (root / "HOLD").unlink()
            second.join(300)
    assert (outcomes[1].word, outcomes[1].text) in (
        ("installed", "confirmed version 2026.11"),
        ("unchanged", "this bundle is installed and confirmed"),
    )
    assert _installs(root) == 1


@pytest.mark.long
def test_sigterm_ends_a_push_but_not_the_installation(tmp_path: Path, sshd: Server) -> None:
    root = make_root(tmp_path / "device")
    (root / "HOLD").touch()
    (tmp_path / "1.seisedge").write_bytes(bundle_bytes(contents_of(wheel=1000, model=1000), Pair(1).sign))
    options = ", ".join(f'"{option}"' for option in sshd.options)
    (tmp_path / "fleet.toml").write_text(
        f'hardware = "arm64"\nssh = [{options}]\n[[hosts]]\nhost = "{sshd.device(root).target}"\n'
        f'port = {sshd.port}\nstations = ["XX.STA"]\nroot = "{root}"\n'
    )
    command = [sys.executable, "-m", "seisedge.cli", "flash", "push", str(tmp_path / "1.seisedge")]
    process = subprocess.Popen([*command, "--fleet", str(tmp_path / "fleet.toml")], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: _installs(root) == 1, 300.0)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0 and "stopped by SIGTERM" in errors and "Traceback" not in errors
    (root / "HOLD").unlink()
    wait_until(lambda: (root / "state.json").exists(), 300.0)
    assert _installs(root) == 1


@pytest.mark.long
def test_a_bundle_that_failed_is_not_tried_again_unasked(tmp_path: Path, sshd: Server) -> None:
    root = make_root(tmp_path / "device")
    (root / "FAIL").touch()
    with bundle_of(tmp_path / "1.seisedge", contents_of(wheel=1000, model=1000)) as bundle:
        outcome = _pushed(sshd.device(root), bundle)
        assert (outcome.word, outcome.text) == ("failed", "version 2026.11 failed: no data for 120 s")
        outcome = _pushed(sshd.device(root), bundle)
        assert outcome.word == "failed" and "--again tries it once more" in outcome.text and _installs(root) == 1
        (root / "FAIL").unlink()
        assert _pushed(sshd.device(root), bundle, again=True).word == "installed"
    assert _installs(root) == 2


def test_what_is_wrong_with_a_device(tmp_path: Path, sshd: Server) -> None:
    root = make_root(tmp_path / "device")
    with bundle_of(tmp_path / "1.seisedge", contents_of(wheel=1000, model=1000)) as bundle:
        closed = _pushed(sshd.device(root, free_port()), bundle)
        assert closed.word == "unreachable" and "refused" in closed.text
        other = _pushed(sshd.device(root, stations=("XX.OTHER",)), bundle)
        assert other.word == "failed" and "this device is XX.STA, expected XX.OTHER" in other.text
        bare = _pushed(replace(sshd.device(root), launcher="/nonexistent/python3 x"), bundle)
        assert bare.word == "failed" and "bootstrap" in bare.text
        (root / "station").write_text("XX.NONE")
        unknown = _pushed(sshd.device(root), bundle)
        assert unknown.word == "failed" and "has no station file for XX.NONE" in unknown.text
    assert not (root / "incoming").exists()
    with pytest.raises(LostError):
        status_of(sshd.device(root, free_port()))


@pytest.mark.long
def test_a_changed_file_of_the_installed_version_is_sent_again(tmp_path: Path, sshd: Server) -> None:
    root = make_root(tmp_path / "device")
    with bundle_of(tmp_path / "1.seisedge", contents_of(wheel=1000, model=2000)) as bundle:
        assert _pushed(sshd.device(root), bundle).word == "installed"
    (model,) = root.glob("slots/*/files/models/b.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with bundle_of(tmp_path / "2.seisedge", contents_of(wheel=1000, model=2000, seed="new")) as bundle:
        outcome = _pushed(sshd.device(root), bundle)
    assert (outcome.word, outcome.sent) == ("installed", 4000)


def test_the_rebuilt_bundle_has_the_same_bytes(tmp_path: Path) -> None:
    contents = contents_of(wheel=1000, model=700)
    with bundle_of(tmp_path / "1.seisedge", contents) as bundle:
        files = tmp_path / "incoming/files"
        files.mkdir(parents=True)
        for entry in bundle.manifest.files:
            (files / entry.sha256).write_bytes(contents[entry.path])
        name = assemble(tmp_path, bundle.envelope.to_bytes())
        assert (tmp_path / f"incoming/push-{name}.seisedge").read_bytes() == (tmp_path / "1.seisedge").read_bytes()
        damaged = bundle.manifest.files[0].sha256
        (files / damaged).write_bytes(b"damaged")
        assert list(have(tmp_path, [damaged])) == [] and not (files / damaged).exists()


def test_a_device_that_was_installed_from_a_stick_keeps_the_wheels(tmp_path: Path) -> None:
    contents = contents_of(wheel=1000, model=700)
    with bundle_of(tmp_path / "1.seisedge", contents) as bundle:
        wheel = next(entry for entry in bundle.manifest.files if entry.path.startswith("wheels/"))
        files = tmp_path / "incoming/files"
        files.mkdir(parents=True)
        (files / ("0" * 64)).touch()  # of an earlier bundle
        keep_wheels(tmp_path, tmp_path / "1.seisedge", "1-000000000000")  # another bundle was installed
        assert [path.name for path in files.iterdir()] == ["0" * 64]
        name = slot_name(bundle.envelope, bundle.manifest)
        keep_wheels(tmp_path, tmp_path / "1.seisedge", name)
        assert [path.name for path in files.iterdir()] == [wheel.sha256]
        assert list(have(tmp_path, [wheel.sha256])) == [f"{wheel.sha256} complete"]
        keep_wheels(tmp_path, tmp_path / "none.seisedge", name)  # a stick that was removed is no error
        assert [path.name for path in files.iterdir()] == [wheel.sha256]


class Wire:
    """Forwards connections to a port of this machine and counts the bytes in both directions."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._links: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.bytes = 0

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def cut(self) -> None:
        for link in (self._listener, *self._links):
            with closing(link), suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_: object) -> None:
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._links += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while piece := one.recv(1 << 16):
                self.bytes += len(piece)
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return

"""Commands on a device over SSH, with OpenSSH's client: its configuration, keys and known hosts apply."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.text import quoted, shortened

LOST = 255  # exit status of ssh without a connection, or where it breaks
NO_PROGRAM = 127  # of a shell that does not find a program
CONNECT_S = 10
ALIVE_S, ALIVE_COUNT = 10, 3  # a link that is silent for 30 s is lost
TARGET = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9_.:-]*")
MAX_TEXT = 2**20
ERROR = "Error: "  # before the message of a launcher

# no question may stop a fleet: keys, and hosts that are known
OPTIONS = (
    "-T",
    "-oBatchMode=yes",
    f"-oConnectTimeout={CONNECT_S}",
    f"-oServerAliveInterval={ALIVE_S}",
    f"-oServerAliveCountMax={ALIVE_COUNT}",
)


class LostError(FailedError):
    """No connection to a device, or it broke."""


class Connections:
    """The connections of a push, so that Ctrl-C ends them all. What was started on devices goes on."""

    def __init__(self) -> None:
        self.ended = False
        self._running: set[subprocess.Popen[bytes]] = set()

    def add(self, process: subprocess.Popen[bytes]) -> None:
        self._running.add(process)
        if self.ended:
            process.terminate()

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        self._running.discard(process)

    def end(self) -> None:
        """End all connections; later ones end at once."""
        self.ended = True
        for process in list(self._running):
            process.terminate()


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its launcher. target: of ssh, as user@host. stations: that it must be; () for any.

    root: folder of the installation. launcher: its command. places: further options of every command of the launcher.
    """

    target: str
    port: int | None = None
    stations: tuple[str, ...] = ()
    root: Path = Path("/opt/seisedge")
    launcher: str = ""
    places: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    connections: Connections = field(default_factory=Connections, compare=False)

    @property
    def name(self) -> str:
        """For messages and tables: the target, and the stations where they are known."""
        return self.target if not self.stations else f"{self.target} ({','.join(self.stations)})"

    def command(self, arguments: Iterable[str]) -> list[str]:
        """The command of ssh that runs a command of the launcher."""
        program = shlex.split(self.launcher) if self.launcher else ["python3", str(self.root / "flash.pyz")]
        remote = [*program, *arguments, "--root", str(self.root), *self.places]
        port = [] if self.port is None else ["-p", str(self.port)]
        return ["ssh", *OPTIONS, *port, *self.ssh, "--", self.target, shlex.join(remote)]


def target_fault(target: str) -> str | None:
    """What is wrong with the target of ssh, so that it cannot be an option; None if nothing is."""
    return None if TARGET.fullmatch(target) else f"{quoted(target)} is no host; expected HOST or USER@HOST"


def call(device: Device, arguments: Iterable[str], sent: Iterable[bytes] = ()) -> str:
    """Run a command of the launcher and send it data; returns what it prints.

    Raises LostError without a connection, InputError or FailedError with the message of the launcher.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        with _started(device, arguments, stdin=subprocess.PIPE, stdout=out, stderr=errors) as process:
            _send(process, sent)
            status = process.wait()
        _check(device, status, _text(errors))
        return _text(out)


def follow(device: Device, arguments: Iterable[str], say: Callable[[str], object]) -> tuple[int, str]:
    """Run a command of the launcher and pass each line that it prints to `say`; returns its exit status and last line.

    Raises LostError.
    """
    with tempfile.TemporaryFile() as errors:
        last = ""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": errors}
        with _started(device, arguments, **streams) as process:
            assert process.stdout is not None
            with process.stdout:
                for line in _lines(process.stdout):
                    last = line or last
                    say(line)
            status = process.wait()
        text = _text(errors)
        if status in (LOST, NO_PROGRAM) or status < 0:
            _check(device, status, text)
        return status, _error_in(text) if status and ERROR in text else last


@contextlib.contextmanager
def _started(device: Device, arguments: Iterable[str], **streams: object) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(device.command(arguments), **streams)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise InputError("ssh is missing on this computer; install OpenSSH's client") from None
    device.connections.add(process)
    try:
        yield process
    finally:
        device.connections.remove(process)


def _send(process: subprocess.Popen[bytes], pieces: Iterable[bytes]) -> None:
    """Write all pieces; where the other side ends first, its exit status gives the reason."""
    assert process.stdin is not None
    try:
        for piece in pieces:
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _check(device: Device, status: int, errors: str) -> None:
    last = _error_in(errors) or f"exit status {status}"
    if status == LOST or status < 0:
        raise LostError(f"{device.target}: no connection: {last}")
    if status == NO_PROGRAM:
        raise FailedError(f"{device.target}: {last}; set the device up with 'flash.pyz bootstrap' first")
    if status == InputError.exit_code:
        raise InputError(f"{device.target}: {last}")
    if status:
        raise FailedError(f"{device.target}: {last}")


def _error_in(text: str) -> str:
    """The last error of the launcher, else the last line; a server may print a greeting of its own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(ERROR)]
    return shortened((errors or lines or [""])[-1].removeprefix(ERROR), 400)


def _lines(stream: Iterable[bytes]) -> Iterator[str]:
    for line in stream:
        yield shortened(line.decode("utf-8", "replace").rstrip(), 1000)


def _text(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    data: bytes = file.read(MAX_TEXT)  # type: ignore[attr-defined]
    return data.decode("utf-8", "replace")

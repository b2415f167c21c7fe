"""Programs that run with the Python and the packages of a slot, each in its own process, and systemd."""

from __future__ import annotations

import contextlib
import ctypes
import json
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seisedge.runtime.bundle.manifest import Hardware, Manifest
from seisedge.runtime.errors import FailedError
from seisedge.runtime.launcher.device import Place
from seisedge.runtime.launcher.slots import FILES, VENV
from seisedge.runtime.text import reason_of, shortened

COMPILE_S = 1800.0
PROBE_S = 120.0
SELF_TEST_S = 3600.0  # TensorRT builds its engines in it
RESTART_S = 120.0
MODULES = "numpy, onnxruntime, pymseed, msgspec, click, seisedge.cli"
SYSTEMD = Path("/run/systemd/system")  # exists where systemd is the init system
PR_SET_PDEATHSIG = 1  # of prctl(2)
WATCH_UNIT = "seisedge-flash-watch"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the self-test of a slot measured. golden: SHA-256 of the outputs for the golden windows."""

    golden: str
    memory_mib: float
    latency_ms: float


class Programs:
    """Replaced in tests. restart: a command that restarts the stations; None: systemd, where it runs."""

    def __init__(self, place: Place, restart: str | None = None) -> None:
        self._place = place
        self._restart = restart

    def compile(self, slot: Path) -> None:
        """Write the byte code of all packages: the station's user cannot, and a half-written file breaks a start.

        A file that cannot be compiled is for another version of Python, and never imported. Raises FailedError.
        """
        arguments = ["-m", "compileall", "-q", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
        done = run(slot, [*arguments, str(slot / VENV / "lib")], COMPILE_S)
        if done.returncode not in (0, 1):
            raise FailedError(f"{slot.name}: cannot compile the packages: {_last_line(done)}")

    def probe(self, slot: Path) -> str:
        """Why the packages of a slot cannot be used; '' where they can."""
        try:
            done = run(slot, ["-c", f"import {MODULES}"], PROBE_S)
        except FailedError as error:
            return str(error)
        return f"{slot.name}: the packages cannot be imported: {_last_line(done)}" if done.returncode else ""

    def self_test(self, slot: Path, manifest: Manifest, stations: tuple[str, ...]) -> Proof:
        """Compute the golden windows with the installed code, and load the station files.

        Raises FailedError where outputs, latency or memory are not within the limits of the bundle.
        """
        hardware = manifest.hardware
        files = [str(slot / FILES / manifest.stations[station]) for station in stations]
        # fmt: off
        done = run(slot, ["-m", "seisedge.runtime.flash.selftest", str(slot / FILES / "models"),
                          *files, "--engine", hardware.engine, "--precision", hardware.precision], SELF_TEST_S)
        # fmt: on
        if done.returncode:
            raise FailedError(f"{slot.name}: the self-test failed: {_last_line(done)}")
        try:
            found: dict[str, Any] = json.loads(done.stdout)
            proof = Proof(str(found["golden"]), float(found["memory_mib"]), float(found["latency_ms"]))
        except (ValueError, KeyError, TypeError) as error:
            raise FailedError(f"{slot.name}: the self-test gave no result: {reason_of(error)}") from error
        check_budget(slot.name, hardware, proof)
        return proof

    def restart(self, stations: tuple[str, ...]) -> None:
        """Restart the stations, so that they run the active version. Raises FailedError.

        It does not wait until systemd counts them as started: the health window judges whether they come up.
        """
        if self._restart is not None:
            _command(shlex.split(self._restart), "restart the stations")
        elif SYSTEMD.is_dir():
            _command(["systemctl", "restart", "--no-block", *_units(stations)], "restart the stations")

    def enable(self, stations: tuple[str, ...]) -> None:
        """Start the stations at every boot, where systemd runs. Raises FailedError."""
        if SYSTEMD.is_dir():
            _command(["systemctl", "daemon-reload"], "reload the unit files")
            _command(["systemctl", "enable", "--quiet", *_units(stations)], "enable the stations")

    def watch(self) -> None:
        """Start a health window in the background, after a boot; nothing where one runs, or without systemd."""
        if not SYSTEMD.is_dir():
            return
        place = self._place
        # fmt: off
        command = ["systemd-run", "--quiet", "--collect", "--no-block", f"--unit={WATCH_UNIT}",
                   sys.executable, str(place.root / "flash.pyz"), "watch", "--root", str(place.root),
                   "--settings", str(place.settings), "--data", str(place.data)]
        # fmt: on
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=RESTART_S, check=False)


def _units(stations: tuple[str, ...]) -> list[str]:
    return [f"seisedge@{station}.service" for station in stations]


def _command(command: list[str], what: str) -> None:
    """Run a command of the system. Raises FailedError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=RESTART_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailedError(f"cannot {what}: {reason_of(error)}") from error
    if done.returncode:
        raise FailedError(f"cannot {what}: {_last_line(done)}")


def check_budget(name: str, hardware: Hardware, proof: Proof) -> None:
    """Raises FailedError where a slot takes more than the hardware profile allows."""
    if proof.latency_ms > hardware.latency_ms:
        raise FailedError(
            f"{name}: an inference takes {proof.latency_ms:.1f} ms in the self-test, the hardware profile "
            f"{hardware.profile} allows {hardware.latency_ms:g} ms"
        )
    if proof.memory_mib > hardware.memory_mib:
        raise FailedError(
            f"{name}: the self-test takes {proof.memory_mib:.0f} MiB of memory, the hardware profile "
            f"{hardware.profile} allows {hardware.memory_mib} MiB"
        )


def interpreter(slot: Path) -> list[str]:
    """The beginning of a command of a slot: its Python, without settings of the user, and without writing byte code."""
    return [str(slot / VENV / "bin" / "python"), "-I", "-B"]


def environment() -> dict[str, str]:
    """Variables of a process of a slot."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "ORT_DISABLE_TELEMETRY": "1"}


def run(slot: Path, arguments: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run the Python of a slot. Raises FailedError where it cannot be started or does not end.

    It ends with the launcher: without one it would still write to a slot that the next installation removes.
    """
    try:
        return subprocess.run(
            [*interpreter(slot), *arguments],
            capture_output=True, text=True, errors="replace", timeout=limit_s, cwd="/", env=environment(), check=False,
            stdin=subprocess.DEVNULL, preexec_fn=_end_with_the_launcher,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise FailedError(f"{slot.name}: '{arguments[1][:60]}' did not end within {limit_s:g} s") from None
    except OSError as error:
        raise FailedError(f"{slot.name}: cannot start {error.filename or 'Python'}: {error.strerror}") from error


def _end_with_the_launcher() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    if not lines:
        return f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    return shortened(lines[-1].removeprefix("Error: "), 300)

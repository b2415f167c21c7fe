"""What systemd does for a station, in a thread: ExecStartPre=, ExecStart=, and Restart=always."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from seisedge.runtime.launcher.device import Place

PYTHON = "/usr/bin/python3"
PAUSE_S = 0.5


class Unit:
    """A station under `flash.pyz start` and `flash.pyz exec`. log: what all of them print."""

    def __init__(self, place: Place, station: str, log: Path) -> None:
        self.place = place
        self.station = station
        self.log = log
        self.pid_file = place.root.parent / "pid"
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work)

    @property
    def restart_command(self) -> str:
        """For `--restart`: kill -9 of the station, which is started again."""
        return f"sh -c 'kill -9 $(cat {self.pid_file})'"

    def command(self, name: str, *arguments: str) -> list[str]:
        place = self.place
        folders = ["--root", str(place.root), "--settings", str(place.settings), "--data", str(place.data)]
        return [PYTHON, str(place.root / "flash.pyz"), name, *folders, *arguments]

    def start(self) -> None:
        self._thread.start()

    def kill(self) -> None:
        """kill -9 of the station; it is started again."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        self._ending.set()
        self.kill()
        if self._thread.is_alive():
            self._thread.join(60)

    def _work(self) -> None:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.place.root.parent)}
        with self.log.open("ab") as log:
            while not self._ending.is_set():
                subprocess.run(self.command("start"), stdout=log, stderr=log, env=environment, check=False)
                self.starts += 1
                command = self.command("exec", self.station)
                self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
                self.pid_file.write_text(str(self._process.pid), encoding="ascii")
                if self._ending.is_set():
                    self._process.kill()
                self._process.wait()
                self._ending.wait(PAUSE_S)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the launcher as a technician does, without variables of the tests."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

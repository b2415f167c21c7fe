"""A real browser on the page of a real run, which reads from the virtual digitizer.

The tests need Chromium and the package playwright. Without them they are skipped, with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import wait_until

from seisedge.runtime.demo import RECORDING
from seisedge.runtime.replay import Digitizer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FOLDER = Path(__file__).parent
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"


class Station:
    """A run with a page, started and stopped as a service is. speed: of the replay. source: part of the URL."""

    def __init__(
        self,
        folder: Path,
        speed: float,
        source: str = "PB_B921",
        data: Path = RECORDING,
        faults: tuple[str, ...] = (),
        files: tuple[Path, ...] = (),
    ) -> None:
        """files: station files; without them, the stations of `source` are taken as they are."""
        self.folder, self.files = folder, files
        self._digitizer = Digitizer(data, speed=speed, faults=faults)
        self._digitizer.open()
        self.source = f"seedlink://127.0.0.1:{self._digitizer.port}/{source}?from=earliest"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.events = folder / "events.jsonl"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> Station:
        self.start()
        return self

    def start(self) -> None:
        arguments = ["--source", self.source, "--page", f"127.0.0.1:{self.port}", "--state", str(self.folder / "state")]
        command = [
            sys.executable,
            "-m",
            "seisedge.cli",
            "run",
            *arguments,
            "--events",
            str(self.events),
            *map(str, self.files),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        wait_until(self._answers, 60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            finally:
                self._process.kill()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._digitizer.close()

    def get(self, path: str) -> Any:
        """The JSON document at a path."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
        try:
            return bool(self.get("/api/state")["stations"])
        except OSError:
            return False


class Tab:
    """A page in the browser that notes what must not happen: errors on the console, and requests to others."""

    def __init__(self, browser: Any, station: Station, **options: Any) -> None:
        self.station = station
        self.context = browser.new_context(**({"viewport": {"width": 1360, "height": 900}} | options))
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.paths: list[str] = []
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)

    def _note_message(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith("Canvas2D: Multiple readback"):
            self.errors.append(message.text)  # the readback is that of the tests

    def _note(self, request: Any) -> None:
        self.paths.append(request.url.removeprefix(self.station.url))
        if not request.url.startswith(self.station.url + "/"):
            self.foreign.append(request.url)

    def open(self, path: str = "/") -> Any:
        self.page.goto(self.station.url + path)
        return self.page

    def until(self, expression: str) -> None:
        """Wait until an expression is true. Not `wait_for_function`: the policy of the page forbids its `eval`."""
        wait_until(lambda: bool(self.page.evaluate(expression)), 60)

    def close(self, *, unreachable: bool = False) -> None:
        """unreachable: the station was, so that the browser logs requests that failed."""
        self.context.close()
        known = ("net::ERR_", "503 (Service Unavailable)") if unreachable else ()
        assert [error for error in self.errors if not any(part in error for part in known)] == []
        assert self.foreign == []


@contextlib.contextmanager
def open_browser(executable: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    pytest.importorskip("playwright.sync_api", reason="there is no playwright: pip install playwright")
    with open_browser(CHROMIUM) as opened:
        yield opened


OpenStation = Callable[..., Station]


@pytest.fixture
def open_station(tmp_path: Path) -> Iterator[OpenStation]:
    """Opens stations of the test's own, with the arguments of `Station`; they are closed with the test."""
    with contextlib.ExitStack() as stack:

        def opened(speed: float, **options: Any) -> Station:
            station = Station(tmp_path, speed, **options)
            stack.callback(station.close)
            return station.open()

        yield opened


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Station]:
    """A station whose stream is twenty times as fast as real time."""
    opened = Station(tmp_path_factory.mktemp("station"), 20).open()
    yield opened
    opened.close()

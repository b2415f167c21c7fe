"""A fleet of one station on this machine: built, signed, installed, upgraded, broken in every way, back by itself."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.bundle.conftest import Pair
from tests.runtime.launcher.made import bundle, wheel
from tests.runtime.launcher.unit import PYTHON, Unit, run
from tests.waiting import wait_until

from seisedge.runtime.bundle.container import open_bundle
from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.flash.build import Inputs, build
from seisedge.runtime.flash.golden import make_golden
from seisedge.runtime.flash.launcher_file import launcher_bytes
from seisedge.runtime.inference.infer import bundled_model
from seisedge.runtime.launcher.device import Place
from seisedge.runtime.launcher.health import DATA, read_health
from seisedge.runtime.launcher.state import read_state

STATION = "PB.B918"
PROFILE = "x86-mini-pc" if platform.machine() == "x86_64" else "arm64"
PACKAGES = ("numpy", "onnxruntime", "pymseed>=1.0,<1.1", "msgspec", "click")
CLONE = Path(__file__).parents[3]

pytestmark = [pytest.mark.long, pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"{PYTHON} is missing")]


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages for the system's Python; SEISEDGE_TEST_WHEELS names a folder that has them already."""
    folder = tmp_path_factory.mktemp("wheels")
    given = os.environ.get("SEISEDGE_TEST_WHEELS")
    if given is not None:
        for path in Path(given).glob("*.whl"):
            if not path.name.startswith("seisedge-"):
                shutil.copy(path, folder)
    else:
        version = subprocess.run(
            [PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), "--only-binary", ":all:"]
        done = subprocess.run([*command, "--python-version", version, *PACKAGES], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no package index")
    # the wheel of this clone, without its build backend
    (folder / "seisedge-0.1.0-py3-none-any.whl").write_bytes(_own_wheel())
    return folder


def _own_wheel(changes: dict[str, bytes] | None = None) -> bytes:
    root = CLONE / "runtime"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    kept = {name: data for name, data in files.items() if name.startswith("seisedge/") and "__pycache__" not in name}
    return wheel("seisedge", kept | (changes or {}), "0.1.0")


class Fleet:
    """One station, its digitizer, and bundles for it."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        self.pair = Pair(1)
        self.place = Place(folder / "opt", folder / "etc", folder / "var")
        self.events = folder / "events.jsonl"
        self.port, self.health_port = _free_port(), _free_port()
        self.models = folder / "models"
        self.models.mkdir()
        for task in ("event_type", "magnitude"):
            shutil.copy(bundled_model(task), self.models)
        for path in sorted(self.models.glob("*.onnx")):
            make_golden(path)
        self.stations = folder / "stations"
        self.stations.mkdir()
        self.station_text = (
            f'source = "seedlink://127.0.0.1:{self.port}/PB_B918?from=earliest"\n'
            f'metrics = "127.0.0.1:{self.health_port}"\n'
            + (STATIONS / f"{STATION}.toml").read_text(encoding="utf-8")
            + f'\n[sinks.jsonl]\npath = "{self.events}"\n'
        )
        (self.stations / f"{STATION}.toml").write_text(self.station_text, encoding="utf-8")
        (folder / "flash.pyz").write_bytes(launcher_bytes())
        self.trust = folder / "trust.json"
        self.trust.write_bytes(self.pair.sign(Trust(1, (self.pair.public,), 1).envelope()).to_bytes())
        plain = folder / "plain.seisedge"
        self.manifest = build(Inputs(PROFILE, self.stations, self.models, wheels, 1, "1"), plain)
        opened = open_bundle(plain)
        with opened.file:
            self.contents = {file.path: opened.content(file.path) for file in opened.manifest.files}
        plain.unlink()
        self.unit = Unit(self.place, STATION, folder / "unit.log")
        self.digitizer: subprocess.Popen[bytes] | None = None

    def replay(self, speed: float) -> None:
        command = [sys.executable, "-m", "seisedge.cli", "replay", str(RECORDING), "--listen", f"127.0.0.1:{self.port}"]
        self.digitizer = subprocess.Popen(
            [*command, "--speed", str(speed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def bundle(self, serial: int, changes: dict[str, bytes] | None = None, **hardware: object) -> Path:
        """A signed bundle. changes: of its files. hardware: of its hardware profile."""
        path = self.folder / f"{serial}.seisedge"
        path.write_bytes(
            bundle(
                serial, self.pair, contents=self.contents | (changes or {}), stations=self.manifest.stations,
                installed_bytes=self.manifest.installed_bytes,
                hardware=replace(self.manifest.hardware, **hardware),  # type: ignore[arg-type]
            )
        )  # fmt: skip
        return path

    def install(self, path: Path, *more: str) -> subprocess.CompletedProcess[str]:
        done = run(
            self.unit.command(
                "install", str(path), "--restart", self.unit.restart_command, "--window", "4", "--up", "60", *more
            )
        )
        path.unlink()
        return done

    def close(self) -> None:
        self.unit.stop()
        if self.digitizer is not None:
            self.digitizer.kill()
            self.digitizer.wait()

    def wait_for_data(self) -> None:
        """Wait until the active version analyses data: an installation compares the new version with it."""

        def analysed() -> bool:
            reading = read_health(("127.0.0.1", self.health_port), STATION)
            return (reading.word, reading.slot) == (DATA, self.slot().name) and not reading.safe_mode

        wait_until(analysed, within_s=200)

    @property
    def serial(self) -> int:
        state = read_state(self.place.root)
        return state.active.serial if state.active is not None else 0

    def slot(self) -> Path:
        state = read_state(self.place.root)
        assert state.active is not None
        return self.place.root / "slots" / state.active.slot

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.events.read_text(encoding="utf-8").splitlines()]


def _golden_of_another_day(data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["probabilities"] = changed["probabilities"][:, ::-1]
    written = io.BytesIO()
    np.savez(written, **changed)
    return written.getvalue()


OWN = "wheels/seisedge-0.1.0-py3-none-any.whl"
RUN = "seisedge/runtime/commands/run.py"
GOLDEN = "models/event-type.golden.npz"
MODEL = "models/event-type.onnx"
CONFIG = f"stations/{STATION}.toml"


def _run_with(first: str) -> dict[str, bytes]:
    """The station's command with a fault in it."""
    text = (CLONE / "runtime" / RUN).read_text(encoding="utf-8")
    head = "    watched = (stationxml, *models)\n"  # the first statement of the command
    assert head in text
    return {OWN: _own_wheel({RUN: text.replace(head, f"    {first}\n{head}", 1).encode()})}


# name → changes of the files, of the hardware profile, and what the command says; none of them is switched to
REFUSED: dict[str, tuple[Callable[[Fleet], dict[str, bytes]], dict[str, object], str]] = {
    "bad model": (lambda f: {MODEL: f.contents[MODEL][:1000]}, {}, "self-test failed"),
    "bad config": (lambda f: {CONFIG: f.station_text.replace("metrics", "metrix", 1).encode()}, {}, "metrix"),
    "golden mismatch": (lambda f: {GOLDEN: _golden_of_another_day(f.contents[GOLDEN])}, {}, "golden window differs"),
    "too slow": (lambda f: {}, {"latency_ms": 0.001}, "allows 0.001 ms"),
    "too much memory in the self-test": (lambda f: {}, {"memory_mib": 10}, "allows 10 MiB"),
}
# the same for versions that are switched to, and left
LEFT: dict[str, tuple[Callable[[Fleet], dict[str, bytes]], str]] = {
    "crash at start": (lambda f: _run_with("raise RuntimeError"), "was started 3 times and did not come up"),
    "hangs": (lambda f: _run_with("import time; time.sleep(3600)"), "did not come up within"),
    "no data": (lambda f: {CONFIG: f.station_text.replace("PB_B918", "PB_B921", 1).encode()}, "no data are analysed"),
    "too much memory": (lambda f: _run_with("ballast = bytearray(b'x') * 400_000_000"), "allows 256 MiB"),
}


@pytest.fixture
def fleet(tmp_path: Path, wheels: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, wheels)
    try:
        yield fleet
    finally:
        fleet.close()


def test_a_fleet_of_one(fleet: Fleet) -> None:
    fleet.replay(1.0)
    first = fleet.bundle(1)
    place = fleet.place
    # fmt: off
    done = run([PYTHON, str(fleet.folder / "flash.pyz"), "bootstrap", str(first), "--trust", str(fleet.trust),
                "--station", STATION, "--root", str(place.root), "--settings", str(place.settings),
                "--data", str(place.data), "--no-watch", "--restart", "true"])
    # fmt: on
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    fleet.unit.start()
    done = run(fleet.unit.command("watch", "--window", "4", "--up", "200"))
    # nothing was there before: without data it would be undecided
    assert done.returncode == 0 and "confirmed version 2026.1" in done.stdout, done.stdout + done.stderr

    done = fleet.install(fleet.bundle(2))
    assert done.returncode == 0 and "confirmed version 2026.2" in done.stdout, done.stdout + done.stderr
    serial = 3
    for name, (changes, hardware, why) in REFUSED.items():
        done = fleet.install(fleet.bundle(serial, changes(fleet), **hardware))
        assert done.returncode in (1, 2) and why in done.stderr and fleet.serial == 2, (name, done.stdout, done.stderr)
        serial += 1
    wait_until(lambda: len(fleet.lines()) > 0, within_s=200)  # at real time the first event is half a minute away
    written = []  # lines at each switch: they are in the middle of the swarm
    for name, (changes, why) in LEFT.items():
        fleet.wait_for_data()
        written.append(len(fleet.lines()))
        done = fleet.install(fleet.bundle(serial, changes(fleet)))
        assert done.returncode == 1 and why in done.stderr and fleet.serial == 2, (name, done.stdout, done.stderr)
        print(name, done.stderr.strip())
        serial += 1
    for why, breaks in BREAKS.items():
        fleet.wait_for_data()
        written.append(len(fleet.lines()))
        assert fleet.install(fleet.bundle(serial), "--no-watch").returncode == 0
        assert fleet.serial == serial
        fleet.wait_for_data()
        breaks(fleet.slot())
        fleet.unit.kill()
        wait_until(lambda: fleet.serial == 2, within_s=300)
        last = read_state(place.root).history[-1]
        assert last["what"] == "rolled back automatically" and why in last["reason"], last
        print(last["reason"])
        serial += 1
    fleet.wait_for_data()
    written.append(len(fleet.lines()))
    status = json.loads(run(fleet.unit.command("status", "--json")).stdout)
    assert (status["serial"], status["state"], status["changed_files"]) == (2, "rolled back", [])

    _finish(fleet)
    lines = fleet.lines()
    keys = [(line["id"], line["revision"]) for line in lines]
    assert len(keys) > 50 and len(set(keys)) == len(keys)
    written.append(len(lines))
    print("event lines at each switch and at the end:", written)
    assert 0 < written[0] < written[-2] < written[-1]
    assert _plain(lines) == _plain(_undisturbed(fleet))
    with sqlite3.connect(place.data / STATION / "journal.sqlite") as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _no_python(slot: Path) -> None:
    (slot / "venv" / "bin" / "python").unlink()
    (slot / "venv" / "bin" / "python").symlink_to("/usr/bin/python3.99")


def _truncated_library(slot: Path) -> None:
    library = next((slot / "venv").rglob("_multiarray_umath*.so"))
    os.truncate(library, library.stat().st_size // 2)


BREAKS: dict[str, Callable[[Path], None]] = {"cannot start": _no_python, "cannot be imported": _truncated_library}


def _command(fleet: Fleet) -> list[str]:
    slot = fleet.slot()
    models = [str(path) for path in sorted((slot / "files" / "models").glob("*.onnx"))]
    command = [str(slot / "venv" / "bin" / "python"), "-I", "-B", "-m", "seisedge.cli", "run"]
    return [*command, str(slot / "files" / CONFIG), *(word for model in models for word in ("--model", model))]


def _finish(fleet: Fleet) -> None:
    """Let the active version analyse the rest of the recording."""
    fleet.close()
    fleet.replay(0.0)
    _until_served(fleet)
    done = run([*_command(fleet), "--state", str(fleet.place.data / STATION), "--until-end", "--json"])
    assert done.returncode == 0, done.stderr


def _undisturbed(fleet: Fleet) -> list[dict[str, object]]:
    """The events of one run without any interruption."""
    assert fleet.digitizer is not None
    fleet.digitizer.kill()
    fleet.digitizer.wait()
    fleet.replay(0.0)
    _until_served(fleet)
    fleet.events.rename(fleet.folder / "disturbed.jsonl")
    done = run([*_command(fleet), "--state", str(fleet.folder / "other"), "--until-end", "--json"])
    assert done.returncode == 0, done.stderr
    return fleet.lines()


def _until_served(fleet: Fleet) -> None:
    def served() -> bool:
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", fleet.port)) == 0

    wait_until(served, within_s=30)


def _plain(lines: list[dict[str, object]]) -> list[str]:
    """Lines without what may differ between two runs, in the order of their keys."""
    differing = ("latency_ms", "cost", "emitted", "source")
    kept = [{key: value for key, value in line.items() if key not in differing} for line in lines]
    return sorted(json.dumps(line, sort_keys=True) for line in kept)

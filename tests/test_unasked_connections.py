"""No process opens, or looks a name up for, a connection that its user did not name; libraries included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from tests import observed
from tests.paths import RECORDING, ROOT

Observe = Callable[..., "tuple[list[str], list[str]]"]

SEISEDGE = ("-m", "seisedge.cli")
MODEL = ROOT / "runtime/seisedge/runtime/models/event-type.onnx"
TELEMETRY_SINCE = (1, 29)  # of onnxruntime


@pytest.fixture
def observe(tmp_path: Path) -> Observe:
    """Run Python with arguments; returns what it wanted to reach, and the files that it left in its home folder.

    The environment is that of a new user, without the variables of make or CI that switch telemetry off.
    """

    def run(*arguments: object, status: int = 0, **environment: str) -> tuple[list[str], list[str]]:
        home, report = tmp_path / "home", tmp_path / "report.json"
        home.mkdir()
        kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if key in os.environ}
        environment = kept | {"HOME": str(home), "OMP_NUM_THREADS": "1"} | environment
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            [sys.executable, observed.__file__, str(report), *command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        if done.returncode == observed.UNAVAILABLE:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
            report.write_text("[]")
        assert done.returncode == status, done.stdout + done.stderr
        files = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
        return json.loads(report.read_text()), files

    return run


def namespaces_are_available(tmp_path: Path) -> bool:
    command = [sys.executable, observed.__file__, str(tmp_path / "none.json"), sys.executable, "-c", ""]
    return subprocess.run(command, capture_output=True, check=False).returncode != observed.UNAVAILABLE


SHORT_BENCH = ("--rounds", "1", "--max-rounds", "1", "--row-s", "0.05", "--pace", "0")


@pytest.mark.parametrize(
    "arguments",
    [("run", "part.mseed"), ("inspect", MODEL), ("bench", "model", MODEL, *SHORT_BENCH), ("doctor",)],
    ids=lambda arguments: arguments[0],
)
def test_a_command_opens_no_connection_and_writes_no_file(
    arguments: tuple[object, ...], observe: Observe, tmp_path: Path
) -> None:
    (tmp_path / "part.mseed").write_bytes(RECORDING.read_bytes()[: 512 * 360])
    assert observe(*SEISEDGE, *arguments) == ([], [])


def test_a_station_connects_only_to_the_server_of_its_url(observe: Observe, tmp_path: Path) -> None:
    """Over addresses, since a look-up of a name that the user gave is expected."""
    if not namespaces_are_available(tmp_path):
        pytest.skip("network namespaces are not available to this user")
    url = "seedlink://192.0.2.1:18000/PB_B918"
    arguments = ("run", "--source", url, "--connect-timeout", "0.3")
    assert observe(*SEISEDGE, *arguments, status=1) == (["192.0.2.1:18000"], [])


@pytest.mark.long
def test_demo_opens_no_connection_and_writes_no_file(observe: Observe) -> None:
    assert observe(*SEISEDGE, "demo", "--speed", "200") == ([], [])


@pytest.mark.long
def test_training_and_export_open_no_connection(observe: Observe, tmp_path: Path) -> None:
    """Files in the home folder are caches of matplotlib and torch; none is of a telemetry library."""
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    changes = ("optimisation.steps=3", "optimisation.batch=8", "arguments.width=8")
    settings = [word for change in changes for word in ("--set", change)]
    train = ("train", "event-type", "--data", ROOT / "datasets", "--limit", "250", "-o", run, *settings)
    wanted, files = observe(*SEISEDGE, *train)
    assert wanted == [] and not [name for name in files if "microsoft" in name.lower()]
    (tmp_path / "home").rename(tmp_path / "home of train")
    wanted, files = observe(*SEISEDGE, "export", run, "--data", ROOT / "datasets", "-o", model)
    assert wanted == [] and not [name for name in files if "microsoft" in name.lower()]


def test_what_the_observation_finds(observe: Observe, tmp_path: Path) -> None:
    """A look-up, a connection and a datagram of a process of a process."""
    if not namespaces_are_available(tmp_path):
        pytest.skip("this system allows no network namespaces: only files in the home folder are observed")
    question = bytes(12) + b"\x07example\x03org\x00\x00\x01\x00\x01"
    script = (
        "import socket, subprocess, sys\n"
        "if len(sys.argv) == 1: sys.exit(subprocess.run([sys.executable, sys.argv[0], 'inner']).returncode)\n"
        "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"udp.sendto({question!r}, ('127.0.0.1', 53)); udp.sendto(b'x', ('198.51.100.7', 9))\n"
        "tcp = socket.socket(); tcp.setblocking(False); tcp.connect_ex(('192.0.2.1', 443))\n"
    )
    path = tmp_path / "script.py"
    path.write_text(script)
    assert observe(path)[0] == ["look-up of example.org", "198.51.100.7:9", "192.0.2.1:443"]


@pytest.mark.skipif(
    tuple(map(int, version("onnxruntime").split(".")[:2])) < TELEMETRY_SINCE, reason="this onnxruntime has no telemetry"
)
def test_telemetry_that_is_not_switched_off_is_found(observe: Observe) -> None:
    """With another value of the variable that `engines.onnxruntime` sets; the tests above fail without it."""
    _, files = observe(*SEISEDGE, "inspect", MODEL, ORT_DISABLE_TELEMETRY="0")
    assert [name for name in files if name.startswith(".cache/Microsoft/")]


@pytest.mark.long
@pytest.mark.skipif(
    tuple(map(int, version("onnxruntime").split(".")[:2])) < TELEMETRY_SINCE, reason="this onnxruntime has no telemetry"
)
def test_the_look_up_of_telemetry_is_found(observe: Observe, tmp_path: Path) -> None:
    if not namespaces_are_available(tmp_path):
        pytest.skip("this system allows no network namespaces: only files in the home folder are observed")
    script = (
        "import time; from pathlib import Path; from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine\n"
        f"OnnxRuntimeEngine(Path({str(MODEL)!r})); time.sleep(40)  # it asks 12 times in 45 s\n"
    )
    wanted, _ = observe("-c", script, ORT_DISABLE_TELEMETRY="0")
    assert wanted and wanted[0].endswith("microsoft.com")

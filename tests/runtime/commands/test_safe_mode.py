"""`seisedge run --safe-mode`: what ends another run leads to an endpoint with the reason, in real processes."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.paths import ROOT

from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.safe_mode import EXIT_RETRY, address_in


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


STATION = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")


class Service:
    """A process with the variables that systemd sets; its messages arrive at a socket."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._link.bind(str(folder / "notify"))
        self._link.settimeout(60)
        environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "200000"}
        environment.pop("WATCHDOG_PID", None)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )

    def message(self, start: str) -> str:
        """The next message that starts so; others are skipped."""
        while True:
            text = self._link.recv(4096).decode()
            if text.startswith(start):
                return text

    def drain(self) -> None:
        while select.select([self._link], [], [], 0)[0]:
            self._link.recv(4096)

    def stop(self, number: int = signal.SIGTERM, status: int = 0) -> str:
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == status, output
        return output

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._link.close()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[list[Service]]:
    started: list[Service] = []
    yield started
    for service in started:
        service.close()


def _run(tmp_path: Path, services: list[Service], *args: object) -> Service:
    command = [sys.executable, "-m", "seisedge.cli", "-v", "run", "--safe-mode", *map(str, args)]
    services.append(Service(tmp_path, command))
    return services[-1]


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_bad_station_file_is_reported_until_it_is_corrected(tmp_path: Path, services: list[Service]) -> None:
    port, station = free_port(), tmp_path / "station.toml"
    station.write_text(f'metrics = "127.0.0.1:{port}"\n{STATION}[trigger]\nsta_s = 99\nlta = 8\n', encoding="utf-8")
    with Digitizer([RECORDING], speed=1.0) as digitizer:
        url = f"{digitizer.url}/PB_B918?from=earliest"
        service = _run(tmp_path, services, station, "--source", url, "--state", tmp_path / "state")
        assert service.message("READY=1") == f"READY=1\nSTATUS=safe mode: {station}: 2 faults:"
        service.message("WATCHDOG=1")
        status, text = _get(port, "/healthz")
        document = json.loads(text)
        assert status == 503 and document["status"] == "outage" and document["safe_mode"] is True
        assert document["reasons"] == [
            f"safe mode: {station}: 2 faults:",
            "trigger.sta_s: must be a number from 0.1 to 10; got 99",
            "trigger.lta: unknown key; did you mean 'lta_s'?",
        ]
        assert "\nseisedge_safe_mode 1\n" in _get(port, "/metrics")[1]
        assert not (tmp_path / "state").exists()
        station.write_text(f'metrics = "127.0.0.1:{port}"\n{STATION}', encoding="utf-8")
        assert service.message("READY=1").startswith("READY=1\nSTATUS=reading seedlink://")
        assert "\nseisedge_safe_mode 0\n" in _get(port, "/metrics")[1]
        service.process.send_signal(signal.SIGHUP)
        service.drain()
        service.message("WATCHDOG=1")
        output = service.stop()
    assert "WARNING safe mode, no data are analysed: " in output and "a file has changed" in output


def _no_file(folder: Path) -> list[object]:
    return [folder / "none.toml", "--source", "seedlink://127.0.0.1:1/PB_B918"]


def _no_model(folder: Path) -> list[object]:
    (folder / "bad.onnx").write_bytes(b"\x08\x07" + bytes(1000))
    return ["--model", folder / "bad.onnx", "--source", "seedlink://127.0.0.1:1/PB_B918"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (_no_file, "no such station file"),
        (_no_model, "bad.onnx"),
    ],
)  # fmt: skip
def test_what_ends_a_run_with_2_starts_safe_mode(
    tmp_path: Path, services: list[Service], arguments: object, reason: str
) -> None:
    assert callable(arguments)
    port = free_port()
    service = _run(tmp_path, services, *arguments(tmp_path), "--metrics", f"127.0.0.1:{port}")
    assert reason in service.message("READY=1")
    status, text = _get(port, "/healthz")
    assert status == 503 and reason in json.loads(text)["reasons"][0]
    assert _get(port, "/other")[0] == 404
    service.drain()
    service.process.send_signal(signal.SIGHUP)
    assert reason in service.message("READY=1")  # started again, and again in safe mode
    assert "SIGHUP was received" in service.stop()


def test_an_address_in_use_is_tried_again(tmp_path: Path, services: list[Service]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = _run(tmp_path, services, *_no_file(tmp_path), "--metrics", f"127.0.0.1:{port}")
        assert "no such station file" in service.message("READY=1")
    service.drain()
    for _ in range(20):
        service.message("WATCHDOG=1")
        try:
            assert _get(port, "/healthz")[0] == 503
            break
        except urllib.error.URLError:
            continue
    assert "cannot serve /healthz yet" in service.stop()


def test_a_client_that_sends_nothing_does_not_keep_others_out(tmp_path: Path, services: list[Service]) -> None:
    port = free_port()
    service = _run(tmp_path, services, *_no_file(tmp_path), "--metrics", f"127.0.0.1:{port}")
    service.message("READY=1")
    with socket.create_connection(("127.0.0.1", port)):
        assert _get(port, "/healthz")[0] == 503


def test_a_launcher_without_a_version(tmp_path: Path, services: list[Service]) -> None:
    """The unit of a flashed station: `flash.pyz exec` reports why nothing can be started, and tries again."""
    command = [sys.executable, "-m", "seisedge.runtime.launcher", "exec", "XX.STA"]
    places = ["--root", str(tmp_path), "--settings", str(tmp_path), "--data", str(tmp_path)]
    services.append(Service(tmp_path, [*command, *places]))
    for _ in range(2):
        assert "XX.STA: no version is installed" in services[0].message("READY=1")
        services[0].drain()
        services[0].process.send_signal(signal.SIGHUP)
    assert "XX.STA: no version is installed" in services[0].message("READY=1")
    services[0].stop()


def test_the_unit_for_repeated_crashes(tmp_path: Path, services: list[Service]) -> None:
    text = (ROOT / "firmware_configs/systemd/pip/seisedge-failed@.service").read_text(encoding="utf-8")
    line = text.replace("\\\n", " ").partition("\nExecStart=")[2].partition("\n")[0]
    (tmp_path / "B918.toml").write_text(f'metrics = "127.0.0.1:{free_port()}"\n{STATION}', encoding="utf-8")
    arguments = line.replace("/etc/seisedge/%i.toml", str(tmp_path / "B918.toml")).replace("%i", "B918")
    services.append(Service(tmp_path, ["sh", "-c", f"exec '{sys.executable}' {arguments.partition(' ')[2]}"]))
    assert "seisedge@B918 has crashed 20 times within an hour" in services[0].message("READY=1")
    services[0].stop(signal.SIGHUP, EXIT_RETRY)
    assert f"SuccessExitStatus={EXIT_RETRY}\n" in text and text.count(f"= {EXIT_RETRY} ]") == 2


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('metrics = "127.0.0.1:9110"\n[station\n', ("127.0.0.1", 9110)),
        ("source = 3\nmetrics=':9110' # here\n", ("127.0.0.1", 9110)),
        ('metrics = "[::1]:9110"', ("::1", 9110)),
        ('#metrics = "127.0.0.1:9110"\n', None),
        ('[x]\nmetrics = "127.0.0.1:9110"\n', None),
        ('metrics = "127.0.0.1:99999"\n', None),
    ],
)
def test_the_address_in_a_damaged_file(tmp_path: Path, text: str, address: tuple[str, int] | None) -> None:
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    assert address_in(tmp_path / "s.toml") == address

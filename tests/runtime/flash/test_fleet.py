"""A fleet in waves: twenty devices, some unreachable, one that fails."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.runtime.bundle.conftest import Pair, bundle_bytes
from tests.runtime.flash.conftest import Server, contents_of, free_port, make_root

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.runtime.flash.fleet import load_fleet, waves_from
from seisedge.runtime.flash.remote import LOST

COUNT = 20
UNREACHABLE, FAILING = (2, 7, 15), 5
# Runs the command of the last argument on this machine, as sshd does; the port 1 is closed.
SSH = f"""#!/bin/sh
case "$*" in *"-p 1 "*) echo 'ssh: connect to host {{host}} port 1: Connection refused' >&2; exit {LOST};; esac
for last; do :; done
exec sh -c "$last"
"""


class Devices:
    """Twenty folders as devices of a fleet, and a signed bundle for them."""

    def __init__(self, folder: Path, *, ssh: list[str], port: int, closed: int, user: str) -> None:
        self.folder = folder
        self.stations = [f"XX.S{number:02}" for number in range(COUNT)]
        contents = contents_of(wheel=1000, model=1000)
        contents |= {f"stations/{s}.toml": b'[station]\nnetwork = "XX"\n' for s in self.stations}
        self.bundle = folder / "fleet.seisedge"
        stations = {s: f"stations/{s}.toml" for s in self.stations}
        self.bundle.write_bytes(bundle_bytes(contents, Pair(1).sign, stations=stations))
        lines = ['hardware = "arm64"', f"ssh = {json.dumps(ssh)}"]
        for number, station in enumerate(self.stations):
            make_root(self.root(number), station)
            used = closed if number in UNREACHABLE else port
            host = f"{user}127.0.0.{number + 1}" if not ssh else f"{user}127.0.0.1"
            lines += [
                "[[hosts]]", f'host = "{host}"', f"port = {used}", f'stations = ["{station}"]',
                f'root = "{self.root(number)}"',
            ]  # fmt: skip
        (self.root(FAILING) / "FAIL").touch()
        self.fleet = folder / "fleet.toml"
        self.fleet.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def root(self, number: int) -> Path:
        return self.folder / f"device{number:02}"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["flash", *arguments, "--fleet", str(self.fleet)])

    def installed(self) -> list[int]:
        return [n for n in range(COUNT) if list((self.root(n) / "slots").glob("*"))]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Devices:
    """Devices behind an `ssh` that needs no server."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Devices(tmp_path, ssh=[], port=22, closed=1, user="")


@pytest.fixture
def remote(tmp_path: Path, sshd: Server) -> Devices:
    return Devices(
        tmp_path, ssh=list(sshd.options), port=sshd.port, closed=free_port(), user=f"{os.environ.get('USER', 'root')}@"
    )


@pytest.mark.parametrize("how", ["local", pytest.param("remote", marks=pytest.mark.long)])
def test_a_wave_with_a_failed_device_is_the_last(how: str, request: pytest.FixtureRequest) -> None:
    devices: Devices = request.getfixturevalue(how)
    result = devices.run("push", str(devices.bundle), "--wave", "1,10,rest", "--json")
    assert result.exit_code == 1, result.output
    assert "Error: stopped: 1 of 10 devices of wave 2 failed; 8 installed, 1 failed, 2 unreachable, 9 not tried" in (
        result.stderr
    )
    found = json.loads(result.stdout.splitlines()[-1])
    outcomes = [device["outcome"] for device in found["devices"]]
    expected = ["installed"] * 11 + ["not tried"] * 9
    expected[2] = expected[7] = "unreachable"
    expected[FAILING] = "failed"
    assert outcomes == expected
    assert devices.installed() == [0, 1, 3, 4, 6, 8, 9, 10]
    assert "failed: no data for 120 s" in found["devices"][FAILING]["text"]
    status = devices.run("status")
    assert status.exit_code == 1 and "3 of 20 devices have no status" in status.stderr
    rows = [line.split() for line in status.stdout.splitlines()]
    assert rows[0][:3] == ["host", "station", "version"] and len(rows) == COUNT + 1
    assert rows[1][1:6] == ["XX.S00", "2026.11", "committed", "2026-11-29T00:00:00Z", "ok"]
    assert rows[3][1:4] == ["XX.S02", "–", "unreachable"]
    if how == "local":
        return
    again = devices.run("push", str(devices.bundle), "--wave", "50%,rest")
    assert again.exit_code == 1 and "it failed here before" in again.output and len(devices.installed()) == 8
    skipped = devices.run("push", str(devices.bundle), "--skip", "XX.S05", "--max-unreachable", "2")
    assert skipped.exit_code == 1 and "stopped: 3 devices are unreachable, 2 are allowed" in skipped.output
    (devices.root(FAILING) / "FAIL").unlink()
    rest = devices.run("push", str(devices.bundle), "--again")
    assert "1 installed, 16 unchanged, 3 unreachable" in rest.output and rest.exit_code == 1
    assert devices.installed() == [n for n in range(COUNT) if n not in UNREACHABLE]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("1,10,rest", [1, 11, 20]),
        ("50%", [10]),
        ("1%,rest", [1, 20]),
        ("rest", [20]),
        ("30,rest", [20, 20]),
        ("3", [3]),
    ],
)
def test_waves(text: str, ends: list[int]) -> None:
    assert waves_from(text, COUNT) == ends


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1,,2", "-1", "all", "1.5"])
def test_bad_waves(text: str) -> None:
    with pytest.raises(InputError, match="such as 1,10,rest"):
        waves_from(text, COUNT)


HOST = '[[hosts]]\nhost = "ada@one"\nstations = ["XX.STA"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'hardware = "arm64"\n{HOST}{HOST}', "XX.STA: a station runs on one device only"),
        ('hardware = "arm64"\n', "missing required field `hosts`"),
        (f'hardware = "arm64"\n{HOST}colour = 3\n', "unknown field `colour`"),
        ('hardware = "arm64"\n[[hosts]]\nhost = "-oProxyCommand=x"\nstations = ["XX.STA"]\n', "hosts"),
        (f"hardware = 'arm64'\n{HOST.replace('XX.STA', 'sta')}", "stations"),
    ],
)
def test_bad_fleet_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "fleet.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_fleet(tmp_path / "fleet.toml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.fleet.write_text(d.fleet.read_text().replace("arm64", "rtx-pc")), "the devices are rtx-pc"),
        (lambda d: d.fleet.write_text(d.fleet.read_text().replace("XX.S03", "XX.NEW")), "no station file for XX.NEW"),
        (lambda d: d.bundle.write_bytes(bundle_bytes(contents_of())), "it is not signed"),
        (lambda d: d.bundle.write_bytes(d.bundle.read_bytes().replace(b"XX", b"XY", 1)), "fleet.seisedge"),
    ],
)
def test_a_bundle_that_is_not_for_the_fleet(local: Devices, change: Callable[[Any], object], message: str) -> None:
    change(local)
    result = local.run("push", str(local.bundle))
    assert result.exit_code == 2 and message in result.output
    assert not any((local.root(n) / "incoming").exists() for n in range(COUNT))


def test_hosts_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "1.seisedge").write_bytes(bundle_bytes(contents_of(), Pair(1).sign))
    for arguments, message in (
        ([], "give either hosts or --fleet"),
        (["-oProxyCommand=x"], "No such option"),
        (["--", "-oProxyCommand=x"], "is no host"),
        (["h", "--fleet", "f.toml"], "give either hosts or --fleet"),
    ):
        result = CliRunner().invoke(main, ["flash", "push", str(tmp_path / "1.seisedge"), *arguments])
        assert result.exit_code == 2 and message in result.output, (arguments, result.output)

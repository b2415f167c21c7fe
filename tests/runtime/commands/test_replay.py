"""`seisedge replay`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from seisedge.runtime.commands.replay import command
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.sources import open_source

RECORDING = Path(__file__).parents[3] / "runtime/seisedge/runtime/demo/data/ridgecrest.mseed"


def test_serves_until_ctrl_c() -> None:
    program = "from seisedge.runtime.commands.replay import command; command()"
    arguments = [str(RECORDING), "--listen", "127.0.0.1:0", "--speed", "0", "--record-length", "4096"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(r"(seedlink://127\.0\.0\.1:\d+)  PB\.B918, PB\.B921  2019-07-07T08:16:00Z to ", line)
        assert match is not None, line
        assert "302 records of 4096 bytes, as fast as clients read" in line
        with open_source(f"{match[1]}/PB_B918", until_end=True) as source:
            assert sum(p is not None for p in source.packets()) > 100
        assert re.match(r"client 127\.0\.0\.1:\d+ came", process.stdout.readline())
        assert re.match(r"client 127\.0\.0\.1:\d+ went after \d+ packets", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_help_has_examples() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "seisedge replay recording.mseed --speed 10" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'DATA...'"),
        (["a.mseed", "--listen", "host:port"], "the port must be a number"),
        (["a.mseed", "--listen", ":70000"], "the port must be a number"),
        (["a.mseed", "--speed", "fast"], "not a valid float"),
        (["a.mseed", "--sped", "1"], "No such option"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("arguments", "message", "exit_code"),
    [
        (["no-such.mseed"], "no-such.mseed: no such file", 2),
        (["-"], "standard input", 2),
        ([str(RECORDING), "--record-length", "500"], "power of two", 2),
        ([str(RECORDING), "--listen", "192.0.2.1:1"], "cannot listen on 192.0.2.1 port 1", 1),
    ],
)
def test_what_cannot_be_served(arguments: list[str], message: str, exit_code: int) -> None:
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, SeisedgeError)
    assert message in str(result.exception)
    assert result.exception.exit_code == exit_code

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
from tests.paths import RECORDING

from seisedge.runtime.commands.replay import command
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.shake_udp import ShakeUdpSource


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(number: signal.Signals) -> None:
    program = "from seisedge.runtime.commands.replay import command; command()"
    arguments = [str(RECORDING), "--listen", "127.0.0.1:0", "--speed", "0", "--record-length", "4096"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as in a background job of a script
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.match(r"(seedlink://127\.0\.0\.1:\d+)  PB\.B918, PB\.B921  2019-07-07T08:16:00Z to ", line)
        assert match is not None, line
        assert "302 records of 4096 bytes, as fast as clients read" in line
        with open_source(f"{match[1]}/PB_B918", until_end=True) as source:
            assert sum(p is not None for p in source.packets()) > 100
        assert re.match(r"client 127\.0\.0\.1:\d+ connected", process.stdout.readline())
        assert re.match(r"client 127\.0\.0\.1:\d+ disconnected after \d+ packets", process.stdout.readline())
        process.send_signal(number)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()  # else the context waits without limit


def test_the_end_of_the_recording_is_reported() -> None:
    program = "from seisedge.runtime.commands.replay import command; command()"
    arguments = [str(RECORDING), "--listen", "127.0.0.1:0", "--speed", "100000"]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            with open_source(f"{url}/PB_B918", until_end=True) as source:
                assert sum(p is not None for p in source.packets()) > 100
            lines = iter(process.stdout.readline, "")
            assert "end of the recording; no more data; clients stay connected\n" in lines
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


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
        (["a.mseed", "--shake-udp", "host:0"], "the port must be a number from 1"),
        (["a.mseed", "--sped", "1"], "No such option"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_as_a_raspberry_shake(tmp_path: Path) -> None:
    data = RECORDING.read_bytes()
    one = tmp_path / "one.mseed"
    one.write_bytes(b"".join(data[k : k + 512] for k in range(0, 512 * 40, 512) if data[k + 8 : k + 12] == b"B918"))
    with open_source("shake-udp://:0?station=PB_B918&rate=100&listen=127.0.0.1") as source:
        assert isinstance(source, ShakeUdpSource)
        result = CliRunner().invoke(command, [str(one), "--shake-udp", f"127.0.0.1:{source.port}", "--speed", "500"])
        assert result.exit_code == 0
        sent = re.search(r"(\d+) packets sent", result.output)
        assert sent is not None
        stream = (p for p in source.packets() if p is not None)
        assert len([next(stream) for _ in range(int(sent[1]))]) > 50


@pytest.mark.parametrize(
    ("arguments", "message", "exit_code"),
    [
        ([str(RECORDING), "--shake-udp", "127.0.0.1"], "--shake-udp sends one station", 2),
        (["no-such.mseed"], "no-such.mseed: no such file", 2),
        (["-"], "standard input", 2),
        ([str(RECORDING), "--record-length", "500"], "power of two", 2),
        ([str(RECORDING), "--listen", "192.0.2.1:1"], "cannot listen on 192.0.2.1 port 1", 1),
        ([str(RECORDING), "--listen", "no-such-host.invalid:1"], "--listen: the host 'no-such-host.invalid' is", 2),
        ([str(RECORDING), "--listen", f"{'x' * 70}:1"], "is unknown; give an address of this machine", 2),
    ],
)
def test_invalid_options(arguments: list[str], message: str, exit_code: int) -> None:
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, SeisedgeError)
    assert message in str(result.exception)
    assert result.exception.exit_code == exit_code

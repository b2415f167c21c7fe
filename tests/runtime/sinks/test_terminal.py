"""Readable event lines: what they contain, and that no terminal of 80 columns has to wrap them."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import msgspec
import pytest
from tests.runtime.sinks.conftest import MakeEvent

from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import MagnitudeEstimate, Quality, TypeEstimate
from seisedge.runtime.screen import Screen
from seisedge.runtime.sinks.terminal import TerminalSink, magnitude_text, narrow_lines, wide_lines

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def _size(**changes: object) -> MagnitudeEstimate:
    size = MagnitudeEstimate(
        label="(1.9,2.0]", bin=(1.9, 2.0), probability=0.1, type="M", value=1.99, expected=1.99,
        interval_90=(1.2, 2.8), model="magnitude", sha256="0",
    )  # fmt: skip
    return msgspec.structs.replace(size, **changes)


@pytest.fixture
def non_tectonic(revision: MakeEvent) -> MakeEvent:
    """An event of the longest label, with a magnitude, and with changes."""
    kind = TypeEstimate(label="non-tectonic", probability=0.97, probabilities={}, model="m", sha256="0")
    return lambda **changes: revision(**({"event_type": kind, "magnitude": _size(), "station": "PB.B918"} | changes))


class _Fixed(Screen):
    """A screen of a fixed width."""

    columns = 80


def test_a_magnitude_says_its_limits_in_words() -> None:
    assert magnitude_text(_size()) == "1.99 [1.2, 2.8]"
    assert magnitude_text(_size(interval_90=(1.6, None))) == "1.99 [over 1.6]"
    assert magnitude_text(_size(interval_90=(None, 0.7))) == "1.99 [under 0.7]"
    bare = {"value": None, "expected": None, "interval_90": None}
    assert magnitude_text(_size(label=">3.0", **bare)) == ">3.0"
    assert magnitude_text(_size(provisional=True, **bare)) == "(1.9,2.0] no gain"
    assert magnitude_text(None) == ""


def test_what_does_not_fit_stands_in_further_lines(non_tectonic: MakeEvent) -> None:
    remarks = [Quality(code=code, reason="") for code in ("overlap", "insufficient", "spike", "timing", "clipped")]
    long = non_tectonic(station="ABCDEFGH.STATION1", distance_km=110.4, distance_uncertainty_km=12.0, quality=remarks)
    narrow = narrow_lines(long, 80)
    assert max(map(len, narrow[1:])) <= 80 and "110±12 km, overlap, insufficient" in " ".join(narrow)
    assert max(map(len, narrow_lines(non_tectonic(quality=remarks[:1]), 80))) == 80  # one remark fits the first line
    wide = wide_lines(non_tectonic(quality=remarks), 120)
    assert len(wide) == 2 and max(map(len, wide)) <= 120
    assert len(wide_lines(non_tectonic(quality=remarks), None)) == 1  # of a pipe: one event, one line


def test_a_missing_gain_is_stated_once(non_tectonic: MakeEvent) -> None:
    bare = _size(provisional=True, value=None, expected=None, interval_90=None)
    remarks = [Quality(code=code, reason="") for code in ("uncalibrated", "spike")]
    assert narrow_lines(non_tectonic(magnitude=bare, quality=remarks), 100)[0].endswith("(1.9,2.0] no gain  spike")
    assert narrow_lines(non_tectonic(magnitude=None, quality=remarks), 100)[0].endswith("  uncalibrated, spike")


def test_header_dates_and_retractions(non_tectonic: MakeEvent) -> None:
    lines: list[str] = []
    sink = TerminalSink(lines.append, _Fixed())
    first, second = non_tectonic(onset="2026-11-28T23:59:59.900000Z"), non_tectonic(onset="2026-11-29T00:00:01.200000Z")
    for one in (first, msgspec.structs.replace(first, status="retracted"), second, second):
        sink.write(one)
    shown = "\n".join(lines).splitlines()
    assert shown[0].startswith("onset UTC") and "magnitude [90 %]" in shown[0]
    assert shown[1] == "── 2026-11-28 UTC ──"
    assert shown[3].startswith("23:59:59.9 ") and " RETRACTED " in shown[3]
    assert shown[4] == "── 2026-11-29 UTC ──" and len(shown) == 7
    piped: list[str] = []
    TerminalSink(piped.append).write(second)
    assert piped[0].splitlines()[1].startswith("2026-11-29 00:00:01.2  ")


def test_a_retraction_is_red_where_the_screen_has_colour(non_tectonic: MakeEvent) -> None:
    lines: list[str] = []
    TerminalSink(lines.append, Screen(colour=True)).write(non_tectonic(status="retracted"))
    assert lines[0].splitlines()[-1].startswith("\x1b[1;31m") and lines[0].endswith("\x1b[0m")


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_run_on_a_terminal_of_80_columns(no_colour: bool, tmp_path: Path) -> None:
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 300 - 100])  # the last record is truncated: a line of the log
    output = _on_a_terminal(["run", part.name, *map(str, STATIONS.glob("*.toml"))], no_colour, tmp_path)
    assert ("\x1b[" in output) is not no_colour
    lines = ESCAPE.sub("", output).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("onset UTC") for line in lines) == 1
    (warning,) = [k for k, line in enumerate(lines) if " WARNING part.mseed: the last record is truncated" in line]
    assert lines[warning + 1] == "    bytes"
    assert "── 2019-07-07 UTC ──" in lines and any(" new " in line for line in lines)


def _on_a_terminal(arguments: list[str], no_colour: bool, folder: Path) -> str:
    """The output of a command whose standard streams are a terminal of 80 columns."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    environment |= {"TERM": "xterm"} | ({"NO_COLOR": "1"} if no_colour else {})
    process = subprocess.Popen(
        [sys.executable, "-m", "seisedge.cli", *arguments],
        stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=folder,
    )  # fmt: skip
    os.close(slave)
    data = b""
    try:
        while part := os.read(master, 65536):
            data += part
    except OSError:  # the last process has closed the terminal
        pass
    os.close(master)
    assert process.wait(60) == 0, data
    return data.decode()

"""Width and colour of an output stream."""

import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from fcntl import ioctl
from typing import TextIO

import pytest

from seisedge.runtime.screen import PLAIN, Screen


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(slave, "w") as stream:
        yield stream
    os.close(master)


@pytest.mark.parametrize(
    ("environment", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal(terminal: TextIO, environment: dict[str, str], colour: bool) -> None:
    screen = Screen.of(terminal, environment)
    assert (screen.colour, screen.columns) == (colour, 80)
    assert screen.painted("x", "red") == ("\x1b[1;31mx\x1b[0m" if colour else "x")


def test_a_file_has_neither_colour_nor_width(tmp_path: object) -> None:
    with open(os.devnull, "w") as file:  # noqa: PTH123 - a device
        for stream in (file, io.StringIO()):
            screen = Screen.of(stream, {})
            assert (screen.colour, screen.columns, screen.wrapped("x " * 100)) == (False, None, "x " * 100)


def test_a_changed_width_is_used(terminal: TextIO) -> None:
    screen = Screen.of(terminal, {})
    ioctl(terminal.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    assert screen.columns == 120


def test_long_lines_are_wrapped_at_the_width(terminal: TextIO) -> None:
    lines = Screen.of(terminal, {}).wrapped("word " * 40, "  ").splitlines()
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines) and lines[1].startswith("  word")
    assert PLAIN.wrapped("word " * 40) == "word " * 40

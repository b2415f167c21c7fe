"""Every line of the log says what it is about, first of all: a station, a source, a sink, a file."""

import ast
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from seisedge.cli import main

RUNTIME = Path(__file__).parents[1] / "runtime" / "seisedge" / "runtime"
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}
# About the whole process, or about a client of the virtual digitizer, whose line it is.
ABOUT_NOTHING_ELSE = {
    "caught up with the stream; %d windows were dropped so far",
    "the message '%s' to systemd failed: %s",
}


def _formats(path: Path) -> list[str]:
    """The format of each call of a logger in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "logger":
            place = 1 if node.func.attr == "log" else 0
            text = node.args[place]
            assert isinstance(text, ast.Constant), f"{path}:{node.lineno}: the format must be one text"
            found.append(str(text.value))
    return found


def test_what_it_is_about_comes_first() -> None:
    formats = {text: path for path in RUNTIME.rglob("*.py") if path.parent.name != "replay" for text in _formats(path)}
    assert len(formats) > 40
    unnamed = {text: path.name for text, path in formats.items() if not text.startswith(("%s: ", "%s; "))}
    assert set(unnamed) == ABOUT_NOTHING_ELSE, unnamed


def test_a_warning_of_a_library_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        CliRunner().invoke(main, ["-v", "doctor", "--help"])
        np.square(np.float32(1e30), dtype=np.float32)
        warnings.warn("two\nlines", UserWarning, stacklevel=1)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[2] for line in lines] == [
        "RuntimeWarning: overflow encountered in square",
        "UserWarning: two lines",
    ]

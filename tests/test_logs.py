"""Every line of the log says what it is about, first of all: a station, a source, a sink, a file."""

import ast
from pathlib import Path

RUNTIME = Path(__file__).parents[1] / "runtime" / "seisedge" / "runtime"
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}
# About the whole process, or about a client of the virtual digitizer, whose line it is.
ABOUT_NOTHING_ELSE = {
    "%d windows were dropped so far; level with the stream again",
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

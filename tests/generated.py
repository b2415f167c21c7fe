"""Generate files from the code: JSON Schemas and the command reference. `python -m tests.generated [--check]`."""

from __future__ import annotations

import inspect
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec
from tests import papers_page

from seisedge.cli import COMMANDS, HELP_OF_EXTRAS, main
from seisedge.runtime.bench.archive_report import ArchiveReport
from seisedge.runtime.bench.report import Report
from seisedge.runtime.bench.stream_report import StreamReport
from seisedge.runtime.config import StationConfig
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.flash.profile import Profile

ROOT = Path(__file__).parents[1]
HELP = ROOT / "runtime" / "seisedge" / HELP_OF_EXTRAS
SCHEMAS = ROOT / "firmware_configs" / "schemas"
STATION_FILES = ROOT / "firmware_configs" / "stations"
COMMON = "\n[models]\n"  # from this table on, the examples of all kinds of sources have the same text


def files() -> dict[Path, str]:
    """The expected text of each generated file."""
    return {
        SCHEMAS / "station.schema.json": _schema(StationConfig, "Station file (TOML)"),
        SCHEMAS / "event-1.schema.json": _schema(Event, "seisedge.event/1"),
        SCHEMAS / "hop-1.schema.json": _schema(Hop, "seisedge.hop/1"),
        SCHEMAS / "bench-1.schema.json": _schema(Report, "seisedge.bench/1"),
        SCHEMAS / "bench-stream-1.schema.json": _schema(StreamReport, "seisedge.bench-stream/1"),
        SCHEMAS / "bench-archive-1.schema.json": _schema(ArchiveReport, "seisedge.bench-archive/1"),
        SCHEMAS / "hardware.schema.json": _schema(Profile, "Hardware profile (TOML)"),
        ROOT / "docs" / "commands.md": _reference(),
        papers_page.PAGE: papers_page.page(),
        HELP: _help_of_extras(),
        **{STATION_FILES / f"{kind}.toml": _station_file(kind) for kind in ("datalink", "shake-udp", "archive")},
    }


def _station_file(kind: str) -> str:
    """The example of one kind of source: its own text up to COMMON, then that of example.toml with its own codes."""
    own = (STATION_FILES / f"{kind}.toml").read_text(encoding="utf-8").partition(COMMON)[0]
    common = (STATION_FILES / "example.toml").read_text(encoding="utf-8").partition(COMMON)[2]
    codes = tomllib.loads(own)["station"]
    return own + COMMON + common.replace("PB.", f"{codes['network']}.").replace("B918", codes["station"])


def _schema(kind: type, title: str) -> str:
    schema = _dedented(msgspec.json.schema(kind))
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | schema
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"


def _dedented(schema: Any) -> Any:
    """The schema with the docstrings in it as Python 3.13 stores them, without the indentation of the code."""
    if isinstance(schema, dict):
        return {
            k: inspect.cleandoc(v) if k == "description" and isinstance(v, str) else _dedented(v)
            for k, v in schema.items()
        }
    return [_dedented(part) for part in schema] if isinstance(schema, list) else schema


def _reference() -> str:
    parts = ["# Commands\n\nMade by `make docs` from the commands themselves.\n"]
    for name in COMMANDS:
        context = click.Context(main, info_name="seisedge")
        command = main.get_command(context, name)
        assert command is not None
        parts += _help(command, context, name)
    return "\n".join(parts)


def _help_of_extras() -> str:
    """The help of each command that needs an extra, for machines without it."""
    texts: dict[str, str] = {}
    for name, (_, extra, _) in COMMANDS.items():
        if extra is not None:
            context = click.Context(main, info_name="seisedge")
            command = main.get_command(context, name)
            assert command is not None
            _collect_help(command, context, name, texts)
    return json.dumps(texts, indent=0, ensure_ascii=False) + "\n"


def _collect_help(command: click.Command, parent: click.Context, name: str, texts: dict[str, str]) -> None:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=80, max_content_width=80)
    texts[context.command_path.removeprefix("seisedge ")] = command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            _collect_help(found, context, inner, texts)


def _help(command: click.Command, parent: click.Context, name: str) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    parts = [f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            parts += _help(found, context, inner)
    return parts


def run(check: bool) -> int:
    """Write the files that are out of date; with `check` only report them. Returns the exit code."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date; run `make docs`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(run("--check" in sys.argv[1:]))

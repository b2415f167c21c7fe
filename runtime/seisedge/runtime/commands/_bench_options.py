"""Options that the measuring commands of `seisedge bench` have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seisedge.runtime.commands._overwrite import overwrite_option

_OPTIONS = (
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as JSON."),
    click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as Markdown."),
    click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as one HTML file."),
    click.option(
        "--sign",
        type=click.Path(path_type=Path),
        metavar="KEY",
        help="Private key of `seisedge flash keygen`; the file of -o becomes a signed envelope.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
    overwrite_option,
)


def report_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options for the files of a report."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def log_progress(line: str) -> None:
    """Show progress on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{line}", err=True, nl=False)

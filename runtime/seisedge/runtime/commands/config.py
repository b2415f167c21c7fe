"""`seisedge config`"""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.runtime.config import load_config
from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path, text_of_message

EPILOG = """\b
Examples:
  seisedge config check station.toml
  seisedge config check /etc/seisedge/*.toml
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Check station files before a run uses them."""


@command.command("check", epilog=EPILOG, short_help="Check station files, without a connection.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def check(files: tuple[Path, ...]) -> None:
    """Check station files as `seisedge run` does at its start, with the StationXML files that they name.

    Nothing is opened or connected. Exit status: 0 all can be used, 2 otherwise, with every fault of every file.
    """
    faults: list[str] = []
    for path in files:
        try:
            config = load_config(path)
        except InputError as error:
            faults.append(str(error))
        else:
            click.echo(text_of_message(f"{text_from_path(path)}: {config.station_id} can be used"))
    if faults:
        raise InputError("\n".join(faults))

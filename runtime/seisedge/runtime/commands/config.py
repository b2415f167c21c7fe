"""`seisedge config`"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.config import load_config
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically
from seisedge.runtime.paths import text_from_path, text_of_message
from seisedge.runtime.records.channelcode import refusal_of
from seisedge.runtime.records.codes import BLANK_LOCATION, station_from_text
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.text import shortened

EXAMPLE = "example.toml"
FOLDER = Path(__file__).parents[1] / "config" / "stations"  # in an installed package
IN_CLONE = Path(__file__).parents[4] / "firmware_configs" / "stations"

EPILOG = """\b
Examples:
  seisedge config new XX.ABC > XX.ABC.toml
  seisedge config new --stationxml stations.xml XX.ABC > XX.ABC.toml
  seisedge config check station.toml
  seisedge config check /etc/seisedge/*.toml
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Write station files, and check them before a run uses them."""


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


@command.command("new", epilog=EPILOG, short_help="Write station files: with every setting, or from StationXML.")
@click.argument("stations", nargs=-1, metavar="[NET.STA]...")
@click.option("--stationxml", type=click.Path(path_type=Path), help="Positions and gains of the stations.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="Folder for a file NET.STA.toml of each station [default: one station, to standard output].",
)  # fmt: skip
@overwrite_option
def new(stations: tuple[str, ...], stationxml: Path | None, out: Path | None, overwrite: bool) -> None:
    """Write a station file for each NET.STA.

    With --stationxml: short files with the position, and the StationXML file for the gains; without NET.STA, of all
    stations in it. Without --stationxml: one file that explains every setting, for one NET.STA.
    """
    if stationxml is None:
        if len(stations) != 1 or out is not None:
            raise InputError("without --stationxml give one station, as in: seisedge config new XX.ABC > XX.ABC.toml")
        click.echo(example_text(stations[0]), nl=False)
        return
    metadata = StationXml.read(stationxml)
    names = stations or metadata.station_ids()
    if out is None and len(names) != 1:
        raise InputError(f"{len(names)} stations: give -o FOLDER for their files, or one station")
    texts = {}
    for name in names:
        metadata.check(name, [])  # raises if the file does not contain the station
        path = stationxml.resolve()
        texts[name] = station_file_text(name, metadata, path if out is None else relative_to(path, out.resolve()))
    if out is None:
        click.echo(next(iter(texts.values())), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    targets = {name: out / f"{name}.toml" for name in texts}
    for target in targets.values():
        protect_file(target, overwrite)
    for name, target in targets.items():
        write_atomically(target, texts[name].encode())
        click.echo(f"{text_from_path(target)}: next: seisedge config check {shlex.quote(text_from_path(target))}")


def example_text(name: str) -> str:
    """The example station file, with every setting, for station NET.STA. Its channels are commented out: they are those
    of another station. Raises InputError for invalid codes.
    """
    codes = station_from_text(name.replace(".", "_", 1))
    if codes is None or "." not in name:
        raise InputError(f"{shortened(name)}: give the station as NET.STA, for example PB.B918")
    path = next((folder / EXAMPLE for folder in (FOLDER, IN_CLONE) if (folder / EXAMPLE).is_file()), None)
    if path is None:
        raise InputError(f"{FOLDER / EXAMPLE} is missing; install seisedge again")
    network, station = codes
    lines = []
    in_channel = False
    for line in path.read_text(encoding="utf-8").splitlines():
        in_channel = line.startswith("[channels.") or (in_channel and not line.startswith("["))
        if line.startswith(("network = ", "station = ")):
            key = line.partition(" ")[0]
            line = f"{key} = {toml_text(network if key == 'network' else station)}"
        elif line.startswith("source = "):
            line = f"#source = {toml_text(f'seedlink://192.0.2.7:18000/{network}_{station}')}"
        elif in_channel and line and not line.startswith("#"):
            line = f"#{line}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def relative_to(path: Path, folder: Path) -> Path:
    """The path relative to a folder if it is in it, else absolute."""
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def station_file_text(name: str, metadata: StationXml, path: Path) -> str:
    """The text of a station file. Raises InputError if the codes or the position cannot be used."""
    network, _, station = name.partition(".")
    lines = ["[station]", f"network = {toml_text(network)}", f"station = {toml_text(station)}"]
    position = metadata.position(name)
    if position is not None:
        lines += [f"latitude_deg = {position[0]!r}", f"longitude_deg = {position[1]!r}"]
    lines.append(f"stationxml = {toml_text(text_from_path(path))}")
    usable = [e for e in metadata.station(name) if e.fault is None]
    sensors = sorted({(e.location or BLANK_LOCATION, e.channel[:-1]) for e in usable if refusal_of(e.channel) is None})
    listed = ", ".join(f"{location}.{band}?" for location, band in sensors) or "none"
    lines += ["", f'# sensors with a gain in the StationXML file: {listed}; location = "00" above selects one']
    return "\n".join(lines) + "\n"


def toml_text(text: str) -> str:
    """A basic string of TOML; JSON strings are valid there."""
    return json.dumps(text, ensure_ascii=False)

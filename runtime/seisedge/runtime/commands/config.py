"""`seisedge config`"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from seisedge.runtime.commands import FilePath, FiniteRange
from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.commands._station_file import server_of, station_file_text, toml_text
from seisedge.runtime.config import StationConfig, load_config
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import write_atomically
from seisedge.runtime.machine import install_command
from seisedge.runtime.paths import text_from_path, text_of_message
from seisedge.runtime.records.codes import station_from_text
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.screen import Screen, Style
from seisedge.runtime.text import shortened
from seisedge.runtime.urls import shown_url

if TYPE_CHECKING:
    from seisedge.runtime.sources._seedlink_info import Stream

EXAMPLE = "example.toml"
FOLDER = Path(__file__).parents[1] / "config" / "stations"  # in an installed package
IN_CLONE = Path(__file__).parents[4] / "firmware_configs" / "stations"

EPILOG = """\b
Examples:
  seisedge config new XX.ABC > XX.ABC.toml
  seisedge config new --stationxml stations.xml XX.ABC > XX.ABC.toml
  seisedge config new --source seedlink://192.0.2.7:18000 -o stations
  seisedge config check station.toml
  seisedge config check station.toml --connect
  seisedge config check /etc/seisedge/*.toml
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Write station files, and check them before a run uses them."""


@command.command("check", epilog=EPILOG, short_help="Check station files, and with --connect what they name.")
@click.argument("files", nargs=-1, required=True, type=FilePath(), metavar="FILE...")
@click.option("--connect", is_flag=True, help="Also read the source for a while, connect the sinks, check the clock.")
@click.option("--source", metavar="URL", help="With --connect: read this source instead of that of the station file.")
@click.option(
    "--seconds", type=FiniteRange(min=1, max=600), default=30.0, show_default=True,
    help="With --connect: how long the source is read.",
)  # fmt: skip
@click.option("--send-test", is_flag=True, help="With --connect: also send a test message to webhook, MQTT and alerts.")
def check(files: tuple[Path, ...], connect: bool, source: str | None, seconds: float, send_test: bool) -> None:
    """Check station files as `seisedge run` does at its start, with the StationXML files that they name.

    A run goes on without a page that more people could see than the file permits; here that is a fault of the file.

    Without --connect nothing is opened or connected. With it a table shows for the clock, the source, each channel and
    each sink whether it works from this machine: ok, warning or fault. No event is sent.

    Exit status: 0 all can be used (also with warnings), 1 a fault of a connection, 2 a fault of a file, with every
    fault of every file.
    """
    if (source is not None or send_test) and not connect:
        raise InputError("--source and --send-test need --connect")
    faults: list[str] = []
    usable: list[StationConfig] = []
    for path in files:
        try:
            config = load_config(path, check_page=True)
        except InputError as error:
            faults.append(str(error))
        else:
            usable.append(config)
            source_missing = "" if connect or config.source else "; it names no source: a run needs --source URL"
            click.echo(text_of_message(f"{text_from_path(path)}: {config.station_id} can be used{source_missing}"))
            for warning in () if connect else _missing_extras(config):
                click.echo(text_of_message(f"warning: {text_from_path(path)}: {warning}"))
    failed = [_check_connections(config, source, seconds, send_test) for config in usable if connect]
    if faults:
        raise InputError("\n".join(faults))
    if count := sum(failed):
        raise FailedError(f"{count} fault(s) found; a station would not work as its file says")


def _missing_extras(config: StationConfig) -> Iterator[str]:
    """Packages that sinks of a station file need and that are not installed; a run would refuse the file."""
    for key, configured, package, extra in (
        ("[sinks.mqtt]", config.sinks.mqtt is not None, "paho", "mqtt"),
        ("[[alerts]]", bool(config.alerts), "apprise", "notify"),
    ):
        if configured and importlib.util.find_spec(package) is None:
            advice = install_command(extra)
            yield f"{key} needs a package that is not installed, without which a run does not start; {advice}"


def _check_connections(config: StationConfig, source: str | None, seconds: float, send_test: bool) -> int:
    """Print the table of a station; returns the number of faults."""
    from seisedge.runtime.commands._connect import connection_rows

    screen, styles = Screen.of(sys.stdout), {"ok": "green", "warning": "yellow", "fault": "red"}
    faults = 0
    for row in connection_rows(config, source, seconds=seconds, send_test=send_test):
        level = screen.painted(f"{row.level:7}", cast("Style", styles[row.level]))
        line = screen.wrapped(text_of_message(f"{row.level:7}  {row.subject:16}  {row.text}"), " " * 9)
        click.echo(level + line[7:])
        faults += row.level == "fault"
    return faults


@command.command(
    "new", epilog=EPILOG, short_help="Write station files: with every setting, from StationXML, or from a server."
)
@click.argument("stations", nargs=-1, metavar="[NET.STA]...")
@click.option("--stationxml", type=FilePath(), help="Positions and gains of the stations.")
@click.option("--source", metavar="URL", help="Stations and channels of this SeedLink server: seedlink://HOST:PORT")
@click.option(
    "-o", "--out", type=FilePath(),
    help="Folder for a file NET.STA.toml of each station [default: one station, to standard output].",
)  # fmt: skip
@overwrite_option
def new(
    stations: tuple[str, ...], stationxml: Path | None, source: str | None, out: Path | None, overwrite: bool
) -> None:
    """Write a station file for each NET.STA.

    With --stationxml: short files with the position, and the StationXML file for the gains; without NET.STA, of all
    stations in it. With --source: short files with the source and the channels that the server has; without NET.STA,
    of all its stations. Both can be combined. With neither: one file that explains every setting, for one NET.STA.
    """
    if stationxml is None and source is None:
        if len(stations) != 1 or out is not None:
            raise InputError(
                "without --stationxml and --source give one station, as in: seisedge config new XX.ABC > XX.ABC.toml"
            )
        click.echo(example_text(stations[0]), nl=False)
        return
    metadata = StationXml.read(stationxml) if stationxml is not None else None
    streams = _streams_by_station(source) if source is not None else {}
    names = stations or list(streams) or (metadata.station_ids() if metadata is not None and source is None else [])
    if source is not None:
        _check_names(names, streams, source)
    if out is None and len(names) != 1:
        raise InputError(f"{len(names)} stations: give -o FOLDER for their files, or one station")
    texts = {}
    for name in names:
        path = None
        if metadata is not None and stationxml is not None:
            metadata.check(name, [])  # raises if the file does not contain the station
            path = stationxml.resolve()
            path = path if out is None else relative_to(path, out.resolve())
        server = server_of(source) if source is not None else None
        texts[name] = station_file_text(name, metadata, path, server, streams.get(name, ()))
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


def _streams_by_station(source: str) -> dict[str, list[Stream]]:
    from seisedge.runtime.sources._seedlink_info import streams_of

    if not source.lower().startswith("seedlink://"):
        raise InputError(f"--source {shortened(shown_url(source))}: give a SeedLink server: seedlink://HOST:PORT")
    found: dict[str, list[Stream]] = {}
    for stream in streams_of(source):
        found.setdefault(f"{stream.network}.{stream.station}", []).append(stream)
    return dict(sorted(found.items()))


def _check_names(names: Sequence[str], streams: Mapping[str, list[Stream]], source: str) -> None:
    missing = [name for name in names if name not in streams]
    if missing or not names:
        listed = ", ".join(list(streams)[:20]) or "none"
        wanted = shortened(missing[0]) if missing else "a station"
        more = f" and {len(streams) - 20} more" if len(streams) > 20 else ""
        raise InputError(f"{shown_url(source)}: the server has no data of {wanted}; its stations: {listed}{more}")


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

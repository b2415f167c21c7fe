"""`seisedge state`"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.commands import FilePath
from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.paths import text_from_path

if TYPE_CHECKING:
    from seisedge.runtime.journal.reader import DatabaseReader

SHOWN_COUNTERS = ("packets", "triggers", "events", "inferences")

EPILOG = """\b
Examples:
  seisedge state show /var/lib/seisedge/B918
  seisedge state show /var/lib/seisedge/B918 --json
  seisedge state export /var/lib/seisedge/B918 B918.state
  seisedge state import B918.state /var/lib/seisedge/B918
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Inspect, copy and move the state folder of `seisedge run --state DIR`."""


@command.command("show", epilog=EPILOG, short_help="Show positions, open events, waiting lines.")
@click.argument("folder", type=FilePath(), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(folder: Path, as_json: bool) -> None:
    """Show where each station resumes, its open events, and the lines that each sink has not received.

    Read only: a run may be using the folder.
    """
    from seisedge.runtime.journal.reader import DatabaseReader
    from seisedge.runtime.journal.schema import SCHEMA_VERSION

    with DatabaseReader(folder) as reader:
        facts = {"folder": text_from_path(folder), "schema": SCHEMA_VERSION} | _facts(reader)
    facts["damaged"] = sorted(path.name for path in folder.glob("*.damaged"))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        _print(facts)


@command.command("export", epilog=EPILOG, short_help="Copy the state to one file.")
@click.argument("folder", type=FilePath(), metavar="DIR")
@click.argument("target", type=FilePath(), metavar="FILE")
@overwrite_option
def export(folder: Path, target: Path, overwrite: bool) -> None:
    """Copy the state of a run to FILE: positions, open events, waiting lines, and which revisions were emitted.

    The run may go on; the copy is that of one moment. Only its owner can read FILE. Dead letters and the files of the
    sinks are not part of it.
    """
    from seisedge.runtime.journal.copy import export_journal

    protect_file(target, overwrite)
    size = export_journal(folder, target)
    click.echo(f"{text_from_path(target)}: {size / 1e3:.0f} kB; next: seisedge state import FILE DIR, on any machine")


@command.command("import", epilog=EPILOG, short_help="Put a copy of the state into a new folder.")
@click.argument("source", type=FilePath(), metavar="FILE")
@click.argument("folder", type=FilePath(), metavar="DIR")
def import_(source: Path, folder: Path) -> None:
    """Put a file of `seisedge state export` into DIR, which must not have a state yet. The next run with --state DIR
    resumes from it.

    Stop the old run before the new one starts: both would deliver the same events.
    """
    from seisedge.runtime.journal.copy import import_journal

    import_journal(source, folder)
    click.echo(f"{text_from_path(folder)}: next: seisedge run STATION.toml --state {text_from_path(folder)}")


def _facts(reader: DatabaseReader) -> dict[str, Any]:
    stations = []
    for source, station, token, token_ns, back, updated_ns in reader.stations():
        try:
            fact = _station(token, token_ns, back, updated_ns)
        except Exception as error:  # whatever a damaged row makes the steps above raise
            fact = {"damaged": f"{type(error).__name__}: {str(error)[:200]}"}
        stations.append({"station": station, "source": source} | fact)
    sinks = [
        {"name": name, "waiting": waiting, "updated": iso_from_ns(updated_ns)}
        for name, waiting, updated_ns in reader.sinks()
    ]
    return {
        "stations": stations,
        "sinks": sinks,
        "outbox_lines": reader.line_count(),
        "known_revisions": reader.revision_count(),
    }


def _station(token: str, token_ns: int, back: str, updated_ns: int) -> dict[str, Any]:
    """What is stored of one station. Raises any exception if its row is damaged."""
    remembered = msgspec.json.decode(back)
    triggered = remembered.get("triggered") or {}
    lives = triggered.get("lives", [])
    waiting = {place for _, _, place in triggered.get("due", [])}
    continuous = remembered.get("continuous") or {}
    return {
        "token": token,
        "token_time": iso_from_ns(token_ns),
        "updated": iso_from_ns(updated_ns),
        "mode": "triggered" if triggered else "continuous",
        "open_events": [life["id"] for place, life in enumerate(lives) if place in waiting]
        + ([iso_from_ns(continuous["above"][0]["time_ns"])] if continuous.get("open") else []),
        "counters": {key: remembered["counters"][key] for key in SHOWN_COUNTERS} | remembered["counters"],
    }


def _print(facts: dict[str, Any]) -> None:
    for station in facts["stations"]:
        if "damaged" in station:
            click.echo(
                f"{station['station']}  {station['source']}\n  the stored state is damaged: {station['damaged']}"
            )
            continue
        age_s = time.time() - ns_from_iso(station["updated"]) / NS_PER_S
        click.echo(f"{station['station']}  {station['source']}")
        click.echo(f"  resumes after token {station['token']} ({station['token_time']}), stored {age_s:.0f} s ago")
        click.echo(f"  open events: {', '.join(station['open_events']) or 'none'}")
        counters = station["counters"]
        words = (f"{counters[key]} {key}" for key in SHOWN_COUNTERS)
        click.echo(f"  counters: {', '.join(words)}")
    if not facts["stations"]:
        click.echo("no station with a stored position in a stream")
    for sink in facts["sinks"]:
        click.echo(f"sink {sink['name']}: {sink['waiting']} lines waiting")
    click.echo(f"{facts['outbox_lines']} lines in the outbox, {facts['known_revisions']} emitted revisions stored")
    for name in facts["damaged"]:
        click.echo(f"damaged file, set aside: {name}")

"""`seisedge state`"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso

EPILOG = """\b
Examples:
  seisedge state show /var/lib/seisedge/B918
  seisedge state show /var/lib/seisedge/B918 --json
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Inspect the state folder of `seisedge run --state DIR`."""


@command.command("show", epilog=EPILOG, short_help="Show positions, open events, waiting lines.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(folder: Path, as_json: bool) -> None:
    """Show where each station resumes, its open events, and the lines that each sink has not received.

    Read only: a run may be using the folder.
    """
    from seisedge.runtime.journal.database import SCHEMA_VERSION, read_database

    link = read_database(folder)
    try:
        facts = {"folder": str(folder), "schema": SCHEMA_VERSION} | _facts(link)
    finally:
        link.close()
    facts["damaged"] = sorted(path.name for path in folder.glob("*.damaged"))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        _print(facts)


def _facts(link: sqlite3.Connection) -> dict[str, Any]:
    stations = []
    rows = link.execute(
        "SELECT source, station, token, token_ns, back, updated_ns FROM stations ORDER BY source, station"
    )
    for source, station, token, token_ns, back, updated_ns in rows:
        remembered = msgspec.json.decode(back)
        triggered = remembered.get("triggered") or {}
        lives = triggered.get("lives", [])
        waiting = {place for _, _, place in triggered.get("due", [])}
        continuous = remembered.get("continuous") or {}
        stations.append(
            {
                "station": station,
                "source": source,
                "token": token,
                "token_time": iso_from_ns(token_ns),
                "updated": iso_from_ns(updated_ns),
                "mode": "triggered" if triggered else "continuous",
                "open_events": [life["id"] for place, life in enumerate(lives) if place in waiting]
                + ([iso_from_ns(continuous["above"][0]["time_ns"])] if continuous.get("open") else []),
                "counters": remembered["counters"],
            }
        )
    (newest,) = link.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
    sinks = [
        {"name": name, "waiting": max(newest - seq, 0), "updated": iso_from_ns(updated_ns)}
        for name, seq, updated_ns in link.execute("SELECT name, seq, updated_ns FROM sinks ORDER BY name")
    ]
    (lines,) = link.execute("SELECT count(*) FROM outbox").fetchone()
    (emitted,) = link.execute("SELECT count(*) FROM emitted").fetchone()
    return {"stations": stations, "sinks": sinks, "outbox_lines": lines, "known_revisions": emitted}


def _print(facts: dict[str, Any]) -> None:
    for station in facts["stations"]:
        age_s = time.time() - ns_from_iso(station["updated"]) / NS_PER_S
        click.echo(f"{station['station']}  {station['source']}")
        click.echo(f"  resumes after token {station['token']} ({station['token_time']}), stored {age_s:.0f} s ago")
        click.echo(f"  open events: {', '.join(station['open_events']) or 'none'}")
        counters = station["counters"]
        words = (f"{counters[key]} {key}" for key in ("packets", "triggers", "events", "inferences"))
        click.echo(f"  counters: {', '.join(words)}")
    if not facts["stations"]:
        click.echo("no station with a stored position in a stream")
    for sink in facts["sinks"]:
        click.echo(f"sink {sink['name']}: {sink['waiting']} lines waiting")
    click.echo(f"{facts['outbox_lines']} lines in the outbox, {facts['known_revisions']} emitted revisions stored")
    for name in facts["damaged"]:
        click.echo(f"damaged file, set aside: {name}")

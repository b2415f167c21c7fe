"""`seisedge flash push`, and `flash status --fleet`."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seisedge.runtime.bundle.container import open_bundle
from seisedge.runtime.errors import FailedError, InputError

if TYPE_CHECKING:
    from seisedge.runtime.flash.push import Outcome
    from seisedge.runtime.flash.remote import Device


@click.command("push", short_help="Install a bundle on devices over SSH.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("hosts", nargs=-1, metavar="[USER@HOST]...")
@click.option("--fleet", type=click.Path(path_type=Path), metavar="FLEET.toml", help="The devices, instead of hosts.")
@click.option(
    "--wave",
    "waves",
    default="rest",
    show_default=True,
    metavar="N,N%,rest",
    help="Devices of each wave: numbers, or shares of the fleet. A wave begins when the one before it is confirmed.",
)
@click.option("--max-unreachable", type=click.IntRange(0), metavar="N", help="Stop beyond N unreachable devices.")
@click.option("--skip", multiple=True, metavar="HOST|NET.STA", help="Leave a device out; may be repeated.")
@click.option("--again", is_flag=True, help="Also on devices where this bundle failed before.")
@click.option(
    "--option", "options", multiple=True, metavar="OPTION", help="Of `install` on the device, as --window=60."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as JSON; the log goes to standard error.")
def push(  # noqa: PLR0913 - one parameter for each option of the command
    bundle: Path,
    hosts: tuple[str, ...],
    fleet: Path | None,
    waves: str,
    max_unreachable: int | None,
    skip: tuple[str, ...],
    again: bool,
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Send the files of a signed BUNDLE that devices lack, install it there, and follow each to its verdict.

    OpenSSH's client is used, with its configuration and keys; the user on the device must be allowed to change the
    installation. The installation does not depend on the connection: after a cut, push again to resume, or to see the
    result. A wave in which a device fails is the last one. An unreachable device does not count as failed.

    Exit status: 0 all devices have the bundle, 1 not all of them, 2 unusable input.
    """
    from seisedge.runtime.flash.fleet import push_in_waves, waves_from

    devices = _devices(bundle, hosts, fleet, skip)
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            click.echo(line, err=as_json)

    outcomes, stopped = push_in_waves(
        devices,
        bundle,
        waves_from(waves, len(devices)),
        say,
        max_unreachable=max_unreachable,
        again=again,
        options=options,
    )
    _report(devices, outcomes, stopped, as_json=as_json)


def _devices(bundle: Path, hosts: tuple[str, ...], fleet: Path | None, skip: tuple[str, ...]) -> list[Device]:
    """The devices, and whether the bundle is complete, signed and for them. Raises InputError."""
    from seisedge.runtime.flash.fleet import check_bundle, load_fleet
    from seisedge.runtime.flash.remote import Device, target_fault

    if (fleet is None) == (not hosts):
        raise InputError("give either hosts or --fleet: where the bundle is to be installed")
    for host in hosts:
        if fault := target_fault(host):
            raise InputError(fault)
    opened = open_bundle(bundle)
    with opened.file:
        opened.check_contents()
        if not opened.envelope.signatures:
            raise InputError(f"{bundle}: it is not signed; sign it with 'seisedge flash sign {bundle} --key KEY'")
        if fleet is not None:
            found = load_fleet(fleet)
            check_bundle(found, opened, fleet)
            devices = found.devices()
        else:
            devices = [Device(host) for host in dict.fromkeys(hosts)]
    left_out = [device for device in devices if {device.target, *device.stations} & set(skip)]
    unknown = set(skip).difference(*({device.target, *device.stations} for device in devices))
    if unknown:
        raise InputError(f"--skip {min(unknown)}: no such host or station in {fleet}")
    return [device for device in devices if device not in left_out]


def _report(devices: list[Device], outcomes: list[Outcome], stopped: str, *, as_json: bool) -> None:
    """Print the outcomes. Raises FailedError unless all devices have the bundle."""
    untouched = devices[len(outcomes) :]
    if as_json:
        rows = [
            {"host": o.device.target, "stations": o.device.stations, "outcome": o.word, "text": o.text, "sent": o.sent}
            for o in outcomes
        ]
        rows += [
            {"host": d.target, "stations": d.stations, "outcome": "not tried", "text": "", "sent": 0} for d in untouched
        ]
        click.echo(json.dumps({"devices": rows, "stopped": stopped}))
    else:
        for outcome in outcomes:
            click.echo(f"{outcome.device.name}: {outcome.word}{': ' if outcome.text else ''}{outcome.text}")
    words = [outcome.word for outcome in outcomes]
    counts: dict[str, int] = {
        word: words.count(word) for word in ("installed", "unchanged", "failed", "unreachable") if word in words
    }
    if untouched:
        counts["not tried"] = len(untouched)
    text = ", ".join(f"{count} {word}" for word, count in counts.items())
    if stopped:
        raise FailedError(f"stopped: {stopped}; {text}")
    click.echo(text, err=as_json)
    if set(counts) - {"installed", "unchanged"}:
        raise FailedError("not all devices have the bundle; push again when they are reachable")


def print_fleet_status(fleet: Path, *, as_json: bool) -> None:
    """Print one table with the status of every device. Raises InputError, FailedError where a device has none."""
    from seisedge.runtime.flash.fleet import COLUMNS, load_fleet, status_rows, statuses

    devices = load_fleet(fleet).devices()
    found = statuses(devices)
    if as_json:
        click.echo(json.dumps([{"host": d.target, **status} for d, status in zip(devices, found, strict=True)]))
    else:
        rows = [COLUMNS, *status_rows(devices, found)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
        for row in rows:
            click.echo("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
    without = sum("error" in status for status in found)
    if without:
        raise FailedError(f"{without} of {len(devices)} devices have no status")

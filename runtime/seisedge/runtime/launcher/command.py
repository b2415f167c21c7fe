"""The commands of the launcher: `python3 flash.pyz COMMAND`. `seisedge flash` calls the same functions."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.errors import FailedError, InputError, SeisedgeError
from seisedge.runtime.launcher import health, receive, run
from seisedge.runtime.launcher.bootstrap import bootstrap, place_units
from seisedge.runtime.launcher.device import DATA, ROOT, SETTINGS, Place, station_ids, this_device
from seisedge.runtime.launcher.disk import Disk
from seisedge.runtime.launcher.install import Launcher, bundle_in, check_medium, disk_errors, install, locked
from seisedge.runtime.launcher.programs import Programs, environment, interpreter
from seisedge.runtime.launcher.slots import FILES, changed_files, collect, manifest_of, slot_of
from seisedge.runtime.launcher.state import FILE_NAME, State, Version, read_state
from seisedge.runtime.launcher.timebound import iso_now
from seisedge.runtime.launcher.trusted import rotate
from seisedge.runtime.safe_mode import serve

Say = Callable[[str], object]
CLOCK = run.Clock(time.monotonic, iso_now, time.sleep)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 2 wrong input."""
    given = parser().parse_args(arguments)
    place = Place(given.root, given.settings, given.data)
    launcher = Launcher(place, Disk(), Programs(place, getattr(given, "restart", None)))
    try:
        return int(given.call(launcher, given))
    except SeisedgeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 1


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="flash.pyz",
        description="Install, start and replace seisedge on a device. Commands that change something are run as root.",
        epilog="Exit status: 0 done, 1 failed, 2 the bundle or an option cannot be used. COMMAND --help: its options.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=ROOT, help=f"folder of the installation (default: {ROOT})")
    common.add_argument("--settings", type=Path, default=SETTINGS, help=f"folder of settings (default: {SETTINGS})")
    common.add_argument("--data", type=Path, default=DATA, help=f"folder of the stations' state (default: {DATA})")
    restarts = argparse.ArgumentParser(add_help=False)
    restarts.add_argument("--restart", metavar="COMMAND", help="restart the stations with it (default: systemctl)")
    windows = argparse.ArgumentParser(add_help=False)
    windows.add_argument(
        "--window",
        type=float,
        default=health.WINDOW_S,
        metavar="S",
        help="length of the health window in s (default: 120)",
    )
    windows.add_argument(
        "--up", type=float, default=health.UP_S, metavar="S", help="limit for the first answer in s (default: 300)"
    )
    installs = argparse.ArgumentParser(add_help=False)
    installs.add_argument("--again", action="store_true", help="accept a bundle that failed on this device before")
    installs.add_argument("--no-watch", action="store_true", help="end after the switch; run 'watch' later")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, call: Callable[..., int], text: str, *parents: argparse.ArgumentParser) -> Any:
        command = commands.add_parser(name, parents=[common, *parents], help=text, description=text)
        command.set_defaults(call=call)
        return command

    first = add("bootstrap", _bootstrap, "Set up a bare device and install a bundle.", restarts, windows, installs)
    first.add_argument("bundle", type=Path, help="a bundle, or a folder that contains one")
    first.add_argument("--trust", type=Path, required=True, help="the trust statement of this fleet")
    first.add_argument(
        "--station", action="append", required=True, metavar="NET.STA", help="a station of this device; may be repeated"
    )
    first.add_argument("--units", type=Path, metavar="DIR", help="folder for unit files (default: that of systemd)")
    more = add("install", _install, "Install a bundle, watch it, and go back if it fails.", restarts, windows, installs)
    more.add_argument("bundle", type=Path, help="a bundle, or a folder that contains one")
    add("start", _start, "For the unit: count a start of a station, and leave a broken version.")
    station = add("exec", _exec, "For the unit: become the station of the active version.")
    station.add_argument("station", nargs="?", default="", metavar="NET.STA", help="default: the first of this device")
    add("watch", _watch, "Watch an unconfirmed version to its verdict.", restarts, windows)
    add("healthy", _watch, "The same as watch.", restarts, windows)
    add("status", _status, "Print what is installed and the health of the stations.").add_argument(
        "--json", action="store_true", help="print JSON"
    )
    add("rollback", _rollback, "Go back to the previous version.", restarts)
    add("history", _history, "Print what was installed, confirmed and left.").add_argument(
        "--json", action="store_true", help="print JSON"
    )
    add("gc", _gc, "Remove the versions that are not in use; two are kept.")
    receive.add_commands(add, (restarts, windows, installs))
    add("trust", _trust, "Replace the trusted keys by the next statement.").add_argument(
        "statement", type=Path, help="a file that is signed by the keys before and by the new ones"
    )
    return top


def install_and_watch(
    launcher: Launcher,
    bundle: Path,
    *,
    again: bool,
    window_s: float | None,
    up_s: float = health.UP_S,
    say: Say = print,
    before_restart: Callable[[Version], object] | None = None,
) -> State:
    """Install a bundle, restart the stations, and watch them to the verdict. Raises SeisedgeError.

    window_s: length of the health window; None: end after the switch. Where the verdict is bad the version before is
    active again, and FailedError gives the reason.
    """
    device = this_device(launcher.place)
    began_s = time.monotonic()
    new = install(launcher, bundle, device, run.baseline_of(launcher), iso_now(), again=again)
    say(
        f"installed version {new.version}, serial {new.serial}, in {time.monotonic() - began_s:.1f} s; self-test: "
        f"{new.latency_ms:.1f} ms for an inference, {new.memory_mib:.0f} MiB of memory"
    )
    if before_restart is not None:
        before_restart(new)
    launcher.programs.restart(device.stations)
    if window_s is None:
        return read_state(launcher.root)
    return watched(launcher, window_s, up_s, say)


def watched(launcher: Launcher, window_s: float, up_s: float, say: Say) -> State:
    """Watch an unconfirmed version and report the verdict. Raises FailedError where it is bad."""
    before = read_state(launcher.root)
    state = run.watch(launcher, CLOCK, window_s, up_s)
    if not before.pending or before.active is None:
        say("the active version is confirmed already" if before.active else "no version is installed")
    elif state.pending:
        say(f"undecided, it stays unconfirmed: {state.history[-1]['reason']}")
    elif state.active is not None and state.active.slot == before.active.slot:
        say(f"confirmed version {state.active.version}: {state.history[-1]['reason']}")
    else:
        back = state.active.version if state.active is not None else "none"
        reason = state.bad.get(before.active.slot, "")
        how = "failed" if reason else "was replaced before its verdict"
        raise FailedError(
            f"version {before.active.version} {how}, version {back} is active again: "
            f"{reason or state.history[-1]['reason']}"
        )
    return state


def status_of(launcher: Launcher) -> dict[str, Any]:
    """What is installed, which of its files are not as signed, and the health of the stations. Raises FailedError."""
    state = read_state(launcher.root)
    active = state.active
    try:
        stations = station_ids(launcher.place)
    except InputError:
        stations = ()
    readings = run.readings_of(launcher, active, stations) if active is not None else {}
    return {
        "version": active.version if active else "",
        "serial": active.serial if active else 0,
        "slot": active.slot if active else "",
        "since": active.since if active else "",
        "state": _word(state),
        "reason": state.safe_mode or (state.history[-1]["reason"] if state.history else ""),
        "verdict": state.verdict,
        "previous": state.previous.slot if state.previous else "",
        "floor": state.floor,
        "failed": dict(state.bad),
        "changed_files": [] if active is None else _changed(launcher.root, active),
        "stations": [
            {
                "id": station,
                "health": reading.status or reading.word,
                "detail": reading.detail,
                "data_age_s": reading.data_age_s,
                "last_event": reading.last_event,
                "slot": reading.slot,
            }
            for station, reading in readings.items()
        ],
    }


def station_command(place: Place, active: Version, station: str, index: int) -> list[str]:
    """The command of a station in the resolved folder of its slot."""
    slot = slot_of(place.root, active)
    manifest = manifest_of(slot)
    if station not in manifest.stations:
        raise InputError(f"{slot.name}: it has no station file for {station}")
    paths = [file.path for file in manifest.files]
    models = sorted(path for path in paths if path.startswith("models/") and path.endswith(".onnx"))
    command = [
        *interpreter(slot),
        "-m",
        "seisedge.cli",
        "-v",
        "run",
        "--safe-mode",
        str(slot / FILES / manifest.stations[station]),
    ]
    command += ["--state", str(place.data / station), "--engine", manifest.hardware.engine]
    host, port = health.address_of(slot, station, index)
    for model in models:
        command += ["--model", str(slot / FILES / model)]
    return [*command, "--metrics", f"{host}:{port}"]


def _changed(root: Path, version: Version) -> list[str]:
    return changed_files(slot_of(root, version), version.listing)


def _word(state: State) -> str:
    if state.active is None:
        return "none"
    if state.safe_mode:
        return "safe mode"
    if state.pending:
        return "pending"
    return "rolled back" if state.history and state.history[-1]["what"].startswith("rolled back") else "committed"


def _bootstrap(launcher: Launcher, given: argparse.Namespace) -> int:
    def check(trust: Trust, stations: tuple[str, ...]) -> None:
        if read_state(launcher.root).active is None or given.again:
            device = this_device(launcher.place, stations=stations)
            check_medium(launcher, given.bundle, device, trust, iso_now(), again=given.again)

    bootstrap(launcher, given.trust, given.station, check=check)
    state = read_state(launcher.root)
    if state.active is not None and not given.again:
        print(f"version {state.active.version} is installed already; use 'install' for another bundle")
        return 0
    return _install(launcher, given, lambda version: place_units(launcher, version, given.units))


def _install(
    launcher: Launcher, given: argparse.Namespace, before_restart: Callable[[Version], object] | None = None
) -> int:
    bundle = bundle_in(given.bundle)
    state = install_and_watch(
        launcher,
        given.bundle,
        again=given.again,
        window_s=None if given.no_watch else given.window,
        up_s=given.up,
        before_restart=before_restart,
    )
    if state.active is not None:
        receive.keep_wheels(launcher.root, bundle, state.active.slot)
    return 0


def _start(launcher: Launcher, given: argparse.Namespace) -> int:
    state = run.start(launcher, run.boot_id(), iso_now())
    if state.safe_mode:
        print(f"safe mode: {state.safe_mode}", file=sys.stderr)
    elif state.history and state.history[-1]["what"] == "rolled back automatically":
        print(f"rolled back: {state.history[-1]['reason']}", file=sys.stderr)
    return 0


def _exec(launcher: Launcher, given: argparse.Namespace) -> int:
    place = launcher.place
    try:
        stations = station_ids(place)
    except InputError:
        if not given.station:
            raise
        stations = (given.station,)
    station = given.station or stations[0]
    if station not in stations:
        raise InputError(f"{station}: this device runs {', '.join(stations)}; see {place.settings / 'station'}")
    index = stations.index(station)
    try:
        state = read_state(place.root)
        reason = state.safe_mode if state.active is not None else "no version is installed"
        if not reason and state.active is not None:
            command = station_command(place, state.active, station, index)
            os.environ.update(environment(), SEISEDGE_SLOT=state.active.slot)
            os.execv(command[0], command)
    except OSError as error:
        reason = f"cannot start {error.filename or 'the active version'}: {error.strerror}"
    except SeisedgeError as error:
        reason = str(error)
    ended = serve([f"{station}: {reason}"], _safe_address(place, station, index), [place.root / FILE_NAME])
    if ended == "stopped":
        return 0
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # kept by the new program until it sets its own handler
    return os.execv(sys.executable, [sys.executable, *sys.argv])


def _safe_address(place: Place, station: str, index: int) -> tuple[str, int]:
    """The address of the health endpoint, also where the active version cannot be read."""
    try:
        state = read_state(place.root)
        if state.active is not None:
            return health.address_of(slot_of(place.root, state.active), station, index)
    except (SeisedgeError, OSError, ValueError, KeyError):
        pass
    return health.parsed_address(None, index)


def _watch(launcher: Launcher, given: argparse.Namespace) -> int:
    watched(launcher, given.window, given.up, print)
    return 0


def _status(launcher: Launcher, given: argparse.Namespace) -> int:
    found = status_of(launcher)
    if given.json:
        print(json.dumps(found))
        return 0
    for line in status_lines(found):
        print(line)
    return 0


def status_lines(found: dict[str, Any]) -> list[str]:
    """The status for people."""
    if found["state"] == "none":
        return ["no version is installed"]
    lines = [f"version {found['version']}, serial {found['serial']}, {found['state']} since {found['since']}"]
    if found["state"] in ("safe mode", "rolled back"):
        lines.append(f"reason: {found['reason']}")
    lines.append(f"previous: {found['previous'] or '–'}; bundles below serial {found['floor']} are refused")
    lines += [f"failed here: {slot}: {why}" for slot, why in found["failed"].items()]
    lines += [f"changed file: {path}" for path in found["changed_files"]]
    for station in found["stations"]:
        age = "–" if station["data_age_s"] is None else f"{station['data_age_s']:.0f} s"
        detail = f", {station['detail']}" if station["detail"] else ""
        lines.append(f"{station['id']}: {station['health']}, data age {age}{detail}")
    return lines


def _rollback(launcher: Launcher, given: argparse.Namespace) -> int:
    state = run.roll_back(launcher, iso_now(), "by an operator", automatic=False)
    assert state.active is not None
    print(f"version {state.active.version}, serial {state.active.serial}, is active again")
    return 0


def _history(launcher: Launcher, given: argparse.Namespace) -> int:
    history = read_state(launcher.root).history
    if given.json:
        print(json.dumps(list(history)))
        return 0
    for entry in history:
        print(f"{entry['time']}  {entry['what']:<26}{entry['slot']:<24}{entry['reason']}".rstrip())
    return 0


def _gc(launcher: Launcher, given: argparse.Namespace) -> int:
    removed = removed_slots(launcher)
    print(f"removed {', '.join(removed)}" if removed else "nothing to remove")
    return 0


def removed_slots(launcher: Launcher) -> list[str]:
    """Remove the slots that are not in use; returns their names. Raises FailedError."""
    with locked(launcher.root), disk_errors(launcher.root, "remove old versions"):
        return collect(launcher.disk, launcher.root, read_state(launcher.root))


def _trust(launcher: Launcher, given: argparse.Namespace) -> int:
    print(f"this device trusts version {rotated(launcher, given.statement)} of the keys now")
    return 0


def rotated(launcher: Launcher, statement: Path) -> int:
    """Replace the trusted keys; returns their version. Raises InputError, FailedError."""
    with locked(launcher.root), disk_errors(launcher.root, "replace the trusted keys"):
        return rotate(launcher.disk, launcher.root, read_state(launcher.root), statement).version

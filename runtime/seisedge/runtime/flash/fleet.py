"""A fleet: the devices of a file, and a bundle that goes to them in waves."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import msgspec

from seisedge.runtime.bundle.container import Bundle, open_bundle
from seisedge.runtime.errors import InputError, SeisedgeError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.flash.push import Outcome, push, status_of
from seisedge.runtime.flash.remote import TARGET, Device, LostError
from seisedge.runtime.text import quoted, reason_of
from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml

PARALLEL = 8  # devices at a time
SHARE = re.compile(r"([0-9]{1,3})%")
STATION = r"^[A-Z0-9]{1,8}\.[A-Z0-9-]{1,8}$"

Text = Annotated[str, msgspec.Meta(max_length=500)]


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device. host: of ssh, as user@host. stations: NET.STA. Other values: those of the fleet."""

    host: Annotated[str, msgspec.Meta(pattern=f"^{TARGET.pattern}$", max_length=300)]
    stations: Annotated[list[Annotated[str, msgspec.Meta(pattern=STATION)]], msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    root: Text | None = None
    options: list[Text] = []


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fleet file. hardware: name of the profile of all devices. root: folder of the installation on a device.

    launcher: its command, such as `sudo -n python3 /opt/seisedge/flash.pyz`; '': python3 ROOT/flash.pyz.
    options: of every command of the launcher. ssh: options of ssh.
    """

    hardware: Text
    hosts: Annotated[list[Host], msgspec.Meta(min_length=1, max_length=10_000)]
    root: Text = "/opt/seisedge"
    launcher: Text = ""
    options: list[Text] = []
    ssh: list[Text] = []

    def devices(self) -> list[Device]:
        """The devices in the order of the file."""
        return [
            Device(
                host.host, host.port, tuple(host.stations), Path(host.root or self.root), self.launcher,
                (*self.options, *host.options), tuple(self.ssh),
            )
            for host in self.hosts
        ]  # fmt: skip


def load_fleet(path: Path) -> Fleet:
    """Read a fleet file. Raises InputError."""
    try:
        fleet = msgspec.convert(tables_from_toml(read_up_to(path, MAX_BYTES)), Fleet)
    except OSError as error:
        raise InputError(f"{path}: cannot read the fleet file: {error.strerror}") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"{path}: no valid fleet file: {reason_of(error)}") from error
    stations = [station for host in fleet.hosts for station in host.stations]
    twice = sorted({station for station in stations if stations.count(station) > 1})
    if twice:
        raise InputError(f"{path}: {', '.join(twice)}: a station runs on one device only; remove the others")
    return fleet


def waves_from(text: str, count: int) -> list[int]:
    """The cumulative number of devices after each wave of `1,10,rest`, or `5%,50%,rest`, of `count` devices.

    A number is that of devices of the wave, a share is that of all devices, at least one. Raises InputError.
    """
    ends: list[int] = []
    done = 0
    for part in text.split(","):
        share = SHARE.fullmatch(part)
        if part == "rest":
            done = count
        elif share is not None and 0 < int(share[1]) <= 100:
            done += max(count * int(share[1]) // 100, 1)
        elif part.isascii() and part.isdigit() and int(part):
            done += int(part)
        else:
            raise InputError(
                f"--wave {quoted(text)}: expected numbers, shares or 'rest', such as 1,10,rest or 5%,50%,rest"
            )
        done = min(done, count)
        ends.append(done)
    return ends


def push_in_waves(
    devices: Sequence[Device],
    bundle: Path,
    waves: Sequence[int],
    say: Callable[[str], object],
    *,
    max_unreachable: int | None = None,
    again: bool = False,
    options: tuple[str, ...] = (),
) -> tuple[list[Outcome], str]:
    """Push to the devices of each wave at the same time; returns the outcomes, and why it stopped early ('' if not).

    A wave that leaves a failed device, more than `max_unreachable` unreachable ones in all, or no device that has the
    bundle is the last. The file is opened once for each device: it must not change meanwhile.
    """
    outcomes: list[Outcome] = []
    begin = 0
    for number, end in enumerate(waves, 1):
        wave = devices[begin:end]
        begin = end
        if not wave:
            continue
        say(f"wave {number}: {len(wave)} of {len(devices)} devices")

        def one(device: Device) -> Outcome:
            opened = open_bundle(bundle)
            with opened.file:
                return push(device, opened, lambda line: say(f"{device.name}: {line}"), again=again, options=options)

        with ThreadPoolExecutor(min(PARALLEL, len(wave))) as pool:
            try:
                found = list(pool.map(one, wave))
            except BaseException:  # Ctrl-C, SIGTERM
                for device in wave:
                    device.connections.end()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        outcomes += found
        failed = [outcome for outcome in found if outcome.word == "failed"]
        unreachable = sum(outcome.word == "unreachable" for outcome in outcomes)
        if failed:
            return outcomes, f"{len(failed)} of {len(wave)} devices of wave {number} failed"
        if max_unreachable is not None and unreachable > max_unreachable:
            return outcomes, f"{unreachable} devices are unreachable, {max_unreachable} are allowed"
        if all(outcome.word == "unreachable" for outcome in found):
            return outcomes, f"no device of wave {number} is reachable"
    return outcomes, ""


def statuses(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """For each device its status, or {'error': text, 'reachable': bool}."""

    def one(device: Device) -> dict[str, Any]:
        try:
            return status_of(device)
        except SeisedgeError as error:
            text = str(error).removeprefix(f"{device.target}: ")
            return {"error": text, "reachable": not isinstance(error, LostError)}

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(one, devices))


COLUMNS = ("host", "station", "version", "state", "since", "health", "data age", "last event")


def status_rows(devices: Sequence[Device], found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table of `flash status --fleet`, without its head: one row for each station of each device."""
    rows: list[tuple[str, ...]] = []
    for device, status in zip(devices, found, strict=True):
        if "error" in status:
            word = "failed" if status["reachable"] else "unreachable"
            rows.append((device.target, ",".join(device.stations), "–", word, "–", status["error"], "–", "–"))
            continue
        common = (str(status.get("version") or "–"), str(status.get("state", "–")), str(status.get("since") or "–"))
        for station in status.get("stations") or [{"id": ",".join(device.stations)}]:
            age = station.get("data_age_s")
            rows.append((
                device.target, str(station["id"]), *common, str(station.get("health") or "–"),
                "–" if age is None else f"{age:.0f} s", str(station.get("last_event") or "–"),
            ))  # fmt: skip
    return rows


def check_bundle(fleet: Fleet, bundle: Bundle, path: Path) -> None:
    """Raises InputError where the bundle is for other hardware, or lacks the station file of a device."""
    hardware = bundle.manifest.hardware.profile
    if hardware != fleet.hardware:
        raise InputError(f"{path}: the devices are {fleet.hardware}, {bundle.name} is for {hardware}")
    missing = [s for host in fleet.hosts for s in host.stations if s not in bundle.manifest.stations]
    if missing:
        raise InputError(f"{bundle.name}: it has no station file for {', '.join(missing[:10])}; build it with them")

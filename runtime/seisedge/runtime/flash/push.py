"""Pushing a bundle to one device: send the files that it lacks, and follow the installation that runs apart.

A connection that breaks at any place changes nothing but the time: the next one sends what is still missing, and
attaches to the installation that was started.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from seisedge.runtime.bundle.container import CHUNK, Bundle
from seisedge.runtime.bundle.manifest import File
from seisedge.runtime.errors import FailedError, SeisedgeError
from seisedge.runtime.files import MIB
from seisedge.runtime.flash.remote import Device, LostError, call, follow
from seisedge.runtime.launcher.slots import slot_name

PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # before the next connection, where one broke
ROUNDS = 3  # of sending, where the device finds a file damaged

Word = Literal["installed", "unchanged", "failed", "unreachable"]
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a push did at one device. sent: bytes of files. text: the reason, or the last line of the installation."""

    device: Device
    word: Word
    text: str = ""
    sent: int = 0


def push(
    device: Device,
    bundle: Bundle,
    say: Say,
    *,
    again: bool = False,
    options: tuple[str, ...] = (),
    pause: Callable[[float], object] = time.sleep,
) -> Outcome:
    """Bring a verified bundle to a device and follow its installation to the verdict.

    again: also where it failed before. options: of `install` on the device. Raises nothing that one device causes.
    """
    push_id = secrets.token_hex(8)
    sent, reached = 0, False
    for wait_s in (*PAUSES_S, None):
        try:
            before = _status(device, bundle)
            if not reached and (outcome := _without_sending(device, bundle, before, again=again)):
                return outcome
            reached = True
            sent += _send_missing(device, bundle, say)
            extra = ("--again", *options) if again else options
            name = slot_name(bundle.envelope, bundle.manifest)
            status, text = follow(device, ["job", name, "--push", push_id, *extra], say)
            return Outcome(device, "failed" if status else "installed", text.removeprefix("Error: "), sent)
        except LostError as error:
            if not reached or wait_s is None or device.connections.ended:
                more = "; what was started there goes on: push again to see the result" if reached else ""
                return Outcome(device, "unreachable", f"{error}{more}", sent)
            say(f"{error}; trying again in {wait_s:g} s")
            pause(wait_s)
        except SeisedgeError as error:
            return Outcome(device, "failed", str(error), sent)
    raise AssertionError


def status_of(device: Device) -> dict[str, Any]:
    """The document of `status --json` of a device. Raises LostError, FailedError, InputError."""
    text = call(device, ["status", "--json"])
    try:
        found = json.loads(text)
    except ValueError:
        raise FailedError(f"{device.target}: its launcher printed no status; replace it with 'bootstrap'") from None
    if not isinstance(found, dict):
        raise FailedError(f"{device.target}: its launcher printed no status; replace it with 'bootstrap'")
    return found


def _status(device: Device, bundle: Bundle) -> dict[str, Any]:
    """The status of a device that is the station which the fleet file says, and that the bundle is for."""
    found = status_of(device)
    stations = [str(station.get("id")) for station in found.get("stations", [])]
    if device.stations and stations and set(stations) != set(device.stations):
        raise FailedError(
            f"{device.target}: this device is {', '.join(stations)}, expected {', '.join(device.stations)}; correct "
            "the fleet file, or the identity of the device"
        )
    for station in (*device.stations, *stations):
        if station not in bundle.manifest.stations:
            raise FailedError(f"{device.target}: {bundle.name} has no station file for {station}")
    return found


def _without_sending(device: Device, bundle: Bundle, status: dict[str, Any], *, again: bool) -> Outcome | None:
    """The outcome where nothing is to be installed."""
    name = slot_name(bundle.envelope, bundle.manifest)
    if status.get("slot") == name and status.get("state") == "committed":
        return Outcome(device, "unchanged", "this bundle is installed and confirmed")
    failed = status.get("failed", {}).get(name)
    if failed is not None and not again:
        return Outcome(device, "failed", f"it failed here before ({failed}); --again tries it once more")
    return None


def _send_missing(device: Device, bundle: Bundle, say: Say) -> int:
    """Send what the device lacks and let it rebuild the bundle; returns the bytes of files that were sent."""
    entries = {entry.sha256: entry for entry in bundle.manifest.files}
    sent = 0
    for left in reversed(range(ROUNDS)):
        lines = call(device, ["have"], [f"{digest}\n".encode() for digest in entries]).split("\n")
        present = dict(line.partition(" ")[::2] for line in lines if line)
        missing: list[tuple[File, int]] = []
        for digest, entry in entries.items():
            known = present.get(digest, "0")
            if known != "complete":
                missing.append((entry, min(int(known), entry.size)))
        size = sum(entry.size - offset for entry, offset in missing)
        if missing:
            say(f"sending {len(missing)} of {len(entries)} files, {size / MIB:.1f} MiB")
            call(device, ["receive"], _frames(bundle, missing))
            sent += size
        try:
            call(device, ["assemble"], [bundle.envelope.to_bytes()])
            return sent
        except LostError:
            raise
        except FailedError:
            if not left:
                raise
    return sent


def _frames(bundle: Bundle, missing: list[tuple[File, int]]) -> Iterator[bytes]:
    """What `receive` reads: for each file a header and the bytes from the offset."""
    for entry, offset in missing:
        yield f"{entry.sha256} {entry.size} {offset}\n".encode()
        bundle.file.seek(bundle.offsets[entry.path] + offset)
        left = entry.size - offset
        while left:
            piece = bundle.file.read(min(CHUNK, left))
            left -= len(piece)
            yield piece

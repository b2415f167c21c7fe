"""Making a bundle from a hardware profile, station files, models and wheels."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files as resource_files
from pathlib import Path

from seisedge.runtime.bundle.container import CHUNK, write_bundle
from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.bundle.manifest import PAYLOAD_TYPE, File, Hardware, Manifest
from seisedge.runtime.config import load_config
from seisedge.runtime.engines import open_engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB, file_written_whole
from seisedge.runtime.flash.golden import golden_path, read_golden
from seisedge.runtime.flash.launcher_file import launcher_bytes
from seisedge.runtime.flash.profile import load_profile
from seisedge.runtime.flash.secrets import secrets_in
from seisedge.runtime.launcher.slots import LAUNCHER
from seisedge.runtime.launcher.wheel_names import WHEEL, is_for_machine, project_of, rank, wheels_for

MAX_RATIO = 200  # of the unpacked to the packed size of a wheel
STATION_MIB = 64 * MIB  # of installed files beside the wheels' content: byte code, hashes, an engine of a small model
NEEDED = ("seisedge", "numpy", "msgspec", "click", "onnxruntime", "pymseed")


@dataclass(frozen=True, slots=True)
class Inputs:
    """hardware: a profile's name or file. built: ISO 8601 UTC; '': SOURCE_DATE_EPOCH, else the newest card's date.

    launcher: a file of `seisedge flash launcher`; None: the launcher of this installation.
    """

    hardware: str
    stations: Path
    models: Path
    wheels: Path
    serial: int
    version: str
    not_after: str = ""
    built: str = ""
    launcher: Path | None = None


def build(inputs: Inputs, out: Path) -> Manifest:
    """Write an unsigned bundle; the same inputs give the same bytes.

    Raises InputError for an input that a station could not use, OSError if the bundle cannot be written; then `out` is
    as it was.
    """
    name, profile = load_profile(inputs.hardware)
    hardware = profile.hardware(name)
    sources: dict[str, Path | bytes] = {}
    stations = _stations(inputs.stations, sources)
    newest = _models(inputs.models, sources)
    unpacked, release, pythons = _wheels(inputs.wheels, hardware, sources)
    hardware = replace(hardware, python=pythons)
    _units(sources)
    sources[LAUNCHER] = launcher_bytes() if inputs.launcher is None else _launcher(inputs.launcher)
    entries = tuple(_entry(path, sources[path]) for path in sorted(sources))
    try:
        manifest = Manifest(
            serial=inputs.serial,
            version=inputs.version,
            built=inputs.built or _source_date() or newest,
            not_after=inputs.not_after,
            seisedge=release,
            hardware=hardware,
            stations=stations,
            installed_bytes=unpacked + STATION_MIB + sum(e.size for e in entries if not e.path.startswith("wheels/")),
            files=entries,
        )
    except ValueError as error:
        raise InputError(f"no bundle can be made of these inputs: {error}") from error
    envelope = Envelope(PAYLOAD_TYPE, manifest.to_bytes())
    with file_written_whole(out) as file:
        write_bundle(file, envelope, ((entry, _pieces(sources[entry.path])) for entry in entries))
    return manifest


def _stations(folder: Path, sources: dict[str, Path | bytes]) -> dict[str, str]:
    """Station id → path in the bundle. Every file is checked as a whole, and searched for secrets."""
    found: dict[str, str] = {}
    for path in _files(folder, "*.toml", "station files"):
        config = load_config(path, check_page=True)
        station = str(config.station_id)
        if config.source is None:
            raise InputError(
                f"{path}: the key source is missing, without which the station has no data; add it at the top, for "
                'example source = "seedlink://192.168.1.50/XX_STA"'
            )
        if station in found:
            raise InputError(f"{path}: {station} has a second station file in {folder}; keep one of them")
        _refuse_secrets(path)
        found[station] = f"stations/{station}.toml"
        sources[found[station]] = path
        if config.station is not None and config.station.stationxml is not None:
            xml = Path(config.station.stationxml)
            if xml.parent != path.parent:
                raise InputError(f"{path}: station.stationxml must lie beside the station file; got {xml}")
            _refuse_secrets(xml)
            sources[f"stations/{xml.name}"] = xml
    return found


def _refuse_secrets(path: Path) -> None:
    found = list(secrets_in(path.read_text(encoding="utf-8", errors="replace")))
    if found:
        raise InputError(
            f"{path}: it contains what looks like a secret ({'; '.join(found[:5])}); keep secrets at the station, in a "
            "file that the settings name, such as sinks.webhook.token_file"
        )


def _models(folder: Path, sources: dict[str, Path | bytes]) -> str:
    """Add the models with their golden windows; returns the newest date of a card, ISO 8601 UTC."""
    tasks: dict[str, Path] = {}
    dates: list[str] = []
    for path in _files(folder, "*.onnx", "model files"):
        engine = open_engine(path)
        if engine.card.task in tasks:
            raise InputError(f"{path}: {tasks[engine.card.task].name} is a model for {engine.card.task} too; keep one")
        tasks[engine.card.task] = path
        golden = golden_path(path)
        read_golden(golden, engine.sha256)
        sources[f"models/{path.name}"], sources[f"models/{golden.name}"] = path, golden
        dates.append(_utc(engine.card.date, path))
    return max(dates)


def _wheels(folder: Path, hardware: Hardware, sources: dict[str, Path | bytes]) -> tuple[int, str, tuple[str, ...]]:
    """Add the wheels; returns their unpacked size, the version of seisedge and the versions of Python they are for.

    The size is that of the wheels for one version of Python, the largest: a station unpacks no others.
    """
    unpacked: dict[str, int] = {}  # name of the wheel → bytes
    versions: dict[str, set[str]] = {}
    pythons: dict[str, set[str]] = {}  # project → versions of Python that have a wheel of it
    for path in _files(folder, "*.whl", "wheels"):
        match = WHEEL.fullmatch(path.name)
        if match is None:
            raise InputError(f"{path}: this is no name of a wheel; expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
        if not is_for_machine(match, hardware.machine):
            raise InputError(f"{path}: the wheel is for {match['platform']}, the hardware is {hardware.machine}")
        project = project_of(match)
        versions.setdefault(project, set()).add(match["version"])
        pythons.setdefault(project, set()).update(v for v in hardware.python if rank(match, v) > (0, 0))
        unpacked[path.name] = _unpacked_bytes(path)
        sources[f"wheels/{path.name}"] = path
    twice = [project for project, found in versions.items() if len(found) > 1]
    if twice:
        raise InputError(f"{folder}: there are several versions of {twice[0]}; keep one of them")
    missing = [name for name in NEEDED if name not in versions]
    if missing:
        raise InputError(f"{folder}: no wheel of {', '.join(missing)}; make the folder with 'seisedge flash wheels'")
    common = tuple(v for v in hardware.python if all(v in found for found in pythons.values()))
    if not common:
        raise InputError(
            f"{folder}: for none of Python {', '.join(hardware.python)}, which the hardware profile names, has every "
            "package a wheel; make the folder with 'seisedge flash wheels'"
        )
    most = max(sum(unpacked[name] for name in wheels_for(unpacked, v, hardware.machine)) for v in common)
    return most, next(iter(versions["seisedge"])), common


def _unpacked_bytes(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as wheel:
            size = sum(info.file_size for info in wheel.infolist())
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: the wheel is damaged: {error}") from error
    if size > MAX_RATIO * path.stat().st_size:
        raise InputError(f"{path}: the wheel unpacks to {size} bytes, more than {MAX_RATIO} times its size")
    return size


def _units(sources: dict[str, Path | bytes]) -> None:
    """Add the unit files that seisedge comes with."""
    folder = Path(str(resource_files("seisedge.runtime.flash"))) / "systemd"
    if not folder.is_dir():
        folder = Path(__file__).parents[4] / "firmware_configs" / "systemd"
    for path in sorted(folder.glob("*.service")):
        sources[f"units/{path.name}"] = path


def _files(folder: Path, pattern: str, what: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of {what}")
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder}: it contains no {what} ({pattern})")
    return found


def _launcher(path: Path) -> Path:
    """Raises InputError for a file that is no launcher."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("seisedge/runtime/launcher/command.py")
    except (OSError, zipfile.BadZipFile, KeyError):
        raise InputError(f"{path}: no launcher; make one with 'seisedge flash launcher'") from None
    return path


def _entry(path: str, source: Path | bytes) -> File:
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(source):
        digest.update(piece)
        size += len(piece)
    return File(path, size, digest.hexdigest())


def _pieces(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def _source_date() -> str:
    """SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch) as ISO 8601 UTC, or ''."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    if not text.isdecimal():
        raise InputError(f"SOURCE_DATE_EPOCH must be whole seconds since 1970; got {text!r}")
    return _iso(datetime.fromtimestamp(int(text), UTC))


def _utc(date: str, path: Path) -> str:
    try:
        parsed = datetime.fromisoformat(date)
    except ValueError:
        raise InputError(f"{path}: the date of its card is no ISO 8601 date: {date!r}") from None
    return _iso(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What a bundle would change at a station that has another one."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from seisedge.runtime.bundle.container import Bundle
from seisedge.runtime.bundle.manifest import Manifest
from seisedge.runtime.launcher.wheel_names import WHEEL, project_of
from seisedge.runtime.text import shortened

MISSING = "–"


def differences(old: Bundle, new: Bundle) -> list[tuple[str, str, str, str]]:
    """Rows of kind, name, old and new value, of all that differs; for stations the single settings."""
    rows = [("bundle", *row) for row in _rows(_head(old.manifest), _head(new.manifest))]
    rows += [("package", *row) for row in _rows(_packages(old.manifest), _packages(new.manifest))]
    rows += [("model", *row) for row in _rows(_hashes(old.manifest, "models/"), _hashes(new.manifest, "models/"))]
    for station in sorted({*old.manifest.stations, *new.manifest.stations}):
        settings = [_settings(bundle, station) for bundle in (old, new)]
        before, after = settings
        if before is None or after is None:
            rows.append(("station", station, _presence(before), _presence(after)))
        else:
            rows += [(station, *row) for row in _rows(before, after)]
    rows += [("unit", *row) for row in _rows(_hashes(old.manifest, "units/"), _hashes(new.manifest, "units/"))]
    return rows


def _rows(old: dict[str, str], new: dict[str, str]) -> list[tuple[str, str, str]]:
    names = sorted({*old, *new})
    return [(name, old.get(name, MISSING), new.get(name, MISSING)) for name in names if old.get(name) != new.get(name)]


def _presence(settings: dict[str, str] | None) -> str:
    return MISSING if settings is None else "present"


def _head(manifest: Manifest) -> dict[str, str]:
    head = {"serial": str(manifest.serial), "version": manifest.version, "not after": manifest.not_after or MISSING}
    return head | {f"hardware {name}": str(getattr(manifest.hardware, name)) for name in manifest.hardware.__slots__}


def _packages(manifest: Manifest) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in manifest.files:
        match = WHEEL.fullmatch(file.path.removeprefix("wheels/")) if file.path.startswith("wheels/") else None
        if match is not None:
            found[project_of(match)] = match["version"]
    return found


def _hashes(manifest: Manifest, folder: str) -> dict[str, str]:
    return {f.path.removeprefix(folder): f.sha256[:12] for f in manifest.files if f.path.startswith(folder)}


def _settings(bundle: Bundle, station: str) -> dict[str, str] | None:
    """The settings of a station as `table.key` → value; None where the bundle has no file for it."""
    path = bundle.manifest.stations.get(station)
    if path is None:
        return None
    text = bundle.content(path).decode("utf-8", "replace")
    try:
        return dict(_flat(tomllib.loads(text), ""))
    except tomllib.TOMLDecodeError:
        return {"content": shortened(re.sub(r"\s+", " ", text))}


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, shortened(str(value))))
    return rows

"""Hardware profiles: what a kind of station hardware is, and what a station may take of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from seisedge.runtime.bundle.manifest import Hardware
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import reason_of
from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml

FOLDER = Path(__file__).parent / "hardware"  # in an installed package
IN_CLONE = Path(__file__).parents[4] / "firmware_configs" / "hardware"

Mib = Annotated[int, msgspec.Meta(ge=1, le=2**20)]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A hardware profile. Versions of Jetson Linux (L4T) and TensorRT are inclusive: '36.4' covers 36.4.x."""

    about: str
    machine: Literal["aarch64", "x86_64"]
    python: Annotated[list[Annotated[str, msgspec.Meta(pattern=r"^3\.[0-9]{1,2}$")]], msgspec.Meta(min_length=1)]
    boards: list[str] = []  # texts of which one must occur in /proc/device-tree/model; empty: any board
    l4t: Annotated[list[Annotated[str, msgspec.Meta(pattern=r"^[0-9.]+$")]], msgspec.Meta(max_length=2)] = []
    tensorrt: Annotated[list[Annotated[str, msgspec.Meta(pattern=r"^[0-9.]+$")]], msgspec.Meta(max_length=2)] = []
    engine: Literal["onnxruntime", "tensorrt"]
    precision: Literal["fp32", "fp16", "int8"]
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    power_mode: str = ""  # as nvpmodel names it; '': not set
    memory_mib: Mib
    disk_mib: Mib
    latency_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)]  # of one inference in the self-test, at most

    def __post_init__(self) -> None:
        for name, versions in (("l4t", self.l4t), ("tensorrt", self.tensorrt)):
            if versions and (len(versions) != 2 or version_key(versions[0]) > version_key(versions[1])):
                raise ValueError(f"{name} must have a lowest and a highest version, or be left out")

    def hardware(self, name: str) -> Hardware:
        """The part of the profile that a device checks."""
        return Hardware(
            profile=name,
            machine=self.machine,
            python=tuple(self.python),
            boards=tuple(self.boards),
            l4t=(self.l4t[0], self.l4t[1]) if self.l4t else ("", ""),
            tensorrt=(self.tensorrt[0], self.tensorrt[1]) if self.tensorrt else ("", ""),
            engine=self.engine,
            precision=self.precision,
            threads=self.threads,
            power_mode=self.power_mode,
            disk_mib=self.disk_mib,
            memory_mib=self.memory_mib,
            latency_ms=float(self.latency_ms),
        )


def version_key(text: str) -> tuple[int, ...]:
    """A version of digits and dots, for comparison.

    >>> version_key("36.4.1") > version_key("36.4")
    True
    """
    return tuple(int(part) for part in text.split(".") if part)


def profile_names() -> list[str]:
    """Names of the profiles that come with seisedge."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_profile(name_or_path: str) -> tuple[str, Profile]:
    """A profile that comes with seisedge, by its name, or a TOML file: its name and content. Raises InputError."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if name_or_path not in profile_names():
            raise InputError(f"{name_or_path}: no such hardware profile; {suggestion(name_or_path, profile_names())}")
        path = _folder() / f"{name_or_path}.toml"
    try:
        return path.stem, msgspec.convert(tables_from_toml(read_up_to(path, MAX_BYTES)), Profile)
    except OSError as error:
        raise InputError(f"{path}: cannot read the hardware profile: {error.strerror}") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"{path}: no valid hardware profile: {reason_of(error)}") from error


def _folder() -> Path:
    return FOLDER if FOLDER.is_dir() else IN_CLONE

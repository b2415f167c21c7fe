"""Which wheels of a bundle a version of Python can use, by the tags in their names (PEP 425, PEP 427)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from seisedge.runtime.errors import InputError

WHEEL = re.compile(
    r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.+!]+)(-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)


def project_of(wheel: re.Match[str]) -> str:
    """Name of the package of a wheel, as package indexes write it."""
    return re.sub(r"[-_.]+", "-", wheel["name"]).lower()


def is_for_machine(wheel: re.Match[str], machine: str) -> bool:
    """Can a machine with glibc, such as 'x86_64', use a wheel by its tags?"""
    tags = wheel["platform"].split(".")
    return any(
        tag == "any" or (tag.startswith(("manylinux", "linux_")) and tag.endswith(f"_{machine}")) for tag in tags
    )


def rank(wheel: re.Match[str], python: str) -> tuple[int, int]:
    """How specific a wheel is for a version of Python, such as '3.12'; (0, 0): this version cannot use it."""
    minor = int(python.partition(".")[2])
    abis = wheel["abi"].split(".")
    best = (0, 0)
    for tag in wheel["python"].split("."):
        built_for = int(tag[3:]) if re.fullmatch(r"(cp|py)3[0-9]+", tag) else -1
        if tag == f"cp3{minor}" and f"cp3{minor}" in abis:
            best = max(best, (3, minor))
        elif tag.startswith("cp") and "abi3" in abis and 0 <= built_for <= minor:
            best = max(best, (2, built_for))
        elif "none" in abis and (tag == "py3" or (0 <= built_for <= minor and (tag[:2] == "py" or built_for == minor))):
            best = max(best, (1, max(built_for, 0)))
    return best


def wheels_for(names: Iterable[str], python: str, machine: str) -> list[str]:
    """The names of the wheels to install, in their order: the most specific one of each package.

    python: a version, such as '3.12'. machine: as of `platform.machine()`. Raises InputError for a package without a
    wheel for them, and for a name that is not the name of a wheel.
    """
    found: dict[str, tuple[tuple[int, int], str]] = {}
    for name in names:
        wheel = WHEEL.fullmatch(name)
        if wheel is None:
            raise InputError(f"{name}: this is no name of a wheel; expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
        fits = rank(wheel, python) if is_for_machine(wheel, machine) else (0, 0)
        found[project_of(wheel)] = max(found.get(project_of(wheel), ((0, 0), "")), (fits, name))
    missing = [project for project, (fits, _) in found.items() if fits == (0, 0)]
    if missing:
        raise InputError(
            f"the bundle has no wheel of {missing[0]} for Python {python} on {machine}; build a bundle with "
            "the wheels of 'seisedge flash wheels'"
        )
    return [name for _, name in found.values()]

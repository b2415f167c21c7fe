"""Units of ground motion, as StationXML and SEED write them.

The spelling of a velocity: metre per second with any SI prefix, as `nm/s`, `NM/S`, `m*s**-1`, `m s^-1` or `M/SEC`.
The case of the letters decides what a prefix means:

- All capitals is SEED's spelling, in which M is milli: `MM/S` is millimetre per second, `UM/S` micrometre per second.
- All else is read as SI writes it: `mm/s` is millimetre per second, `Mm/s` megametre per second, and `Nm/s` is no
  velocity.

Without a prefix nothing is ambiguous: `M/S`, `m/s` and `M/s` are the same.

An acceleration is metre per second squared with any SI prefix, as `M/S**2`, `cm/s^2` or `nm/s/s`, a gal (0.01 m/s**2)
as `GAL` or `mGal`, or standard gravity (9.80665 m/s**2) as `g` or `mg`; `kg` is a mass. The rules for the case are the
same.
"""

from __future__ import annotations

import re
from typing import Literal

Quantity = Literal["velocity", "acceleration"]

# Counts per m/s: 1 is a stream that is in m/s already; 1e15 is six orders above the most sensitive seismometer. Beyond
# them the amplitudes of a window would overflow or vanish in float32, and a magnitude would be nan.
MIN_GAIN, MAX_GAIN = 1.0, 1e15
MIN_ACCELERATION_GAIN = 0.1  # counts per m/s**2: that of a stream in g
STANDARD_GRAVITY_M_S2, GAL_M_S2 = 9.80665, 0.01
UNIT_OF: dict[Quantity, str] = {"velocity": "m/s", "acceleration": "m/s**2"}

SEED_PREFIXES = {"P": 1e-12, "N": 1e-9, "U": 1e-6, "M": 1e-3, "C": 1e-2, "D": 1e-1, "K": 1e3}
SI_PREFIXES = {
    "y": 1e-24, "z": 1e-21, "a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3,
    "c": 1e-2, "d": 1e-1, "da": 1e1, "h": 1e2, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
}  # fmt: skip

_METRE = r"(?P<prefix>[A-Za-zµ]{0,2})(?P<metre>[Mm])"
_SECOND = r"(?P<second>s|S|sec|SEC|Sec)"
_VELOCITY = re.compile(rf"{_METRE}(?:/{_SECOND}|[ *.·]{_SECOND.replace('second', 'inverse')}-1)")
_PER_S2 = r"(?:/(?:s|sec)2|/(?:s|sec)/(?:s|sec)|[ *.·](?:s|sec)-2|/(?:S|SEC)2|/(?:S|SEC)/(?:S|SEC)|[ *.·](?:S|SEC)-2)"
_METRE_PER_S2 = re.compile(rf"(?P<prefix>[A-Za-zµ]{{0,2}})(?P<unit>[Mm]){_PER_S2}")
_GAL_OR_G = re.compile(r"(?P<prefix>[A-Za-zµ]{0,2}?)(?P<unit>gals?|Gals?|GALS?|g|G)")
_ACCELERATION = re.compile(r"[a-zµ]{0,2}m(?:/s(?:ec)?2|/s(?:ec)?/s(?:ec)?|[ *.·]s(?:ec)?-2)|gal?", re.IGNORECASE)
_DISPLACEMENT = re.compile(r"[a-zµ]{0,2}m", re.IGNORECASE)
_PRESSURE = re.compile(r"[a-zµ]{0,2}pa|m?bar", re.IGNORECASE)


def metres_per_s(units: str) -> float | None:
    """One of these units in metres per second: 1e-9 of `nm/s`; None where it is no unit of velocity."""
    match = _VELOCITY.fullmatch(_plain(units))
    if match is None:
        return None
    prefix, metre, second = match["prefix"], match["metre"], match["second"] or match["inverse"]
    if not prefix:
        return 1.0
    if (prefix + metre + second).isupper():
        return SEED_PREFIXES.get(prefix)
    if metre == "m" and second.islower():
        return SI_PREFIXES.get(prefix)
    return None


def metres_per_s2(units: str) -> float | None:
    """One of these units in m/s**2: 0.01 of `gal`; None where it is no unit of acceleration."""
    plain = _plain(units)
    match = _METRE_PER_S2.fullmatch(plain) or _GAL_OR_G.fullmatch(plain)
    if match is None:
        return None
    prefix, name = match["prefix"], match["unit"].lower().removesuffix("s")
    one = {"m": 1.0, "gal": GAL_M_S2, "g": STANDARD_GRAVITY_M_S2}[name]
    if not prefix:
        return one
    if name == "g" and prefix in ("k", "K"):
        return None
    if plain.isupper():
        factor = SEED_PREFIXES.get(prefix)
    else:
        factor = None if match["unit"] in ("M", "G") else SI_PREFIXES.get(prefix)
    return None if factor is None else factor * one


def ground_motion_of(units: str) -> tuple[Quantity, float] | None:
    """Quantity of units of velocity or acceleration, and one of them in m/s or m/s**2; None for all others."""
    if (velocity := metres_per_s(units)) is not None:
        return "velocity", velocity
    if (acceleration := metres_per_s2(units)) is not None:
        return "acceleration", acceleration
    return None


def quantity_of(units: str) -> str | None:
    """'velocity', 'acceleration', 'displacement' or 'pressure'; None where the units are of none of them."""
    motion = ground_motion_of(units)
    if motion is not None:
        return motion[0]
    plain = _plain(units)
    for name, pattern in (
        ("acceleration", _ACCELERATION),
        ("displacement", _DISPLACEMENT),
        ("pressure", _PRESSURE),
    ):
        if pattern.fullmatch(plain):
            return name
    return None


def _plain(units: str) -> str:
    """Without a description (`M/S - Velocity in metres per second`), brackets and signs of a power."""
    name = units.partition(" - ")[0].strip().replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}")
    name = re.sub(r"\*\*|\^|[()]", "", name.replace("\N{SUPERSCRIPT TWO}", "2"))
    return re.sub(r"\s*([/*])\s*", r"\1", name)

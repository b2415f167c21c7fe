"""Units of velocity and of acceleration in the spellings of StationXML and SEED."""

from __future__ import annotations

import pytest

from seisedge.runtime.records.units import ground_motion_of, metres_per_s, metres_per_s2, quantity_of


@pytest.mark.parametrize(
    ("units", "value"),
    [
        ("M/S", 1.0), ("m/s", 1.0), ("M/s", 1.0), ("m*s**-1", 1.0), ("M*S**-1", 1.0), ("m s-1", 1.0), ("m s^-1", 1.0),
        ("m.s-1", 1.0), ("m·s^(-1)", 1.0), ("m / s", 1.0), ("M/SEC", 1.0), (" m/sec ", 1.0),
        ("M/S - Velocity in Meters per Second", 1.0),
        # capitals: SEED, M is milli
        ("MM/S", 1e-3), ("UM/S", 1e-6), ("NM/S", 1e-9), ("PM/S", 1e-12), ("CM/S", 1e-2), ("CM/SEC", 1e-2),
        ("KM/S", 1e3), ("NM*S**-1", 1e-9),
        # else: SI
        ("mm/s", 1e-3), ("Mm/s", 1e6), ("um/s", 1e-6), ("\u00b5m/s", 1e-6), ("\u03bcm/s", 1e-6), ("nm/s", 1e-9),
        ("pm/s", 1e-12), ("cm/s", 1e-2), ("dm/s", 1e-1), ("dam/s", 1e1), ("hm/s", 1e2), ("km/s", 1e3),
        ("nm s**-1", 1e-9),
    ],
)  # fmt: skip
def test_a_velocity_in_metres_per_second(units: str, value: float) -> None:
    assert metres_per_s(units) == pytest.approx(value, rel=1e-12)
    assert quantity_of(units) == "velocity"


@pytest.mark.parametrize(
    ("units", "quantity"),
    [
        ("M/S**2", "acceleration"), ("m/s^2", "acceleration"), ("m/s\u00b2", "acceleration"), ("M/S/S", "acceleration"),
        ("m s-2", "acceleration"), ("CM/S**2", "acceleration"), ("nm/s**2", "acceleration"),
        ("M/(S**2)", "acceleration"), ("gal", "acceleration"), ("M", "displacement"), ("m", "displacement"),
        ("NM", "displacement"),
        ("PA", "pressure"), ("hPa", "pressure"), ("mbar", "pressure"),
        ("V", None), ("RAD/S", None), ("T", None), ("", None), ("COUNTS", None), ("m/m", None),
        ("Nm/s", None),  # newton metre per second: N is no prefix of SI
        ("Um/s", None), ("XM/S", None), ("m/s-1", None),
    ],
)  # fmt: skip
def test_all_else_is_no_velocity(units: str, quantity: str | None) -> None:
    assert metres_per_s(units) is None
    assert quantity_of(units) == quantity


@pytest.mark.parametrize(
    ("units", "value"),
    [
        ("M/S**2", 1.0), ("m/s^2", 1.0), ("m/s\u00b2", 1.0), ("M/S/S", 1.0), ("m s-2", 1.0), ("m*s**-2", 1.0),
        ("M/(S**2)", 1.0), ("M/SEC**2", 1.0), ("M/s**2", 1.0), ("M/S**2 - Acceleration", 1.0),
        ("CM/S**2", 1e-2), ("cm/s/s", 1e-2), ("MM/S**2", 1e-3), ("mm/s**2", 1e-3), ("Mm/s**2", 1e6), ("nm/s**2", 1e-9),
        ("\u03bcm/s^2", 1e-6), ("km/s**2", 1e3),
        ("gal", 1e-2), ("Gal", 1e-2), ("GAL", 1e-2), ("gals", 1e-2), ("mGal", 1e-5), ("MGAL", 1e-5),
        ("g", 9.80665), ("G", 9.80665), ("mg", 9.80665e-3), ("MG", 9.80665e-3), ("ug", 9.80665e-6),
    ],
)  # fmt: skip
def test_an_acceleration_in_metres_per_second_squared(units: str, value: float) -> None:
    assert metres_per_s2(units) == pytest.approx(value, rel=1e-12)
    assert ground_motion_of(units) == ("acceleration", metres_per_s2(units))
    assert quantity_of(units) == "acceleration" and metres_per_s(units) is None


@pytest.mark.parametrize("units", ["kg", "KG", "mM/s**2", "xm/s**2", "m/s**3", "m/S*s", "M", "Xg", "PA", "", "M/S"])
def test_all_else_is_no_acceleration(units: str) -> None:
    assert metres_per_s2(units) is None

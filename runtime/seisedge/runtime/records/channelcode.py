"""Channel code: band, instrument and orientation code, as defined by the FDSN source identifiers.

https://docs.fdsn.org/projects/source-identifiers/en/v1.0/channel-codes.html

Instrument (source) codes. The models were trained on ground velocity. Channels with one of the first three codes are
used as they are, those of an accelerometer are integrated to velocity, as is a gravimeter whose metadata state a unit
of acceleration; all others are refused:

    H  high gain seismometer      L  low gain seismometer      P  geophone      N  accelerometer

    A  tiltmeter                  G  gravimeter                Q  electric potential        W  wind
    B  creepmeter                 I  humidity                  R  rainfall                  X  derived or generated
    C  calibration input          J  rotational sensor         S  linear strain             Y  not specific
    D  pressure                   K  temperature               T  tide                      Z  synthesized beam
    E  electronic test point      M  mass position             U  bolometer
    F  magnetometer               O  water current             V  volumetric strain

Orientation (subsource) codes that are used. Each has a row among the three components. A row holds the samples as
recorded; they are rotated to Z, N and E when a window is read (`seisedge.runtime.records.orientation`):

    Z N E   geographic            Z 1 2   orthogonal; 1 and 2 are in the rows of N and E
    U V W   the three equal axes of a triaxial sensor, in the rows of Z, N and E
    1 2 3   orthogonal, of any orientation, such as a borehole sensor: in the rows of N, E and Z. A channel 3 is used
            only where StationXML states the azimuths and dips
"""

from __future__ import annotations

from seisedge.runtime.records.units import UNIT_OF, Quantity

SEISMOMETERS = {"H": "high gain seismometer", "L": "low gain seismometer", "P": "geophone"}
ACCELEROMETER, GRAVIMETER = "N", "G"

OTHER_INSTRUMENTS = {
    "A": "a tiltmeter",
    "B": "a creepmeter",
    "C": "a calibration input",
    "D": "pressure",
    "E": "an electronic test point",
    "F": "a magnetometer",
    "G": "a gravimeter",
    "I": "humidity",
    "J": "a rotational sensor",
    "K": "temperature",
    "M": "a mass position",
    "O": "water current",
    "Q": "an electric potential",
    "R": "rainfall",
    "S": "linear strain",
    "T": "tide",
    "U": "a bolometer",
    "V": "volumetric strain",
    "W": "wind",
    "X": "a derived channel",
    "Y": "an instrument that is not specified",
    "Z": "a synthesized beam",
}

# State of health of a digitizer, by instrument and orientation code; '?' is any. These are conventions of the makers.
STATE_OF_HEALTH = {
    "EP": "supply voltage",
    "EC": "supply current",
    "KI": "temperature",
    "CO": "clock oscillator control",
    "CQ": "clock quality",
    "CE": "clock phase error",
    "CL": "time since clock lock",
    "M?": "mass position",
}

BANDS = "FGDCESHBMLVUWRPTQAO"
COMPONENTS = "ZNE"  # in the order of an array's rows
SECOND = {"Z": "Z2", "N": "N2", "E": "E2"}  # the components of the accelerometer of a station
VERTICAL, TRIAXIAL = "Z", "UVW"
BOREHOLE = "312"  # in the order of the rows
HORIZONTALS = ("NE", "12")
# component in whose row a channel is stored, by its orientation code
COMPONENT_OF_ORIENTATION = {"Z": "Z", "N": "N", "E": "E", "1": "N", "2": "E", "3": "Z", "U": "Z", "V": "N", "W": "E"}


def instrument_of(code: str) -> str:
    """Instrument code of a channel code, written as `EHZ` or as `E_H_Z`; '' if it has none."""
    if "_" in code:
        return code.split("_")[1]
    return code[1] if len(code) == 3 else ""


def state_of_health_of(code: str) -> str | None:
    """What a state-of-health channel states, in words; None for any other channel."""
    if len(code) != 3:
        return None
    return STATE_OF_HEALTH.get(code[1:]) or STATE_OF_HEALTH.get(f"{code[1]}?")


def is_accelerometer(code: str) -> bool:
    """True if a channel code, with or without its orientation code, is that of an accelerometer: `HN`, `ENZ`."""
    return len(code) in (2, 3) and code[0] in BANDS and code[1] == ACCELEROMETER


def quantity_of_code(code: str) -> Quantity | None:
    """What the instrument of a channel measures by its code; None for an instrument that is refused."""
    instrument = instrument_of(code)
    if instrument in SEISMOMETERS:
        return "velocity"
    return "acceleration" if instrument in (ACCELEROMETER, GRAVIMETER) else None


def refusal_of(code: str) -> str | None:
    """The reason why a channel is refused, as a clause for a message; None for a seismometer or an accelerometer.

    A gravimeter is refused; where metadata state a unit of acceleration for it, it is used all the same.
    """
    instrument = instrument_of(code)
    if instrument in SEISMOMETERS or instrument == ACCELEROMETER:
        return None
    taken = "the models take ground velocity: H, L or P, or N, whose acceleration is integrated"
    if not instrument:
        return f"it has no instrument code, and {taken}"
    what = OTHER_INSTRUMENTS.get(instrument, "unknown")
    return f"instrument code {instrument} is {what}, and {taken}"


def contradiction_of(code: str, quantity: str) -> str | None:
    """The clause that says that a unit contradicts the instrument code of a channel; None where it does not."""
    expected = quantity_of_code(code)
    if expected is None or quantity == expected:
        return None
    what = SEISMOMETERS.get(instrument_of(code), "accelerometer")
    return f"which contradicts its instrument code {instrument_of(code)} ({what}, {UNIT_OF[expected]})"

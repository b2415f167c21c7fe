"""Channel code: band, instrument and orientation code, as defined by the FDSN source identifiers.

https://docs.fdsn.org/projects/source-identifiers/en/v1.0/channel-codes.html

Instrument (source) codes. The models were trained on ground velocity: channels with one of the first three codes are
used, all others are refused:

    H  high gain seismometer      L  low gain seismometer      P  geophone

    A  tiltmeter                  G  gravimeter                Q  electric potential        W  wind
    B  creepmeter                 I  humidity                  R  rainfall                  X  derived or generated
    C  calibration input          J  rotational sensor         S  linear strain             Y  not specific
    D  pressure                   K  temperature               T  tide                      Z  synthesized beam
    E  electronic test point      M  mass position             U  bolometer
    F  magnetometer               N  accelerometer             V  volumetric strain
                                  O  water current

Orientation (subsource) codes that are used. Each has a row among the three components. A row holds the samples as
recorded; they are rotated to Z, N and E when a window is read (`seisedge.runtime.records.orientation`):

    Z N E   geographic            Z 1 2   orthogonal; 1 and 2 are in the rows of N and E
    U V W   the three equal axes of a triaxial sensor, in the rows of Z, N and E
"""

from __future__ import annotations

SEISMOMETERS = {"H": "high gain seismometer", "L": "low gain seismometer", "P": "geophone"}

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
    "N": "an accelerometer",
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

COMPONENTS = "ZNE"  # in the order of an array's rows
VERTICAL, TRIAXIAL = "Z", "UVW"
HORIZONTALS = ("NE", "12")
# component in whose row a channel is stored, by its orientation code
COMPONENT_OF_ORIENTATION = {"Z": "Z", "N": "N", "E": "E", "1": "N", "2": "E", "U": "Z", "V": "N", "W": "E"}


def instrument_of(code: str) -> str:
    """Instrument code of a channel code, written as `EHZ` or as `E_H_Z`; '' if it has none."""
    if "_" in code:
        return code.split("_")[1]
    return code[1] if len(code) == 3 else ""


def refusal_of(code: str) -> str | None:
    """The reason why a channel is refused, as a clause for a message; None for a seismometer."""
    instrument = instrument_of(code)
    if instrument in SEISMOMETERS:
        return None
    if not instrument:
        return "it has no instrument code, and the models take ground velocity: H, L or P"
    what = OTHER_INSTRUMENTS.get(instrument, "unknown")
    return f"instrument code {instrument} is {what}, and the models take ground velocity: H, L or P"

"""Reading the binary curves of the page, as the front end does."""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass
class Curve:
    """values: (columns, numbers of a column), NaN in a gap."""

    kind: int
    channels: int
    start_ms: int
    step_ms: float
    values: npt.NDArray[np.float64]


def curve_from(data: bytes) -> Curve:
    """Decode one curve."""
    magic, kind, channels, start_ms, step_ms, columns, scale = struct.unpack("<4sHHqdIf", data[:32])
    assert magic == b"SEW1"
    numbers = np.frombuffer(data[32:], dtype="<i2").astype(np.float64)
    values = np.where(numbers == -32768, np.nan, numbers * scale)
    assert len(values) == columns * channels * (2 if kind == 1 else 1)
    return Curve(kind, channels, start_ms, step_ms, values.reshape(columns, -1) if columns else values)

"""Wire: the binary form of a curve for the page.

Little endian. A header of 32 bytes: `SEW1`, kind, number of channels, time of the first column in ms, step in ms,
number of columns, scale. Then int16 column after column, each value times `scale`; -32768 is a gap.
"""

from __future__ import annotations

import struct
from enum import IntEnum

import numpy as np
import numpy.typing as npt

HEADER = struct.Struct("<4sHHqdIf")
MAGIC = b"SEW1"
GAP = -32768
LARGEST = 32767


class Kind(IntEnum):
    """What a column holds, for each channel: minimum and maximum, a value, or a decibel value."""

    MIN_MAX = 1
    VALUES = 2
    SPECTROGRAM = 3


def encoded(
    kind: Kind, values: npt.NDArray[np.floating], start_ms: int, step_ms: float, scale: float | None = None
) -> bytes:
    """Curves as bytes. values: (columns, channels, 2) for MIN_MAX, else (columns, channels); NaN is a gap.

    scale: default: the largest value is the largest number.
    """
    columns, channels = values.shape[:2]
    if scale is None:
        peak = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
        scale = peak / LARGEST if peak > 0 else 1.0
    whole = np.clip(np.rint(np.nan_to_num(values.astype(np.float64) / scale, nan=0.0)), -LARGEST, LARGEST)
    numbers = np.where(np.isnan(values), GAP, whole).astype("<i2")
    return HEADER.pack(MAGIC, kind, channels, start_ms, step_ms, columns, scale) + numbers.tobytes()

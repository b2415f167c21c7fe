"""Where the onset detector and the STA/LTA trigger of a station open on a recording: hard negatives, if it is noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.detection.opener import TRIGGER_GRID
from seisedge.runtime.detection.soundness import resample_sound
from seisedge.runtime.engines import Engine, open_engine
from seisedge.runtime.inference.infer import model_path
from seisedge.train.archive.archive import ROW_OF_ORIENTATION
from seisedge.train.evaluation.detector_input import onsets_in

P_THRESHOLD = 0.1  # of the onset detector: more onsets than at the station
PASS_HZ = 15.0
APART_S = 2.0  # a later onset is left out if it is closer than this

Samples = npt.NDArray[np.generic]
Bool = npt.NDArray[np.bool_]
Openers = Callable[[Samples, Bool, str, float, bool], Sequence[int]]


def bundled_openers() -> Openers:
    """`samples_opened` with the bundled onset detector; the arguments are the same without the engine."""
    engine = open_engine(model_path("onset"))

    def opened(x: Samples, valid: Bool, codes: str, rate_hz: float, is_acceleration: bool) -> list[int]:
        return samples_opened(x, valid, codes, rate_hz, is_acceleration, engine)

    return opened


def samples_opened(
    x: Samples, valid: Bool, codes: str, rate_hz: float, is_acceleration: bool, engine: Engine
) -> list[int]:
    """Samples of x (components, n) at which the onset detector `engine`, at a low threshold, or the STA/LTA trigger
    with its default settings opens, in ascending order. codes: one letter for each component.
    """
    n = x.shape[1]
    waves, masks = [], []
    row_of = {ROW_OF_ORIENTATION[code]: k for k, code in enumerate(codes) if code in ROW_OF_ORIENTATION}
    for place in range(3):
        k = row_of.get(place)
        samples = np.zeros(n) if k is None else x[k].astype(np.float64)
        there = np.zeros(n, dtype=bool) if k is None else valid[k]
        z, mask, _ = resample_sound(
            samples, there, 0, rate_hz, TRIGGER_GRID.rate_hz, PASS_HZ, integrates=is_acceleration
        )
        waves.append(z.astype(np.float32))
        masks.append(mask)
    shortest = min(map(len, waves))
    wave, mask = np.stack([w[:shortest] for w in waves]), np.stack([m[:shortest] for m in masks])
    found = [o for e, t in ((engine, P_THRESHOLD), (None, None)) for o in onsets_in(wave, mask, e, t)]
    kept: list[float] = []
    for time_s in sorted(onset.time_ns / NS_PER_S for onset in found if onset.phase == "P"):
        if not kept or time_s - kept[-1] >= APART_S:
            kept.append(time_s)
    return [round(time_s * rate_hz) for time_s in kept]

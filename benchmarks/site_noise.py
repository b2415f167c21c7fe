"""A quiet day of real noise: that before the events of held-out records of `datasets/`, site after site.

Each stretch is scaled to the same roughness, and repeated for some minutes. Stretches on which a detector opens
something are left out: at a quiet site most hours have no onset.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.records import quiet_noise
from seisedge.runtime.config import ModelsConfig, StationConfig
from seisedge.runtime.demo.made_day import CLASSIC, ONSET, RATE_HZ, Counts, Kept, Pieces, counts_of_day, write_counts
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source

DATASETS = Path(__file__).parents[1] / "datasets"
ROUGHNESS_COUNTS = 30.0  # root mean square of the differences of successive samples
TRIAL_HOURS = 0.1


def write_quiet_day(path: Path, station: str, hours: float) -> Path:
    """Write `hours` of three components at 100 Hz, as a digitizer would send them."""
    models = Models.load(ModelsConfig(event_type="none"))
    quiet = [piece for piece in _pieces() if not _opens(path, station, models, piece)]
    return write_counts(path, {station: np.concatenate([_repeated(x, hours / len(quiet)) for x in quiet], axis=1)})


def _repeated(piece: Counts, hours: float) -> Counts:
    return counts_of_day(Pieces("", [piece], []), hours, 0.0, seed=1)


def _pieces() -> list[Counts]:
    found = []
    for _, waveform, rate_hz, components in quiet_noise(DATASETS):
        if components == "ZNE" and rate_hz == RATE_HZ:
            x = waveform.astype(np.float64)
            x -= x.mean(axis=1, keepdims=True)
            x *= ROUGHNESS_COUNTS / np.sqrt((np.diff(x) ** 2).mean())
            found.append(np.asarray(np.rint(x), dtype=np.int32))
    return found


def _opens(path: Path, station: str, models: Models, piece: Counts) -> bool:
    write_counts(path, {station: _repeated(piece, TRIAL_HOURS)})
    return any(_triggers(path, models, configs) for configs in (ONSET, CLASSIC))


def _triggers(path: Path, models: Models, configs: dict[str, StationConfig]) -> int:
    with open_source(path) as source:
        return Loop(models, [Kept()], configs, mode="triggered").run(source).triggers

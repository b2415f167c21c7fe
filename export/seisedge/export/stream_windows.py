"""Windows of an onset detector: blocks with their contexts, from streams mixed as in its training."""

from __future__ import annotations

import numpy as np

from seisedge.export.onnx import Array
from seisedge.train.archive.archive import Archive
from seisedge.train.fit.feed import mixer_of
from seisedge.train.models._base import OnsetModel
from seisedge.train.run_file import Run

BLOCKS_OF_STREAM = 4


def stream_windows(run: Run, model: OnsetModel, archive: Archive, count: int) -> tuple[Array, Array]:
    """waveform and valid, (count, 3, n_samples). Raises InputError if the archive has no noise or no events."""
    mixer = mixer_of(run.recipe, model, archive, lambda _: True, 0)
    n = model.geometry.n_samples
    waves, masks = [], []
    for _ in range(-(-count // BLOCKS_OF_STREAM)):
        x, valid, _ = mixer.draw()
        for first in np.linspace(0, x.shape[1] - n, BLOCKS_OF_STREAM).astype(int):
            waves.append(x[:, first : first + n])
            masks.append(valid[:, first : first + n].astype(np.float32))
    return np.stack(waves[:count]), np.stack(masks[:count])

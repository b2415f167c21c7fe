"""Fixtures: the bundled data set, read once for all tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from seisedge.train.archive.archive import Archive, load_archive

# Batches are small: several threads are slower than one, on a loaded machine by a factor of ten.
torch.set_num_threads(1)

DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.fixture(scope="session")
def datasets() -> Path:
    return DATASETS


@pytest.fixture(scope="session")
def archive() -> Archive:
    """All records at 40 Hz, the rate of the two bundled recipes."""
    return load_archive([DATASETS], 40.0, 15.0)


@pytest.fixture(scope="session")
def few(archive: Archive) -> Archive:
    """Every tenth record."""
    keep = np.arange(0, len(archive.records), 10)
    records = [archive.records[i] for i in keep]
    return dataclasses.replace(archive, records=records, waveform=archive.waveform[keep], valid=archive.valid[keep])

"""`seisbench:NAME`: a data set of SeisBench, accessed through the class of the seisbench package.

The class finds the files in its cache (SEISBENCH_CACHE_ROOT, default ~/.seisbench) or downloads them to it. The files
are then read like those of any other folder.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.suggestion import suggestion

PREFIX = "seisbench:"

logger = logging.getLogger(__name__)


def folders_from(names: Sequence[str | Path]) -> list[Path]:
    """Folders for the values of --data; `seisbench:NAME` is replaced by the folders in the SeisBench cache."""
    out: list[Path] = []
    for name in names:
        text = str(name)
        out += _cached(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else [Path(text)]
    return out


def _cached(name: str) -> list[Path]:
    try:
        module = importlib.import_module("seisbench.data")
    except ModuleNotFoundError:
        raise InputError(
            f"--data {PREFIX}{name} needs seisbench; run pip install seisbench, or give a folder"
        ) from None
    known = {n: getattr(module, n) for n in module.__all__ if _is_benchmark(getattr(module, n, None))}
    if name not in known:
        hint = suggestion(PREFIX + name, (PREFIX + n for n in sorted(known)))
        raise InputError(f"--data {PREFIX}{name}: seisbench has no data set of that name; {hint}")
    try:
        dataset = known[name]()
    except Exception as error:  # the download, the cache and the metadata table raise many types
        cache = Path(importlib.import_module("seisbench").cache_data_root) / name.lower()
        raise FailedError(
            f"--data {PREFIX}{name}: seisbench could not load it ({type(error).__name__}: {error}); "
            f"it is not in the cache {cache} and the download failed; check the network, or copy the data set there"
        ) from error
    parts = getattr(dataset, "datasets", [dataset])
    for part in parts:
        logger.info("%s%s: %s, licence %s", PREFIX, name, part.path, getattr(part, "license", None) or "not stated")
    return [Path(part.path) for part in parts]


def _is_benchmark(kind: Any) -> bool:
    """True for a class of one downloadable set of three-component waveforms."""
    if not isinstance(kind, type):
        return False
    names = {base.__name__ for base in kind.__mro__[1:]}
    return bool(names & {"WaveformBenchmarkDataset", "MultiWaveformDataset"}) and kind.__name__ != "BenchmarkDataset"

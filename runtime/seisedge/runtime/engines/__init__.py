"""Engines, one file per library. A library is loaded when its first engine is opened."""

from __future__ import annotations

import logging
from pathlib import Path

from seisedge.runtime.engines._base import Engine, InferenceCost, TrialWindows, are_probabilities
from seisedge.runtime.errors import EngineError

__all__ = ["ONNXRUNTIME", "Engine", "InferenceCost", "TrialWindows", "are_probabilities", "open_engine"]

logger = logging.getLogger(__name__)

ONNXRUNTIME = "onnxruntime"


def open_engine(
    path: Path,
    engine: str = ONNXRUNTIME,
    folder: Path | None = None,
    *,
    trial_windows: TrialWindows | None = None,
    allow_fallback: bool = True,
) -> Engine:
    """The engine for a model file on this machine.

    engine: `onnxruntime`, `tensorrt` or `tensorrt-rtx`. folder: where built engines are kept; default: the user's
    cache. trial_windows: makes the real windows on which an engine that is new on this machine is compared with
    onnxruntime; without it such an engine is not used.
    If the requested engine is unavailable, returns onnxruntime, logs a warning and sets `instead_of` and `reason`;
    with allow_fallback=False raises EngineError instead, now and during the run. Raises InputError, CardError.
    """
    from seisedge.runtime.engines._cache import default_folder
    from seisedge.runtime.engines._first_open import try_first_open
    from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine

    try_first_open(path, folder or default_folder())
    plain = OnnxRuntimeEngine(path)  # also checks the model file for the other engines
    if engine == ONNXRUNTIME:
        return plain
    try:
        from seisedge.runtime.engines._cache import usable_engine
        from seisedge.runtime.engines.tensorrt import TensorRtEngine

        built = usable_engine(plain, engine, folder or default_folder(), trial_windows)
        return TensorRtEngine(path, built, engine, plain=plain, allow_fallback=allow_fallback)
    except EngineError as error:
        if not allow_fallback:
            raise
        plain.instead_of, plain.reason = engine, str(error)
        logger.warning("%s: using %s instead of %s: %s", path, plain.name, engine, error)
        return plain

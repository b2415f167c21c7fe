"""Engines: one file each. onnxruntime is loaded when the first engine is asked for, not before."""

from __future__ import annotations

from pathlib import Path

from seisedge.runtime.engines._base import Engine, InferenceCost

__all__ = ["Engine", "InferenceCost", "open_engine"]


def open_engine(path: Path) -> Engine:
    """The engine for a model file on this machine. Raises InputError, CardError."""
    from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path)

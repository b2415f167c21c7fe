"""The virtual digitizer: serves recorded miniSEED like a live digitizer."""

from seisedge.runtime.replay.digitizer import Digitizer

__all__ = ["Digitizer"]

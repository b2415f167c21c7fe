"""The virtual digitizer: recorded miniSEED served as if it were measured now."""

from seisedge.runtime.replay.digitizer import Digitizer

__all__ = ["Digitizer"]

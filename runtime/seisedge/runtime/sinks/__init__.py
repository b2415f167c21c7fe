"""Sinks: destinations of event lines, one module each."""

from seisedge.runtime.sinks._base import LeftOut, Refused, Sink

__all__ = ["LeftOut", "Refused", "Sink"]

"""Sinks: destinations of event lines, one module each."""

from seisedge.runtime.sinks._base import Refused, Sink

__all__ = ["Refused", "Sink"]

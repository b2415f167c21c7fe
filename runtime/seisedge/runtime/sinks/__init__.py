"""Sinks of events: one file each."""

from seisedge.runtime.sinks._base import Refused, Sink

__all__ = ["Refused", "Sink"]

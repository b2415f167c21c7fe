"""Sinks of events: one file each."""

from seisedge.runtime.sinks._base import Sink

__all__ = ["Sink"]

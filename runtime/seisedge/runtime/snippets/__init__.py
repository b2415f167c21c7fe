"""Snippets: the records of each event as files, a rolling archive of all records, and the limits of both."""

from seisedge.runtime.snippets.library import SnippetLibrary
from seisedge.runtime.snippets.recorder import Recorder

__all__ = ["Recorder", "SnippetLibrary"]

"""Settings of the waveforms that a station keeps: with each event, and in a rolling archive."""

from __future__ import annotations

from typing import Annotated

import msgspec

from seisedge.runtime.config.formats import FilePath
from seisedge.runtime.config.sinks import FileMode

KeepDays = Annotated[float, msgspec.Meta(ge=0.001, le=3650)]  # 86 s to ten years
MaxMegabytes = Annotated[float, msgspec.Meta(ge=1, le=100_000_000)]  # to 100 TB
FreeMegabytes = Annotated[float, msgspec.Meta(ge=0, le=100_000_000)]


class SnippetsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The records of each event as files of their own; see `snippets.sink`."""

    folder: FilePath
    # ten minutes: longer than any window, and the records are held in memory
    before_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 30.0  # the onset
    after_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 5.0  # the window
    at_new: bool = False
    keep_days: KeepDays = 365.0
    max_mb: MaxMegabytes = 2000.0
    min_free_mb: FreeMegabytes = 500.0
    file_mode: FileMode = "0600"


class ArchiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All records received, as an SDS archive whose oldest files are deleted; see `snippets.archive`."""

    folder: FilePath
    keep_days: KeepDays = 30.0
    max_mb: MaxMegabytes = 10_000.0
    min_free_mb: FreeMegabytes = 500.0
    file_mode: FileMode = "0600"

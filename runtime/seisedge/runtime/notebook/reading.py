"""Reading: data of any kind through the loop of a station, line by line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from seisedge.runtime.config import ModelsConfig, StationConfig
from seisedge.runtime.config.stations import models_of_stations, read_stations
from seisedge.runtime.errors import ArgumentError, ArgumentTypeError, DataError, SeisedgeWarning
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.machine import memory_limit_mib
from seisedge.runtime.notebook.memory_source import MemorySource
from seisedge.runtime.notebook.picture import Waveform, waveform_of
from seisedge.runtime.notebook.results import Result
from seisedge.runtime.notebook.traces import Array, traces_in, traces_of_array, traces_of_stream
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.service.loop import Loop, default_max_stations
from seisedge.runtime.service.usable import few, refuse_unusable
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import Source, open_source
from seisedge.runtime.station.station import OpenerMaker, Station

DATA_KINDS = (
    "an obspy Stream or Trace, a numpy array, or the path or URL of miniSEED (a file, a folder, 'sds:DIR', or a list "
    "of files)"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the stations of a run. configs: by station id; empty: default settings for all stations of the data."""

    configs: Mapping[str, StationConfig] = field(default_factory=dict)
    metadata: StationXml | None = None

    @property
    def models(self) -> ModelsConfig:
        """The models that the station files name; else the bundled ones."""
        return models_of_stations(self.configs, None, "triggered")


def settings_from(station: object, stationxml: object) -> Settings:
    """Settings from station files and a StationXML file, each given by its path. Raises InputError."""
    several = isinstance(station, list | tuple)
    files = [] if station is None else list(station) if several else [station]  # type: ignore[call-overload]
    xml = _path(stationxml, "stationxml", "a StationXML file") if stationxml is not None else None
    return Settings(*read_stations([_path(file, "station", "a station file") for file in files], xml))


def _path(value: object, name: str, what: str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ArgumentTypeError(f"{name} must be the path of {what}; got {type(value).__name__}")
    return Path(value)


def source_from(data: Any, array: Array) -> Source:
    """The source of the data. Call it from the function that the user calls: its warnings name the line of that call.

    Raises ArgumentTypeError for anything else than DATA_KINDS, ArgumentError, DataError.
    """
    if isinstance(data, np.ndarray):
        return MemorySource(traces_of_array(data, array), "array")
    if array.given:
        raise ArgumentError(f"{' and '.join(array.given)} can only be given with a numpy array; leave it out")
    found = traces_in(data)
    if found is not None:
        bad: dict[str, list[str]] = {}
        traces = list(traces_of_stream(found, bad))
        if not traces:
            reasons = "; ".join(f"{few(names)}: {reason}" for reason, names in bad.items())
            raise DataError(f"no trace of the stream can be used: {reasons}")
        for reason, names in bad.items():
            warnings.warn(f"{len(names)} trace(s) left out, {few(names)}: {reason}", SeisedgeWarning, stacklevel=3)
        return MemorySource(traces, "stream")
    if isinstance(data, str | os.PathLike):
        return open_source(data if isinstance(data, str) else Path(data))
    if isinstance(data, list | tuple) and data and all(isinstance(one, str | os.PathLike) for one in data):
        return open_source([str(one) for one in data])
    raise ArgumentTypeError(f"data must be {DATA_KINDS}; got {type(data).__name__}")


class _Kept(Sink):
    """Keeps the lines of a step, with the waveform that the models received."""

    def __init__(self, stations: Mapping[str, Station], *, revisions: bool) -> None:
        self._stations = stations
        self._revisions = revisions
        self.lines: list[tuple[Event, Waveform | None]] = []

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event) and (self._revisions or line.status == "final"):
            self.lines.append((line, waveform_of(line, self._stations[line.station].timelines)))


class Reading:
    """A run over a source."""

    def __init__(
        self,
        source: Source,
        models: Models,
        settings: Settings,
        *,
        revisions: bool = False,
        opener: OpenerMaker | None = None,
    ) -> None:
        """revisions: give every line; else only the last one of each event. opener: see `Station`."""
        configs = {key: _as_used(config, given_opener=opener is not None) for key, config in settings.configs.items()}
        self._source = source
        self._models = models
        self._metadata = settings.metadata
        stations: dict[str, Station] = {}
        self._kept = _Kept(stations, revisions=revisions)
        self._loop = Loop(
            models,
            [self._kept],
            configs,
            default=None if configs else StationConfig(),
            metadata=settings.metadata,
            max_stations=default_max_stations(memory_limit_mib()),
            opener=opener,
        )
        self._loop.report.stations = stations

    def results(self) -> Iterator[Result]:
        """The lines in the order of `seisedge run`, as soon as they exist, in bounded memory.

        Raises InputError, and at the end DataError where nothing of the data could be used.
        """
        stations = self._loop.report.stations
        with self._source as source:
            for _ in self._loop.steps(source):
                lines, self._kept.lines = self._kept.lines, []
                for line, waveform in lines:
                    yield Result(line, waveform, self._remarks_of(stations[line.station]))
            if not source.live:
                refuse_unusable(self._loop.report, source, self._metadata)

    def remarks(self) -> tuple[str, ...]:
        """What a reader of the results must know: channels that are not used, and resampling."""
        found = [remark for station in self._loop.report.stations.values() for remark in self._remarks_of(station)]
        others = self._loop.report.other_stations
        if others:
            found.append(f"{few(others)}: not analysed: no station file or StationXML has these stations")
        found += [f"{count} record(s) left out: {reason}" for reason, count in self._source.reasons.items()]
        return tuple(found)

    def _remarks_of(self, station: Station) -> tuple[str, ...]:
        remarks = [f"{name}: not used: {reason}" for name, reason in station.refusals.items()]
        rates: dict[float, list[str]] = {}
        for engine in self._models.engines:
            rates.setdefault(engine.card.sampling_rate_hz, []).append(engine.card.name)
        for rate_hz, names in rates.items():
            if station.sampling_rate_hz not in (0.0, rate_hz):
                remarks.append(
                    f"{station.station_id}: resampled from {station.sampling_rate_hz:g} Hz to {rate_hz:g} Hz for "
                    f"{', '.join(names)}"
                )
        return tuple(remarks)


def _as_used(config: StationConfig, *, given_opener: bool) -> StationConfig:
    """Without hop lines, which have no events; and without a setting for what another opener replaces."""
    config = msgspec.structs.replace(config, mode="triggered")
    if given_opener:
        config = msgspec.structs.replace(config, trigger=msgspec.structs.replace(config.trigger, kind=None))
    return config

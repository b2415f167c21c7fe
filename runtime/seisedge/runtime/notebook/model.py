"""What the functions of `seisedge.api` do: models, events at given onsets, annotations."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.detection.given import GivenOnsets
from seisedge.runtime.detection.opener import TRIGGER_GRID, Opener
from seisedge.runtime.engines import Engine, open_engine
from seisedge.runtime.errors import ArgumentError, ArgumentTypeError, DataError, SeisedgeWarning
from seisedge.runtime.inference.infer import Models, bundled_model, model_path
from seisedge.runtime.inference.onset_detector import onset_scale
from seisedge.runtime.notebook.annotation import Annotations
from seisedge.runtime.notebook.annotator import Annotator, Collected
from seisedge.runtime.notebook.memory_source import MemorySource
from seisedge.runtime.notebook.reading import Reading, Settings
from seisedge.runtime.notebook.results import Result, Results
from seisedge.runtime.notebook.times import onsets_from
from seisedge.runtime.service.usable import few
from seisedge.runtime.sources import Source
from seisedge.runtime.timeline.timeline import Timeline


def load(names: Sequence[object]) -> Models:
    """The named models, at least one of which estimates event type or magnitude, and an onset detector.

    Raises InputError, CardError.
    """
    found: dict[str, Engine] = {}
    for path in map(_path, names):
        engine = open_engine(path)
        task = engine.card.task
        if task in found:
            raise ArgumentError(
                f"{path}: a second model for the task '{task}', after {found[task].path}; give one a task"
            )
        found[task] = engine
    if not found.keys() - {"onset"}:
        raise ArgumentError(
            "open_model() needs an event-type or a magnitude model; use annotate() for an onset detector"
        )
    return Models(found.get("event_type"), found.get("magnitude"), found.get("onset") or _bundled("onset"))


def _path(name: object) -> Path:
    if not isinstance(name, str | os.PathLike):
        raise ArgumentTypeError(
            f"a model must be the name of a bundled model or the path of a model file; got {type(name).__name__}"
        )
    return model_path(Path(name) if not isinstance(name, str) else name)


def _bundled(task: str) -> Engine:
    return open_engine(bundled_model(task))


def events(source: Source, models: Models | None, settings: Settings, *, revisions: bool) -> Iterator[Result]:
    """The events of a source while it is read. models: None: those of the station files, else the bundled ones."""
    return Reading(source, models or Models.load(settings.models), settings, revisions=revisions).results()


def classify(models: Models, source: Source, onset: object, settings: Settings) -> Results:
    """The events of a source: those that the station finds, or one for each given onset and station."""
    if onset is None:
        reading = Reading(source, models, settings)
        return _sorted(reading)
    start_ns = source.starttime_ns if isinstance(source, MemorySource) else None
    times_ns = onsets_from(onset, start_ns)
    reading = Reading(
        source, Models(models.event_type, models.magnitude), settings, opener=functools.partial(_given, times_ns)
    )
    results = _sorted(reading)
    found = {result.onset for result in results}
    missing = sorted({iso_from_ns(time_ns) for time_ns in times_ns} - found)
    if missing:
        reason = f"{few(missing)}: the data end before the onset or less than 2 s after it"
        if not found:
            raise DataError(f"no onset can be classified; {reason}")
        warnings.warn(f"{len(missing)} onset(s) left out, {reason}", SeisedgeWarning, stacklevel=3)
    return results


def _given(times_ns: Sequence[int], timeline: Timeline) -> Opener:
    return GivenOnsets(timeline, times_ns)


def _sorted(reading: Reading) -> Results:
    """All results, in order of onset, then station."""
    found = sorted(reading.results(), key=lambda result: (result.onset_ns, result.station))
    return Results(found, reading.remarks())


def annotate(source: Source, model: object, settings: Settings) -> Annotations:
    """The probabilities of every hop of a source, by station. Raises DataError where there is none."""
    engine = open_engine(_path(model))
    onset_scale(engine.card)  # raises for a model of another task
    collected: dict[str, Collected] = {}
    slow: dict[str, None] = {}

    def opener(timeline: Timeline) -> Opener:
        if timeline.spec != TRIGGER_GRID:
            slow[timeline.station_id] = None
            return GivenOnsets(timeline, ())
        return Annotator(timeline, engine, collected.setdefault(timeline.station_id, Collected()))

    reading = Reading(source, Models(_bundled("event_type"), None, engine), settings, opener=opener)
    for _ in reading.results():
        pass
    found = {station: one.annotation(station) for station, one in sorted(collected.items())}
    found = {station: one for station, one in found.items() if len(one)}
    if not found:
        raise DataError(
            f"{source.url}: nothing to annotate: {engine.card.name} needs some seconds of data with a band up to "
            f"{TRIGGER_GRID.pass_hz:g} Hz"
        )
    remarks = [f"{station}: not annotated: its band does not reach {TRIGGER_GRID.pass_hz:g} Hz" for station in slow]
    return Annotations(found, (*reading.remarks(), *remarks))

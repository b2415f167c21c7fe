"""Accuracy of a model file on the bundled recording: it takes its place in the station, and reads the recording once.

Separate from any timed run. The bundled recording has no blasts, so this finds a damaged or badly converted file; the
metrics on held-out events are in the card.
"""

from __future__ import annotations

from pathlib import Path

from seisedge.runtime.bench.intervals import share_interval
from seisedge.runtime.bench.report import Accuracy
from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.demo import AUTOMATIC, CATALOGUE
from seisedge.runtime.demo.report import Matches, last_revisions, match
from seisedge.runtime.demo.run import EventList, demo_configs, run_demo
from seisedge.runtime.demo.truth import Earthquake, automatic_from_csv, catalogue_from_csv
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models

CLOSE = 0.3  # of the catalogued magnitude

MEASURES = {
    "event_type": "detections of catalogued earthquakes that have the type tectonic",
    "magnitude": f"magnitudes of catalogued earthquakes within {CLOSE:g}",
    "onset": "catalogued earthquakes detected, each at each station",
}


def accuracy_of(path: Path, task: str) -> list[Accuracy]:
    """The accuracy of a model file; its value is None, with the reason, where the station cannot run it."""
    try:
        models = Models.load(ModelsConfig(), (path,))
        configs, emitted = demo_configs(), EventList()
        run_demo(models, [emitted], configs, 0.0, lambda url: None)
    except SeisedgeError as error:
        return [Accuracy(measure=MEASURES[task], value=None, reason=str(error))]
    catalogue = catalogue_from_csv(CATALOGUE)
    matches = match(last_revisions(emitted.events), catalogue, automatic_from_csv(AUTOMATIC), configs)
    hits = _hits(task, matches, catalogue, len(configs))
    if not hits:
        return [Accuracy(measure=MEASURES[task], value=None, reason="no catalogued earthquake has an answer")]
    low, high = share_interval(sum(hits), len(hits))
    value = round(sum(hits) / len(hits), 4)
    return [Accuracy(measure=MEASURES[task], value=value, low=round(low, 4), high=round(high, 4), windows=len(hits))]


def _hits(task: str, matches: Matches, catalogue: list[Earthquake], stations: int) -> list[bool]:
    """For each answer, whether it is right."""
    if task == "onset":
        found = sum(map(len, matches.catalogued.values()))
        return [True] * found + [False] * (len(catalogue) * stations - found)
    pairs: list[tuple[Earthquake, Event]] = [
        (quake, event) for quake in catalogue for event in matches.catalogued[quake.id].values()
    ]
    if task == "event_type":
        return [event.event_type.label == "tectonic" for _, event in pairs if event.event_type is not None]
    sizes = [(quake.magnitude, event.magnitude.value) for quake, event in pairs if event.magnitude is not None]
    return [abs(value - truth) <= CLOSE for truth, value in sizes if value is not None]

"""seisedge in a notebook or a program: the events of data in memory and in files.

    import seisedge.api

    model = seisedge.api.open_model("event-type")
    results = model.classify(stream)                        # the events that the station would find
    result = model.classify(stream, onset=time)[0]          # or one at a given onset

    for result in seisedge.api.events("sds:/data/archive"):    # one by one, in bounded memory
        print(result.onset, result.label, result.probability)

    annotations = seisedge.api.annotate(stream)             # the onset detector, every 0.1 s

The events are those of `seisedge run` over the same samples, because the same code reads, resamples, detects and
classifies. `docs/notebook.md` in the repository shows whole examples.

Data
    An obspy Stream or Trace, or a list of Traces. Masked samples and samples that are not finite are gaps.
    A numpy array (n_components, n_samples), with `sampling_rate_hz` and `components` ("ZNE" names the rows) and, if
    known, `starttime`. Its samples are counts of a seismometer, or in any unit that is proportional to velocity.
    The path of a miniSEED file or folder, a list of paths, or a URL such as "sds:/data/archive".

Settings
    station      station file or files (.toml); without it, default settings for every station of the data
    stationxml   StationXML file with the gains and orientations of the channels
    Without the gain of its channels an event has a provisional bin of magnitudes and the remark `uncalibrated`.

Times
    ISO 8601 text, datetime, numpy.datetime64 or obspy UTCDateTime; without an offset they are UTC.

Errors
    All are subclasses of seisedge.runtime.errors.SeisedgeError, with one sentence that says what to do.
    ArgumentTypeError (also a TypeError) and ArgumentError (also a ValueError): an argument that cannot be used.
    InputError, with CardError and ConfigError: a model or station file that cannot be used. DataError: no usable data.
    A trace that cannot be used beside others is left out, with a SeisedgeWarning.
    What the data do not support is no error: the value is None, and `quality` of the result gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seisedge.runtime.notebook.annotation import Annotation, Annotations
from seisedge.runtime.notebook.results import Result, Results

if TYPE_CHECKING:
    from seisedge.runtime.card import ModelCard
    from seisedge.runtime.inference.infer import Models

__all__ = ["Annotation", "Annotations", "Model", "Result", "Results", "annotate", "events", "open_model"]


class Model:
    """Models that were opened together, with the onset detector that finds their events; see `open_model`."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @property
    def cards(self) -> list[ModelCard]:
        """The card of each model: labels, sampling rate, training, metrics, uses for which it is not suitable."""
        return [engine.card for engine in self._models.engines]

    def classify(
        self,
        data: Any,
        onset: Any = None,
        *,
        sampling_rate_hz: float | None = None,
        components: str | None = None,
        starttime: Any = None,
        station: str | Path | Sequence[str | Path] | None = None,
        stationxml: str | Path | None = None,
    ) -> Results:
        """The events of the data, each as it is at its end; see the module for `data` and the settings.

        onset: one time or several: an event is answered at each of them and at each station, whatever the onset
            detector says; noise is then an answer too. For data in memory a number is seconds after the first sample.
            Without it, the events are those that the onset detector finds, and noise is left out.
        """
        from seisedge.runtime.notebook import model, reading
        from seisedge.runtime.notebook.traces import array_from

        source = reading.source_from(data, array_from(sampling_rate_hz, components, starttime))
        return model.classify(self._models, source, onset, reading.settings_from(station, stationxml))

    def __repr__(self) -> str:
        return f"<Model {', '.join(f'{card.name}: {len(card.labels)} labels' for card in self.cards)}>"


def open_model(model: str | Path, *others: str | Path) -> Model:
    """Open a model: a bundled one by its name (`event-type`, `magnitude`), or a model file by its path.

    others: further models for other tasks. `open_model("event-type", "magnitude")` gives the events of `seisedge run`.
        The onset detector is the bundled one, unless one of the files is another one.
    """
    from seisedge.runtime.notebook.model import load

    return Model(load((model, *others)))


def events(
    source: Any,
    model: Model | None = None,
    *,
    revisions: bool = False,
    sampling_rate_hz: float | None = None,
    components: str | None = None,
    starttime: Any = None,
    station: str | Path | Sequence[str | Path] | None = None,
    stationxml: str | Path | None = None,
) -> Iterator[Result]:
    """The events of a source one by one, in the order of `seisedge run`; see the module for the settings.

    source: data as for `Model.classify`, or a live stream such as "seedlink://host/NET_STA". Archives of any length
        need the same memory.
    model: None: the models that the station file names, else the bundled ones for event type and magnitude.
    revisions: give also the earlier revisions of each event (`new`, `update`) and the events that were retracted.
    """
    from seisedge.runtime.notebook import model as rooms
    from seisedge.runtime.notebook import reading
    from seisedge.runtime.notebook.traces import array_from

    opened = reading.source_from(source, array_from(sampling_rate_hz, components, starttime))
    settings = reading.settings_from(station, stationxml)
    return rooms.events(opened, _models_of(model), settings, revisions=revisions)


def annotate(
    data: Any,
    model: str | Path = "onset",
    *,
    sampling_rate_hz: float | None = None,
    components: str | None = None,
    starttime: Any = None,
    station: str | Path | Sequence[str | Path] | None = None,
    stationxml: str | Path | None = None,
) -> Annotations:
    """The probabilities of P, S, noise, tectonic and non-tectonic for every 0.1 s, by station.

    model: an onset detector. A row states what is in the hop that begins at its time. The result needs 28 bytes a hop,
        24 MB a day: annotate long archives piece by piece.
    """
    from seisedge.runtime.notebook import model as rooms
    from seisedge.runtime.notebook import reading
    from seisedge.runtime.notebook.traces import array_from

    source = reading.source_from(data, array_from(sampling_rate_hz, components, starttime))
    return rooms.annotate(source, model, reading.settings_from(station, stationxml))


def _models_of(model: object) -> Models | None:
    from seisedge.runtime.errors import ArgumentTypeError

    if model is not None and not isinstance(model, Model):
        raise ArgumentTypeError(f"model must be opened with open_model(); got {type(model).__name__}")
    return model._models if model is not None else None

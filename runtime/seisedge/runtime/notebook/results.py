"""Results: one event of a station, and the events of a run, as objects, tables and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import msgspec

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.event import Event, Pick, Quality
from seisedge.runtime.notebook.extras import pandas
from seisedge.runtime.notebook.picture import Waveform
from seisedge.runtime.row import COLUMNS, TIMES, row_of_event

MAX_LINES = 20  # of a plain text


class Result:
    """One event at one station.

    A value is None where the data do not support it; `quality` then gives the reason.
    In a notebook it shows the waveform that the models received, with the picks, and the probabilities.
    """

    __slots__ = ("event", "remarks", "waveform")

    def __init__(self, event: Event, waveform: Waveform | None = None, remarks: tuple[str, ...] = ()) -> None:
        self.event = event
        self.waveform = waveform
        self.remarks = remarks

    @property
    def id(self) -> str:
        """The station and its onset: `PB.B918-20190707T081632.590`."""
        return self.event.id

    @property
    def station(self) -> str:
        """Network and station code: `PB.B918`."""
        return self.event.station

    @property
    def status(self) -> str:
        """`final`; with `revisions=True` also `new`, `update` and `retracted`."""
        return self.event.status

    @property
    def onset(self) -> str:
        """Time of the onset in UTC, as ISO 8601."""
        return self.event.onset

    @property
    def onset_ns(self) -> int:
        """Time of the onset, in nanoseconds since 1970."""
        return ns_from_iso(self.event.onset)

    @property
    def label(self) -> str | None:
        """The most probable event type: `tectonic`, `non-tectonic` or `noise` with the bundled model."""
        return self.event.event_type.label if self.event.event_type is not None else None

    @property
    def probability(self) -> float | None:
        """Probability of `label`."""
        return self.event.event_type.probability if self.event.event_type is not None else None

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probability of each event type; empty where there is no estimate."""
        return dict(self.event.event_type.probabilities) if self.event.event_type is not None else {}

    @property
    def magnitude(self) -> float | None:
        """The magnitude; None without the gain of the channels, see `magnitude_label` for the provisional bin."""
        return self.event.magnitude.value if self.event.magnitude is not None else None

    @property
    def magnitude_interval(self) -> tuple[float | None, float | None] | None:
        """Interval that contains the magnitude with a probability of 90 %; None in it: open."""
        return self.event.magnitude.interval_90 if self.event.magnitude is not None else None

    @property
    def magnitude_label(self) -> str | None:
        """The most probable bin of magnitudes, as text."""
        return self.event.magnitude.label if self.event.magnitude is not None else None

    @property
    def distance_km(self) -> float | None:
        """Hypocentral distance from S - P; None without a pick of S."""
        return self.event.distance_km

    @property
    def picks(self) -> tuple[Pick, ...]:
        """P and S of the onset detector, with time, uncertainty and probability."""
        return tuple(self.event.picks or ())

    @property
    def quality(self) -> tuple[Quality, ...]:
        """Remarks on the data and the estimates, each with a code and a reason; the code `ok` alone: no remark."""
        return tuple(self.event.quality)

    def to_dict(self) -> dict[str, Any]:
        """The event as plain values, as in a line of `seisedge run --json`."""
        plain: dict[str, Any] = msgspec.to_builtins(self.event)
        return plain

    def to_dataframe(self) -> Any:
        """A pandas DataFrame of one row, see `Results.to_dataframe`."""
        return frame_of([self])

    def __repr__(self) -> str:
        from seisedge.runtime.sinks.terminal import magnitude_text  # not at import, which is to be fast

        event = self.event
        kind = f"{self.label} {self.probability:.2f}" if self.probability is not None else "no event type"
        parts = [f"{event.station} {event.onset} {event.status}: {kind}"]
        if event.magnitude is not None:
            parts.append(f"magnitude {magnitude_text(event.magnitude).strip()}")
        if event.distance_km is not None:
            parts.append(f"{event.distance_km:.0f} ± {event.distance_uncertainty_km or 0:.0f} km")
        codes = dict.fromkeys(remark.code for remark in event.quality if remark.code != "ok")
        if codes:
            parts.append(" ".join(codes))
        return f"<{', '.join(parts)}>"

    def _repr_html_(self) -> str:
        from seisedge.runtime.notebook import html

        return html.event_html(self.event, self.waveform, self.remarks)


class Results(Sequence[Result]):
    """Events in order of onset; an index gives a `Result`, a slice `Results`.

    remarks: what applies to all of them: channels that are not used, and resampling.
    """

    def __init__(self, results: Iterable[Result], remarks: Iterable[str] = ()) -> None:
        self._results = tuple(results)
        every = [*remarks, *(remark for result in self._results for remark in result.remarks)]
        self.remarks = tuple(dict.fromkeys(every))

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        return Results(self._results[index], self.remarks) if isinstance(index, slice) else self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def to_dict(self) -> dict[str, Any]:
        """`events`, each as in `Result.to_dict`, and `remarks`."""
        return {"events": [result.to_dict() for result in self], "remarks": list(self.remarks)}

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each event.

        Its columns are those of `seisedge archive` (docs/archive.md), after `station` and before one probability for
        each label, such as `probability_tectonic`.
        """
        return frame_of(self._results)

    def __repr__(self) -> str:
        lines = [f"{len(self)} event{'' if len(self) == 1 else 's'}", *(f"  {one!r}" for one in self[:MAX_LINES])]
        if len(self) > MAX_LINES:
            lines.append(f"  and {len(self) - MAX_LINES} more")
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])

    def _repr_html_(self) -> str:
        from seisedge.runtime.notebook import html

        return html.events_html([(one.event, one.waveform) for one in self], self.remarks)


def frame_of(results: Sequence[Result]) -> Any:
    """A pandas DataFrame with a row for each result."""
    pd = pandas("to_dataframe()")
    labels = dict.fromkeys(label for result in results for label in result.probabilities)
    rows = []
    for result in results:
        row = {"station": result.station} | row_of_event(result.event)
        rows.append(row | {f"probability_{label}": result.probabilities.get(label) for label in labels})
    frame = pd.DataFrame(rows, columns=["station", *COLUMNS, *(f"probability_{label}" for label in labels)])
    for name in TIMES:
        frame[name] = pd.to_datetime(frame[name].astype("Int64"), unit="ns", utc=True)
    return frame

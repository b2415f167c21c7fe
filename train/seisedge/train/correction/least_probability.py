"""Propose `[events] min_probability`: the station is run on its own noise, and the events that it keeps are counted.

The recording should hold no earthquake: each event in it counts as false, and an earthquake makes the proposal larger
than it need be. An onset below the probability no longer ends the window of the event before it, which may then reach
the probability itself: the proposal is therefore run, and raised until the limit is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from scipy.stats import chi2  # type: ignore[import-untyped]  # scipy publishes no types

from seisedge.runtime.config import StationConfig, check_metadata
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources import open_source
from seisedge.train.dataset.stations import Stations
from seisedge.train.evaluation.false_events import Counted, best_probabilities, count_events

PERCENT = range(101)  # the probabilities that are tried, in hundredths
SHOWN = (0, 40, 50, 60, 70, 80, 90)  # hundredths, in the table
HOURS_A_DAY = 24.0
LEAST_HOURS = 1.0
CONFIDENCE = 0.95


class Point(Struct, frozen=True):
    """Events a day whose best probability reaches `min_probability`."""

    min_probability: float
    events: int
    per_day: float


class Proposal(Struct, frozen=True, kw_only=True):
    """Schema `seisedge.least_probability/1`.

    per_day: the wanted limit. at_most_per_day: 95 % upper limit of the rate of false events with the proposal, from the
    number of events in these hours (Poisson). chosen: the proposal, with what a run with it has kept; None where no
    value up to 1 keeps the limit. curve: events of a run without a limit.
    """

    schema: str = "seisedge.least_probability/1"
    station: str
    model: str
    model_sha256: str
    hours: float
    opened: int
    per_day: float
    chosen: Point | None
    at_most_per_day: float | None
    curve: list[Point]


def proposal_from(
    config: StationConfig, data: Sequence[str], models: Models, per_day: float, metadata: StationXml | None
) -> Proposal:
    """Run the station on `data` and propose the smallest probability with at most `per_day` events a day.

    Raises InputError for data without usable samples of the station, or with less than an hour of them.
    """
    engine, name = models.event_type, config.station_id
    if engine is None:
        raise InputError("--noise needs a model of event types")

    def counted_with(least: float) -> Counted:
        events = msgspec.structs.replace(config.events, min_probability=least)
        with open_source(list(data)) as source:
            packets = (p for p in source.packets() if p is not None and p.source_id.station_id == name)
            return count_events(packets, models, config.mode, msgspec.structs.replace(config, events=events), metadata)

    counted = counted_with(0.0)
    if counted.hours < LEAST_HOURS:
        raise InputError(
            f"{', '.join(data)}: contains {counted.hours:.2f} h of usable samples of {name}; --noise needs at least "
            f"{LEAST_HOURS:g} h, and a day or more for a limit of one event a day"
        )
    days = counted.hours / HOURS_A_DAY
    curve = [_point(percent / 100, counted, days) for percent in PERCENT]
    chosen = next((point for point in curve if point.per_day <= per_day), None)
    while chosen is not None and chosen.min_probability > 0:
        kept = counted_with(chosen.min_probability)
        chosen = _point(chosen.min_probability, kept, days)
        if chosen.per_day <= per_day:
            break
        further = (_point(percent / 100, kept, days) for percent in PERCENT)
        chosen = next((p for p in further if p.min_probability > chosen.min_probability and p.per_day <= per_day), None)
    return Proposal(
        station=str(name),
        model=engine.card.name,
        model_sha256=engine.sha256,
        hours=round(counted.hours, 2),
        opened=counted.opened,
        per_day=per_day,
        chosen=chosen,
        at_most_per_day=None if chosen is None else round(poisson_limit(chosen.events) / days, 2),
        curve=curve,
    )


def metadata_of(config: StationConfig, station: Path, files: Sequence[Path]) -> StationXml | None:
    """The StationXML of the station file or of the other files, checked against it. Raises InputError."""
    metadata = Stations.read([station, *files]).stationxml(str(config.station_id))
    if metadata is not None:
        check_metadata(config, metadata)
    return metadata


def poisson_limit(events: int) -> float:
    """The largest mean number of events for which `events` or fewer have a probability of 5 %."""
    return float(chi2.ppf(CONFIDENCE, 2 * (events + 1)) / 2)


def text_from_proposal(proposal: Proposal) -> str:
    """Text for the terminal; ends with the lines for the station file."""
    p = proposal
    lines = [
        f"{p.station}: {p.hours:.1f} h of noise, model {p.model} ({p.model_sha256[:12]}…)",
        f"  {p.opened} onsets opened an event, {p.curve[0].events} of these were kept to the end",
        "",
        f"{'min_probability':>15} {'events':>7} {'per day':>8}",
    ]
    lines += [f"{q.min_probability:15.2f} {q.events:7d} {q.per_day:8.1f}" for q in (p.curve[k] for k in SHOWN)]
    if p.chosen is None:
        return "\n".join([*lines, "", f"no value keeps the events at or below {p.per_day:g} a day"])
    return "\n".join(
        [
            *lines,
            "",
            f"a run with {p.chosen.min_probability:.2f} keeps {p.chosen.events} events, {p.chosen.per_day:.1f} a day; "
            f"with 95 % confidence at most {p.at_most_per_day:.1f} a day",
            "earthquakes below this probability are lost too: docs/detection.md has the share",
            "",
            "[events]",
            f"min_probability = {p.chosen.min_probability:.2f}",
        ]
    )


def _point(least: float, counted: Counted, days: float) -> Point:
    events = sum(p >= least for p in best_probabilities(counted.kept))
    return Point(least, events, round(events / days, 2))

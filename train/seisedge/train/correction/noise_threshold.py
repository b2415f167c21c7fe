"""Propose `[events] noise_threshold`: the station is run on its own noise, and the events that it keeps are counted.

The recording should hold no earthquake: each event in it counts as false, and an earthquake makes the proposal smaller
than it need be. An onset that is retracted no longer ends the window of the event before it, whose probabilities then
change: the proposal is therefore run, and lowered until the limit is kept.

The default of the station is the least strict proposal: few or no events in a day do not show that a site needs less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from scipy.stats import chi2  # type: ignore[import-untyped]  # scipy publishes no types

from seisedge.runtime.config import EventsConfig, StationConfig, check_metadata
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources import Source, open_source
from seisedge.train.dataset.stations import Stations
from seisedge.train.evaluation.false_events import Counted, count_events, kept_with

BY_LABEL = 0.0  # an event is retracted where noise is its most probable label, whatever the probability
# In the order in which they are tried, from the default of the station on. With the onset detector each retracts what
# the one before does, and more. With STA/LTA those above 1 / number of labels keep events that BY_LABEL retracts.
THRESHOLDS = (BY_LABEL, *(percent / 100 for percent in range(50, 0, -1)), 0.005, 0.002, 0.001)
SHOWN = (BY_LABEL, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # in the table
HOURS_A_DAY = 24.0
LEAST_HOURS = 1.0
CONFIDENCE = 0.95


class Point(Struct, frozen=True):
    """Events a day that are kept with `noise_threshold`."""

    noise_threshold: float
    events: int
    per_day: float


class Proposal(Struct, frozen=True, kw_only=True):
    """Schema `seisedge.noise_threshold/1`.

    default: of what opens the events. present: of the station file; None: not set. per_day: the wanted limit.
    at_most_per_day: 95 % upper limit of the rate of false events with the proposal, from the number of events in these
    hours (Poisson). chosen: the proposal, with what a run with it has kept; None where no value from the default down
    to 0.001 keeps the limit. curve: by the last answers of a run with 0.
    """

    schema: str = "seisedge.noise_threshold/1"
    station: str
    model: str
    model_sha256: str
    hours: float
    opened: int
    default: float
    present: float | None
    per_day: float
    chosen: Point | None
    at_most_per_day: float | None
    curve: list[Point]


def proposal_from(
    config: StationConfig, data: Sequence[str], models: Models, per_day: float, metadata: StationXml | None
) -> Proposal:
    """Run the station on `data` and propose the first of THRESHOLDS, from its default on, with at most `per_day` events
    a day.

    Raises InputError for data without usable samples of the station, or with less than an hour of them, and where no
    event has a type.
    """
    engine, name = models.event_type, config.station_id
    if engine is None:
        raise InputError("--noise needs a model of event types")

    recorded: set[str] = set()

    def packets_of(source: Source) -> Iterator[Packet]:
        for packet in source.packets():
            if packet is not None:
                recorded.add(packet.source_id.station_id)
                if packet.source_id.station_id == name:
                    yield packet

    def counted_with(threshold: float) -> Counted:
        events = msgspec.structs.replace(config.events, noise_threshold=threshold)
        with open_source(list(data)) as source:
            settings = msgspec.structs.replace(config, events=events)
            return count_events(packets_of(source), models, config.mode, settings, metadata)

    counted = counted_with(BY_LABEL)
    if recorded and name not in recorded:
        raise InputError(f"{', '.join(data)}: contains no record of {name}, only of {', '.join(sorted(recorded))}")
    require_types(counted, data, str(name))
    if counted.hours < LEAST_HOURS:
        raise InputError(
            f"{', '.join(data)}: contains {counted.hours:.2f} h of usable samples of {name}; --noise needs at least "
            f"{LEAST_HOURS:g} h, and a day or more for a limit of one event a day"
        )
    days = counted.hours / HOURS_A_DAY
    curve = [_point(threshold, counted, days) for threshold in THRESHOLDS]
    opener = config.trigger.kind_in(config.mode, has_detector=models.onset is not None)
    if any(event.trigger.kind == "sta_lta" for event in counted.kept):
        opener = "sta-lta"  # also in place of a detector whose band the channels do not carry
    default = EventsConfig().noise_limit(opener)
    allowed = curve[THRESHOLDS.index(default) :]
    chosen = next((point for point in allowed if point.per_day <= per_day), None)
    while chosen is not None and chosen.noise_threshold != BY_LABEL:
        kept = counted_with(chosen.noise_threshold)
        chosen = _point(chosen.noise_threshold, kept, days)
        if chosen.per_day <= per_day:
            break
        smaller = THRESHOLDS[THRESHOLDS.index(chosen.noise_threshold) + 1 :]
        further = (_point(threshold, kept, days) for threshold in smaller)
        chosen = next((point for point in further if point.per_day <= per_day), None)
    return Proposal(
        station=str(name),
        model=engine.card.name,
        model_sha256=engine.sha256,
        hours=round(counted.hours, 2),
        opened=counted.opened,
        default=default,
        present=config.events.noise_threshold,
        per_day=per_day,
        chosen=chosen,
        at_most_per_day=None if chosen is None else round(poisson_limit(chosen.events) / days, 2),
        curve=curve,
    )


def require_types(counted: Counted, data: Sequence[str], name: str) -> None:
    """Raises InputError where there are events and none has a type."""
    if counted.kept and all(event.event_type is None for event in counted.kept):
        reasons = {q.reason for event in counted.kept for q in event.quality if q.code in ("band", "insufficient")}
        raise InputError(
            f"{', '.join(data)}: {name} has {len(counted.kept)} events and none has a type "
            f"({'; '.join(sorted(reasons)) or 'no answer'}), so that noise_threshold has no effect"
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
        f"  {p.opened} onsets opened an event; with 0, {p.curve[0].events} of these are kept to the end",
        "",
        f"{'noise_threshold':>15} {'events':>7} {'per day':>8}",
    ]
    shown = (q for q in p.curve if q.noise_threshold in SHOWN)
    lines += [f"{q.noise_threshold:>15g} {q.events:7d} {q.per_day:8.1f}" for q in shown]
    if p.chosen is None:
        return "\n".join([*lines, "", f"no value keeps the events at or below {p.per_day:g} a day"])
    is_default = p.chosen.noise_threshold == p.default != BY_LABEL
    differs = p.present is not None and p.present != p.chosen.noise_threshold
    return "\n".join(
        [
            *lines,
            "",
            f"a run with {p.chosen.noise_threshold:g} keeps {p.chosen.events} event(s), {p.chosen.per_day:.1f} a "
            "day; "
            f"with 95 % confidence at most {p.at_most_per_day:.1f} a day",
            *([f"{p.default:g} is the default; a less strict value is never proposed"] if is_default else []),
            *([f"the station file has {p.present:g} now"] if differs else []),
            "earthquakes with such a probability of noise are lost too: docs/detection.md has the share",
            "",
            "[events]",
            f"noise_threshold = {p.chosen.noise_threshold:g}",
        ]
    )


def _point(threshold: float, counted: Counted, days: float) -> Point:
    events = kept_with(threshold, counted.kept)
    return Point(threshold, events, round(events / days, 2))

"""False events of an event-type model on continuous noise: the station is run on it, with the bundled onset detector.

Nothing in the noise is an event, so each event that is kept to the end is false. An event that was emitted and then
retracted as noise is counted apart; one that was noise from the first answer on is only opened.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import EventsConfig, Mode, ModelsConfig, StationConfig
from seisedge.runtime.engines._base import Array, Engine
from seisedge.runtime.event import Event
from seisedge.runtime.inference.estimate import probability_of_noise
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station
from seisedge.train.dataset.progress import progress
from seisedge.train.evaluation.detector_input import card_of
from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.noise_packets import Recording, recordings_in
from seisedge.train.evaluation.onset import ratio_of
from seisedge.train.evaluation.subject import Subject

KEPT, RETRACTED, OPENED = "events kept per hour", "events retracted per hour", "events opened per hour"
MODES: tuple[Mode, ...] = ("triggered", "continuous")
# The default, with which the station is run, and below
NOISE_THRESHOLDS = (EventsConfig().noise_limit("onset"), 0.02, 0.005, 0.001)
UNKNOWN = "unknown"  # instead of the label of an event without a type
PACKETS_A_STEP = 100  # of a recording, between two steps of the station


class FalseEvents(Struct, frozen=True, kw_only=True):
    """Counts on the noise of one folder in one mode. labels: label of the last answer, or `UNKNOWN` → events kept.

    below: `noise_threshold` → events that it keeps, by their last answer.
    """

    on: str
    mode: Mode
    sites: int
    hours: float
    opened: int
    retracted: int
    kept: int
    labels: dict[str, int]
    below: dict[str, int]


class SubjectEngine(Engine):
    """Runs the network of a subject as the event-type model of a station."""

    name = "subject"

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        super().__init__(Path(subject.path))

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        return self._subject.sha256, card_of(self._subject)

    def _infer(self, waveform: Array, valid: Array) -> Array:
        found = self._subject.network(torch.from_numpy(waveform), torch.from_numpy(valid))
        return found.astype(np.float32)


@dataclass
class Counted:
    """Counts of one recording."""

    hours: float = 0.0
    opened: int = 0
    retracted: int = 0
    kept: list[Event] = field(default_factory=list)


def add_false_events(out: Figures, subject: Subject, folders: Sequence[Path]) -> list[FalseEvents]:
    """Run the station on the noise of the folders; add the figures, with intervals over sites. Raises InputError."""
    detector = Models.load(ModelsConfig(event_type="none")).onset
    models = Models(SubjectEngine(subject), None, detector)
    found = []
    for folder in folders:
        recordings = recordings_in(folder)
        name = text_from_path(folder)
        for mode in MODES:
            what = f"recordings of {name}, {mode}"
            counts = [count_events(r.packets(), models, mode) for r in progress(recordings, what)]
            found.append(add_rates(out, f"noise of {name}", mode, recordings, counts))
    return found


def count_events(
    packets: Iterable[Packet],
    models: Models,
    mode: Mode,
    config: StationConfig | None = None,
    metadata: StationXml | None = None,
) -> Counted:
    """Run the stations of a recording on its packets. config, metadata: of all of them; None: the defaults."""
    settings = config or StationConfig()
    stations: dict[str, Station] = {}
    latest: dict[str, Event] = {}
    length_s: dict[tuple[str, str], float] = defaultdict(float)  # station and channel → seconds of samples

    def take(drafts: Iterable[Draft]) -> None:
        latest.update({draft.line.id: draft.line for draft in drafts if isinstance(draft.line, Event)})

    for n, packet in enumerate(packets, 1):
        name = packet.source_id.station_id
        station = stations.setdefault(name, Station(name, settings, models, mode, metadata=metadata))
        if station.add(packet):
            length_s[name, packet.source_id.channel] += (packet.endtime_ns - packet.starttime_ns) / NS_PER_S
        if n % PACKETS_A_STEP == 0:
            for each in stations.values():
                take(each.step())
    for station in stations.values():
        take(station.finish())
    longest = {name: max(s for (other, _), s in length_s.items() if other == name) for name, _ in length_s}
    kept = [event for event in latest.values() if event.status != "retracted"]
    return Counted(
        hours=sum(longest.values()) / 3600,
        opened=len(latest) + sum(s.counters.noise_events for s in stations.values()),
        retracted=len(latest) - len(kept),
        kept=kept,
    )


def kept_with(threshold: float, events: Iterable[Event]) -> int:
    """How many of `events`, which were kept with 0, `noise_threshold` keeps by their last answer. It retracts no event
    without a type.
    """
    types = (event.event_type for event in events)
    return sum(t is None or threshold == 0 or probability_of_noise(t) < threshold for t in types)


def add_rates(
    out: Figures, on: str, mode: Mode, recordings: Sequence[Recording], counts: Sequence[Counted]
) -> FalseEvents:
    """Add the figures of one folder in one mode. counts: of each recording."""
    site = np.array([r.site for r in recordings])
    hours = np.array([c.hours for c in counts])
    parts: dict[str, Callable[[Counted], int]] = {
        OPENED: lambda c: c.opened,
        RETRACTED: lambda c: c.retracted,
        KEPT: lambda c: len(c.kept),
    }
    for what, number in parts.items():
        n = np.array([number(c) for c in counts], dtype=np.float64)
        out.add(what, site, ratio_of(n, hours), on=f"{on}, {mode}")
    kept = [event for c in counts for event in c.kept]
    labels = [UNKNOWN if event.event_type is None else event.event_type.label for event in kept]
    return FalseEvents(
        on=on,
        mode=mode,
        sites=len(set(site.tolist())),
        hours=round(float(hours.sum()), 3),
        opened=sum(c.opened for c in counts),
        retracted=sum(c.retracted for c in counts),
        kept=len(kept),
        labels=dict(Counter(labels).most_common()),
        below={f"{limit:g}": kept_with(limit, kept) for limit in NOISE_THRESHOLDS},
    )

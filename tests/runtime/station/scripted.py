"""A triggered station whose onsets are given by the test, so that the borders of its rules are met exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from tests.fakes import T0_NS, classic_config, events_of, packets_of

from seisedge.runtime.config import ChannelConfig, StationConfig, TriggerConfig
from seisedge.runtime.detection.opener import Onset
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station import station as station_module
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station
from seisedge.runtime.station.triggered import TriggeredMode
from seisedge.runtime.timeline.timeline import Timeline

GAIN = {f"HH{c}": ChannelConfig(sensitivity=1e9) for c in "ZNE"}


@dataclass
class ScriptedTrigger(Trigger):
    """Reports the onsets at `onsets_s` (seconds after T0), each `delay_hops` after the first hop that can have it."""

    onsets_s: Iterable[float]
    delay_hops: int = 0

    def started(self, timeline: Timeline, settings: TriggerConfig) -> ScriptedTrigger:
        super().__init__(timeline, settings)
        return self

    def scan(self) -> list[Onset]:
        begin = self.scanned_hop or 0
        super().scan()
        end = self.scanned_hop or 0
        times_ns = [T0_NS + round(onset_s * 1e9) for onset_s in self.onsets_s]
        onsets = [Onset(time_ns, self.hop_after(time_ns) + self.delay_hops, 10.0) for time_ns in times_ns]
        return [onset for onset in onsets if begin <= onset.hop < end]


@dataclass
class ScriptedStation:
    """Noise on three components, in packets of 4 s, through a station with a `ScriptedTrigger`."""

    station: Station
    drafts: list[Draft] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return events_of(self.drafts)

    @property
    def mode(self) -> TriggeredMode:
        mode = self.station._mode
        assert isinstance(mode, TriggeredMode)
        return mode

    def feed(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            self.station.add(packet)
            self.drafts += self.station.step()

    def story(self, number: int = 0) -> list[tuple[str, float]]:
        """Status and answer length of the revisions of one event, in order of the events' first revisions."""
        ids = list(dict.fromkeys(event.id for event in self.events))
        return [(e.status, e.window.answer_s) for e in self.events if e.id == ids[number]]


def noise(seconds: float, components: str = "ZNE", packet_s: float = 4.0) -> list[Packet]:
    """The same samples for every length."""
    rng = np.random.default_rng(7)
    whole = rng.normal(0, 20, (3, 25_000)).round().astype(np.int32)
    rows = {f"HH{c}": x[: round(seconds * 100)] for c, x in zip("ZNE", whole, strict=True) if c in components}
    return packets_of(rows, packet_s)


def begin(
    monkeypatch: pytest.MonkeyPatch,
    models: Models,
    onsets_s: Iterable[float],
    *,
    delay_hops: int = 0,
    config: StationConfig | None = None,
    skipped: Iterable[bool] = (),
) -> ScriptedStation:
    """skipped: whether the windows are skipped, one after the other; then none is."""
    monkeypatch.setattr(station_module, "Trigger", ScriptedTrigger(tuple(onsets_s), delay_hops).started)
    skips = iter(skipped)
    config = config or classic_config(channels=GAIN)
    return ScriptedStation(Station("XX.STA", config, models, "triggered", lambda: next(skips, False)))


def run(
    monkeypatch: pytest.MonkeyPatch,
    models: Models,
    onsets_s: Iterable[float],
    *,
    seconds: float = 140.0,
    components: str = "ZNE",
    delay_hops: int = 0,
    config: StationConfig | None = None,
    skipped: Iterable[bool] = (),
) -> ScriptedStation:
    made = begin(monkeypatch, models, onsets_s, delay_hops=delay_hops, config=config, skipped=skipped)
    made.feed(noise(seconds, components))
    made.drafts += made.station.finish()
    return made

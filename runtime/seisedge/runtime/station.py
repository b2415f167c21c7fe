"""Station: packets of one station in, drafts of lines out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

from seisedge.runtime.channels import Channels
from seisedge.runtime.config import Mode, StationConfig
from seisedge.runtime.continuous import ContinuousMode
from seisedge.runtime.draft import Draft, StationCounters
from seisedge.runtime.inference import Models
from seisedge.runtime.packet import Packet
from seisedge.runtime.resample import reaches_band
from seisedge.runtime.timeline import KEEP_S, Timeline
from seisedge.runtime.track import GridSpec
from seisedge.runtime.trigger import TRIGGER_GRID, Trigger
from seisedge.runtime.triggered import TriggeredMode
from seisedge.runtime.windows import grid_of

logger = logging.getLogger(__name__)

LONG_GAP_S = 30.0  # beyond the time components are waited for

SLOW_SHARE = 0.8  # of the Nyquist frequency a slow channel is triggered on
TRIGGER_HEADROOM_HZ = 1.0  # the trigger's band must be at least this wide


class Station:
    """Everything that is per station; built when its first usable packet tells the sampling rate."""

    def __init__(self, station_id: str, config: StationConfig, models: Models, mode: Mode) -> None:
        self.station_id = station_id
        self.counters = StationCounters()
        self.channels = Channels(station_id, config)
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._config = config
        self._models = models
        self._mode_name: Mode = mode
        self._timelines: dict[GridSpec, Timeline] = {}
        self._mode: TriggeredMode | ContinuousMode | None = None
        self._too_slow: set[str] = set()
        self._early: list[Draft] = []  # what a long gap made due

    def add(self, packet: Packet) -> None:
        """Take a packet; those of other sensors, and those too slow to trigger on, are counted and left."""
        if not self._fast_enough(packet):
            return
        component = self.channels.component_of(packet)
        if component is None:
            return
        if self._mode is None:
            self._build(packet.sampling_rate_hz)
        self._cross_gap(packet)
        self.counters.packets += 1
        self.first_ns = min(self.first_ns or packet.starttime_ns, packet.starttime_ns)
        self.last_ns = max(self.last_ns or packet.endtime_ns, packet.endtime_ns)
        for spec, timeline in self._timelines.items():
            if reaches_band(packet.sampling_rate_hz, spec.pass_hz):
                timeline.add(component, packet)
            elif (name := f"{packet.source_id} {spec.pass_hz:g}") not in self._too_slow:
                self._too_slow.add(name)
                logger.warning(
                    "%s: %s at %g Hz does not carry %g Hz; that component is left out",
                    self.station_id,
                    packet.source_id,
                    packet.sampling_rate_hz,
                    spec.pass_hz,
                )

    def step(self) -> Iterator[Draft]:
        """Everything that the packets so far make due."""
        early, self._early = self._early, []
        yield from early
        if self._mode is not None:
            yield from self._mode.step()

    def finish(self) -> Iterator[Draft]:
        """The stream has ended: close what is open with what there is."""
        early, self._early = self._early, []
        yield from early
        if self._mode is not None:
            for timeline in self._timelines.values():
                timeline.finish()
            yield from self._mode.step(ended=True)

    @property
    def tracks(self) -> list[Timeline]:
        """The timelines, for their counters."""
        return list(self._timelines.values())

    def _cross_gap(self, packet: Packet) -> None:
        """Before the first packet after a long gap: let what is open run out, then forget the empty stretch."""
        assert self._mode is not None
        leaps = [t for t in self._timelines.values() if t.ready_k and t.leap_to(packet) > t.ready_k + _k(t, LONG_GAP_S)]
        if not leaps:
            return
        for _ in range(math.ceil(KEEP_S / LONG_GAP_S)):
            for timeline in leaps:
                timeline.give_up(min(timeline.ready_k + _k(timeline, LONG_GAP_S), timeline.leap_to(packet)))
            self._early += self._mode.step()
        for timeline in leaps:
            timeline.restart(max(timeline.leap_to(packet), timeline.ready_k))

    def _fast_enough(self, packet: Packet) -> bool:
        """False for a channel whose band leaves the trigger nothing above its high-pass."""
        lowest_hz = self._config.trigger.highpass_hz + TRIGGER_HEADROOM_HZ
        if SLOW_SHARE * packet.sampling_rate_hz / 2 >= lowest_hz:
            return True
        name = str(packet.source_id)
        if name not in self._too_slow:
            self._too_slow.add(name)
            logger.warning(
                "%s: %s at %g Hz is too slow for a trigger above %g Hz; it is left out",
                self.station_id,
                name,
                packet.sampling_rate_hz,
                self._config.trigger.highpass_hz,
            )
        return False

    def _build(self, rate_hz: float) -> None:
        trigger_grid = TRIGGER_GRID
        if not reaches_band(rate_hz, trigger_grid.pass_hz):
            trigger_grid = GridSpec(TRIGGER_GRID.rate_hz, SLOW_SHARE * rate_hz / 2)
        settings = self._config.timeline
        model_grids = [grid_of(engine.card) for engine in self._models.engines]
        carried = [grid for grid in model_grids if reaches_band(rate_hz, grid.pass_hz)]
        for grid in dict.fromkeys([trigger_grid, *carried]):
            self._timelines[grid] = Timeline(
                self.station_id,
                grid,
                components=settings.components,
                max_wait_s=settings.max_wait_s,
                reorder_wait_s=settings.reorder_wait_s,
            )
        of_models = {grid: self._timelines[grid] for grid in carried}
        if self._mode_name == "continuous":
            self._mode = ContinuousMode(
                self.station_id, self._config, self._models, self.channels, of_models, self.counters
            )
        else:
            trigger = Trigger(self._timelines[trigger_grid], self._config.trigger.settings())
            self._mode = TriggeredMode(
                self.station_id, self._config, self._models, self.channels, trigger, of_models, self.counters
            )


def _k(timeline: Timeline, seconds: float) -> int:
    return round(seconds * timeline.spec.rate_hz)

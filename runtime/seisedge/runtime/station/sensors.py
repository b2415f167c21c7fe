"""Sensors of a station: a seismometer, an accelerometer, or both.

The accelerometer is integrated to velocity. Where a station has both, the seismometer is used, and the accelerometer
takes its place where a sample of it is missing, dead or clipped. That needs the gains of both: without them the
accelerometer is ignored from the first packet of the seismometer on.
"""

from __future__ import annotations

import bisect
import logging

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import iso_from_ns, ns_from_s
from seisedge.runtime.config import StationConfig
from seisedge.runtime.event import SensorPart
from seisedge.runtime.records.channelcode import COMPONENTS, SECOND, quantity_of_code
from seisedge.runtime.records.orientation import WeightsByTime
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import ChannelEpoch, StationXml
from seisedge.runtime.station.channels import Channels, metadata_of
from seisedge.runtime.station.scale import Scale
from seisedge.runtime.timeline.masks import runs
from seisedge.runtime.timeline.timeline import RatiosByTime

logger = logging.getLogger(__name__)

SAME_DEPTH_M = 10.0  # sensors that are further apart do not record the same motion
MAX_PARTS = 8  # of a component in an event; the last one extends to the end of what is left

SensorState = tuple[tuple[str, str] | None, dict[str, str]]


class Sensors:
    """The channels of the seismometer and of the accelerometer of one station.

    metadata, strict: see `Channels`; the accelerometer of a station with a seismometer need not have a gain.
    """

    def __init__(
        self, station_id: str, config: StationConfig, metadata: StationXml | None = None, *, strict: bool = False
    ) -> None:
        self.station_id = station_id
        if metadata is None:
            metadata = metadata_of(config)
        self.seismometer = Channels(station_id, config, metadata, strict=strict)
        required = strict and not self.seismometer.is_described
        self.accelerometer = Channels(station_id, config, metadata, quantity="acceleration", strict=required)
        self._can_join = self.seismometer.has_gain and self.accelerometer.has_gain
        self._ratios: RatiosByTime = ()
        self._scales: list[tuple[int, Scale]] = []
        self._of: tuple[object, object] | None = None  # the scales of the two sensors that these were made from
        self._ignored: dict[str, int] = {}
        self._why: dict[str, str] = {}

    def state(self) -> tuple[SensorState, SensorState]:
        """The states of the seismometer and of the accelerometer, see `Channels.state`."""
        return self.seismometer.state(), self.accelerometer.state()

    def restore(self, seismometer: SensorState, accelerometer: SensorState) -> None:
        """Continue with an earlier `state`."""
        self.seismometer.restore(*seismometer)
        self.accelerometer.restore(*accelerometer)

    @property
    def metadata(self) -> tuple[ChannelEpoch, ...]:
        """The epochs of this station in StationXML; its events depend on them."""
        return self.seismometer.metadata

    @property
    def codes(self) -> dict[str, str]:
        """Channel code of each component: of the seismometer where it has the component, else of the accelerometer."""
        return self.accelerometer.codes | self.seismometer.codes

    @property
    def awaited(self) -> tuple[bool, bool]:
        """Whether to wait at the start for the seismometer, and for the accelerometer.

        The accelerometer only where it can take the place of the seismometer, or where no seismometer is described.
        """
        alone = self.accelerometer.is_described and not self.seismometer.is_described
        return not alone, alone or self._can_join

    @property
    def triaxial(self) -> bool:
        """True for a seismometer with U, V, W; see `Channels.triaxial`."""
        return self.seismometer.triaxial

    @property
    def uses_second(self) -> bool:
        """True if samples of the accelerometer are used, now or where the seismometer cannot be used."""
        return bool(self.accelerometer.codes) and (self._can_join or not self.seismometer.codes)

    @property
    def ignored(self) -> dict[str, int]:
        """Number of packets of channels that are not used, by source id."""
        return self.seismometer.ignored | self.accelerometer.ignored | self._ignored

    @property
    def reasons(self) -> dict[str, str]:
        """Why channels are not used, by source id."""
        return self.seismometer.reasons | self.accelerometer.reasons | self._why

    @property
    def weights(self) -> WeightsByTime:
        """Of the seismometer, see `Channels.weights`."""
        return self.seismometer.weights

    @property
    def second_weights(self) -> WeightsByTime:
        """Of the accelerometer, see `Channels.weights`."""
        return self.accelerometer.weights

    @property
    def ratios(self) -> RatiosByTime:
        """Scale of the accelerometer relative to the seismometer, see `RatiosByTime`; empty where it is not used."""
        if not self.accelerometer.codes:
            return ()
        self._join()
        return self._ratios

    def check_axes(self, valid: npt.NDArray[np.bool_], start_ns: int, rate_hz: float) -> None:
        """Log that an axis of a triaxial seismometer is missing; see `Channels.check_axes`."""
        self.seismometer.check_axes(valid, start_ns, rate_hz)

    def row_of(self, packet: Packet) -> str | None:
        """Component of a packet's channel: of `COMPONENTS`, or of `SECOND` for the accelerometer; None if it is unused.

        Raises InputError, see `Channels`.
        """
        if quantity_of_code(packet.source_id.channel) != "acceleration":
            return self.seismometer.row_of(packet)
        if self.seismometer.codes and not self._can_join:
            self._ignore(packet)
            return None
        row = self.accelerometer.row_of(packet)
        return SECOND[row] if row is not None else None

    def known_row_of(self, packet: Packet) -> str | None:
        """As `row_of`, for a channel of the seismometer whose rate has not changed; None for all others."""
        return self.seismometer.known_row_of(packet)

    def _ignore(self, packet: Packet) -> None:
        name = str(packet.source_id)
        if name not in self._ignored:
            missing = [] if self.seismometer.has_gain else ["the seismometer"]
            missing += [] if self.accelerometer.has_gain else ["the accelerometer"]
            why = f"it cannot take the place of {self.seismometer.name} without a gain for {' and for '.join(missing)}"
            level = logging.DEBUG if why in self._why.values() else logging.WARNING  # one warning per sensor
            logger.log(level, "%s: channel %s is ignored: %s", self.station_id, name, why)
            self._why[name] = why
        self._ignored[name] = self._ignored.get(name, 0) + 1

    def at(self, time_ns: int) -> Scale:
        """Scale of a window with this onset, in counts of the seismometer if there is one; see `Channels.at`."""
        if not self.accelerometer.codes:
            return self.seismometer.at(time_ns)
        if not self.seismometer.codes:
            return self.accelerometer.at(time_ns)
        scale = self.seismometer.at(time_ns)
        if not self._can_join:
            return scale
        self.accelerometer.at(time_ns)  # logs its remarks
        self._join()
        return self._scales[bisect.bisect_right(self._scales, time_ns, key=lambda piece: piece[0]) - 1][1]

    def apart_m(self, time_ns: int) -> float:
        """Difference in depth of the two sensors by StationXML; 0 if it is small, unknown, or there is one sensor."""
        if not (self.seismometer.codes and self.accelerometer.codes):
            return 0.0
        depths_m = self.seismometer.depth_at(time_ns), self.accelerometer.depth_at(time_ns)
        if depths_m[0] is None or depths_m[1] is None or abs(depths_m[0] - depths_m[1]) <= SAME_DEPTH_M:
            return 0.0
        return abs(depths_m[0] - depths_m[1])

    def parts(self, second: npt.NDArray[np.bool_] | None, start_ns: int, rate_hz: float) -> list[SensorPart]:
        """Parts of a window from `start_ns` on that are samples of the accelerometer; second: (3, n), True there."""
        found: list[SensorPart] = []
        if second is None:
            return found
        for component, row in zip(COMPONENTS, second, strict=True):
            stretches = runs(row)
            if len(stretches) > MAX_PARTS:
                stretches = [*stretches[: MAX_PARTS - 1], (stretches[MAX_PARTS - 1][0], stretches[-1][1])]
            for n0, n1 in stretches:
                begin, end = (iso_from_ns(start_ns + ns_from_s(n / rate_hz)) for n in (n0, n1))
                found.append(
                    SensorPart(component=component, sensor=self.accelerometer.name, start=begin, end=end)  # type: ignore[arg-type]
                )
        return found

    def _join(self) -> None:
        """Compute scales and ratios by time, unless neither sensor has changed."""
        first, second = self.seismometer.scales(), self.accelerometer.scales()
        if self._of is not None and self._of[0] is first and self._of[1] is second:
            return
        self._of = (first, second)
        if not self.seismometer.codes:
            self._scales, self._ratios = second, ((second[0][0], np.ones(3)),)
            return
        scales, ratios = [], []
        for begin_ns in sorted({begin_ns for begin_ns, _ in first} | {begin_ns for begin_ns, _ in second}):
            one, other = (
                pieces[bisect.bisect_right(pieces, begin_ns, key=lambda piece: piece[0]) - 1][1]
                for pieces in (first, second)
            )
            scale, ratio = self._joined(one, other)
            scales.append((begin_ns, scale))
            ratios.append((begin_ns, ratio))
        self._scales, self._ratios = scales, tuple(ratios)

    def _joined(self, one: Scale, other: Scale) -> tuple[Scale, npt.NDArray[np.float64]]:
        """Scale of the rows together, and the ratios (3,) from the second sensor's counts to those of the first.

        A component that the seismometer does not have is in the counts of one that it has.
        """
        polarity, metres = one.polarity.copy(), one.metres_per_count.copy()
        if not (one.has_gain and other.has_gain):
            return one, np.full(3, np.nan)
        known = np.flatnonzero(np.isfinite(metres))
        for row, component in enumerate(COMPONENTS):
            alone = component not in self.seismometer.codes and one.weights is None
            if alone and np.isfinite(other.metres_per_count[row]):
                polarity[row], metres[row] = 1.0, metres[known[0]]
        ratio = other.polarity * other.metres_per_count / (polarity * metres)
        scale = Scale(polarity, metres, one.has_gain, one.calibrated, one.weights, one.remarks)
        return scale, np.asarray(ratio)

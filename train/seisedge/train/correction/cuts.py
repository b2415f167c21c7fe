"""Windows of catalogued events at one station, cut and scaled as the station runtime does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.config import MagnitudeConfig, StationConfig
from seisedge.runtime.inference.windows import Window, cut_window, grid_of, start_of_window
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.station.channels import Channels
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.train.dataset.catalogue import CatalogueEvent
from seisedge.train.dataset.onset import VISIBLE_RATIO, find_onset, power_from_record
from seisedge.train.dataset.recordings import Recordings
from seisedge.train.dataset.stations import Site
from seisedge.train.dataset.traveltimes import MISPLACED, TravelTimes, distance_km, fits_travel_time

BEFORE_S = 30.0  # data read before the window, for the noise level
EARLY_S, LATE_S, RISE_S = (
    2.0,
    3.0,
    0.5,
)  # search range for the rise of energy, relative to a computed P; averaging length
CODA_S = 15.0  # time after the P of another event in which its coda disturbs a window
LARGEST_KM = 300.0


@dataclass(frozen=True, slots=True)
class EventWindow:
    """The window of one event at the station.

    window: samples in counts. scale: (3,), m/s per count without a correction, NaN for a component without a gain.
    """

    event: CatalogueEvent
    magnitude: float
    distance_km: float
    onset_ns: int
    window: Window
    scale: npt.NDArray[np.float64]
    answer_s: float


def p_time_ns(event: CatalogueEvent, station: str, site: Site | None, times: TravelTimes) -> tuple[int, bool] | None:
    """Time of P at the station and whether it is a pick; None if neither a pick nor a position is known."""
    pick = event.pick("P", station)
    if pick is not None:
        return pick.time_ns, True
    if site is None:
        return None
    far = distance_km(event.latitude_deg, event.longitude_deg, site.latitude_deg, site.longitude_deg)
    p_s, _ = times.times_s(far, event.depth_km or 0.0)
    return (event.origin_ns + ns_from_s(p_s), False) if np.isfinite(p_s) and far <= LARGEST_KM else None


class EventCutter:
    """Cuts the windows of events from recordings. left_out: number of events by reason, filled by `cut`.

    metadata: StationXML that takes precedence over that of the station file.
    """

    def __init__(
        self,
        config: StationConfig,
        recordings: Recordings,
        card: ModelCard,
        site: Site | None,
        times: TravelTimes,
        metadata: StationXml | None = None,
    ) -> None:
        # without the present correction, because it is to be fitted
        self._config = msgspec.structs.replace(config, magnitude=MagnitudeConfig())
        self._recordings, self._card, self._site, self._times = recordings, card, site, times
        self._metadata = metadata
        self.misplaced = 0  # events whose P pick does not fit the positions of event and station
        self.station = str(config.station_id)
        self.left_out: Counter[str] = Counter()
        self.calibrated = False

    def cut(self, events: Sequence[CatalogueEvent]) -> Iterator[EventWindow]:
        """The windows of usable events, sorted by time. A window ends half a second before the P of the next event."""
        arrivals: list[tuple[int, bool, CatalogueEvent]] = []
        for event in events:
            found = p_time_ns(event, self.station, self._site, self._times)
            if found is not None and found[1] and self._is_misplaced(event, found[0]):
                self.left_out[MISPLACED] += 1
                self.misplaced += 1
            elif found is not None:
                arrivals.append((*found, event))
            else:
                self.left_out[
                    "no pick at the station, and the position of the station is unknown"
                    if self._site is None
                    else f"no pick, and farther than {LARGEST_KM:g} km from the position of the station"
                ] += 1
        arrivals.sort(key=lambda a: a[0])
        for i, (p_ns, picked, event) in enumerate(arrivals):
            earlier_ns = arrivals[i - 1][0] if i else p_ns - 2 * ns_from_s(CODA_S)
            later_ns = arrivals[i + 1][0] if i + 1 < len(arrivals) else p_ns + ns_from_s(86_400.0)
            cut = self._cut(event, p_ns, picked, earlier_ns, later_ns)
            if isinstance(cut, str):
                self.left_out[cut] += 1
            else:
                yield cut

    def _cut(self, event: CatalogueEvent, p_ns: int, picked: bool, earlier_ns: int, later_ns: int) -> EventWindow | str:
        card = self._card
        if event.magnitude is None:
            return "no magnitude in the catalogue"
        assert card.magnitude is not None
        closed = [edge for edge in card.magnitude.edges if edge is not None]
        if not closed[0] < event.magnitude <= closed[-1]:
            return f"a magnitude outside the range of the model, {closed[0]:g} to {closed[-1]:g}"
        if p_ns - earlier_ns < ns_from_s(CODA_S):
            return f"another catalogued event less than {CODA_S:g} s before"
        timeline, channels = self._timeline(p_ns)
        if timeline is None:
            return "outside the recordings"
        onset_ns, ratio = self._onset(timeline, p_ns, picked)
        if ratio < VISIBLE_RATIO:
            return "signal too weak"
        end_ns = min(onset_ns + ns_from_s(card.answers_s[-1]), later_ns - ns_from_s(0.5))
        answer_s = (end_ns - onset_ns) / NS_PER_S
        if answer_s < _least_answer(card):
            return f"another catalogued event within {_least_answer(card):g} s after"
        window = cut_window(timeline, card, start_of_window(card, onset_ns), end_ns)
        if window.coverage < card.min_coverage:
            return "gaps in the window"
        scale = channels.at(onset_ns)
        self.calibrated = scale.calibrated
        far = 0.0
        if self._site is not None:
            far = distance_km(
                event.latitude_deg, event.longitude_deg, self._site.latitude_deg, self._site.longitude_deg
            )
        return EventWindow(
            event, event.magnitude, far, onset_ns, window, scale.polarity * scale.metres_per_count, answer_s
        )

    def _is_misplaced(self, event: CatalogueEvent, p_ns: int) -> bool:
        if self._site is None:
            return False
        far = distance_km(event.latitude_deg, event.longitude_deg, self._site.latitude_deg, self._site.longitude_deg)
        expected_s, _ = self._times.times_s(far, event.depth_km or 0.0)
        return not fits_travel_time((p_ns - event.origin_ns) / NS_PER_S, expected_s)

    def _timeline(self, p_ns: int) -> tuple[Timeline | None, Channels]:
        """The timeline of the station around a P wave, None if the vertical has no data there."""
        card = self._card
        start_ns = p_ns - ns_from_s(BEFORE_S + card.onset_s)
        length_s = BEFORE_S + card.onset_s + card.window_s + LATE_S + 5.0
        channels = Channels(self.station, self._config, self._metadata)
        timeline = Timeline(self.station, grid_of(card))
        packets = [p for c in self._recordings.channels() if c.station_id == self.station
                   for p in self._packets(c, start_ns, length_s)]  # fmt: skip
        for packet in sorted(packets, key=lambda p: (p.starttime_ns, p.source_id)):
            component = channels.row_of(packet)
            if component is not None and packet.sampling_rate_hz / 2 > card.band_hz[1]:
                timeline.add(component, packet)
        timeline.weights = channels.weights
        timeline.finish()
        k0 = timeline.k_at(p_ns - ns_from_s(card.onset_s))
        _, valid = timeline.window(k0, k0 + card.n_samples)
        return (timeline if valid[0].any() else None), channels

    def _packets(self, channel: object, start_ns: int, length_s: float) -> Iterator[Packet]:
        cut = self._recordings.cut(channel, start_ns, length_s)  # type: ignore[arg-type]  # a SourceId
        if cut is None:
            return
        edges = np.flatnonzero(np.diff(np.concatenate([[False], cut.valid, [False]]).astype(np.int8)))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            at_ns = cut.start_ns + round(int(first) * NS_PER_S / cut.rate_hz)
            samples = cut.samples[first:last].copy()
            yield Packet(channel, at_ns, cut.rate_hz, samples, RecordFlag.NONE, 0, "")  # type: ignore[arg-type]

    def _onset(self, timeline: Timeline, p_ns: int, picked: bool) -> tuple[int, float]:
        """The onset in ns (a computed P is moved to the rise of energy nearby), and the signal-to-noise ratio."""
        rate = self._card.sampling_rate_hz
        k0 = timeline.k_at(p_ns - ns_from_s(BEFORE_S))
        wave, _ = timeline.window(k0, k0 + round((BEFORE_S + 15.0) * rate))
        power = power_from_record(wave[:1], rate)
        at_s = (p_ns - timeline.time_of(k0)) / NS_PER_S
        reach = (at_s - 0.1, at_s + 0.1) if picked else (at_s - EARLY_S, at_s + LATE_S)
        found = find_onset(power, rate, reach, at_s, RISE_S)
        if picked:
            return p_ns, found.snr
        return timeline.time_of(k0) + round(found.sample * NS_PER_S / rate), found.snr


def _least_answer(card: ModelCard) -> float:
    """The second answer length in s of the model; the first ends before the S wave of most events."""
    return card.answers_s[min(1, len(card.answers_s) - 1)]

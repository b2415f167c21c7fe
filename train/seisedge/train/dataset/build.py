"""Build a data set from a catalogue and recordings: a window around each arrival, and noise between the events.

A window is placed by the P pick of its station. Without a pick it is placed by the computed P arrival, moved to the
first clear rise of energy nearby if there is one; `trace_onset_basis` records which of these was used. A computed
arrival is never written to `trace_p_arrival_sample`. Counts are stored bit-exact. A gap is stored as zeros and listed
in `trace_missing`. Components keep their codes: 1 and 2 are not renamed to north and east.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.channelcode import quantity_of_code
from seisedge.runtime.records.units import UNIT_OF
from seisedge.train.dataset.amplitude import TOO_LARGE, gain_fault, is_too_large
from seisedge.train.dataset.catalogue import Catalogue, CatalogueEvent, Pick
from seisedge.train.dataset.columns import TRIGGER, gain_column
from seisedge.train.dataset.onset import VISIBLE_RATIO, find_onset, power_from_record, snr_at
from seisedge.train.dataset.plan import Built, FilesSkipped, Plan, readme_of
from seisedge.train.dataset.plausible import texts_of
from seisedge.train.dataset.progress import progress
from seisedge.train.dataset.quiet import BEFORE_P_S, QUIET_RATIO, candidates, loudest_ratio, pieces_of, quiet_spans
from seisedge.train.dataset.recordings import Recordings
from seisedge.train.dataset.sensors import Sensor, SensorWindow, missing_text, sensors_of, window_of
from seisedge.train.dataset.split import assign_split, group_overlapping
from seisedge.train.dataset.stations import Site, Stations
from seisedge.train.dataset.traveltimes import MISPLACED, TravelTimes, distance_km, fits_travel_time
from seisedge.train.dataset.vocabulary import kind_of_word
from seisedge.train.dataset.writer import Row, Writer

# How far from a computed P a rise of energy is searched; the last limit keeps the rise of S from being taken for P.
SEARCH_S, SEARCH_SHARE, SEARCH_S_MINUS_P = 0.5, 0.1, 0.6  # s; share of the travel time; share of S minus P
RISE_S = 0.5
NOISE_MARGIN_S, NOISE_LEAST_S = 2.0, 10.0  # before the onset; shortest noise that is used
NEEDED_S = (-1.0, 3.0)  # relative to the onset; a gap of the vertical component in this span excludes the window
SEARCHED_S = 600.0  # longest part of a recording that is searched for onsets of a trigger at once
UNPLACED_BUSY_S = (-10.0, 180.0)  # relative to the origin time, for a station whose arrival time is unknown
COLUMNS = [
    "trace_name", "trace_name_original", "trace_category", "trace_start_time", "trace_sampling_rate_hz", "trace_npts",
    "trace_channel", "trace_component_order", "trace_unit", "trace_quantity", "trace_gain_counts_per_m_s",
    "trace_gain_counts_per_m_s2", "trace_completeness", "trace_missing", "trace_onset_sample", "trace_onset_basis",
    "trace_onset_snr", "trace_visible", "trace_p_arrival_sample", "trace_p_status", "trace_s_arrival_sample",
    "trace_s_status", "trace_p_predicted_sample", "trace_s_predicted_sample", "trace_noise_end_sample",
    "trace_noise_ratio", "trace_licence", "source_id", "source_group", "source_type",
    "source_origin_time", "source_magnitude", "source_magnitude_type",
    "source_latitude_deg", "source_longitude_deg", "source_depth_km", "station_network_code", "station_code",
    "station_location_code", "station_latitude_deg", "station_longitude_deg", "station_elevation_m",
    "path_ep_distance_km", "split", "fold",
]  # fmt: skip
MAX_REASONS = 20  # in the summary


# Samples (components, n), mask, component codes, rate in Hz, whether they are accelerations → samples of the onsets
Openers = Callable[[npt.NDArray[np.generic], npt.NDArray[np.bool_], str, float, bool], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Arrival times that place a window.

    p_ns: the pick if there is one, else the computed time. p_computed_ns, s_computed_ns: None if the position of the
    station is unknown.
    """

    p_ns: int
    p_pick: Pick | None
    s_pick: Pick | None
    p_computed_ns: int | None
    s_computed_ns: int | None
    distance_km: float | None


class Builder:
    """Cuts the windows of a plan from recordings and writes them as a data set.

    opened: finds the onsets of the triggers; needed for hard negatives.
    """

    def __init__(
        self,
        plan: Plan,
        recordings: Recordings,
        stations: Stations,
        times: TravelTimes,
        opened: Openers | None = None,
    ) -> None:
        self.plan, self.recordings, self.stations, self.times = plan, recordings, stations, times
        self.opened = opened
        self.sensors, self.skipped = sensors_of(recordings, plan.channels)
        for station, (latitude_deg, longitude_deg) in sorted(recordings.positions.items()):
            if stations.add_site(station, Site(latitude_deg, longitude_deg, None)):
                recordings.notes[f"SAC: {station}: position of the header, {latitude_deg:g}, {longitude_deg:g}"] += 1
        self.left_out: Counter[str] = Counter()
        self.without_gain: Counter[str] = Counter()  # reason → records written
        self.choices: Counter[str] = Counter()  # choice between sensors → records
        self.disagreeing = 0
        self._events: list[CatalogueEvent] = []
        self._busy_of: dict[str, list[tuple[str, int, int]]] = {}  # event id and its time at a station

    def build(self, catalogue: Catalogue, out: Path, source: dict[str, str]) -> Built:
        """Write the data set. source: description of the inputs, for build.json. Raises InputError."""
        events = self._events = catalogue.events
        if not self.sensors:
            why = "; ".join(self.skipped) or "no channels"
            raise InputError(f"no seismometer channel in the recordings ({why}); select other channels with --channels")
        with Writer(out) as writer:
            for event in progress(events, "events cut"):
                for station in self.sensors:
                    self._add_event(event, station, writer)
            if not writer.rows:
                raise InputError(f"no window of an event could be cut: {self._why_nothing()}")
            n_events = len(writer.rows)
            for station in progress(sorted(self.sensors), "stations searched for noise"):
                self._add_noise(events, station, writer)
            n_noise = len(writer.rows) - n_events
            if self.plan.hard_negatives and self.opened is not None:
                of_station = Counter(_station_of(row) for row in writer.rows[:n_events])
                for station in progress(sorted(self.sensors), "stations searched for hard negatives"):
                    wanted = math.ceil(self.plan.hard_negatives * of_station[station])
                    self._add_hard_negatives(events, station, writer, wanted, self.opened)
            _assign_splits(writer.rows)
            faint = sum(row["trace_visible"] == "False" for row in writer.rows)
            built = Built(
                folder=text_from_path(out),
                records=len(writer.rows),
                events=len({row["source_id"] for row in writer.rows[:n_events]}),
                noise=len(writer.rows) - n_events,
                hard_negatives=len(writer.rows) - n_events - n_noise,
                stations=len({(r["station_network_code"], r["station_code"]) for r in writer.rows}),
                basis=dict(Counter(row["trace_onset_basis"] for row in writer.rows[:n_events])),
                by_type=dict(Counter(row["source_type"] for row in writer.rows[:n_events])),
                entries_left_out=dict(catalogue.left_out.most_common()),
                choices=dict(catalogue.choices.most_common())
                | dict(self.choices.most_common())
                | dict(self.recordings.notes.most_common()),
                implausible=texts_of(catalogue.implausible),
                faint=faint,
                quiet=sum(bool(row["trace_noise_end_sample"]) for row in writer.rows),
                left_out=dict(self.left_out.most_common()),
                without_gain=dict(self.without_gain.most_common()),
                picks_ignored=_ignored(events),
                channels_passed_over=dict(self.skipped),
                files_skipped={
                    why: FilesSkipped(len(names), names[0]) for why, names in self.recordings.skipped.items()
                },
                bad_records=self.recordings.bad_records,
                disagreeing_samples=self.disagreeing,
            )
            notes = {
                "source": source,
                "plan": asdict(self.plan),
                "travel_times": self.times.name,
                "built": asdict(built),
            }
            del notes["built"]["folder"]  # type: ignore[attr-defined]  # the content must not depend on the output path
            text = msgspec.json.format(msgspec.json.encode(notes), indent=1).decode() + "\n"
            page = readme_of(built, self.plan, source, self.times.name)
            writer.finish(COLUMNS, _data_format(self.plan, writer.rows), text, page)
        return built

    def _why_nothing(self) -> str:
        """The most frequent reasons, and the time span of the recordings."""
        spans = [span for sensors in self.sensors.values() for s in sensors for c in s.channels
                 for span in self.recordings.spans(c)]  # fmt: skip
        first, last = min(start for start, _ in spans), max(end for _, end in spans)
        reasons = "; ".join(f"{n} × {reason}" for reason, n in self.left_out.most_common(4))
        return f"{reasons}; the recordings span {iso_from_ns(first)} to {iso_from_ns(last)}"

    def arrival(self, event: CatalogueEvent, station: str) -> Arrival | None:
        """P and S of an event at a station; None if the station has neither a pick nor a known position."""
        site = self.stations.site(station, event.origin_ns)
        p_pick, s_pick = event.pick("P", station), event.pick("S", station)
        distance = p_ns = s_ns = None
        if site is not None:
            distance = distance_km(event.latitude_deg, event.longitude_deg, site.latitude_deg, site.longitude_deg)
            p_s, s_s = self.times.times_s(distance, event.depth_km or 0.0)
            if math.isfinite(p_s) and math.isfinite(s_s):
                p_ns, s_ns = event.origin_ns + ns_from_s(p_s), event.origin_ns + ns_from_s(s_s)
        if p_pick is None and p_ns is None:
            return None
        return Arrival(p_pick.time_ns if p_pick else p_ns or 0, p_pick, s_pick, p_ns, s_ns, distance)

    def _add_event(self, event: CatalogueEvent, station: str, writer: Writer) -> None:
        arrival = self.arrival(event, station)
        if arrival is None:
            self.left_out[f"{station} has neither a pick nor a known position"] += 1
            return
        too_far = arrival.distance_km is not None and arrival.distance_km > self.plan.max_distance_km
        if arrival.p_pick is None and too_far:
            self.left_out[f"beyond {self.plan.max_distance_km:g} km and without a pick"] += 1
            return
        if arrival.p_pick is not None and arrival.p_computed_ns is not None:
            times_s = [(ns - event.origin_ns) / NS_PER_S for ns in (arrival.p_ns, arrival.p_computed_ns)]
            if not fits_travel_time(*times_s):
                self.left_out[f"{station}: {MISPLACED}"] += 1
                return
        window = self._window(station, arrival.p_ns - ns_from_s(self.plan.before_s))
        if isinstance(window, str):
            self.left_out[window] += 1
            return
        sample = window.sample_at(arrival.p_ns)
        first, last = (round(sample + s * window.rate_hz) for s in NEEDED_S)
        if not window.valid[0, max(first, 0) : last].all():
            self.left_out["a gap at the onset"] += 1
            return
        row, x = self._row(window, station), self._scaled(window)
        if isinstance(x, str):
            self.left_out[x] += 1
            return
        row |= self._onset(window, arrival, event.origin_ns)
        row |= _source(event)
        row["path_ep_distance_km"] = "" if arrival.distance_km is None else f"{arrival.distance_km:.2f}"
        row["trace_name"] = f"{event.id}_{station}_{window.channels[0].location}_{row['trace_channel']}"
        if self.plan.noise_before_p:
            row["trace_noise_end_sample"] = self._noise_end(window, float(row["trace_onset_sample"]), event, station)
        self._add(row, x, window, writer)

    def _noise_end(self, window: SensorWindow, onset: float, event: CatalogueEvent, station: str) -> int | str:
        """The sample before the onset up to which the window is quiet; '' if that part is short, loud or has a gap."""
        end = round(onset - NOISE_MARGIN_S * window.rate_hz)
        if end < NOISE_LEAST_S * window.rate_hz or not window.valid[:, :end].all():
            return ""
        end_ns = window.start_ns + round(end * NS_PER_S / window.rate_hz)
        if station not in self._busy_of:
            self._busy_of[station] = [(e.id, *self._busy(e, station)) for e in self._events]
        if any(
            first < end_ns and last > window.start_ns
            for name, first, last in self._busy_of[station]
            if name != event.id
        ):
            return ""
        return end if loudest_ratio(window.samples[:, :end], window.rate_hz) <= QUIET_RATIO else ""

    def _add_noise(self, events: list[CatalogueEvent], station: str, writer: Writer) -> None:
        network, code = station.split(".", 1)
        of_station = [r for r in writer.rows if (r["station_network_code"], r["station_code"]) == (network, code)]
        wanted = math.ceil(self.plan.noise * len(of_station))
        vertical = self.sensors[station][0].vertical
        if not wanted or vertical is None:
            return
        busy = [self._busy(event, station) for event in events]
        for row in of_station:
            busy.append((row["start_ns"], row["end_ns"]))
        spans = quiet_spans(self.recordings.spans(vertical), busy)
        for start_ns in candidates(spans, self.plan.length_s, station):
            if not wanted:
                break
            window = self._window(station, start_ns)
            if isinstance(window, str) or not window.valid.all():
                self.left_out["noise: gaps"] += 1
                continue
            ratio = loudest_ratio(window.samples, window.rate_hz)
            if ratio > QUIET_RATIO:
                self.left_out["noise: contains a signal"] += 1
                continue
            x = self._scaled(window)
            if isinstance(x, str):
                self.left_out[f"noise: {x}"] += 1
                continue
            row = self._row(window, station)
            row |= {"trace_category": "noise", "trace_noise_ratio": f"{ratio:.2f}"}
            row["trace_name"] = f"noise_{station}_{iso_from_ns(window.start_ns)}"
            self._add(row, x, window, writer)
            wanted -= 1

    def _add_hard_negatives(
        self, events: list[CatalogueEvent], station: str, writer: Writer, wanted: int, opened: Openers
    ) -> None:
        """Add windows at whose onset a trigger opens, and during which no catalogued event may be visible. The windows
        of one station do not overlap.
        """
        sensor = self.sensors[station][0]
        if sensor.vertical is None:
            return
        spans = quiet_spans(self.recordings.spans(sensor.vertical), [self._busy(event, station) for event in events])
        for first_ns, last_ns in pieces_of(spans, SEARCHED_S, self.plan.length_s, station):
            if wanted <= 0:
                break
            part = window_of(self.recordings, sensor, first_ns, (last_ns - first_ns) / NS_PER_S)
            if part is None:
                continue
            free = 0  # the first sample after the window before
            length = round(self.plan.length_s * part.rate_hz)
            for onset in opened(part.samples, part.valid, part.codes, part.rate_hz, sensor.is_accelerometer):
                start = onset - round(self.plan.before_s * part.rate_hz)
                if wanted and free <= start and start + length <= part.samples.shape[1]:
                    start_ns = part.start_ns + round(start * NS_PER_S / part.rate_hz)
                    if self._add_hard_negative(station, start_ns, writer):
                        wanted, free = wanted - 1, start + length

    def _add_hard_negative(self, station: str, start_ns: int, writer: Writer) -> bool:
        """Write one window; False, and the reason is counted, if it cannot be used."""
        window = self._window(station, start_ns)
        x = window if isinstance(window, str) else self._scaled(window)
        if isinstance(window, str) or isinstance(x, str):
            self.left_out[f"hard negatives: {x}"] += 1
            return False
        row = self._row(window, station)
        row |= {"trace_category": "noise", "trace_onset_basis": TRIGGER}
        row["trace_onset_sample"] = round(self.plan.before_s * window.rate_hz)
        row["trace_name"] = f"trigger_{station}_{iso_from_ns(window.start_ns)}"
        self._add(row, x, window, writer)
        return True

    def _busy(self, event: CatalogueEvent, station: str) -> tuple[int, int]:
        """Start and end of the time in which an event may be visible at a station, in ns."""
        arrival = self.arrival(event, station)
        if arrival is None:
            return event.origin_ns + ns_from_s(UNPLACED_BUSY_S[0]), event.origin_ns + ns_from_s(UNPLACED_BUSY_S[1])
        s_ns = arrival.s_pick.time_ns if arrival.s_pick else arrival.s_computed_ns or 2 * arrival.p_ns - event.origin_ns
        return arrival.p_ns - ns_from_s(BEFORE_P_S), s_ns + ns_from_s(self.plan.coda_s)

    def _window(self, station: str, start_ns: int) -> SensorWindow | str:
        """The window of the first sensor that has one; else the reason why there is none."""
        best: SensorWindow | str = "nothing recorded"
        for sensor in self.sensors[station]:
            window = self._cut(sensor, start_ns)
            if not isinstance(window, str):
                return window
            best = window
        return best

    def _cut(self, sensor: Sensor, start_ns: int) -> SensorWindow | str:
        if sensor.vertical is None:
            return "no vertical component"
        window = window_of(self.recordings, sensor, start_ns, self.plan.length_s)
        if window is None:
            return "nothing recorded"
        if window.valid[0].mean() < self.plan.min_coverage:
            return f"less than {self.plan.min_coverage:.0%} recorded"
        self.disagreeing += window.disagreeing
        return window

    def _scaled(self, window: SensorWindow) -> Any:
        """Samples in the unit of the plan; or the reason why they cannot be used."""
        if is_too_large(window.samples):
            return TOO_LARGE
        if self.plan.unit == "counts":
            return window.samples
        gains = [self.stations.gain(channel, window.start_ns, window.rate_hz) for channel in window.channels]
        why = next((g for g in gains if isinstance(g, str)), None)
        if why is not None:
            return f"no gain for m/s: {why}"
        scale = np.array([float(g) for g in gains])[:, None]
        return np.where(window.valid, window.samples / scale, 0.0).astype(np.float32)

    def _row(self, window: SensorWindow, station: str) -> Row:
        """The columns that events and noise have in common."""
        first = window.channels[0]
        site: Site | None = self.stations.site(station, window.start_ns)
        n = window.samples.shape[1]
        quantity = quantity_of_code(first.channel) or "velocity"
        return dict.fromkeys(COLUMNS, "") | {
            "start_ns": window.start_ns,
            "end_ns": window.start_ns + round(n * NS_PER_S / window.rate_hz),
            "trace_start_time": iso_from_ns(window.start_ns),
            "trace_sampling_rate_hz": f"{window.rate_hz:.10g}",
            "trace_npts": n,
            "trace_channel": first.channel[:-1],
            "trace_component_order": window.codes,
            "trace_unit": self.plan.unit if quantity == "velocity" or self.plan.unit == "counts" else UNIT_OF[quantity],
            "trace_quantity": quantity,
            "trace_completeness": f"{window.valid.mean():.4f}",
            "trace_missing": missing_text(window),
            "trace_licence": self.plan.licence,
            "station_network_code": first.network,
            "station_code": first.station,
            "station_location_code": first.location,
            "station_latitude_deg": "" if site is None else site.latitude_deg,
            "station_longitude_deg": "" if site is None else site.longitude_deg,
            "station_elevation_m": "" if site is None or site.elevation_m is None else site.elevation_m,
        }

    def _add(self, row: Row, x: Any, window: SensorWindow, writer: Writer) -> None:
        """Write a record with its gain; count the reason if it has none."""
        gain = self._gain(window)
        stated = {} if isinstance(gain, str) else {gain_column(row): f"{gain:.6g}"}
        gain = gain_fault(row | stated, x) or gain
        if isinstance(gain, str):
            self.without_gain[gain] += 1
        else:
            row |= stated
        self._note_choice(window)
        writer.add(row, x)

    def _note_choice(self, window: SensorWindow) -> None:
        """Count a record of a station that has several sensors with the same number of components."""
        first = window.channels[0]
        sensors = self.sensors[first.station_id]
        used = next(s for s in sensors if first in s.channels)
        equal = [_name_of(s) for s in sensors if len(s.channels) == len(used.channels) and s is not used]
        if equal:
            self.choices[f"{first.station_id}: sensor {_name_of(used)} is used, not {', '.join(equal)}"] += 1

    def _gain(self, window: SensorWindow) -> float | str:
        """The gain of all components in counts per m/s or m/s**2; or the reason why there is none, as a clause."""
        if self.plan.unit == "m/s":
            return 1.0
        gains = [self.stations.gain(channel, window.start_ns, window.rate_hz) for channel in window.channels]
        why = next((g for g in gains if isinstance(g, str)), None)
        if why is not None:
            return why
        return (
            gains[0] if len(set(gains)) == 1 else "the components have different gains, and the column holds only one"
        )

    def _onset(self, window: SensorWindow, arrival: Arrival, origin_ns: int) -> Row:
        """The columns about arrivals.

        For the onset search gaps are filled with the median of the component, so that their edges add no energy.
        """
        sample = window.sample_at(arrival.p_ns)
        x = window.samples.astype(np.float64)
        for y, valid in zip(x, window.valid, strict=True):
            y[~valid] = np.median(y[valid]) if valid.any() else 0.0
        power = power_from_record(x, window.rate_hz)
        basis = "P pick" if arrival.p_pick else f"P computed ({self.times.name})"
        if arrival.p_pick is None and self.plan.refine:
            at_s = sample / window.rate_hz
            reach = SEARCH_S + SEARCH_SHARE * (arrival.p_ns - origin_ns) / NS_PER_S
            late = min(reach, SEARCH_S_MINUS_P * ((arrival.s_computed_ns or 0) - arrival.p_ns) / NS_PER_S)
            found = find_onset(power, window.rate_hz, (at_s - reach, at_s + late), at_s, RISE_S)
            if found.basis == "energy":
                sample, basis = found.sample, f"energy near {basis}"
        snr = snr_at(power, window.rate_hz, sample)
        row: Row = {
            "trace_onset_sample": f"{sample:.2f}",
            "trace_onset_basis": basis,
            "trace_onset_snr": f"{snr:.2f}",
            "trace_visible": str(snr >= VISIBLE_RATIO),
        }
        for letter, pick, computed in (
            ("p", arrival.p_pick, arrival.p_computed_ns),
            ("s", arrival.s_pick, arrival.s_computed_ns),
        ):
            if pick is not None:
                row[f"trace_{letter}_arrival_sample"] = f"{window.sample_at(pick.time_ns):.2f}"
                row[f"trace_{letter}_status"] = pick.status
            if computed is not None:
                row[f"trace_{letter}_predicted_sample"] = f"{window.sample_at(computed):.2f}"
        return row


def _station_of(row: Row) -> str:
    return f"{row['station_network_code']}.{row['station_code']}"


def _name_of(sensor: Sensor) -> str:
    return f"{sensor.location or '--'}.{sensor.band_and_instrument}?"


def _ignored(events: list[CatalogueEvent]) -> dict[str, int]:
    """Picks that are not used, by reason; the rarest reasons together."""
    counts = Counter(why for event in events for why in event.picks_ignored)
    shown = dict(counts.most_common(MAX_REASONS))
    rest = counts.total() - sum(shown.values())
    return shown | ({"for other reasons": rest} if rest else {})


def _source(event: CatalogueEvent) -> Row:
    return {
        "trace_category": event.type,
        "source_id": event.id,
        "source_type": event.type,
        "source_origin_time": iso_from_ns(event.origin_ns),
        "source_magnitude": "" if event.magnitude is None else event.magnitude,
        "source_magnitude_type": event.magnitude_type,
        "source_latitude_deg": event.latitude_deg,
        "source_longitude_deg": event.longitude_deg,
        "source_depth_km": "" if event.depth_km is None else event.depth_km,
    }


def _assign_splits(rows: list[Row]) -> None:
    """Group the records that share samples, assign split and fold, and remove the temporary time columns."""
    groups = group_overlapping(
        [row["source_id"] or row["trace_name"] for row in rows],
        [f"{row['station_network_code']}.{row['station_code']}" for row in rows],
        [row.pop("start_ns") for row in rows],
        [row.pop("end_ns") for row in rows],
    )
    sides, folds = assign_split(groups, [kind_of_word(row["trace_category"]) for row in rows])
    for row, group, side, fold in zip(rows, groups, sides, folds, strict=True):
        row |= {"source_group": group, "split": side, "fold": fold}


def _data_format(plan: Plan, rows: list[Row]) -> dict[str, str]:
    orders = {row["trace_component_order"] for row in rows}
    quantities = {row["trace_quantity"] for row in rows}
    out = {
        "dimension_order": "CW",
        "measurement": "velocity" if quantities == {"velocity"} else "velocity or acceleration, see trace_quantity",
        "unit": "mps" if plan.unit == "m/s" else "counts",
        "instrument_response": "sensitivity removed" if plan.unit == "m/s" else "not restituted",
    }
    return out | ({"component_order": orders.pop()} if len(orders) == 1 else {})


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, for build.json."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Onset detectors compared: the onset model, the STA/LTA trigger and obspy's recursive STA/LTA.

    python -m benchmarks.detection [DATA …] [--noise DIR] [--picks DIR …] [--plot docs/img/detection.png]

- Swarm: catalogued and automatically listed arrivals found on the bundled recording (or DATA with the lists of
  `--catalogue` and `--automatic`), share of the onsets that match an arrival of either list, onsets an hour; as a
  table for both triggers and their modes, and as a curve over the threshold.
- Noise: onsets an hour on folders of continuous miniSEED without earthquakes, at the default threshold and at the
  recall of the STA/LTA trigger on the swarm.
- Records: held-out records of `datasets/` by signal to noise, false onsets on the noise before them, and what spikes,
  steps, calibration pulses, teleseisms and telemetry glitches in that noise open.
- Picks: onset times against the picks of analysts.

All but obspy's rows are events of the station's own code. 'opened': each onset that opens an event; 'kept': those that
the bundled type model does not retract as noise. In brackets: 95 % intervals over earthquakes, minutes or sites.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import obspy
from obspy.signal.trigger import recursive_sta_lta, trigger_onset
from tests.runtime import bad_data

from benchmarks.records import PickedRecord, records_of
from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S, ns_from_iso, ns_from_s
from seisedge.runtime.config import Mode, ModelsConfig, StationConfig, TriggerConfig, load_config
from seisedge.runtime.demo import AUTOMATIC, CATALOGUE, RECORDING, STATIONS
from seisedge.runtime.demo.report import last_revisions
from seisedge.runtime.demo.truth import EARLY_S, LATE_S, Earthquake, automatic_from_csv, belongs, catalogue_from_csv
from seisedge.runtime.engines import Engine, open_engine
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models, bundled_model, model_path
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.station import Station
from seisedge.train.bootstrap import Estimate
from seisedge.train.dataset.onset import find_onset, power_from_record
from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.onsets import (
    Arrivals,
    Detections,
    Point,
    Rate,
    Recording,
    add_pick_errors,
    best_at_matched,
    detection_curve,
    false_rate,
    found_arrivals,
    measure_point,
    pick_errors,
    share_of,
)

Array = np.ndarray[Any, Any]
ON_RATIOS = (2.0, 2.4, 2.8, 3.2, 3.6, 4.2, 5.0, 6.0, 8.0, 11.0)  # of STA/LTA; 4.2 is the default
OBSPY_RATIOS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 11.0)
P_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SNR_EDGES = (0.0, 2.0, 4.0, 8.0, math.inf)
PACKET_S = 4.0
T0_NS = ns_from_iso("2020-01-01T00:00:00Z")
SEARCH_S = 30.0  # of data before an arrival, for its signal-to-noise ratio
LISTS = ("catalogue", "automatic")
OBSPY, STA_LTA, ONSET = "obspy recursive STA/LTA", "sta-lta", "onset"
MODES: dict[str, tuple[Mode, ...]] = {STA_LTA: ("triggered",), ONSET: ("triggered", "continuous")}


class Always(Engine):
    """A type model that calls each window tectonic, so that each onset that opens an event is emitted."""

    name = "always"

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        super().__init__(Path("always"))

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        return "0" * 64, self._card

    def _infer(self, waveform: Array, valid: Array) -> Array:
        row = [float(label == "tectonic") for label in self._card.labels]
        return np.array([row] * len(waveform), dtype=np.float32)


class Kept(Sink):
    """Keeps the events in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self.events.append(line)


@dataclass(frozen=True)
class Detector:
    """A trigger of the station with a name, a threshold for the curve, and its models."""

    name: str
    trigger: TriggerConfig
    threshold: float
    models: Models

    def events(
        self, data: Sequence[Path] | list[Packet], configs: dict[str, StationConfig], mode: Mode = "triggered"
    ) -> list[Event]:
        """The events of files, or of the packets of one station, without the retracted ones."""
        own = {key: msgspec.structs.replace(c, trigger=self.trigger) for key, c in configs.items()}
        default = StationConfig(trigger=self.trigger)
        if data and isinstance(data[0], Packet):
            return self._of_packets(data, default, mode)  # type: ignore[arg-type]
        kept = Kept()
        with open_source([str(path) for path in data]) as source:
            Loop(self.models, [kept], own, default=None if own else default, mode=mode).run(source)
        return last_revisions(kept.events)

    def _of_packets(self, packets: list[Packet], config: StationConfig, mode: Mode) -> list[Event]:
        station = Station(packets[0].source_id.station_id, config, self.models, mode)
        lines: list[Event | Hop] = []
        for packet in packets:
            station.add(packet)
            lines += [draft.line for draft in station.step()]
        lines += [draft.line for draft in station.finish()]
        return last_revisions(line for line in lines if isinstance(line, Event))


class Detectors:
    """The triggers of the station that are compared, with and without the bundled type model."""

    def __init__(self, onset: Engine | None) -> None:
        card = open_engine(bundled_model("event_type")).card
        self.always = Models(Always(card), None, onset)
        bundled = Models.load(ModelsConfig(magnitude="none", onset="none"))
        self.typed = Models(bundled.event_type, None, onset)
        self.onset = onset

    def opened(self, name: str, threshold: float | None = None) -> Detector:
        """Each onset that opens an event. threshold: None for the default."""
        return self._detector(name, threshold, self.always)

    def kept(self, name: str) -> Detector:
        """Events that the type model does not retract."""
        return self._detector(name, None, self.typed)

    @property
    def names(self) -> list[str]:
        """The triggers that can be run."""
        return [STA_LTA] if self.onset is None else [STA_LTA, ONSET]

    def curve(self, name: str) -> list[Detector]:
        """A detector for each threshold of the curve, the default among them."""
        ladder = {*(ON_RATIOS if name == STA_LTA else P_THRESHOLDS), self.opened(name).threshold}
        return [self.opened(name, threshold) for threshold in sorted(ladder)]

    def _detector(self, name: str, threshold: float | None, models: Models) -> Detector:
        if name == STA_LTA:
            ratio = TriggerConfig().on_ratio if threshold is None else threshold
            return Detector(name, TriggerConfig(kind="sta-lta", on_ratio=ratio), ratio, models)
        assert self.onset is not None and self.onset.card.onset is not None
        p = self.onset.card.onset.p_threshold if threshold is None else threshold
        return Detector(name, TriggerConfig(kind="onset", p_threshold=threshold), p, models)


# --- swarm -----------------------------------------------------------------------------------------------------------


def truth_of(
    files: Sequence[Path], quakes: dict[str, list[Earthquake]], configs: dict[str, StationConfig]
) -> tuple[list[Recording], obspy.Stream]:
    """The stretches of the stations with their predicted arrivals, and the verticals."""
    stream = obspy.Stream()
    for path in files:
        stream += obspy.read(str(path))
    stream = stream.select(component="Z").merge()
    recordings = []
    for trace in stream:
        place = configs[f"{trace.stats.network}.{trace.stats.station}"].station
        assert place is not None and place.latitude_deg is not None and place.longitude_deg is not None
        start_ns, end_ns = trace.stats.starttime.ns, trace.stats.endtime.ns
        truth = {}
        for name, listed in quakes.items():
            times = [q.predicted_p_ns(q.distance_km(place.latitude_deg, place.longitude_deg)) for q in listed]
            inside = [i for i, time_ns in enumerate(times) if start_ns <= time_ns <= end_ns]
            truth[name] = Arrivals(
                np.array([times[i] for i in inside], dtype=np.int64),
                np.array([f"{listed[i].id} {listed[i].origin_ns}" for i in inside]),
                np.array([snr_of(trace, times[i]) for i in inside]),
            )
        recordings.append(Recording(f"{trace.stats.network}.{trace.stats.station}", start_ns, end_ns, truth))
    return recordings, stream


def snr_of(trace: obspy.Trace, arrival_ns: int) -> float:
    """Signal-to-noise ratio (2-15 Hz, as of the records of `datasets/`) of the onset near an arrival."""
    rate = trace.stats.sampling_rate
    at = (arrival_ns - trace.stats.starttime.ns) / NS_PER_S
    first = max(at - SEARCH_S, 0.0)
    part = trace.data[round(first * rate) : round((at + 10.0) * rate)][None]
    return find_onset(
        power_from_record(part, rate), rate, (at - first - EARLY_S, at - first + LATE_S), at - first, 0.5
    ).snr


def onsets_by_station(events: Sequence[Event], recordings: Sequence[Recording]) -> list[Array]:
    """For each recording the onsets of its events, ns."""
    return [
        np.array([ns_from_iso(e.onset) for e in events if e.station == r.station], dtype=np.int64) for r in recordings
    ]


def plain(stream: obspy.Stream, on_ratio: float) -> list[Array]:
    """Onsets of the recursive STA/LTA 0.5/10 s on 2-20 Hz, off at 1.5, ns; for each trace."""
    found = []
    for trace in stream.copy():
        rate = trace.stats.sampling_rate
        trace.detrend("demean").filter("bandpass", freqmin=2, freqmax=20)
        ratio = recursive_sta_lta(trace.data, int(0.5 * rate), int(10 * rate))
        start_ns = trace.stats.starttime.ns
        times = [start_ns + round(on / rate * 1e9) for on, _ in trigger_onset(ratio, on_ratio, min(1.5, on_ratio))]
        found.append(np.array(times, dtype=np.int64))
    return found


def swarm(
    files: Sequence[Path],
    recordings: Sequence[Recording],
    stream: obspy.Stream,
    configs: dict[str, StationConfig],
    detectors: Detectors,
) -> tuple[dict[str, Point], dict[str, list[Point]]]:
    """Rows of the table, and the points of the curves, by name."""
    rows = {f"{OBSPY}, 4/1.5": measure_point(recordings, plain(stream, 4.0), 4.0)}
    curves = {OBSPY: [measure_point(recordings, plain(stream, ratio), ratio) for ratio in OBSPY_RATIOS]}

    def point(detector: Detector, mode: Mode = "triggered") -> Point:
        events = detector.events(files, configs, mode)
        return measure_point(recordings, onsets_by_station(events, recordings), detector.threshold)

    for name in detectors.names:
        rows[f"{name}: opened"] = point(detectors.opened(name))
        for mode in MODES[name]:
            rows[f"{name}: kept, {mode}"] = point(detectors.kept(name), mode)
        curves[name] = [point(detector) for detector in detectors.curve(name)]
    return rows, curves


def also_curve(path: Path, recordings: Sequence[Recording]) -> tuple[str, list[Point]]:
    """Name and curve of the onsets that `phasenet.py test` wrote."""
    stated = json.loads(path.read_text())
    detections = []
    for r in recordings:
        own = sorted((o["time_ns"], o["score"]) for o in stated["onsets"] if o["station"] == r.station)
        times, scores = np.array([t for t, _ in own], dtype=np.int64), np.array([s for _, s in own])
        detections.append(Detections(times, scores))
    ladder = [p for p in P_THRESHOLDS if p >= 0.05]
    return stated["name"], detection_curve(recordings, detections, ladder, separation_s=5.0)


# --- noise -----------------------------------------------------------------------------------------------------------


def site_of(path: Path) -> str:
    """Name of the site of a file `source__station__place-or-time.mseed`."""
    parts = path.stem.split("__")
    return "__".join(part for part in parts if not part[:8].isdigit())


def trained_names() -> set[str]:
    """Names of the files of noise that are training data, also of those that thresholds were chosen on."""
    table = Path(__file__).parents[1] / "datasets/noise/metadata.csv"
    if not table.exists():
        return set()
    with table.open(encoding="utf-8", newline="") as file:
        return {row["source_path"] for row in csv.DictReader(file)}


def noise_rates(files: Sequence[Path], detector: Detector, mode: Mode = "triggered") -> Rate:
    """Events an hour on noise."""
    counts, hours = [], []
    for path in files:
        counts.append(len(detector.events([path], {}, mode)))
        hours.append(max(trace.stats.npts * trace.stats.delta for trace in obspy.read(str(path)).merge()) / 3600)
    return false_rate(counts, hours, [site_of(path) for path in files])


# --- records ---------------------------------------------------------------------------------------------------------


def packets_of(waveform: Array, rate_hz: float, components: str) -> list[Packet]:
    """Packets of a record (3, n), in the order of time; whole numbers as a digitizer has them, if the record has."""
    scale = 1.0 if np.ptp(waveform) > 100 else 1e5 / max(float(np.abs(waveform).max()), 1e-30)
    x = np.round(waveform * scale).astype(np.int32)
    step = round(PACKET_S * rate_hz)
    return [
        Packet(
            SourceId("XX", "X", "", f"HH{code}"), T0_NS + round(first / rate_hz * NS_PER_S), rate_hz,
            x[row, first : first + step], RecordFlag.NONE, 0, "",
        )
        for first in range(0, x.shape[1], step)
        for row, code in enumerate("ZNE")
        if code in components
    ]  # fmt: skip


def onset_times_s(events: Sequence[Event]) -> Array:
    """Onsets in seconds after the start of a record."""
    return np.array([(ns_from_iso(e.onset) - T0_NS) / NS_PER_S for e in events])


def pick_times_s(events: Sequence[Event], phase: str) -> Array:
    """Picks of a phase in seconds after the start of a record; the onset of an event without picks is its P."""
    times = [pick.time for e in events for pick in e.picks or [] if pick.phase == phase]
    if phase == "P" and not times:
        return onset_times_s(events)
    return np.array([(ns_from_iso(time) - T0_NS) / NS_PER_S for time in times])


def add_picks(figures: Figures, folders: Sequence[Path], detectors: Detectors) -> None:
    """Onset errors against the picks of analysts, of events not used for training."""
    records = [r for f in folders for r in records_of(f, analyst_only=True) if r.split in ("test", "")]
    groups = {"phasenet_ncedc, held out": [r for r in records if r.subset == "phasenet_ncedc"]}
    groups["other regions"] = [r for r in records if r.subset != "phasenet_ncedc"]
    for name in detectors.names:
        for on, rows in groups.items():
            found = [detectors.opened(name).events(packets_of(r.waveform, r.rate_hz, r.components), {}) for r in rows]
            for phase in ("P", "S") if name == ONSET else ("P",):
                some = [(r, events) for r, events in zip(rows, found, strict=True) if r.times_s(phase)]
                if some:
                    errors = pick_errors(
                        [pick_times_s(events, phase) for _, events in some],
                        np.array([r.times_s(phase)[0] for r, _ in some]),
                    )
                    add_pick_errors(
                        figures, errors, np.array([r.event for r, _ in some]), on=f"{phase}, {on}", who=name
                    )


def add_snr(figures: Figures, found: Array, group: Array, snr: Array, on: str, who: str) -> None:
    """Share found by signal to noise."""
    for low, high in itertools.pairwise(SNR_EDGES):
        some = (snr >= low) & (snr < high)
        text = f"signal to noise {low:g} to {high:g}" if high < math.inf else f"signal to noise over {low:g}"
        figures.add("found", group[some], share_of(found[some]), on=f"{on}, {text}", who=who)


def held_out(folder: Path) -> list[PickedRecord]:
    """The held-out records of `datasets/` with a visible P."""
    return [r for r in records_of(folder) if r.split == "test" and r.times_s("P") and r.kind in ("tectonic", "blast")]


def add_records(figures: Figures, folder: Path, detectors: Detectors) -> None:
    """Share of the held-out records whose P opens an event, by signal to noise."""
    rows = held_out(folder)
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        snr = {row["trace_name"]: float(row["trace_onset_snr"] or "nan") for row in csv.DictReader(file)}
    for name in detectors.names:
        found = []
        for r in rows:
            onsets = onset_times_s(detectors.opened(name).events(packets_of(r.waveform, r.rate_hz, r.components), {}))
            p_ns = T0_NS + ns_from_s(r.times_s("P")[0])
            found.append(any(belongs(T0_NS + ns_from_s(float(t)), p_ns) for t in onsets))
        group, hit = np.array([r.event for r in rows]), np.array(found)
        figures.add("found", group, share_of(hit), on="held-out records", who=name)
        add_snr(figures, hit, group, np.array([snr[r.name] for r in rows]), "held-out records", name)


def quiet_noise(folder: Path, least_s: float = 40.0) -> list[tuple[str, Array, float, str]]:
    """Station, samples (3, n), rate and components of the noise before the events of held-out records."""
    out = []
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        ends = {
            row["trace_name"]: (float(row["trace_noise_end_sample"] or 0), row["station_code"], row["split"])
            for row in csv.DictReader(file)
        }
    for r in records_of(folder):
        end, station, split = ends[r.name]
        if split == "test" and end / r.rate_hz >= least_s:
            out.append((station, r.waveform[:, : int(end)], r.rate_hz, r.components))
    return out


def artefacts() -> dict[str, Callable[[Array, float, np.random.Generator], Array]]:
    """What digitizers, telemetry and distant earthquakes do to noise (3, n) at a rate, 30 s after its start."""
    at_s = 30.0

    def traces(x: Array) -> dict[str, Array]:
        return dict(zip(("EHZ", "EHN", "EHE"), x, strict=True))

    def spike(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        y[0, int(at_s * rate)] += x[0].std() * 10 ** rng.uniform(1.5, 4) * rng.choice([-1, 1])
        return y

    def step(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        y[0, int(at_s * rate) :] += x[0].std() * 10 ** rng.uniform(1.5, 4) * rng.choice([-1, 1])
        return y

    def calibration(x: Array, rate: float, rng: np.random.Generator) -> Array:
        size = x.std() * 10 ** rng.uniform(1.5, 3.5)
        made = bad_data.with_calibration(traces(x), at_s, size, float(rng.choice([0.5, 1.0, 2.0, 5.0])))
        return np.stack(list(made.values()))

    def distant(x: Array, rate: float, rng: np.random.Generator) -> Array:
        size = x.std(axis=1, keepdims=True) * 10 ** rng.uniform(0.5, 2.5)
        return np.asarray(x + size * bad_data.teleseism(x.shape[1], at_s))

    def dropout(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        first = int(at_s * rate)
        y[:, first : first + int(rng.uniform(0.2, 3.0) * rate)] = 0.0
        return y

    def scrambled(x: Array, rate: float, rng: np.random.Generator) -> Array:
        y = x.copy()
        first, n = int(at_s * rate), int(rng.uniform(0.1, 1.0) * rate)
        y[:, first : first + n] = rng.uniform(-1, 1, y[:, first : first + n].shape) * x.std() * 10 ** rng.uniform(1, 3)
        return y

    return {
        "spike": spike,
        "step": step,
        "calibration pulse": calibration,
        "teleseism": distant,
        "dropout to zero": dropout,
        "scrambled block": scrambled,
    }


def bad_data_lines(folder: Path, detectors: Detectors) -> Iterator[str]:
    """False onsets on quiet noise, and of each kind of artefact the share that opens an event within 10 s."""
    stretches = quiet_noise(folder)
    hours = [x.shape[1] / rate / 3600 for _, x, rate, _ in stretches]
    yield f"\nnoise before held-out events: {len(stretches)} stretches, {sum(hours):.2f} h"
    for name in detectors.names:
        for label, detector in (("opened", detectors.opened(name)), ("kept", detectors.kept(name))):
            counts = [len(detector.events(packets_of(x, rate, c), {})) for _, x, rate, c in stretches]
            rate_found = false_rate(counts, hours, [station for station, *_ in stretches])
            yield f"{name + ': ' + label:32}{rate_text(rate_found)} onsets/h"
    full = [(x, rate) for _, x, rate, c in stretches if c == "ZNE" and rate == 100.0]
    yield f"\nartefacts in {len(full)} of these stretches (three components, 100 Hz): share that opens an event"
    yield f"{'':24}" + "".join(f"{name:>24}" for name in detectors.names)
    for kind, make in artefacts().items():
        cells = []
        for name in detectors.names:
            rng = np.random.default_rng(0)
            hit = []
            for x, rate in full:
                packets = packets_of(make(x.astype(np.float64), rate, rng), rate, "ZNE")
                onsets = onset_times_s(detectors.opened(name).events(packets, {}))
                hit.append(bool(((onsets > 29.0) & (onsets < 40.0)).any()))
            cells.append(f"{sum(hit)} of {len(hit)}")
        yield f"{kind:24}" + "".join(f"{cell:>24}" for cell in cells)


# --- output ----------------------------------------------------------------------------------------------------------


def share_text(e: Estimate) -> str:
    """`0.52 (0.38-0.67)`."""
    return f"{e.value:.2f} ({e.low:.2f}-{e.high:.2f})" if math.isfinite(e.value) else "-"


def rate_text(rate: Rate) -> str:
    """Onsets an hour with the interval."""
    interval = "" if rate.low is None or rate.high is None else f" ({rate.low:.1f}-{rate.high:.1f})"
    return f"{rate.per_hour:8.1f}{interval:16} {rate.n_onsets:5} in {rate.hours:.1f} h, {rate.n_sites} sites"


def table_lines(rows: dict[str, Point]) -> Iterator[str]:
    """The table of the swarm."""
    head = "".join(f"{name:>27}" for name in LISTS)
    yield f"{'':34}{'threshold':>10}{'onsets':>8}{'per hour':>10}{head}{'matched':>19}{'at random':>11}"
    for name, p in rows.items():
        cells = "".join(
            f"{f'{p.found(k)}/{p.recall[k].n_records} {share_text(p.recall[k])}':>27}" for k in LISTS if k in p.recall
        )
        random = f"{p.random_recall[LISTS[0]]:.2f}, {p.random_matched:.2f}"
        yield (
            f"{name:34}{p.threshold:10.2f}{p.n_onsets:8}{p.onsets_per_hour:10.0f}{cells}"
            f"{share_text(p.matched):>19}{random:>11}"
        )


def equal_lines(rows: dict[str, Point], curves: dict[str, list[Point]]) -> Iterator[str]:
    """The highest recall of each curve at the share matched of the two plain triggers at their defaults."""
    for base in (f"{OBSPY}, 4/1.5", f"{STA_LTA}: opened"):
        share = rows[base].matched.value
        yield f"\nhighest recall where at least {share:.2f} of the onsets are matched ({base})"
        for name, points in curves.items():
            cells = []
            for listed in LISTS:
                best = best_at_matched(points, listed, share)
                cells.append("-" if best is None else f"{share_text(best.recall[listed])} at {best.threshold:g}")
            yield f"{name:34}" + "".join(f"{listed} {cell:34}" for listed, cell in zip(LISTS, cells, strict=True))


def draw(curves: dict[str, list[Point]], noise: dict[str, list[tuple[Point, Rate]]], path: Path) -> None:
    """The curves as a picture: recall against the share matched, and against false onsets on noise."""
    from matplotlib.figure import Figure as Canvas

    from seisedge.train.evaluation.plots import BLUE, GREEN, GREY, ORANGE

    colours = {ONSET: BLUE, STA_LTA: ORANGE, OBSPY: GREY}
    canvas = Canvas(figsize=(14.4 if noise else 9.6, 4.6), layout="constrained")
    axes = canvas.subplots(1, 3 if noise else 2, squeeze=False)[0]
    for ax, listed in zip(axes, LISTS, strict=False):
        for name, points in curves.items():
            some = [p for p in points if math.isfinite(p.matched.value)]
            colour = colours.get(name, GREEN)
            x, y = [p.matched.value for p in some], [p.recall[listed].value for p in some]
            ax.plot(x, y, "o-", color=colour, markersize=4, label=name)
            for p in some[:: max(len(some) // 5, 1)]:
                ax.annotate(
                    f"{p.threshold:g}", (p.matched.value, p.recall[listed].value), (4, 4), fontsize=7,
                    textcoords="offset points", color=colour,
                )  # fmt: skip
            spread = [[e.value - e.low, e.high - e.value] for e in (p.recall[listed] for p in some)]
            ax.errorbar(x, y, yerr=np.array(spread).T, fmt="none", ecolor=colour, alpha=0.3, linewidth=1)
        chance = next(iter(curves.values()))[0].random_matched
        ax.axvline(chance, color="black", linewidth=0.8, linestyle=":")
        ax.annotate("onsets at random times", (chance, 0.98), (3, 0), rotation=90, fontsize=7, va="top",
                    textcoords="offset points")  # fmt: skip
        ax.set_xlabel("share of the onsets that match an arrival of either list")
        first = next(iter(curves.values()))[0].recall[listed]
        ax.set_ylabel(f"share found of {first.n_records} arrivals: {listed}")
        ax.set_ylim(0, 1.02)
    for name, pairs in noise.items():
        x = [max(rate.per_hour, 0.1) for _, rate in pairs]
        y = [p.recall["catalogue"].value for p, _ in pairs]
        axes[2].plot(x, y, "o-", color=colours[name], markersize=4, label=name)
        for (p, _), a, b in list(zip(pairs, x, y, strict=True))[:: max(len(pairs) // 5, 1)]:
            axes[2].annotate(f"{p.threshold:g}", (a, b), (4, 4), fontsize=7, textcoords="offset points")
    if noise:
        axes[2].set_xscale("log")
        axes[2].set_ylim(0, 1.02)
        axes[2].set_xlabel("onsets an hour on noise of sites not trained on (0.1: none)")
        axes[2].set_ylabel("share found of the catalogue (swarm)")
    for ax in axes:
        ax.grid(alpha=0.25, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    canvas.suptitle("Detectors over their thresholds (numbers); bars: 95 % intervals over earthquakes", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=130)


def noise_lines(
    folders: Sequence[Path], detectors: Detectors, curves: dict[str, list[Point]], rows: dict[str, Point]
) -> tuple[list[str], dict[str, list[tuple[Point, Rate]]]]:
    """Lines on noise, and for each trigger the points of its curve with the rate on noise of unseen sites."""
    lines: list[str] = []
    trained = trained_names()
    files = sorted(path for folder in folders for path in folder.glob("*.mseed"))
    parts = {
        "sites not trained on": [path for path in files if path.name not in trained],
        "sites of the training data": [path for path in files if path.name in trained],
    }
    for part, some in parts.items():
        lines += [f"\nnoise, {part}: {len(some)} files"] if some else []
        for name in detectors.names if some else []:
            lines.append(f"{name + ': opened':32}{rate_text(noise_rates(some, detectors.opened(name)))}")
            for mode in MODES[name]:
                rate = noise_rates(some, detectors.kept(name), mode)
                lines.append(f"{name + ': kept, ' + mode:32}{rate_text(rate)}")
    unseen = parts["sites not trained on"]
    pairs = {
        name: [
            (point, noise_rates(unseen, detector))
            for point, detector in zip(curves[name], detectors.curve(name), strict=True)
        ]
        for name in (detectors.names if unseen else [])
    }
    recall = rows[f"{STA_LTA}: opened"].recall["catalogue"].value
    if pairs:
        lines.append(
            f"\nthe fewest onsets an hour there with at least {recall:.2f} of the catalogue found on the swarm"
        )
    for name, found in pairs.items():
        point, rate = min(
            ((p, r) for p, r in found if p.recall["catalogue"].value >= recall), key=lambda pair: pair[1].per_hour
        )
        lines.append(
            f"{name + f' at {point.threshold:g}':32}{rate_text(rate)}; {share_text(point.recall['catalogue'])}"
        )
    return lines, pairs


def figure_lines(figures: Figures) -> Iterator[str]:
    """The figures as lines."""
    for f in figures.rows:
        interval = "" if f.low is None else f"({f.low:.3f} to {f.high:.3f})"
        yield f"{f.who:10}{f.on:52}{f.what:22}{f.value:8.3f} {interval:20} n = {f.n_records}, {f.n_events} events"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=[RECORDING])
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE)
    parser.add_argument("--automatic", type=Path, default=AUTOMATIC)
    parser.add_argument("--model", default="onset", help="onset model, a file or the name of a bundled one, or 'none'")
    parser.add_argument("--noise", nargs="*", type=Path, default=[], help="folders of miniSEED without earthquakes")
    parser.add_argument("--picks", nargs="*", type=Path, default=[], help="folders in SeisBench format with picks")
    parser.add_argument("--records", type=Path, help="datasets/, for its held-out records")
    parser.add_argument("--also", type=Path, help="onsets written by phasenet.py")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    configs = {str(c.station_id): c for c in (load_config(path) for path in sorted(STATIONS.glob("*.toml")))}
    quakes = {
        "catalogue": catalogue_from_csv(arguments.catalogue),
        "automatic": automatic_from_csv(arguments.automatic),
    }
    detectors = Detectors(None if arguments.model == "none" else open_engine(model_path(arguments.model)))
    recordings, stream = truth_of(arguments.data, quakes, configs)
    stations = ", ".join(r.station for r in recordings)
    print(
        f"swarm: {stations}, {sum(r.hours for r in recordings):.2f} h of data; at random: recall of the catalogue and"
    )
    print("share matched of as many onsets at random times")
    rows, curves = swarm(arguments.data, recordings, stream, configs, detectors)
    if arguments.also:
        name, points = also_curve(arguments.also, recordings)
        curves[name] = points
    print(*table_lines(rows), *equal_lines(rows, curves), sep="\n")
    for name, points in curves.items():
        print(f"\ncurve of {name}")
        print(*table_lines({f"{name[:24]} {p.threshold:g}": p for p in points}), sep="\n")
    figures = Figures(draws=1000)
    for name in detectors.names:
        onsets = onsets_by_station(detectors.opened(name).events(arguments.data, configs), recordings)
        for listed in LISTS:
            hit, group, snr = found_arrivals(recordings, onsets, listed)
            if snr is not None:
                add_snr(figures, hit, group, snr, f"swarm, {listed}", name)
    pairs: dict[str, list[tuple[Point, Rate]]] = {}
    if arguments.noise:
        lines, pairs = noise_lines(arguments.noise, detectors, curves, rows)
        print(*lines, sep="\n")
    if arguments.records:
        add_records(figures, arguments.records, detectors)
        print(*bad_data_lines(arguments.records, detectors), sep="\n")
    if arguments.picks:
        add_picks(figures, arguments.picks, detectors)
    print("", *figure_lines(figures), sep="\n")
    if arguments.plot:
        draw(curves, pairs, arguments.plot)


if __name__ == "__main__":
    main()

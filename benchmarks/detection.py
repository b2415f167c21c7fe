"""Onset detectors compared: the onset model, the STA/LTA trigger and obspy's recursive STA/LTA.

    python -m benchmarks.detection [DATA …] [--noise DIR] [--picks DIR …] [--plot docs/img/detection.png]

- Swarm: catalogued and automatically listed arrivals found on the bundled recording (or DATA with the lists of
  `--catalogue` and `--automatic`), share of the onsets that match an arrival of either list, onsets an hour; as a
  table for both triggers and their modes, and as a curve over the threshold.
- Noise: onsets an hour on folders of continuous miniSEED without earthquakes, at the default threshold and at the
  recall of the STA/LTA trigger on the swarm; events kept by `[events] noise_threshold` and mode, by kind of site.
- Records: held-out records of `datasets/` by signal to noise, false onsets on the noise before them, and what spikes,
  steps, calibration pulses, teleseisms and telemetry glitches in that noise open.
- Picks: onset times against the picks of analysts.

The tables are events of the station's own code; the curves are onsets of its opener, at least as far apart as events.
'opened': each onset that opens an event; 'kept': those that the bundled type model does not retract as noise. In
brackets: 95 % intervals over earthquakes, minutes or sites.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import obspy
from obspy.signal.trigger import recursive_sta_lta, trigger_onset

from benchmarks.artefacts import AT_S, artefacts
from benchmarks.detectors import (
    MODES,
    ONSET,
    STA_LTA,
    T0_NS,
    Array,
    Detector,
    Detectors,
    packets_of,
)
from benchmarks.records import PickedRecord, Stated, pick_groups, quiet_noise, records_of
from seisedge.runtime.clock import NS_PER_S, ns_from_iso, ns_from_s
from seisedge.runtime.config import EventsConfig, Mode, StationConfig, load_config
from seisedge.runtime.demo import AUTOMATIC, CATALOGUE, RECORDING, STATIONS
from seisedge.runtime.demo.truth import EARLY_S, LATE_S, Earthquake, automatic_from_csv, belongs, catalogue_from_csv
from seisedge.runtime.event import Event
from seisedge.train.bootstrap import Estimate
from seisedge.train.dataset.onset import find_onset, power_from_record
from seisedge.train.evaluation.detector_input import stretches_from
from seisedge.train.evaluation.figure import Figure, Figures
from seisedge.train.evaluation.onsets import (
    Arrivals,
    Detections,
    Point,
    Rate,
    Recording,
    add_pick_errors,
    are_near,
    best_at_matched,
    detection_curve,
    false_rate,
    found_arrivals,
    measure_point,
    pick_errors,
    share_of,
)

OBSPY_RATIOS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 11.0)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of another detector's onsets, below its thresholds
SNR_EDGES = (0.0, 2.0, 4.0, 8.0, math.inf)
RATE_HZ = 40.0  # of the bundled onset detector
SEARCH_S = 30.0  # of data before an arrival, for its signal-to-noise ratio
NOISE_THRESHOLDS = (0.0, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.02)  # defaults: 0.05 with the onset detector, else 0
LISTS = ("catalogue", "automatic")
OBSPY = "obspy recursive STA/LTA"


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


class Swarm:
    """The detectors on the recording of the swarm."""

    def __init__(
        self, files: Sequence[Path], quakes: dict[str, list[Earthquake]], configs: dict[str, StationConfig]
    ) -> None:
        self.files, self.configs = files, configs
        self.recordings, self.stream = truth_of(files, quakes, configs)

    def rows(self, detectors: Detectors) -> tuple[dict[str, Point], dict[str, list[Array]]]:
        """Rows of the table, by name, and for each trigger its onsets at the default, by recording."""
        rows = {f"{OBSPY}, 4/1.5": measure_point(self.recordings, plain(self.stream, 4.0), 4.0)}
        opened: dict[str, list[Array]] = {}
        for name in detectors.names:
            first = detectors.opened(name)
            opened[name] = self._onsets(first)
            rows[f"{name}: opened"] = measure_point(self.recordings, opened[name], first.threshold)
            for mode in MODES[name]:
                found = self._onsets(detectors.kept(name), mode)
                rows[f"{name}: kept, {mode}"] = measure_point(self.recordings, found, first.threshold)
        return rows, opened

    def curves(self, detectors: Detectors) -> dict[str, list[Point]]:
        """The points of the curves, by name."""
        of_obspy = [measure_point(self.recordings, plain(self.stream, ratio), ratio) for ratio in OBSPY_RATIOS]
        stretches = {s.station: s for path in self.files for s in stretches_from(path)}
        data = [stretches[r.station] for r in self.recordings]

        def point(name: str, threshold: float) -> Point:
            return measure_point(self.recordings, [detectors.onsets(s, name, threshold) for s in data], threshold)

        return {OBSPY: of_obspy} | {name: [point(name, t) for t in detectors.ladder(name)] for name in detectors.names}

    def kept(self, detector: Detector, mode: Mode) -> Point:
        """The events of a detector with its `noise_threshold`."""
        return measure_point(self.recordings, self._onsets(detector, mode), detector.noise_limit)

    def _onsets(self, detector: Detector, mode: Mode = "triggered") -> list[Array]:
        return onsets_by_station(detector.events(self.files, self.configs, mode), self.recordings)


def unmatched_lines(swarm: Swarm, opened: dict[str, list[Array]]) -> Iterator[str]:
    """Of the onsets that match no arrival of either list the number by signal to noise: many are small earthquakes."""
    yield from head("detector", "onsets without a match", *(f"signal to noise {least} or more" for least in (2, 4)))
    for name, onsets in opened.items():
        ratios = []
        for recording, trace, times in zip(swarm.recordings, swarm.stream, onsets, strict=True):
            arrivals = np.concatenate([a.time_ns for a in recording.truth.values()])
            matched = are_near(times, arrivals)[1] if len(times) else np.zeros(0, dtype=bool)
            ratios += [snr_of(trace, int(time_ns)) for time_ns in times[~matched]]
        yield row(name, str(len(ratios)), *(str(sum(r >= least for r in ratios)) for least in (2, 4)))


def also_curve(path: Path, recordings: Sequence[Recording]) -> tuple[str, list[Point]]:
    """Name and curve of the onsets that `phasenet.py test` wrote."""
    stated = msgspec.json.decode(path.read_bytes(), type=Stated)
    detections = []
    for r in recordings:
        own = sorted((o.time_ns, o.score) for o in stated.onsets if o.station == r.station)
        times, scores = np.array([t for t, _ in own], dtype=np.int64), np.array([s for _, s in own])
        detections.append(Detections(times, scores))
    ladder = sorted({round(float(q), 2) for q in np.quantile([o.score for o in stated.onsets], SHARES)})
    separation_s = EventsConfig().separation_s("onset")
    return stated.name, detection_curve(recordings, detections, ladder, separation_s=separation_s)


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


class Noise:
    """Continuous recordings without earthquakes: files, and what the opener sees of them."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.data = [list(stretches_from(path)) for path in files]
        self.hours = [sum(stretch.hours for stretch in stretches) for stretches in self.data]
        self.sites = [site_of(path) for path in files]

    def events(self, detector: Detector, mode: Mode = "triggered") -> Rate:
        """Events an hour of the station."""
        return false_rate([len(detector.events([path], {}, mode)) for path in self.files], self.hours, self.sites)

    def onsets(self, detectors: Detectors, name: str, threshold: float) -> Rate:
        """Onsets an hour of the opener at a threshold."""
        counts = [sum(len(detectors.onsets(s, name, threshold)) for s in stretches) for stretches in self.data]
        return false_rate(counts, self.hours, self.sites)


def kind_of_site(path: Path) -> str:
    """Source and station of a file `source__station__place-or-time.mseed`: one kind of site and instrument."""
    return " ".join(path.stem.split("__")[:2])


def kept_lines(swarm: Swarm, files: Sequence[Path], detector: Detector) -> Iterator[str]:
    """The events kept by `noise_threshold`: recall on the swarm, and false events a day by kind of site."""
    parts = {kind: [p for p in files if kind_of_site(p) == kind] for kind in dict.fromkeys(map(kind_of_site, files))}
    hours = {kind: sum(Noise(paths).hours) for kind, paths in parts.items()}
    names = [f"{kind}, per day ({hours[kind]:.1f} h)" for kind in parts]
    yield from head("noise_threshold", "mode", "catalogue found", "automatic found", *names, "all noise, per day")
    for threshold, mode in itertools.product(NOISE_THRESHOLDS, MODES[detector.name]):
        chosen = dataclasses.replace(detector, noise_threshold=threshold)
        point = swarm.kept(chosen, mode)
        counts = {kind: sum(len(chosen.events([path], {}, mode)) for path in paths) for kind, paths in parts.items()}
        cells = [f"{24 * counts[kind] / hours[kind]:.0f}" for kind in parts]
        whole = 24 * sum(counts.values()) / sum(hours.values())
        shares = [share_text(point.recall[k]) for k in LISTS]
        yield row(f"{threshold:g}", mode, *shares, *cells, f"{whole:.0f}")


# --- records ---------------------------------------------------------------------------------------------------------


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
    """Onset errors against the picks of analysts, of events not used for training, by data set."""
    groups = pick_groups(folders, detectors.trained)
    for name in detectors.names:
        for on, rows in groups.items():
            longer = [r.continued() for r in rows]
            found = [detectors.opened(name).events(packets_of(r.waveform, r.rate_hz, r.components), {}) for r in longer]
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


def add_swarm_snr(figures: Figures, recordings: Sequence[Recording], opened: dict[str, list[Array]]) -> None:
    """Share of the arrivals of the swarm that are found, by signal to noise."""
    for name, onsets in opened.items():
        for listed in LISTS:
            hit, group, snr = found_arrivals(recordings, onsets, listed)
            if snr is not None:
                add_snr(figures, hit, group, snr, f"swarm, {listed}", name)


def held_out(folder: Path) -> list[PickedRecord]:
    """The held-out records of `datasets/` with a visible P. Not those of subset ridgecrest: they are cut from the
    recording that the onset detector was trained on; and not those at 20 Hz, where STA/LTA opens the events.
    """
    rows = [r for r in records_of(folder) if r.split == "test" and r.subset != "ridgecrest" and r.rate_hz >= RATE_HZ]
    return [r for r in rows if r.times_s("P") and r.kind in ("tectonic", "blast")]


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


def quiet_lines(stretches: Sequence[tuple[str, Array, float, str]], detectors: Detectors) -> Iterator[str]:
    """Onsets an hour on the noise before events."""
    hours = [x.shape[1] / rate / 3600 for _, x, rate, _ in stretches]
    yield from head("quiet noise before held-out events", "onsets per hour", "onsets", "hours", "sites")
    for name in detectors.names:
        for label, detector in (("opened", detectors.opened(name)), ("kept", detectors.kept(name))):
            counts = [len(detector.events(packets_of(x, rate, c), {})) for _, x, rate, c in stretches]
            yield row(f"{name}: {label}", *rate_cells(false_rate(counts, hours, [site for site, *_ in stretches])))


def bad_data_lines(stretches: Sequence[tuple[str, Array, float, str]], detectors: Detectors) -> Iterator[str]:
    """Of each kind of artefact the share that opens an event within 10 s."""
    full = [(x, rate) for _, x, rate, c in stretches if c == "ZNE" and rate == 100.0]
    yield from head("artefact", *(f"{name}: open an event" for name in detectors.names))
    for kind, make in artefacts().items():
        cells = []
        for name in detectors.names:
            rng = np.random.default_rng(0)
            hit = []
            for x, rate in full:
                packets = packets_of(make(x.astype(np.float64), rate, rng), rate, "ZNE")
                onsets = onset_times_s(detectors.opened(name).events(packets, {}))
                hit.append(bool(((onsets > AT_S - 1) & (onsets < AT_S + 10)).any()))
            cells.append(f"{sum(hit)} of {len(hit)}")
        yield row(kind, *cells)


# --- output ----------------------------------------------------------------------------------------------------------


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def head(*cells: str) -> Iterator[str]:
    """The head of a table."""
    yield row(*cells)
    yield row(*("---" for _ in cells))


def share_text(e: Estimate) -> str:
    """`0.52 (0.38–0.67)`."""
    return f"{e.value:.2f} ({e.low:.2f}–{e.high:.2f})" if math.isfinite(e.value) else "–"


def rate_cells(rate: Rate) -> tuple[str, str, str, str]:
    """Onsets an hour with the interval, number, hours and sites."""
    interval = "" if rate.low is None or rate.high is None else f" ({rate.low:.1f}–{rate.high:.1f})"
    return f"{rate.per_hour:.1f}{interval}", str(rate.n_onsets), f"{rate.hours:.1f}", str(rate.n_sites)


def table_lines(rows: dict[str, Point]) -> Iterator[str]:
    """The table of the swarm."""
    first = next(iter(rows.values())).recall
    lists = [f"{name}, of {first[name].n_records}" for name in LISTS]
    yield from head("detector", "threshold", "onsets", "per hour", *lists, "matched", "found at random times")
    for name, p in rows.items():
        found = (f"{p.found(k)}: {share_text(p.recall[k])}" for k in LISTS)
        random = ", ".join(f"{p.random_recall[k]:.2f}" for k in LISTS)
        yield row(
            name, f"{p.threshold:g}", str(p.n_onsets), f"{p.onsets_per_hour:.0f}", *found, share_text(p.matched), random
        )


def equal_lines(rows: dict[str, Point], curves: dict[str, list[Point]]) -> Iterator[str]:
    """The highest recall of each curve at the share matched of the plain triggers at their defaults."""
    yield from head("at least as many matched as", "detector", *(f"{name}, at threshold" for name in LISTS))
    for base in (f"{OBSPY}, 4/1.5", f"{STA_LTA}: opened"):
        share = rows[base].matched.value
        for name, points in curves.items():
            cells = []
            for listed in LISTS:
                best = best_at_matched(points, listed, share)
                cells.append("–" if best is None else f"{share_text(best.recall[listed])} at {best.threshold:g}")
            yield row(f"{base}: {share:.2f}", name, *cells)


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


def noise_lines(parts: dict[str, Noise], detectors: Detectors) -> Iterator[str]:
    """The table of onsets on noise."""
    yield from head("noise of sites", "detector", "onsets per hour", "onsets", "hours", "sites")
    for part, noise in parts.items():
        for name in detectors.names if noise.files else []:
            yield row(part, f"{name}: opened", *rate_cells(noise.events(detectors.opened(name))))
            for mode in MODES[name]:
                yield row(part, f"{name}: kept, {mode}", *rate_cells(noise.events(detectors.kept(name), mode)))


def equal_noise_lines(pairs: dict[str, list[tuple[Point, Rate]]], recall: float) -> Iterator[str]:
    """For each trigger the fewest onsets an hour on noise at which at least `recall` of the catalogue is found."""
    yield from head("detector at threshold", "catalogue found", "onsets per hour", "onsets", "hours", "sites")
    for name, found in pairs.items():
        good = [(p, r) for p, r in found if p.recall["catalogue"].value >= recall]
        if good:
            point, rate = min(good, key=lambda pair: pair[1].per_hour)
            yield row(f"{name} at {point.threshold:g}", share_text(point.recall["catalogue"]), *rate_cells(rate))


def figure_lines(figures: Figures, ons: Sequence[str]) -> Iterator[str]:
    """The figures as a table, a row for each part of the data and detector; columns: what."""
    rows = [f for f in figures.rows if f.on in ons]
    whats = list(dict.fromkeys(f.what for f in rows))
    yield from head("data", "detector", *whats, "n", "events")
    for on in dict.fromkeys(f.on for f in rows):
        for who in dict.fromkeys(f.who for f in rows if f.on == on):
            here = {f.what: f for f in rows if f.on == on and f.who == who}
            first = next(iter(here.values()))
            cells = (figure_text(here[what]) if what in here else "–" for what in whats)
            yield row(on, who, *cells, str(first.n_records), str(first.n_events))


def figure_text(f: Figure) -> str:
    """Value and interval."""
    to = " to " if f.low is not None and f.low < 0 else "–"
    return f"{f.value:.2f}" if f.low is None or f.high is None else f"{f.value:.2f} ({f.low:.2f}{to}{f.high:.2f})"


def noise_sections(
    folders: Sequence[Path], swarm: Swarm, detectors: Detectors, curves: dict[str, list[Point]], recall: float
) -> dict[str, list[tuple[Point, Rate]]]:
    """Print the tables on noise; for each trigger the points of its curve with the rate on noise of unseen sites."""
    trained = trained_names()
    files = sorted(path for folder in folders for path in folder.glob("*.mseed"))
    unseen = Noise([path for path in files if path.name not in trained])
    parts = {"not trained on": unseen, "of the training data": Noise([p for p in files if p.name in trained])}
    pairs = {name: [(p, unseen.onsets(detectors, name, p.threshold)) for p in curves[name]] for name in detectors.names}
    section("noise", noise_lines(parts, detectors))
    for name in detectors.names if unseen.files else []:
        lines = kept_lines(swarm, unseen.files, detectors.kept(name))
        section(f"{name}: events kept by noise_threshold, noise of sites not trained on", lines)
    section("noise of sites not trained on, at equal recall", equal_noise_lines(pairs, recall))
    return pairs


def section(title: str, lines: Iterable[str]) -> None:
    """Print a part of the output."""
    print(f"\n### {title}\n", *lines, sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=[RECORDING])
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE)
    parser.add_argument("--automatic", type=Path, default=AUTOMATIC)
    parser.add_argument("--model", default="onset", help="onset model, a file or the name of a bundled one, or 'none'")
    parser.add_argument("--noise", nargs="*", type=Path, default=[], help="folders of miniSEED without earthquakes")
    parser.add_argument("--picks", nargs="*", type=Path, default=[], help="folders in SeisBench format with picks")
    parser.add_argument("--records", type=Path, help="datasets/, for its held-out records")
    parser.add_argument("--also", type=Path, help="onsets and figures written by `benchmarks.phasenet test`")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    configs = {str(c.station_id): c for c in (load_config(path) for path in sorted(STATIONS.glob("*.toml")))}
    quakes = {
        "catalogue": catalogue_from_csv(arguments.catalogue),
        "automatic": automatic_from_csv(arguments.automatic),
    }
    detectors = Detectors(arguments.model)
    swarm = Swarm(arguments.data, quakes, configs)
    recordings = swarm.recordings
    rows, opened = swarm.rows(detectors)
    curves = swarm.curves(detectors)
    figures = Figures(draws=1000)
    if arguments.also:
        name, points = also_curve(arguments.also, recordings)
        curves[name] = points
    hours = sum(r.hours for r in recordings)
    section(f"swarm: {', '.join(r.station for r in recordings)}, {hours:.2f} h", table_lines(rows))
    section("swarm: onsets without a match", unmatched_lines(swarm, opened))
    section("swarm at equal shares matched", equal_lines(rows, curves))
    for name, points in curves.items():
        section(f"curve: {name}", table_lines({f"{name}, {p.threshold:g}": p for p in points}))
    add_swarm_snr(figures, recordings, opened)
    if arguments.records:
        add_records(figures, arguments.records, detectors)
    section("by signal to noise", figure_lines(figures, [f.on for f in figures.rows]))
    if arguments.records:
        stretches = quiet_noise(arguments.records)
        section("quiet noise", quiet_lines(stretches, detectors))
        section("artefacts in noise", bad_data_lines(stretches, detectors))
    if arguments.picks:
        add_picks(figures, arguments.picks, detectors)
        if arguments.also:
            figures.rows += msgspec.json.decode(arguments.also.read_bytes(), type=Stated).figures
        for phase in ("P", "S"):
            ons = dict.fromkeys(f.on for f in figures.rows if f.on.startswith(f"{phase}, "))
            section(f"picks of {phase}", figure_lines(figures, list(ons)))
    recall = rows[f"{STA_LTA}: opened"].recall["catalogue"].value
    pairs = noise_sections(arguments.noise, swarm, detectors, curves, recall) if arguments.noise else {}
    if arguments.plot:
        draw(curves, pairs, arguments.plot)


if __name__ == "__main__":
    main()

"""A data set for sampling: SeisBench folders, resampled by the resampler of the station, in arrays.

The columns are described in `datasets/README.md`. Other SeisBench sets need only `trace_name`, a sampling rate, a label
and an onset (`trace_onset_sample` or a P arrival), under any of SeisBench's names. `seisedge.train.dataset.vocabulary`
defines the meaning of the labels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.detection.soundness import resample_sound
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.channelcode import is_accelerometer
from seisedge.runtime.station.scale import NOMINAL_COUNTS_PER_M_S2
from seisedge.runtime.text import shortened
from seisedge.runtime.timeline.resample import MAX_RATE_IN_HZ, reaches_band
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.archive.spool import Parts, Spool, default_limit_bytes, scratch_folder, size_of_arrays
from seisedge.train.dataset.amplitude import TOO_LARGE, gain_fault, is_too_large
from seisedge.train.dataset.columns import (
    Row,
    gain_of,
    is_acceleration,
    is_synthetic,
    is_triggered_noise,
    kind_of,
    label_of,
    licence_of,
    number,
    onset_of,
    text,
    time_ns,
    without_gain,
)
from seisedge.train.dataset.event_hashes import event_key
from seisedge.train.dataset.flags import EARLY, contradicts_origin, flag
from seisedge.train.dataset.holdout import WHOLE, Place, folds_of, settle
from seisedge.train.dataset.origins import Occurrence, same_origin, with_unnamed
from seisedge.train.dataset.plausible import Implausible, texts_of
from seisedge.train.dataset.progress import progress
from seisedge.train.dataset.split import RULE, group_overlapping, join_groups
from seisedge.train.dataset.store import Array, Store, chunks_of
from seisedge.train.dataset.vocabulary import KINDS, UNTYPED, UNUSED

logger = logging.getLogger(__name__)

# SEED orientation code → row. 1 and 2 are not geographic; they use the rows that the station uses for them.
ROW_OF_ORIENTATION = {"Z": 0, "N": 1, "E": 2, "1": 1, "2": 2}
SYNTHETIC = "synthetic: only the recipe key data.synthetic = true trains on them; no evaluation counts them"
EXAMPLES = 5  # names in a message
UNKNOWN_STATION = "."  # NET.STA without codes
KM_PER_S_OF_S_MINUS_P = 8.22  # P at 6.0 km/s, Vp/Vs 1.73

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Record:
    """Metadata of one record, at the rate of the archive. Samples are indices into the last axis of
    `Archive.waveform`.
    """

    name: str
    source: str  # data set (column subset)
    event: str
    group: str  # name of a group of events that share samples
    kind: str  # 'tectonic', 'blast', 'mass movement' or 'noise'
    station: str  # NET.STA
    rate_hz: float  # as recorded
    three: bool  # True if both horizontal components exist
    onset: float  # sample
    noise_end: int  # samples before this one are noise; 0: no noise
    n_samples: int
    visible: bool
    snr: float
    magnitude: float | None
    distance_km: float | None  # hypocentral if the depth is known; without a column, from the S minus P time of picks
    gain: float | None  # counts per m/s, or integrated counts of an acceleration; 1 if the samples are in m/s or m/s**2
    split: str
    fold: int
    time_ns: int | None = None  # origin time, else time of the first sample
    latitude_deg: float | None = None  # of the source; for noise, of the station
    longitude_deg: float | None = None
    s_arrival: float | None = None  # sample
    end: float | None = None  # sample at which the coda ends
    synthetic: bool = False  # column trace_synthetic
    key: str = ""  # key of the event, see `event_hashes.event_key`
    magnitude_type: str = ""  # of the catalogue; '' if not stated
    licence: str = ""  # column trace_licence; '' if not stated
    p_picked: bool = False  # the data contain a pick of P
    picks: tuple[tuple[str, float], ...] = ()  # phase and sample of each arrival, see `picks_of`
    triggered_noise: bool = False  # noise at whose onset a trigger of the station opened


@dataclass(frozen=True)
class Archive:
    """All records of one or more folders at one rate.

    waveform: float32 (records, 3, n of the longest record), counts; 0 where no sample exists. valid: bool, same shape.
    Both are memory maps of files if they exceed the memory for the data.
    """

    rate_hz: float
    records: list[Record]
    waveform: npt.NDArray[np.float32]
    valid: Bool
    sha256: str
    sources: list[str]
    left_out: dict[str, int] = field(default_factory=dict)  # reason → records
    notes: list[str] = field(default_factory=list)  # changes made to the records that were kept
    split_rule: str = RULE
    folder_of: dict[str, str] = field(default_factory=dict)  # source → folder (its name, made unique) that contains it

    def indices(self, **wanted: object) -> npt.NDArray[np.int64]:
        """Indices of records whose fields have the given values: `archive.indices(split="test", kind="blast")`."""
        hits = [i for i, r in enumerate(self.records) if all(getattr(r, k) == v for k, v in wanted.items())]
        return np.array(hits, dtype=np.int64)


def find_dataset(start: Path) -> Path:
    """The folder `datasets/` of the repository that contains `start`. Raises InputError."""
    for folder in (start, *start.parents):
        candidate = folder / "datasets"
        if (candidate / "metadata.csv").is_file() and (folder / "pyproject.toml").is_file():
            return candidate
    raise InputError(
        f"--data is missing, and neither {start} nor a parent folder contains datasets/metadata.csv; give --data DIR"
    )


def fingerprint(folders: Sequence[Path]) -> str:
    """SHA-256 over metadata and waveforms of the folders, in the given order."""
    digest = hashlib.sha256()
    for folder in folders:
        for chunk in chunks_of(folder):
            for path in (folder / f"metadata{chunk}.csv", folder / f"waveforms{chunk}.hdf5"):
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
    return digest.hexdigest()


def components_of(data: Array, order: str) -> dict[int, tuple[str, Array]]:
    """Row (0 to 2: Z, N, E) → component code and samples. 1 and 2 are used if N and E are missing; other
    codes are not.
    """
    rows: dict[int, tuple[str, Array]] = {}
    for code, x in zip(order, data, strict=False):
        row = ROW_OF_ORIENTATION.get(code)
        if row is not None and (row not in rows or code in "NE"):
            rows[row] = code, x
    return rows


def missing_of(row: Row) -> dict[str, list[tuple[int, int]]]:
    """Component code → gaps [first, last), from the column `trace_missing` (`Z:0-50 300-400;1:0-50`). Raises
    InputError.
    """
    out: dict[str, list[tuple[int, int]]] = {}
    for part in filter(None, text(row, "trace_missing").split(";")):
        code, _, spans = part.partition(":")
        try:
            pairs = [span.split("-") for span in spans.split()]
            out[code] = [(int(first), int(last)) for first, last in pairs]
        except ValueError:
            raise InputError(
                f"{row['trace_name']}: trace_missing must have the form 'Z:0-50 300-400;1:0-50'; got '{part}'"
            ) from None
    return out


@dataclass(frozen=True)
class Wanted:
    """Which records are read. subsets: only these sources; None: all. leave_out: sources that are not read.

    synthetic: also records marked as synthetic. untyped: also events whose type is not stated, as kind 'untyped'.
    max_magnitude, max_distance_km, after_s_s, unlabelled: see `recipe.DataSpec`; None: no condition.
    """

    subsets: Sequence[str] | None = None
    leave_out: Sequence[str] = ()
    synthetic: bool = False
    untyped: bool = False
    max_magnitude: float | None = None
    max_distance_km: float | None = None
    after_s_s: float | None = None
    unlabelled: str = ""

    def fault(self, record: Record, rate_hz: float) -> str:
        """Why the record is not read, by its magnitude, distance and S arrival; '' if it is."""
        if record.kind == "noise":
            return ""
        conditions = (
            ("magnitude", record.magnitude, self.max_magnitude, ""),
            ("distance", record.distance_km, self.max_distance_km, " km"),
        )
        for what, value, largest, unit in conditions:
            if largest is not None and value is None:
                return f"no {what}, which the recipe limits"
            if largest is not None and value is not None and value > largest:
                return f"{what} above {largest:g}{unit}"
        if self.after_s_s is None:
            return ""
        if record.s_arrival is None:
            return "no S arrival, after which the recipe needs a part of the record"
        ends = (record.n_samples - record.s_arrival) / rate_hz < self.after_s_s
        return f"ends less than {self.after_s_s:g} s after S" if ends else ""

    def source(self, name: str) -> bool:
        """True if the source is read."""
        return name not in self.leave_out and (self.subsets is None or name in self.subsets)


def load_archive(
    folders: Sequence[Path],
    rate_hz: float,
    pass_hz: float,
    limit: int | None = None,
    split: str = "",
    show_progress: bool = False,
    wanted: Wanted = Wanted(),
    memory_gb: float | None = None,
) -> Archive:
    """Read the folders, resample all records, and put them into arrays.

    limit: use only every k-th record of a folder, so that about this many remain. split: a rule of `holdout`; '' keeps
    the column `split` of the data. show_progress: print how many records have been read. Synthetic records are
    used for training only and are never in the calibration fold. memory_gb: memory for the samples, more of which are
    kept in a temporary file; None: half of the memory of the machine. Raises InputError.
    """
    limit_bytes = default_limit_bytes() if memory_gb is None else round(memory_gb * 1e9)
    reader = _Reader(rate_hz, pass_hz, wanted, limit_bytes)
    for folder in folders:
        with Store(folder, reader.folder_of, labelled=not wanted.unlabelled) as store:
            reader.note_folder(store)
            rows = [row for row in store.rows if wanted.source(row.get("subset", ""))]
            if limit is not None and len(rows) > limit:
                rows = rows[:: -(-len(rows) // limit)]
            for row in progress(rows, f"records of {text_from_path(folder)} read") if show_progress else rows:
                if is_synthetic(row) and not wanted.synthetic:
                    reader.left_out[SYNTHETIC] += 1
                else:
                    reader.add(store, row)
    if not reader.kept:
        why = "; ".join(f"{count} × {reason}" for reason, count in reader.left_out.items()) or "nothing selected"
        raise InputError(f"no usable record in {', '.join(map(str, folders))}: {why}")
    records, rule = _with_sides(reader, split, folders)
    chosen = [i for i, record in enumerate(records) if record.split]
    if len(chosen) < len(records):
        reader.left_out["on neither side of the split"] = len(records) - len(chosen)
    longest = max(records[i].n_samples for i in chosen)
    require_space([records[i] for i in chosen], longest, limit_bytes)
    waveform, valid = reader.spool.arrays(chosen, longest)
    for reason, count in reader.left_out.items():
        logger.info("%d records left out: %s", count, reason)
    kept = [records[i] for i in chosen]
    notes = reader.notes()
    if not any(record.split == "test" for record in kept):
        notes.append(
            "no event is held out by column split, so the accuracy cannot be measured; --split event holds events"
        )
    sources = list(dict.fromkeys(record.source for record in kept))
    return Archive(
        rate_hz, kept, waveform, valid, fingerprint(folders), sources, dict(reader.left_out), notes, rule,
        reader.folder_of,
    )  # fmt: skip


def require_space(
    records: Sequence[Record], longest: int, limit_bytes: int | None, free_bytes: int | None = None
) -> None:
    """Raises InputError if the arrays of the records, each as long as the longest (samples), fit neither into
    `limit_bytes` of memory nor into the folder of temporary files.

    free_bytes: free space there; None: as it is.
    """
    needed = size_of_arrays(len(records), longest)
    if limit_bytes is None or needed <= limit_bytes:
        return
    folder = scratch_folder()
    free_bytes = shutil.disk_usage(folder).free if free_bytes is None else free_bytes
    if needed > free_bytes:
        name = next(r.name for r in records if r.n_samples == longest)
        raise InputError(
            f"{len(records)} records as long as the longest ({shortened(name)}, {longest} samples after resampling) "
            f"need {needed / MIB:.0f} MiB; {limit_bytes / MIB:.0f} MiB of memory and {free_bytes / MIB:.0f} MiB in "
            f"{folder} may be used; cut windows around the events, set TMPDIR to a folder with more space, or use "
            "fewer records (--limit)"
        )


class _Reader:
    """Reads and resamples records one by one, and counts the records that are left out, by reason."""

    def __init__(self, rate_hz: float, pass_hz: float, wanted: Wanted, limit_bytes: int | None) -> None:
        self.rate_hz, self.pass_hz, self.wanted = rate_hz, pass_hz, wanted
        self.kept: list[tuple[Row, Record]] = []
        self.spool = Spool(limit_bytes)  # samples of the kept records
        self.left_out: Counter[str] = Counter()
        self.rates: Counter[float] = Counter()
        self.with_nan = 0
        self.too_large: list[str] = []  # names of the records
        self.without_gain: list[str] = []  # name and reason
        self.implausible: list[Implausible] = []
        self.folder_of: dict[str, str] = {}

    def note_folder(self, store: Store) -> None:
        """Store the sources of a folder, its name (with a number if it occurred before) and its implausible values."""
        name = given = text_from_path(store.folder.resolve().name)
        k = 1
        while name in self.folder_of.values():
            name, k = f"{given}-{k + 1}", k + 1
        for row in store.rows:
            self.folder_of.setdefault(row["subset"], name)
        self.implausible += itertools.chain.from_iterable(store.implausible)
        self.integrated = self.of_accelerometers = 0

    def add(self, store: Store, row: Row) -> None:
        """Read, mask and resample one record, or count it as left out. Raises InputError."""
        rate = float(row["trace_sampling_rate_hz"])
        kind, onset = self._kind_of(row), onset_of(row)
        reason = (
            f"Nyquist below {self.pass_hz:g} Hz" if not reaches_band(rate, self.pass_hz)
            else f"more than {MAX_RATE_IN_HZ:g} Hz" if rate > MAX_RATE_IN_HZ
            else f"no class for source type '{row['source_type']}'" if kind == UNUSED
            else "no onset" if onset is None
            else EARLY if kind != "noise" and contradicts_origin(row)
            else ""
        )  # fmt: skip
        if not reason and kind not in (*KINDS, UNTYPED):
            raise InputError(f"{row['trace_name']}: source_class must be one of {', '.join(KINDS)}; got '{kind}'")
        parts: Parts = {}
        first = start_ns = 0
        if not reason:
            start_ns = time_ns(row, "trace_start_time") or 0
            samples, integrates = store.samples(row), is_acceleration(row)
            if is_too_large(samples):
                self.too_large.append(row["trace_name"])
                self.left_out[TOO_LARGE] += 1
                return
            row = self._with_sound_gain(row, samples)
            components = components_of(samples, row["trace_component_order"])
            gaps, n_finite, n_nan = missing_of(row), 0, 0
            for place, (code, x) in components.items():
                present = np.ones(len(x), dtype=bool)
                for begin, end in gaps.get(code, []):
                    present[begin:end] = False
                y = x.astype(np.float64)
                finite = np.isfinite(y)
                if not finite.all():
                    n_nan += 1
                    present &= finite
                    y[~finite] = 0.0
                if place == 0:
                    n_finite = int(finite.sum())
                z, mask, first = resample_sound(
                    y, present, start_ns, rate, self.rate_hz, self.pass_hz, integrates=integrates
                )
                if integrates and gain_of(row) is None:
                    z *= UNKNOWN_GAIN / NOMINAL_COUNTS_PER_M_S2
                if mask.any():
                    parts[place] = z.astype(np.float32), mask
            reason = (
                "" if 0 in parts
                else "no vertical" if 0 not in components
                else "not a number in the vertical" if not n_finite
                else "flat vertical"
            )  # fmt: skip
            self.with_nan += bool(n_nan and not reason)
        if not reason:
            record = _record(row, kind, onset or 0.0, parts, self.rate_hz / rate, _grid(start_ns, self.rate_hz, first))
            reason = self.wanted.fault(record, self.rate_hz)
        if reason:
            self.left_out[reason] += 1
            return
        self.rates[rate] += 1
        self.integrated += is_acceleration(row)
        self.of_accelerometers += is_accelerometer(text(row, "trace_channel")) and not is_acceleration(row)
        self.kept.append((row, record))
        self.spool.add(parts)

    def _kind_of(self, row: Row) -> str:
        """The kind of the record; of one whose type is not stated, what the recipe takes it for."""
        if label_of(row) or text(row, "source_class"):
            return kind_of(row)
        return UNTYPED if self.wanted.untyped else self.wanted.unlabelled or kind_of(row)

    def _with_sound_gain(self, row: Row, samples: Array) -> Row:
        """The record, without its gain if that is none; noted."""
        if fault := gain_fault(row, samples):
            self.without_gain.append(f"{row['trace_name']} ({fault})")
            return without_gain(row)
        return row

    def notes(self) -> list[str]:
        """Messages for the user about the records that were kept."""
        out = []
        if len(self.rates) > 1:
            rates = ", ".join(f"{rate:g} Hz ({count})" for rate, count in sorted(self.rates.items()))
            out.append(f"mixed sampling rates, all resampled to {self.rate_hz:g} Hz: {rates}")
        if self.with_nan:
            out.append(f"{self.with_nan} records contain NaN samples, which are masked")
        if self.integrated:
            out.append(f"{self.integrated} records of acceleration, integrated to velocity")
        if self.of_accelerometers:
            out.append(
                f"{self.of_accelerometers} records of accelerometers are taken as velocity, since no column states an "
                "acceleration (trace_quantity, trace_unit, trace_gain_counts_per_m_s2)"
            )
        if self.too_large:
            out.append(f"records left out for {TOO_LARGE}: {_first_of(self.too_large)}")
        if self.without_gain:
            out.append(f"the gain of {len(self.without_gain)} records is not used: {_first_of(self.without_gain)}")
        return [*out, *texts_of(self.implausible)]


def _first_of(names: Sequence[str]) -> str:
    """The first names for a message."""
    rest = len(names) - EXAMPLES
    return ", ".join(map(shortened, names[:EXAMPLES])) + (f" and {rest} more" if rest > 0 else "")


def _with_sides(reader: _Reader, split: str, folders: Sequence[Path]) -> tuple[list[Record], str]:
    """The records with group, split and fold, and the split rule in words; split is '' for records on neither side."""
    rows, records = [row for row, _ in reader.kept], [record for _, record in reader.kept]
    spans = [_span(row, r.n_samples / reader.rate_hz) for row, r in zip(rows, records, strict=True)]
    occurrences = [_occurrence(row, r, span) for row, r, span in zip(rows, records, spans, strict=True)]
    if len(folders) > 1 or not all(text(row, "source_group") for row in rows):
        groups = with_unnamed(join_groups([r.group for r in records], _origins(records)), occurrences)
        stations = [r.station if r.station != UNKNOWN_STATION else r.name for r in records]
        groups = group_overlapping(groups, stations, [s for s, _ in spans], [e for _, e in spans])
        records = [dataclasses.replace(r, group=g) for r, g in zip(records, groups, strict=True)]
    places = [
        Place(r.event, r.group, f"{r.kind}/{r.source}", r.station, r.time_ns, r.latitude_deg, r.longitude_deg)
        for r in records
    ]
    given = [text(row, "split").lower() for row in rows]
    lost = [r.name for r, o, side in zip(records, occurrences, given, strict=True) if o.is_lost and (split or not side)]
    if lost and split != WHOLE:
        raise InputError(
            f"{', '.join(map(str, folders))}: {len(lost)} records do not state their event, so that records of one "
            f"event could be in training and test data; the first is {lost[0]}; give them source_id (an event id), "
            "source_origin_time or trace_start_time, or divide them yourself with the column split"
        )
    real = [i for i, r in enumerate(records) if not r.synthetic]
    folds = folds_of(places, ["train"] * len(places))
    records = [dataclasses.replace(r, split="train", fold=max(f, 1)) for r, f in zip(records, folds, strict=True)]
    if not real:
        return records, "all records are synthetic; none is held out"
    sides = settle(
        [places[i] for i in real], [given[i] for i in real], [text(rows[i], "fold") for i in real], split,
        ", ".join(map(str, folders)),
    )  # fmt: skip
    for i, side, fold in zip(real, sides.side, sides.fold, strict=True):
        records[i] = dataclasses.replace(records[i], split=side, fold=fold)
    return records, sides.rule


def _occurrence(row: Row, record: Record, span: tuple[int, int]) -> Occurrence:
    origin_ns = time_ns(row, "source_origin_time")
    named = bool(text(row, "source_id") or text(row, "source_group"))
    noise = record.kind == "noise"
    place = (None, None) if noise else (record.latitude_deg, record.longitude_deg)
    return Occurrence(named or noise or record.synthetic, noise, origin_ns, *span, *place)


def _origins(records: Sequence[Record]) -> list[str]:
    """The event name of each record; events that data sets name differently get one common name."""
    events = [r.event for r in records]
    times = [None if r.kind == "noise" else r.time_ns for r in records]
    names = same_origin(events, times, [r.latitude_deg for r in records], [r.longitude_deg for r in records])
    return [names[event] for event in events]


def _span(row: Row, length_s: float) -> tuple[int, int]:
    """Times of the first sample and after the last one; (0, 0) if unknown. length_s: used without trace_npts."""
    start_ns, n = time_ns(row, "trace_start_time"), number(row, "trace_npts")
    if start_ns is None:
        return 0, 0
    return start_ns, start_ns + round((length_s if n is None else n / float(row["trace_sampling_rate_hz"])) * NS_PER_S)


def _grid(start_ns: int, rate_hz: float, first: int) -> float:
    """Position of the first sample of the record relative to output sample `first`, without rounding of
    present times.
    """
    whole, rest = divmod(start_ns, 1_000_000_000)
    return (whole * rate_hz - first) + rest / 1e9 * rate_hz


def _record(row: Row, kind: str, onset: float, parts: Parts, ratio: float, shift: float) -> Record:
    noise = kind == "noise"
    epicentral, depth = number(row, "path_ep_distance_km"), number(row, "source_depth_km")
    event = text(row, "source_id") or row["trace_name"]
    noise_end = number(row, "trace_noise_end_sample") or 0.0
    n_samples = len(parts[0][0])
    p, s = number(row, "trace_p_arrival_sample"), number(row, "trace_s_arrival_sample")
    end = number(row, "trace_coda_end_sample")
    distance = None if epicentral is None else float(np.hypot(epicentral, depth or 0.0))
    if distance is None and p is not None and s is not None and s > p:
        distance = (s - p) / float(row["trace_sampling_rate_hz"]) * KM_PER_S_OF_S_MINUS_P
    where = "station" if noise else "source"
    origin_ns = time_ns(row, "source_origin_time")
    return Record(
        name=row["trace_name"],
        source=row["subset"],
        event=event,
        group=text(row, "source_group") or event,
        kind=kind,
        station=f"{row.get('station_network_code', '')}.{row.get('station_code', '')}",
        rate_hz=float(row["trace_sampling_rate_hz"]),
        three=len(parts) == 3,
        onset=onset * ratio + shift,
        noise_end=n_samples if noise else int(max(noise_end * ratio + shift, 0.0)) if noise_end else 0,
        n_samples=n_samples,
        visible=flag(row, "trace_visible", True),
        snr=number(row, "trace_onset_snr") or 0.0,
        magnitude=number(row, "source_magnitude"),
        distance_km=distance,
        gain=gain_of(row),
        split="",
        fold=-1,
        time_ns=origin_ns if origin_ns is not None else time_ns(row, "trace_start_time"),
        latitude_deg=number(row, f"{where}_latitude_deg"),
        longitude_deg=number(row, f"{where}_longitude_deg"),
        s_arrival=None if s is None else s * ratio + shift,
        end=None if end is None else end * ratio + shift,
        synthetic=is_synthetic(row),
        key=event_key(row),
        magnitude_type=text(row, "source_magnitude_type"),
        licence=licence_of(row),
        p_picked=p is not None,
        picks=picks_of(row, onset, s, ratio, shift) if kind in ("tectonic", "blast", UNTYPED) else (),
        triggered_noise=is_triggered_noise(row),
    )


def picks_of(row: Row, onset: float, s: float | None, ratio: float, shift: float) -> tuple[tuple[str, float], ...]:
    """Phase and sample of each arrival, from the column `trace_picks` (`P 120.5;S? 300`), else from the onset and the S
    pick. 'P?' and 'S?' are predicted times: no clear onset was found there. Raises InputError.
    """
    column = text(row, "trace_picks")
    if column:
        try:
            parts = [part.split() for part in column.split(";")]
            found = [(phase, float(sample)) for phase, sample in parts]
        except ValueError:
            found = []
        if not found or any(phase not in ("P", "S", "P?", "S?") for phase, _ in found):
            raise InputError(f"{row['trace_name']}: trace_picks must have the form 'P 120.5;S? 300'; got '{column}'")
    else:
        predicted = text(row, "trace_onset_basis") in ("P predicted", "expected", "catalogued onset")
        found = [("P?" if predicted else "P", onset)]
        if s is not None:
            found.append(("S", s))
    return tuple((phase, sample * ratio + shift) for phase, sample in found)

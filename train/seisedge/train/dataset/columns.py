"""Map the column names of SeisBench data sets to one name each.

A SeisBench data set may store its label in `source_type`, `source_event_category` or `trace_category`, and name the
column of its P arrival after the picked phase. `canonical` adds the columns that seisedge reads, under one name
each. It does not change values that are present.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.units import ground_motion_of
from seisedge.train.dataset.plausible import RANGES, Implausible, is_implausible_text
from seisedge.train.dataset.vocabulary import kind_of_word

Row = dict[str, str]

# Sources that the bundled recipes name (column `subset`); a folder of such a name is another source.
BUNDLED_SOURCES = (
    "pnw", "esec", "ridgecrest", "phasenet_ncedc", "sechilienne", "seisbench_chile", "alpine", "france", "byron",
    "colocated", "sprit_hvsr", "raspishake_report", "sprit_hvsr_triggers", "raspishake_report_triggers", "synthetic",
)  # fmt: skip
LABELS = ("source_type", "source_event_category", "trace_category", "source_category")
ALIASES: dict[str, tuple[str, ...]] = {
    "source_id": ("event_id", "source_event_id", "source_resource_id"),
    "source_magnitude": ("preferred_source_magnitude", "source_local_magnitude", "source_magnitude_preferred"),
    "source_magnitude_type": ("preferred_source_magnitude_type",),
    "path_ep_distance_km": ("source_distance_km", "path_epi_distance_km", "path_epicentral_distance_km"),
    "trace_channel": ("station_channel_code", "station_channels"),
    "trace_gain_counts_per_m_s": ("station_sensitivity_counts_spm",),
}
TIMES = ("source_origin_time", "trace_start_time")
ARRIVAL = re.compile(r"trace_([A-Za-z0-9]+)_arrival_sample")
CANONICAL = {other: key for key, others in ALIASES.items() for other in others}
TRIGGER = "trigger"  # trace_onset_basis of noise at whose onset a trigger of the station opened
FIRST_P = ("p", "P", "P1", "Pg", "Pn", "Pb", "Pdiff")  # PmP, PcP and other reflections are not the onset
FIRST_S = ("s", "S", "S1", "Sg", "Sn", "Sb")
EMPTY = {"", "nan", "none", "null", "n/a", "na"}


def number(row: Row, key: str) -> float | None:
    """The value of a column; None if missing, empty or not finite. Raises InputError for other text.

    A single number in brackets is that number: STEAD writes its coda end so, as `[[2896.]]`.
    """
    text = row.get(key, "").strip()
    if text.startswith("["):
        text = text.strip("[] ")
    if text.lower() in EMPTY:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{row.get('trace_name', '?')}: column {key} must be a number; got '{text}'") from None
    return value if math.isfinite(value) else None


def text(row: Row, key: str) -> str:
    """The text of a column; '' for missing values and their spellings (nan, none, ...)."""
    value = row.get(key, "").strip()
    return "" if value.lower() in EMPTY else value


def licence_of(row: Row) -> str:
    """The licence in the columns of a record; '' if there is none."""
    return text(row, "trace_licence") or text(row, "trace_license")


def time_ns(row: Row, key: str) -> int | None:
    """The time in a column, in ns; None if missing or empty. Raises InputError for other text."""
    stamp = text(row, key)
    try:
        return ns_from_iso(stamp) if stamp else None
    except ValueError:
        raise InputError(
            f"{row.get('trace_name', '?')}: column {key} must be a time, as in 2019-07-07T08:16:25.29Z; got '{stamp}'"
        ) from None


def first_arrival(row: Row, phases: tuple[str, ...]) -> float | None:
    """The earliest arrival of the given phases, as a sample of the trace; None if there is none."""
    samples = [number(row, f"trace_{phase}_arrival_sample") for phase in phases]
    return min((sample for sample in samples if sample is not None), default=None)


def label_of(row: Row) -> str:
    """The first label that is not empty; '' if there is none."""
    return next((text(row, key) for key in LABELS if text(row, key)), "")


def without_implausible(row: Row) -> tuple[Row, list[Implausible]]:
    """A row of a data set in which implausible values are empty, and these values; see `plausible`."""
    found: list[Implausible] = []
    for key in row:
        column, value = CANONICAL.get(key, key), text(row, key)
        arrival = ARRIVAL.fullmatch(key) is not None
        judged = arrival or column in RANGES or column in TIMES
        if value and judged and is_implausible_text(column, value, arrival):
            found.append(Implausible(row.get("trace_name", "?"), column, value))
            row = row | {key: ""}
    return row, found


def canonical(row: Row) -> Row:
    """A copy of the row in which the columns of seisedge are filled from their other names."""
    out = dict(row)
    for key, others in ALIASES.items():
        if not text(out, key):
            out[key] = next((text(row, other) for other in others if text(row, other)), "")
    out["source_type"] = label_of(row)
    for key, phases in (("trace_p_arrival_sample", FIRST_P), ("trace_s_arrival_sample", FIRST_S)):
        sample = first_arrival(row, phases)
        out[key] = "" if sample is None else f"{sample:.10g}"
    return out


def source_of_folder(name: str, taken: Collection[str] = ()) -> str:
    """The source of records without a column `subset`: the name of their folder, if no other source has it.

    >>> source_of_folder("mine"), source_of_folder("pnw"), source_of_folder("mine", {"mine"})
    ('mine', 'pnw (folder)', 'mine (folder)')
    """
    out, k = name, 1
    while out in taken or out in BUNDLED_SOURCES:
        out, k = f"{name} (folder)" if k == 1 else f"{name} (folder {k})", k + 1
    return out


def has_label(columns: list[str]) -> bool:
    """True if one of the columns is a label column."""
    return any(key in columns for key in LABELS)


def kind_of(row: Row) -> str:
    """The kind in `source_class` if given, else the kind of the label; 'unused' for a label that is not trained on."""
    return text(row, "source_class") or kind_of_word(row["source_type"])


def is_triggered_noise(row: Row) -> bool:
    """True for a record of noise at whose onset a trigger of the station opened: a hard negative."""
    return kind_of(row) == "noise" and text(row, "trace_onset_basis") == TRIGGER


def is_synthetic(row: Row) -> bool:
    """True if the column `trace_synthetic` marks the record as synthetic."""
    return text(row, "trace_synthetic").lower() in ("true", "1", "yes")


def is_acceleration(row: Row) -> bool:
    """True if the samples are accelerations, by the column `trace_quantity`, or by the unit or the gain of the record.

    The channel code does not decide: many sets contain channels of accelerometers that were integrated before.
    """
    motion = ground_motion_of(text(row, "trace_unit"))
    stated = text(row, "trace_quantity").lower() == "acceleration"
    return (
        stated or bool(text(row, "trace_gain_counts_per_m_s2")) or (motion is not None and motion[0] == "acceleration")
    )


def gain_column(row: Row) -> str:
    """The column with the gain of a record: that of accelerations in counts per m/s**2, else in counts per m/s."""
    return "trace_gain_counts_per_m_s2" if is_acceleration(row) else "trace_gain_counts_per_m_s"


def without_gain(row: Row) -> Row:
    """The record without its gain; accelerations stay accelerations."""
    return row | {gain_column(row): ""} | ({"trace_quantity": "acceleration"} if is_acceleration(row) else {})


def gain_of(row: Row) -> float | None:
    """Counts per m/s, or per m/s**2 of a record of accelerations; the inverse of the unit where that is one of them."""
    gain = number(row, gain_column(row))
    motion = ground_motion_of(text(row, "trace_unit"))
    if gain is None and motion is not None:
        return 1 / motion[1]
    return 1.0 if gain is None and text(row, "trace_unit").lower() == "mps" else gain


def onset_of(row: Row) -> float | None:
    """The nominal onset, else the P arrival, as a sample of the trace; None if the row has neither. For noise: where a
    trigger of the station opened, else 0.
    """
    if kind_of(row) == "noise":
        return (number(row, "trace_onset_sample") or 0.0) if is_triggered_noise(row) else 0.0
    onset = number(row, "trace_onset_sample")
    return onset if onset is not None else number(row, "trace_p_arrival_sample")

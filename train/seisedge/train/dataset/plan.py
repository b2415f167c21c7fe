"""The settings of a data set build, and its summary."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace

from seisedge.runtime.text import shortened


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings. before_s, after_s: window relative to the onset. noise: largest number of noise windows for each event
    window. hard_negatives: largest number of noise windows around the onset of a trigger, for each event window.
    coda_s: time after S until a station counts as quiet again. unit: 'counts' or 'm/s'. channels: patterns of
    channel codes; empty for all seismometers. refine: move a computed P to a rise of energy nearby. noise_before_p:
    mark the quiet time before the onset as noise. untyped, magnitude_types: see `catalogue.read_catalogue`.
    """

    before_s: float = 20.0
    after_s: float = 60.0
    noise: float = 1.0
    hard_negatives: float = 0.0
    coda_s: float = 30.0
    max_distance_km: float = 200.0
    min_coverage: float = 0.8
    unit: str = "counts"
    channels: tuple[str, ...] = ()
    refine: bool = True
    licence: str = ""
    noise_before_p: bool = False
    untyped: str = ""
    magnitude_types: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        return self.before_s + self.after_s


@dataclass(frozen=True, slots=True)
class FilesSkipped:
    """count: number of files. first: name of the first one."""

    count: int
    first: str


@dataclass(slots=True)
class Built:
    """Summary of a build: numbers written and left out. without_gain: records written without a gain, by reason.
    picks_ignored: picks of the catalogue that are no labels, by reason. by_type: records of events by source type.
    entries_left_out: entries of the catalogue by reason. choices: what was chosen where the input allows several, or is
    missing → events or records. implausible: values treated as missing, one sentence for each column. faint: records
    whose signal is not visible. quiet: records of events with usable noise before the onset. files_skipped: files of
    the recordings that cannot be used, by reason.
    """

    folder: str
    records: int = 0
    events: int = 0
    noise: int = 0
    hard_negatives: int = 0
    stations: int = 0
    basis: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    without_gain: dict[str, int] = field(default_factory=dict)
    picks_ignored: dict[str, int] = field(default_factory=dict)
    channels_passed_over: dict[str, int] = field(default_factory=dict)
    bad_records: int = 0
    disagreeing_samples: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    entries_left_out: dict[str, int] = field(default_factory=dict)
    choices: dict[str, int] = field(default_factory=dict)
    implausible: list[str] = field(default_factory=list)
    faint: int = 0
    quiet: int = 0
    files_skipped: dict[str, FilesSkipped] = field(default_factory=dict)


def text_from_built(built: Built) -> str:
    """Text for the terminal."""
    return "\n".join([*summary_of(built), f"next: seisedge dataset check {shlex.quote(built.folder)}"])


def summary_of(built: Built) -> list[str]:
    """The lines of the summary: what was written, chosen and left out."""
    lines = [
        f"{built.folder}: {built.records} records of {built.events} events at {built.stations} stations, "
        f"{built.noise} of them noise"
    ]
    lines += [f"  {n:6} records of type {word}" for word, n in built.by_type.items()]
    lines += [f"  {n:6} onset: {basis}" for basis, n in built.basis.items()]
    if built.hard_negatives:
        lines.append(f"  {built.hard_negatives:6} of the noise at the onset of a trigger, far from catalogued events")
    if built.quiet:
        lines.append(f"  {built.quiet:6} with usable noise before the onset")
    if built.faint:
        lines.append(f"  {built.faint:6} without a visible signal; the bundled recipes do not train on them")
    lines += [f"  {n:6} {choice}" for choice, n in built.choices.items()]
    lines += [f"  {text}" for text in built.implausible]
    lines += [f"  {n:6} entries of the catalogue left out: {reason}" for reason, n in built.entries_left_out.items()]
    lines += [f"  {n:6} left out: {reason}" for reason, n in built.left_out.items()]
    lines += [f"  {n:6} without a gain: {reason}" for reason, n in built.without_gain.items()]
    lines += [f"  {n:6} picks ignored: {reason}" for reason, n in built.picks_ignored.items()]
    lines += [f"  {n:6} channels skipped: {reason}" for reason, n in built.channels_passed_over.items()]
    lines += [
        f"  {files.count:6} files skipped: {reason}; the first is {shortened(files.first)}"
        for reason, files in built.files_skipped.items()
    ]
    if built.bad_records:
        lines.append(f"  {built.bad_records:6} miniSEED records skipped because they are damaged")
    if built.disagreeing_samples:
        lines.append(
            f"  {built.disagreeing_samples:6} samples that differ between overlapping records; the first value is used"
        )
    return lines


def readme_of(built: Built, plan: Plan, source: dict[str, str], travel_times: str) -> str:
    """README.md of the data set: the summary, and the choices that it does not show."""
    channels = ", ".join(plan.channels) or "all seismometers"
    return "\n".join(
        [
            "# Data set of `seisedge dataset build`",
            "",
            f"Catalogue: `{source['catalogue']}` (SHA-256 {source['sha256']}). Format: SeisBench.",
            "",
            "```",
            *summary_of(replace(built, folder="this folder")),
            "```",
            "",
            f"- Windows: {plan.before_s:g} s before to {plan.after_s:g} s after the onset. Without a pick the onset is "
            f"computed ({travel_times}) for stations within {plan.max_distance_km:g} km"
            + (", and moved to the rise of energy near it." if plan.refine else "."),
            f"- Samples: {plan.unit}, channels {channels}. Of several sensors of a station the one with most "
            "components is used; of equal ones, the one with the first location code, then the first channel code.",
            "- Magnitude: "
            + (
                f"of the first of the types {', '.join(plan.magnitude_types)} that an event has; it is missing if an "
                "event has none of them."
                if plan.magnitude_types
                else "the preferred magnitude of an event, else the first listed."
            ),
            "- Event types are those of the catalogue"
            + ("." if not plan.untyped else f"; of events without a type: {plan.untyped}."),
            "- Missing and implausible values stay missing. A window without a visible signal is kept, with "
            "`trace_visible` = False.",
            f"- Licence: {plan.licence or 'not stated'}.",
            "",
        ]
    )

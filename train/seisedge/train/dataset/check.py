"""Check data sets: faults that invalidate the evaluation of a model, and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from seisedge.train.dataset.audit import Explained, Guess, audit, audit_magnitudes
from seisedge.train.dataset.flags import EARLY
from seisedge.train.dataset.holdout import TUNING, Place, leaks
from seisedge.train.dataset.origins import WITHIN_KM, WITHIN_S, Occurrence, same_origin, with_unnamed
from seisedge.train.dataset.plausible import texts_of
from seisedge.train.dataset.split import group_overlapping, join_groups
from seisedge.train.dataset.survey import Trace
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND, UNUSED

EXAMPLES = 3
RARE = 0.1  # share of the events below which a label counts as rare
COMPLETE = (
    "implausible",
    "rates",
    "magnitude types",
    "balance",
    "shortcuts",
    "magnitude shortcuts",
)  # the text of these findings lists every item
Level = Literal["fault", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """level 'fault': an evaluation of a model trained on the data is invalid. count: records, unless `text` differs."""

    level: Level
    code: str
    count: int
    text: str
    examples: list[str]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Findings, faults first; the audits of label and magnitude, or the reason why there is none."""

    records: int
    findings: list[Finding]
    audit: list[Guess]
    no_audit: str
    magnitude_audit: list[Explained]
    no_magnitude_audit: str

    @property
    def faults(self) -> list[Finding]:
        return [f for f in self.findings if f.level == "fault"]


def check(traces: Sequence[Trace]) -> CheckReport:
    """Check the traces of one or more data sets that are to be used together."""
    guesses, no_audit = audit(traces)
    explained, no_magnitude_audit = audit_magnitudes(traces)
    findings = [
        *_duplicates(traces),
        *_sides(traces),
        *_unnamed(traces),
        *_twins(traces),
        *_samples(traces),
        *_arrivals(traces),
        *_labels(traces),
        *_implausible(traces),
        *_mixtures(traces),
        *_shortcuts(guesses, explained),
    ]
    findings.sort(key=lambda f: f.level != "fault")
    return CheckReport(len(traces), findings, guesses, no_audit, explained, no_magnitude_audit)


def _found(level: Level, code: str, names: Iterable[str], text: str) -> list[Finding]:
    """One finding about the named items; an empty list if there are no items."""
    listed = list(names)
    return [Finding(level, code, len(listed), text, listed[:EXAMPLES])] if listed else []


def _duplicates(traces: Sequence[Trace]) -> list[Finding]:
    by_samples: dict[str, list[Trace]] = {}
    for t in traces:
        if t.sha1 and len(t.flat) < len(t.components):
            by_samples.setdefault(t.sha1, []).append(t)
    same = [[f"{t.source}/{t.name}" for t in group] for group in by_samples.values() if len(group) > 1]
    by_place = Counter(
        (t.event, t.station, t.channel, t.components, t.start_ns) for t in traces if t.start_ns and t.kind != "noise"
    )
    twice = [f"{key[0]} at {key[1]}" for key, n in by_place.items() if n > 1]
    return [
        *_found(
            "fault", "duplicates", (" = ".join(group) for group in same),
            "groups of records with identical samples: counted twice, or in both training and test data",
        ),
        *_found("warning", "same windows", twice, "windows with the same event, channel and start time as another"),
    ]  # fmt: skip


def _sides(traces: Sequence[Trace]) -> list[Finding]:
    if not any(t.split for t in traces):
        return []  # without a split column, training holds out events by a rule
    names = _origins(traces)
    groups = group_overlapping(
        with_unnamed(
            join_groups([t.group or t.event for t in traces], [names[t.event] for t in traces]),
            [_occurrence(t) for t in traces],
        ),
        [t.station for t in traces],
        [t.start_ns or 0 for t in traces],
        [t.end_ns or 0 for t in traces],
    )
    side = ["dev" if t.split in TUNING else t.split for t in traces]
    places = [Place(t.event, g, "", t.station, None, None, None) for t, g in zip(traces, groups, strict=True)]
    crossing = leaks(places, side)
    split_by_fold = [f"{s}{t.fold}" if s == "train" and t.fold else s for s, t in zip(side, traces, strict=True)]
    folded = [name for name in leaks(places, split_by_fold) if name not in crossing]
    return [
        *_found(
            "fault",
            "leak",
            crossing,
            "events, or events that share samples at a station, in both training and test data",
        ),
        *_found(
            "fault",
            "fold leak",
            folded,
            "events in two folds: the model would be calibrated on events it was trained on",
        ),
    ]


def _occurrence(trace: Trace) -> Occurrence:
    start_ns, end_ns = trace.start_ns or 0, trace.end_ns or 0
    return Occurrence(
        trace.named, trace.kind == "noise", trace.origin_ns, start_ns, end_ns, trace.latitude_deg, trace.longitude_deg
    )


def _unnamed(traces: Sequence[Trace]) -> list[Finding]:
    unnamed = [(t.name, _occurrence(t)) for t in traces if not t.named]
    lost = [name for name, o in unnamed if o.is_lost]
    text = "records without an event id (source_id): "
    return [
        *_found(
            "warning", "no event id", (name for name, o in unnamed if not o.is_lost),
            text + "training takes records of one origin time, or else of overlapping windows, as one event",
        ),
        *_found(
            "fault", "no event", lost,
            text + "and without source_origin_time and trace_start_time: one event can be in training and test data",
        ),
    ]  # fmt: skip


def _origins(traces: Sequence[Trace]) -> dict[str, str]:
    """For each event id the id of its group of events with the same origin."""
    return same_origin(
        [t.event for t in traces],
        [t.origin_ns for t in traces],
        [t.latitude_deg for t in traces],
        [t.longitude_deg for t in traces],
    )


def _twins(traces: Sequence[Trace]) -> list[Finding]:
    twins = [f"{event} = {name}" for event, name in _origins(traces).items() if event != name]
    text = (
        f"events with the same origin (within {WITHIN_S:g} s and {WITHIN_KM:g} km) as an event with another id; "
        "training keeps them together"
    )
    return _found("warning", "two names", twins, text)


def _samples(traces: Sequence[Trace]) -> list[Finding]:
    def of(fault: Callable[[Trace], str]) -> list[str]:
        return [f"{t.name} ({fault(t)})" for t in traces if fault(t)]

    return [
        *_found("warning", "nan", of(lambda t: t.nan), "records with NaN or infinite samples, which are masked"),
        *_found(
            "warning", "amplitude", of(lambda t: t.too_large), "records that are not used: impossible amplitude",
        ),
        *_found(
            "warning", "gain", of(lambda t: t.gain_fault), "records whose gain is impossible; it counts as unknown",
        ),
        *_found("warning", "flat", of(lambda t: t.flat), "records with a component without signal, which is masked"),
        *_found("warning", "clipped", of(lambda t: t.clipped), "clipped records: their amplitude is too small"),
        *_found(
            "warning", "copied", of(lambda t: t.copied),
            "records in which one component is a copy of another",
        ),
    ]  # fmt: skip


def _arrivals(traces: Sequence[Trace]) -> list[Finding]:
    events = [t for t in traces if t.kind not in ("noise", UNUSED)]
    outside = [t.name for t in events if t.onset_sample is not None and not 0 <= t.onset_sample < t.n_samples]
    return [
        *_found(
            "warning", "no arrival", (t.name for t in events if t.onset_sample is None),
            "records of events without a P arrival or onset, which are not used",
        ),
        *_found("warning", "arrival time", (t.name for t in events if t.early), f"records that are not used: {EARLY}"),
        *_found("warning", "arrival outside", outside, "records whose arrival is outside the samples"),
    ]  # fmt: skip


def _labels(traces: Sequence[Trace]) -> list[Finding]:
    unused = Counter(t.word or "(empty)" for t in traces if t.kind == UNUSED)
    text = (
        f"records with a label that training does not use: {', '.join(f'{w} ({n})' for w, n in unused.most_common(8))}"
    )
    events: dict[str, set[str]] = {}
    for t in traces:
        if t.kind in LABEL_OF_KIND:
            events.setdefault(LABEL_OF_KIND[t.kind], set()).add(t.event)
    total = sum(map(len, events.values()))
    rare = {label: len(events.get(label, ())) for label in dict.fromkeys(LABEL_OF_KIND.values())}
    if any(t.noise_samples for t in traces if t.kind != "noise"):
        del rare["noise"]  # noise windows are cut from before the events
    rare = {label: n for label, n in rare.items() if n < RARE * total}
    balance = ", ".join(f"{label} {n}" for label, n in rare.items())
    with_magnitude = [t for t in traces if t.magnitude is not None]
    untyped = [t.name for t in with_magnitude if not t.magnitude_type]
    return [
        *_found("warning", "unused labels", (t.name for t in traces if t.kind == UNUSED), text),
        *_found("warning", "balance", rare, f"labels with less than {RARE:.0%} of the {total} events: {balance}"),
        *_found("warning", "magnitude type", untyped, "records with a magnitude but no magnitude type"),
    ]


def _implausible(traces: Sequence[Trace]) -> list[Finding]:
    found = [one for t in traces for one in t.implausible]
    names = (f"{one.where} ({one.column} {one.value})" for one in found)
    return _found("warning", "implausible", names, "; ".join(texts_of(found)))


def _mixtures(traces: Sequence[Trace]) -> list[Finding]:
    rates = Counter(t.rate_hz for t in traces)
    types = Counter(t.magnitude_type.lower() for t in traces if t.magnitude_type)
    out = []
    if len(rates) > 1:
        text = "different sampling rates; training resamples to one: "
        out += _found(
            "warning", "rates", (f"{r:g} Hz" for r in rates),
            text + ", ".join(f"{r:g} Hz ({n})" for r, n in sorted(rates.items())),
        )  # fmt: skip
    if len(types) > 1:
        text = "magnitude types, which are not converted: "
        out += _found(
            "warning", "magnitude types", types, text + ", ".join(f"{k} ({n})" for k, n in types.most_common())
        )
    return [
        *out,
        *_found("warning", "licence", (t.name for t in traces if not t.licence), "records without a licence"),
    ]


def _shortcuts(guesses: Sequence[Guess], explained: Sequence[Explained]) -> list[Finding]:
    found = [g.sees for g in guesses if g.beats_chance]
    of_magnitude = [e.sees for e in explained if e.beats_chance]
    text = "properties predict the label without the waveform: " + "; ".join(found)
    of_magnitude_text = "properties predict the magnitude without the waveform: " + "; ".join(of_magnitude)
    return [
        *_found("warning", "shortcuts", found, text),
        *_found("warning", "magnitude shortcuts", of_magnitude, of_magnitude_text),
    ]


def text_from_report(report: CheckReport) -> str:
    """Text for the terminal."""
    lines = [f"{report.records} records"]
    for f in report.findings:
        shown = f"; for example {', '.join(f.examples)}" if f.examples and f.code not in COMPLETE else ""
        lines.append(f"{f.level.upper():8} {f.code} ({f.count}): {f.text}{shown}")
    if not report.findings:
        lines.append("no findings")
    lines.append("")
    lines.append("Predicting the label without the waveform (cross-validated balanced accuracy, 95 % interval)")
    if report.no_audit:
        lines.append(f"  not tested: {report.no_audit}")
    for g in report.audit:
        verdict = "shortcut" if g.beats_chance else "no shortcut"
        lines.append(f"  {g.sees:28} {g.accuracy:4.0%} ({g.low:.0%} to {g.high:.0%}), chance {g.chance:.0%}: {verdict}")
    lines.append("")
    lines.append("Predicting the magnitude without the waveform (cross-validated share of variance, 95 % interval)")
    if report.no_magnitude_audit:
        lines.append(f"  not tested: {report.no_magnitude_audit}")
    for e in report.magnitude_audit:
        verdict = "shortcut" if e.beats_chance else "no shortcut"
        lines.append(f"  {e.sees:28} {max(e.share, 0):4.0%} ({max(e.low, 0):.0%} to {max(e.high, 0):.0%}): {verdict}")
    return "\n".join(lines)

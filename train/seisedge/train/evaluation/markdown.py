"""The evaluation report as a Markdown page with tables."""

from __future__ import annotations

from collections.abc import Iterable

from seisedge.train.evaluation.curves import DAMAGED, EARLY, UNDAMAGED
from seisedge.train.evaluation.damage import LADDERS
from seisedge.train.evaluation.event_type import VISIBLE
from seisedge.train.evaluation.false_events import KEPT, OPENED, RETRACTED, FalseEvents
from seisedge.train.evaluation.figure import MODEL, Figure
from seisedge.train.evaluation.magnitude import EITHER, FITTED, KNOWN, is_slice
from seisedge.train.evaluation.report import EvaluationReport

RATES = (OPENED, RETRACTED, KEPT)
MAIN = (VISIBLE, KNOWN, EITHER, FITTED)  # parts of the data that the summary shows, the first that exists


def markdown_of(report: EvaluationReport, plots: Iterable[str] = ()) -> str:
    """The page. plots: file names of images to show at the end."""
    lines = [f"# {report.model}: evaluation", ""]
    sha256 = f", sha256 {report.sha256[:16]}…" if report.sha256 else ""
    sources = ", ".join(report.sources)
    folders = f"{', '.join(f'`{d}`' for d in report.data)} ({sources})" if report.data else sources
    lines += [
        f"- Model: `{report.path}`{sha256}, task {report.task}.",
        f"- Data: {folders}, fingerprint {report.data_sha256[:16]}….",
        f"- Counted: {report.held_out}. {report.n_records} records in {report.n_events} groups of events.",
        f"- Baselines: {report.simple}.",
        f"- In brackets: 95 % intervals from {report.draws} resamplings of whole events (groups that share samples); "
        "no interval for fewer than three events.",
    ]
    if report.prevalence:
        stated = ", ".join(f"{k} {v:g}" for k, v in report.prevalence.items())
        lines.append(f"- Accuracy, precision, F1 and specificity are for the prevalence {stated}.")
    elif report.shares:
        stated = ", ".join(f"{k} {v:.2f}" for k, v in report.shares.items())
        lines.append(f"- Prevalence: as in these data, {stated}; change it with `--prevalence`.")
    lines += [f"- Left out: {n} × {reason}." for reason, n in report.left_out.items()]
    if report.onset is not None:
        lines += _detector(report)
        return "\n".join([*lines, *(line for name in plots for line in ("", f"![{name}]({name})"))]) + "\n"
    lines += _false_events(report)
    main = [f for f in report.figures if f.on not in (EARLY, DAMAGED) and f.what not in RATES]
    for level in dict.fromkeys(f.level for f in main):
        for on in dict.fromkeys(f.on for f in main if f.level == level):
            rows = [f for f in main if f.level == level and f.on == on]
            if is_slice(on):
                continue
            lines += ["", f"## {'Records' if level == 'record' else level.capitalize()}: {on}", ""]
            lines += _by_answer(rows)
    slices = [f for f in main if is_slice(f.on)]
    if slices:
        lines += ["", "## Bias and spread by magnitude, distance and signal to noise, at the last answer", ""]
        lines += _slices(slices)
    lines += _early([f for f in report.figures if f.on == EARLY])
    lines += _damaged([f for f in report.figures if f.on == DAMAGED], report.answers_s[-1])
    for name in plots:
        lines += ["", f"![{name}]({name})"]
    return "\n".join(lines) + "\n"


def cell(f: Figure) -> str:
    """`0.78 (0.72–0.84)`."""
    if f.low is None or f.high is None:
        return f"{f.value:.2f}"
    return f"{f.value:.2f} ({f.low:.2f}–{f.high:.2f})" if f.low >= 0 else f"{f.value:.2f} ({f.low:.2f} to {f.high:.2f})"


def counts_of(row: list[Figure]) -> tuple[str, str]:
    """Numbers of records and of events of the figures in a row; `40 to 31` if they differ, in the order of the row."""
    texts = []
    for counts in ([f.n_records for f in row], [f.n_events for f in row]):
        texts.append(str(counts[0]) if len(set(counts)) == 1 else f"{counts[0]} to {counts[-1]}")
    return texts[0], texts[1]


def summary_of(report: EvaluationReport) -> list[str]:
    """The five most important figures as a table, for the end of a training; the page has all of them."""
    shown = [f for f in report.figures if f.level == "record" and f.on in MAIN and f.answer_s is not None]
    on = next((part for part in MAIN if any(f.on == part for f in shown)), "")
    shown = [f for f in shown if f.on == on]
    if report.event_type is not None:
        keys = [("balanced accuracy", MODEL), *((f"sensitivity, {name}", MODEL) for name in report.labels)]
        compared, better = "balanced accuracy", max
    else:
        keys = [("sd", MODEL), ("within ±0.3", MODEL), ("bias", MODEL), ("90 % interval covers", MODEL)]
        compared, better = "sd", min
    last = {f.who: f.value for f in shown if f.what == compared and f.who != MODEL}
    if last:
        keys.insert(1, (compared, better(last, key=lambda who: last[who])))
    rows = [f for key in keys for f in shown if (f.what, f.who) == key]
    if not rows:
        return []
    return [f"held-out events, {on} (all figures: metrics.md)", "", *_by_answer(rows), ""]


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"] + [
        f"| {' | '.join(row)} |" for row in rows
    ]


def _detector(report: EvaluationReport) -> list[str]:
    """The tables of an onset detector: one for each part of the data, then the curve."""
    assert report.onset is not None
    stated = ", ".join(f"{who} {threshold:g}" for who, threshold in report.onset.thresholds.items())
    lines = [f"- Figures at the default thresholds: {stated}."]
    for on in dict.fromkeys(f.on for f in report.figures):
        rows = [f for f in report.figures if f.on == on]
        whos = list(dict.fromkeys(f.who for f in rows))
        found = {(f.what, f.who): f for f in rows}
        out = []
        for what in dict.fromkeys(f.what for f in rows):
            first = next(f for f in rows if f.what == what)
            cells = [cell(found[what, who]) if (what, who) in found else "" for who in whos]
            out.append([what, *cells, str(first.n_records), str(first.n_events)])
        lines += ["", f"## {on[:1].upper()}{on[1:]}", "", *_table(["figure", *whos, "rows", "events or sites"], out)]
    title = "## Over the threshold: P arrivals found in the events, onsets per hour in all noise"
    points = [
        [p.who, f"{p.threshold:g}", f"{p.found:.2f}", "" if p.per_hour is None else f"{p.per_hour:.1f}"]
        for p in report.onset.curve
    ]
    return [*lines, "", title, "", *_table(["detector", "threshold", "found", "onsets per hour"], points)]


def _false_events(report: EvaluationReport) -> list[str]:
    """The events of the station on continuous noise: all are false."""
    if not report.false_events:
        return []
    rows, curve = [], []
    for part in report.false_events:
        found = {f.what: f for f in report.figures if f.on == f"{part.on}, {part.mode}"}
        cells = [cell(found[what]) if what in found else f"{n / part.hours:.2f}" for what, n in _counts(part)]
        labels = ", ".join(f"{n} {label}" for label, n in part.labels.items()) or "none"
        rows.append([part.on, part.mode, *cells, labels, f"{part.hours:.1f}", str(part.sites)])
        curve.append([part.on, part.mode, *(f"{24 * n / part.hours:.1f}" for n in part.below.values())])
    limits = list(report.false_events[0].below)
    return [
        "",
        "## False events on continuous noise, by the station with the bundled onset detector",
        "",
        *_table(["noise", "mode", *RATES, "kept, by label", "hours", "sites"], rows),
        "",
        "Events kept per day below a probability of noise at the last answer (`[events] noise_threshold`):",
        "",
        *_table(["noise", "mode", *limits], curve),
    ]


def _counts(part: FalseEvents) -> list[tuple[str, int]]:
    return [(OPENED, part.opened), (RETRACTED, part.retracted), (KEPT, part.kept)]


def _by_answer(rows: list[Figure]) -> list[str]:
    """Rows: metric and model or baseline; columns: seconds after the onset, then the numbers of records and events."""
    answers = sorted({f.answer_s for f in rows if f.answer_s is not None})
    keys = dict.fromkeys((f.what, f.who) for f in rows)
    found = {(f.what, f.who, f.answer_s): f for f in rows}
    out = []
    for what in dict.fromkeys(what for what, _ in keys):
        for who in (w for k, w in keys if k == what):
            cells = [found.get((what, who, a)) for a in answers]
            here = [c for c in cells if c is not None]
            name = f"**{who}**" if who == MODEL else who
            out.append([what, name, *(cell(c) if c else "" for c in cells), *counts_of(here)])
    return _table(["metric", "model or baseline", *(f"{a:g} s" for a in answers), "records", "events"], out)


def _slices(rows: list[Figure]) -> list[str]:
    whats = list(dict.fromkeys(f.what for f in rows))
    out = []
    for on in dict.fromkeys(f.on for f in rows):
        here = {f.what: f for f in rows if f.on == on}
        first = next(iter(here.values()))
        cells = [cell(here[w]) if w in here else "" for w in whats]
        out.append([on, *cells, str(first.n_records), str(first.n_events)])
    return _table(["class", *whats, "records", "events"], out)


def _early(rows: list[Figure]) -> list[str]:
    if not rows:
        return []
    whats = list(dict.fromkeys(f.what for f in rows))
    out = []
    for answer in sorted({f.answer_s for f in rows if f.answer_s is not None}):
        here = {f.what: f for f in rows if f.answer_s == answer}
        first = next(iter(here.values()))
        cells = [cell(here[w]) if w in here else "" for w in whats]
        out.append([f"{answer:g} s", *cells, str(first.n_records), str(first.n_events)])
    title = "## Early answers: the same records, cut at increasing times after the onset"
    return ["", title, "", *_table(["after the onset", *whats, "records", "events"], out)]


def _damaged(rows: list[Figure], answer_s: float) -> list[str]:
    if not rows:
        return []
    whats = list(dict.fromkeys(f.what for f in rows))
    out = []
    shown: set[bool] = set()
    for ladder in LADDERS:
        for damage in (f"{UNDAMAGED} ({ladder.name})", ladder.name):
            if damage != ladder.name and ladder.three in shown:
                continue
            shown.add(ladder.three)
            for amount in dict.fromkeys(f.amount for f in rows if f.damage == damage):
                here = {f.what: f for f in rows if f.damage == damage and f.amount == amount}
                first = next(iter(here.values()))
                cells = [cell(here[w]) if w in here else "" for w in whats]
                text = "" if amount is None else f"{amount:g} {ladder.unit}" if ladder.unit else "yes"
                whole = "undamaged, three components" if ladder.three else "undamaged"
                name = whole if amount is None else ladder.name
                out.append([name, text, *cells, str(first.n_records), str(first.n_events)])
    title = f"## Damaged records, {answer_s:g} s after the onset"
    return ["", title, "", *_table(["damage", "amount", *whats, "records", "events"], out)]

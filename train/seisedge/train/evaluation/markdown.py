"""The evaluation report as a Markdown page with tables."""

from __future__ import annotations

from collections.abc import Iterable

from seisedge.train.evaluation.curves import DAMAGED, EARLY, UNDAMAGED
from seisedge.train.evaluation.damage import LADDERS
from seisedge.train.evaluation.figure import MODEL, Figure
from seisedge.train.evaluation.magnitude import is_slice
from seisedge.train.evaluation.report import EvaluationReport


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
    main = [f for f in report.figures if f.on not in (EARLY, DAMAGED)]
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


def _by_answer(rows: list[Figure]) -> list[str]:
    """Rows: metric and model or baseline; columns: seconds after the onset. The counts are those of the last column."""
    answers = sorted({f.answer_s for f in rows if f.answer_s is not None})
    keys = dict.fromkeys((f.what, f.who) for f in rows)
    found = {(f.what, f.who, f.answer_s): f for f in rows}
    out = []
    for what in dict.fromkeys(what for what, _ in keys):
        for who in (w for k, w in keys if k == what):
            cells = [found.get((what, who, a)) for a in answers]
            last = [c for c in cells if c is not None][-1]
            name = f"**{who}**" if who == MODEL else who
            out.append([what, name, *(cell(c) if c else "" for c in cells), str(last.n_records), str(last.n_events)])
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

"""Plots of a report. Colours: Okabe and Ito, which colour-blind readers can distinguish."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically
from seisedge.runtime.machine import install_command
from seisedge.train.evaluation.curves import DAMAGED, EARLY, UNDAMAGED
from seisedge.train.evaluation.damage import LADDERS
from seisedge.train.evaluation.figure import MIN_EVENTS, MODEL, Figure
from seisedge.train.evaluation.magnitude import EITHER, KNOWN
from seisedge.train.evaluation.markdown import cell
from seisedge.train.evaluation.report import EvaluationReport

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#777777",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
DPI = 130
FEW = 50  # points up to which intervals are drawn thick
MANY = 500  # points above which no intervals are drawn


def write_plots(report: EvaluationReport, folder: Path) -> list[str]:
    """Write the PNG files for which the report has data, and return their names. Raises InputError."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise InputError(
            f"plots need matplotlib, which is missing; {install_command('train')}, or give --no-plots"
        ) from None
    matplotlib.use("Agg")
    out = []
    for name, draw in PLOTS.items():
        figure = draw(report)
        if figure is not None:
            picture = io.BytesIO()
            figure.savefig(picture, dpi=DPI)
            write_atomically(folder / name, picture.getvalue())
            out.append(name)
    return out


def new_canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Any, Any]:
    """A figure of width × height inches, and its axes (rows, columns)."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(width, height), layout="constrained")
    return canvas, canvas.subplots(rows, columns, squeeze=False)


def plain_axes(axes: Any) -> None:
    """No frame above and at the right, and a light grid."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def confusion(report: EvaluationReport) -> Any:
    """Confusion matrices at the last answer, of records and of events: counts and shares of the true label."""
    if report.event_type is None:
        return None
    last = report.answers_s[-1]
    matrices = [c for c in report.event_type.confusion if c.answer_s == last]
    canvas, axes = new_canvas(4.3 * len(matrices), 4.2, len(matrices))
    for ax, c in zip(axes[0], matrices, strict=True):
        share = [[n / max(sum(row), 1) for n in row] for row in c.counts]
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(c.counts):
            for j, n in enumerate(row):
                text = f"{n}\n{share[i][j]:.0%}" if sum(row) else "none"
                ax.text(j, i, text, ha="center", va="center", color="white" if share[i][j] > 0.55 else "black")
        ax.set_xticks(range(len(c.labels)), c.labels)
        ax.set_yticks(range(len(c.labels)), c.labels, rotation=90, va="center")
        ax.set_xlabel("answer")
        ax.set_ylabel("true label")
        ax.set_title(f"{c.level if c.level != 'record' else 'records'}, {last:g} s", fontsize=11)
    canvas.suptitle(f"{report.model}: answers on held-out data", fontsize=11)
    return canvas


def roc(report: EvaluationReport) -> Any:
    """ROC curves of tectonic against non-tectonic, one for each answer length."""
    if report.event_type is None or not report.event_type.roc:
        return None
    canvas, axes = new_canvas(5.4, 5.2)
    ax = axes[0][0]
    area = {(f.who, f.answer_s): f for f in report.figures if f.what == "AUC" and f.level == "record"}
    for i, curve in enumerate(report.event_type.roc):
        f = area.get((curve.who, curve.answer_s))
        value = "" if f is None else f", AUC {cell(f)}"
        baselines = curve.who != MODEL
        ax.plot(
            *zip(*curve.points, strict=True), color=GREY if baselines else COLOURS[i % len(COLOURS)],
            linestyle="--" if baselines else "-", linewidth=1.6, drawstyle="steps-post",
            label=f"{curve.who} at {curve.answer_s:g} s{value}",
        )  # fmt: skip
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.7, linestyle=":")
    ax.set_xlabel("non-tectonic answered tectonic (1 − specificity)")
    ax.set_ylabel("tectonic answered tectonic (sensitivity)")
    ax.set_title(f"{report.model}: tectonic against non-tectonic, held-out records", fontsize=11)
    ax.legend(loc="lower right", fontsize=8, frameon=False)
    plain_axes(ax)
    return canvas


def confidence(report: EvaluationReport) -> Any:
    """Histogram of the largest probability, and accuracy against it (reliability diagram)."""
    if report.event_type is None or not report.event_type.confidence:
        return None
    bins = report.event_type.confidence
    canvas, axes = new_canvas(9.4, 4.2, 2)
    left, right = axes[0]
    middle = [(b.low + b.high) / 2 for b in bins]
    left.bar(middle, [b.right for b in bins], width=0.092, color=BLUE, label="right")
    left.bar(middle, [b.wrong for b in bins], width=0.092, bottom=[b.right for b in bins], color=ORANGE, label="wrong")
    left.set_xlabel("largest probability")
    left.set_ylabel("records")
    left.set_title(f"Confidence at {report.answers_s[-1]:g} s", fontsize=11)
    left.legend(frameon=False)
    some = [b for b in bins if b.mean is not None]
    right.plot([0, 1], [0, 1], color="black", linewidth=0.7, linestyle=":")
    right.plot([b.mean for b in some], [b.right / (b.right + b.wrong) for b in some], "o-", color=BLUE)
    for b in some:
        right.annotate(
            str(b.right + b.wrong), (b.mean, b.right / (b.right + b.wrong)), (5, -11), fontsize=8,
            textcoords="offset points", color=GREY,
        )  # fmt: skip
    error = next((f for f in reversed(report.figures) if f.what == "calibration error" and f.who == MODEL), None)
    note = "" if error is None else f"; calibration error {cell(error)} in {len(bins)} bins"
    right.set_title("Reliability", fontsize=11)
    right.set_xlabel("mean of the largest probability")
    right.set_ylabel("share of right answers (number: records)")
    right.set_xlim(0.25, 1.02)
    right.set_ylim(0, 1.05)
    for ax in (left, right):
        plain_axes(ax)
    canvas.suptitle(f"{report.model}: confidence of the answers{note}", fontsize=11)
    return canvas


def reliability(report: EvaluationReport) -> Any:
    """Reliability diagram of a magnitude model: share of true labels against their probability."""
    if report.magnitude is None or not report.magnitude.reliability:
        return None
    bins = report.magnitude.reliability
    canvas, axes = new_canvas(5.4, 5.2)
    ax = axes[0][0]
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.7, linestyle=":")
    ax.plot([b.mean for b in bins], [b.share for b in bins], "o-", color=BLUE)
    for b in bins:
        ax.annotate(str(b.n), (b.mean, b.share), (5, -11), fontsize=8, textcoords="offset points", color=GREY)
    top = 1.08 * max([*(b.mean for b in bins), *(b.share for b in bins)])
    ax.set_xlim(-0.02 * top, top)
    ax.set_ylim(-0.02 * top, top)
    ax.set_xlabel("probability of a magnitude bin (mean)")
    ax.set_ylabel("share of bins that contain the magnitude (number: bins)")
    ax.set_title(f"{report.model}: reliability at {report.answers_s[-1]:g} s", fontsize=11)
    plain_axes(ax)
    return canvas


def predicted(report: EvaluationReport) -> Any:
    """Expected against catalogued magnitude, with lines at ±0.3 and 90 % intervals."""
    if report.magnitude is None or not report.magnitude.points:
        return None
    points = report.magnitude.points
    canvas, axes = new_canvas(5.8, 5.6)
    ax = axes[0][0]
    x, y = [p.catalogued for p in points], [p.expected for p in points]
    ends = [end for p in points for end in (p.low, p.high) if end is not None and len(points) <= MANY]
    low, high = min([*x, *y, *ends]) - 0.4, max([*x, *y, *ends]) + 0.4
    if len(points) <= MANY:
        for p in points:
            span = [low if p.low is None else p.low, high if p.high is None else p.high]
            ax.plot(
                [p.catalogued] * 2, span, color=SKY, linewidth=0.6 if len(points) > FEW else 1.8, alpha=0.45, zorder=1
            )
        for end, marker, at in (("low", "v", low), ("high", "^", high)):
            unbounded = [p.catalogued for p in points if getattr(p, end) is None]
            ax.plot(unbounded, [at] * len(unbounded), marker, color=SKY, markersize=4, clip_on=False, zorder=1)
    ax.scatter(x, y, s=14 if len(points) <= MANY else 4, color=BLUE, alpha=0.75, linewidth=0, zorder=2)
    ax.plot([low, high], [low, high], color="black", linewidth=0.9)
    for shift in (-0.3, 0.3):
        ax.plot([low, high], [low + shift, high + shift], color=RED, linewidth=0.9, linestyle="--")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    inside = next((f for f in reversed(report.figures) if f.what == "within ±0.3" and f.on in (KNOWN, EITHER)
                   and f.who == MODEL and f.level == "record"), None)  # fmt: skip
    note = "" if inside is None else f"; {inside.value:.0%} within ±0.3"
    ax.set_title(f"{report.model}\n{len(points)} records at {report.answers_s[-1]:g} s{note}", fontsize=11)
    ax.set_xlabel("catalogued magnitude")
    ax.set_ylabel("magnitude of the model\n(dot: expected; bar: 90 % interval, ▲▼: open)")
    plain_axes(ax)
    return canvas


def classes(report: EvaluationReport) -> Any:
    """Share within ±0.3 and bias by class of magnitude, distance and signal-to-noise ratio."""
    if report.magnitude is None:
        return None
    names = {
        "magnitude ": "catalogued magnitude",
        "distance_km ": "distance, km",
        "signal to noise ": "signal to noise",
    }
    by_class = {title: [f for f in report.figures if f.on.startswith(prefix)] for prefix, title in names.items()}
    prefixes = {title: prefix for prefix, title in names.items()}
    shown = [title for title, rows in by_class.items() if any(f.what in ("within ±0.3", "bias") for f in rows)]
    if not shown:
        return None
    canvas, axes = new_canvas(max(3.9 * len(shown), 7.5), 6.4, len(shown), 2)
    for column, title in enumerate(shown):
        for row, what in enumerate(("within ±0.3", "bias")):
            rows = [f for f in by_class[title] if f.what == what]
            ax = axes[row][column]
            place = range(len(rows))
            spread = _whiskers(rows)
            if what == "bias":
                ax.errorbar(place, [f.value for f in rows], yerr=spread, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
                ax.axhline(0, color="black", linewidth=0.8)
                ax.set_ylabel("bias (model − catalogue)")
            else:
                ax.bar(place, [f.value for f in rows], width=0.7, yerr=spread, color=SKY, ecolor=GREY, capsize=3)
                ax.set_ylim(0, 1.05)
                ax.set_ylabel("share within ±0.3")
            cut = prefixes[title]
            labels = [f"{f.on.removeprefix(cut).replace(' to ', '–')}\n{f.n_records} ({f.n_events})" for f in rows]
            ax.set_xticks(place, labels, fontsize=7.5)
            middle, half = (len(rows) - 1) / 2, max(len(rows), 3) / 2
            ax.set_xlim(middle - half, middle + half)
            ax.set_xlabel(f"{title}; records (events) below")
            plain_axes(ax)
    few = [title for title in by_class if title not in shown]
    notes = [f"whiskers: 95 % intervals, none for fewer than {MIN_EVENTS} events"]
    notes += [f"too few records by {' and '.join(few)}"] if few else []
    canvas.suptitle(
        "\n".join([f"{report.model}: errors by class at {report.answers_s[-1]:g} s", *notes]),
        fontsize=11,
    )
    return canvas


def early(report: EvaluationReport) -> Any:
    """Figures against seconds after the onset."""
    rows = [f for f in report.figures if f.on == EARLY]
    if not rows:
        return None
    panels = [["MAE", "sd"], ["within ±0.3"]]
    if report.event_type is not None:
        panels = [["balanced accuracy"], [f"sensitivity, {name}" for name in report.labels]]
    canvas, axes = new_canvas(10.4, 4.2, 2)
    for ax, whats in zip(axes[0], panels, strict=True):
        for colour, what in zip(COLOURS, whats, strict=False):
            line = sorted((f for f in rows if f.what == what), key=lambda f: f.answer_s or 0.0)
            x = [f.answer_s for f in line]
            ax.plot(x, [f.value for f in line], "o-", color=colour, label=what, markersize=4)
            ax.fill_between(x, [_low(f) for f in line], [_high(f) for f in line], color=colour, alpha=0.15, linewidth=0)
        for answer in report.answers_s:
            ax.axvline(answer, color=GREY, linewidth=0.7, linestyle=":")
        ax.set_xscale("log")
        ticks = [t for t in (1, 2, 3, 5, 10, 20, 30, 40, 60, 90) if t <= report.answers_s[-1]]
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_ylabel(", ".join(dict.fromkeys(what.partition(",")[0] for what in whats)))
        if not {"MAE", "sd"} & set(whats):
            ax.set_ylim(0, 1.03)
        else:
            ax.set_ylabel("error, magnitude units")
        ax.set_xlabel("seconds after the onset (dotted: answer lengths of the model)")
        ax.legend(frameon=False, fontsize=8, loc="lower right" if "MAE" not in whats else "best")
        plain_axes(ax)
    records = f"{rows[0].n_records} records of {rows[0].n_events} events"
    canvas.suptitle(f"{report.model}: early answers, the same {records}; {_intervals('bands', rows)}", fontsize=11)
    return canvas


def damage(report: EvaluationReport) -> Any:
    """Figures against the amount of each kind of damage."""
    rows = [f for f in report.figures if f.on == DAMAGED]
    what = "balanced accuracy" if report.event_type is not None else "MAE"
    rows = [f for f in rows if f.what == what]
    ladders = [ladder for ladder in LADDERS if any(f.damage == ladder.name for f in rows)]
    if not ladders:
        return None
    columns = 4
    lines = -(-len(ladders) // columns)
    canvas, axes = new_canvas(12.5, 2.7 * lines + 0.4, columns, lines)
    top = max(_high(f) for f in rows)
    for ax in axes.flat[len(ladders) :]:
        ax.set_visible(False)
    for ax, ladder in zip(axes.flat, ladders, strict=False):
        line = [f for f in rows if f.damage == ladder.name]
        undamaged = next((f for f in rows if f.damage == f"{UNDAMAGED} ({ladder.name})"), None)
        if undamaged is not None:
            ax.axhline(undamaged.value, color=GREY, linewidth=1, linestyle="--")
            ax.axhspan(_low(undamaged), _high(undamaged), color=GREY, alpha=0.13, linewidth=0)
        place = range(len(line))
        spread = _whiskers(line)
        ax.errorbar(place, [f.value for f in line], yerr=spread, fmt="o-", color=BLUE, capsize=3, markersize=4)
        ax.set_xticks(place, [f"{f.amount:g}" if ladder.unit else "yes" for f in line])
        ax.set_xlim(-0.6, len(line) - 0.4)
        ax.set_ylim(0, 1.03 if what != "MAE" else 1.05 * top)
        ax.set_title(ladder.name, fontsize=10)
        ax.set_xlabel(ladder.unit or f"{line[0].n_records} records", fontsize=8.5)
        plain_axes(ax)
    for ax_row in axes:
        ax_row[0].set_ylabel(what)
    canvas.suptitle(
        f"{report.model}: damaged records at {report.answers_s[-1]:g} s; grey: the same records undamaged; "
        f"{_intervals('bars and band', rows)}",
        fontsize=11,
    )
    return canvas


def _intervals(drawn: str, rows: Sequence[Figure]) -> str:
    """What the drawn bars or bands are, for a title."""
    if all(f.low is None for f in rows):
        return f"no intervals: fewer than {MIN_EVENTS} events"
    return f"{drawn}: 95 % intervals"


def _whiskers(rows: Sequence[Figure]) -> list[list[float]]:
    """Lengths of the error bars below and above; nan, which is not drawn, for a figure without an interval."""
    none = [f.low is None or f.high is None for f in rows]
    below = [math.nan if no else f.value - _low(f) for f, no in zip(rows, none, strict=True)]
    above = [math.nan if no else _high(f) - f.value for f, no in zip(rows, none, strict=True)]
    return [below, above]


def detection(report: EvaluationReport) -> Any:
    """P arrivals found against onsets per hour in noise, over the threshold, of the detector and of STA/LTA."""
    if report.onset is None or all(p.per_hour is None for p in report.onset.curve):
        return None
    canvas, axes = new_canvas(6.4, 4.8)
    ax = axes[0][0]
    for colour, who in zip(COLOURS, dict.fromkeys(p.who for p in report.onset.curve), strict=False):
        points = [p for p in report.onset.curve if p.who == who and p.per_hour is not None]
        x = [max(p.per_hour or 0.0, 0.05) for p in points]
        spread = [
            [p.found - (p.found if p.low is None else p.low) for p in points],
            [(p.found if p.high is None else p.high) - p.found for p in points],
        ]
        ax.errorbar(x, [p.found for p in points], yerr=spread, fmt="o-", color=colour, capsize=2, label=who)
        for place, p in zip(x, points, strict=True):
            ax.annotate(f"{p.threshold:g}", (place, p.found), (4, -11), fontsize=7, textcoords="offset points")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.03)
    ax.set_xlabel("onsets per hour in noise (0.05: none); numbers: thresholds")
    ax.set_ylabel("share of the P arrivals found")
    ax.set_title(f"{report.model}: {report.n_records} records of {report.n_events} events not trained on", fontsize=11)
    ax.legend(frameon=False, loc="lower right")
    plain_axes(ax)
    return canvas


def onset_errors(report: EvaluationReport) -> Any:
    """Histograms of onset minus pick."""
    if report.onset is None or not report.onset.errors:
        return None
    errors = report.onset.errors
    canvas, axes = new_canvas(4.2 * len(errors), 3.6, len(errors))
    for ax, colour, (name, values) in zip(axes[0], COLOURS, errors.items(), strict=False):
        ax.hist(values, bins=[k / 20 for k in range(-20, 21)], color=colour)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_title(f"{name}: {len(values)} onsets", fontsize=11)
        ax.set_xticks([-1, -0.5, 0, 0.5, 1])
        ax.set_xlabel("onset − pick, s (beyond ±1 s not shown)")
        plain_axes(ax)
    axes[0][0].set_ylabel("onsets")
    canvas.suptitle(f"{report.model}: errors of the onset times, bins of 0.05 s", fontsize=11)
    return canvas


def _low(f: Figure) -> float:
    return f.value if f.low is None else min(f.low, f.value)


def _high(f: Figure) -> float:
    return f.value if f.high is None else max(f.high, f.value)


PLOTS: dict[str, Callable[[EvaluationReport], Any]] = {
    "confusion.png": confusion,
    "roc.png": roc,
    "confidence.png": confidence,
    "predicted.png": predicted,
    "reliability.png": reliability,
    "classes.png": classes,
    "early.png": early,
    "damage.png": damage,
    "detection.png": detection,
    "onset-errors.png": onset_errors,
}

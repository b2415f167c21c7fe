"""Plots of a study, as in the papers. Those of one row are the plots of its evaluation."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

from seisedge.runtime.files import write_atomically
from seisedge.train.evaluation import plots as of_evaluation
from seisedge.train.evaluation.event_type import PAIR
from seisedge.train.evaluation.figure import MODEL
from seisedge.train.evaluation.plots import BLUE, DPI, GREY, ORANGE, RED, new_canvas, plain_axes
from seisedge.train.study.columns import COLUMNS, COST
from seisedge.train.study.measure import figure_at_end
from seisedge.train.study.result import Picture, Result
from seisedge.train.study.table import Study
from seisedge.train.study.tabulate import Table, number

Rows = dict[str, list[Result]]  # row → one result for each seed
MAX_BARS = 4  # columns in the plot of bars


def write_plots(study: Study, table: Table, results: Rows, folder: Path) -> list[str]:
    """Write the PNG files of a study that have data, and return their names. results: of the rows that were run."""
    matplotlib.use("Agg")
    names = []
    for name in study.plots:
        canvas = DRAW[name](study, table, results)
        if canvas is not None:
            picture = io.BytesIO()
            canvas.savefig(picture, dpi=DPI)
            write_atomically(folder / f"{name}.png", picture.getvalue())
            names.append(f"{name}.png")
    return names


def _title(study: Study, table: Table, what: str) -> str:
    marks = [", SMOKE RUN"] if any(row.smoke for row in table.rows) else []
    marks += [", SHUFFLED LABELS"] if table.choice.shuffle_labels else []
    return f"{study.name}: {what}{''.join(marks)}"


def bars(study: Study, table: Table, results: Rows) -> Any:
    """The first columns by row, with intervals, beside the paper's figures; without numbers of wrong records, which
    depend on the size of the test set.
    """
    shown = [n for n in table.columns if n not in COST and COLUMNS[n].transform != "wrong"]
    columns = [n for n in shown if any(r.cells[n].value is not None for r in table.rows)][:MAX_BARS]
    if not columns:
        return None
    rows = table.rows
    canvas, axes = new_canvas(2.6 + 3.1 * len(columns), 1.6 + 0.42 * len(rows), len(columns))
    for ax, name in zip(axes[0], columns, strict=True):
        for y, row in enumerate(rows):
            c = row.cells[name]
            if c.value is not None:
                spread = None
                if c.low is not None and c.high is not None:
                    spread = [[max(c.value - c.low, 0)], [max(c.high - c.value, 0)]]
                bar = ax.barh(y + 0.18, c.value, 0.36, xerr=spread, color=BLUE, ecolor=GREY, capsize=2, label="ours")
                if c.low == c.high:  # no whiskers; and 0 is not taken for a missing figure
                    ax.bar_label(bar, [number(c.value, name)], padding=2, fontsize=7, color=GREY)
            elif row.missing:
                ax.text(0, y + 0.18, " not run", va="center", color=GREY, fontsize=8)
            if c.paper is not None:
                ax.barh(y - 0.18, c.paper, 0.36, color=ORANGE, label="paper")
        ax.set_yticks(range(len(rows)), [row.name for row in rows] if ax is axes[0][0] else [""] * len(rows))
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel(COLUMNS[name].title)
        if COLUMNS[name].percent:
            ax.set_xlim(0, 100)
        plain_axes(ax)
    handles = {label: h for ax in axes[0] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    canvas.legend(handles.values(), handles.keys(), loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    title = _title(study, table, "figures by row")
    canvas.suptitle(f"{title}\nwhiskers: 95 % intervals over events", fontsize=11)
    return canvas


def curves(study: Study, table: Table, results: Rows) -> Any:
    """Loss of the training and, on the calibration fold, loss, score and F1 by epoch; one line for each row."""
    shown = {name: found[0].curve for name, found in results.items() if found[0].curve is not None}
    if not shown:
        return None
    score = "accuracy" if study.task == "event type" else "mean absolute error"
    panels = ["loss, training", "loss, calibration fold", f"{score}, calibration fold", "F1, calibration fold"]
    canvas, axes = new_canvas(13.5, 4.0, 4)
    colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    for k, (name, curve) in enumerate(shown.items()):
        assert curve is not None
        colour = colours[k % len(colours)]
        epochs = [h[0] for h in curve.held]
        f1 = [math.nan if h[3] is None else h[3] for h in curve.held]
        values_of = [[h[1] for h in curve.held], [h[2] for h in curve.held], f1]
        axes[0][0].plot(curve.epoch, curve.loss, color=colour, label=name)
        for ax, values in zip(axes[0][1:], values_of, strict=True):
            ax.plot(epochs, values, "o-", ms=3, color=colour)
    for ax, title in zip(axes[0], panels, strict=True):
        ax.set(xlabel="epoch", title=title)
        if title.startswith(("accuracy", "F1")):
            ax.set_ylim(-0.02, 1.02)
        ax.title.set_fontsize(10)
        plain_axes(ax)
    canvas.legend(loc="outside lower center", ncols=min(len(shown), 5), fontsize=8, frameon=False)
    canvas.suptitle(_title(study, table, "learning curves of the first training, seed 1"), fontsize=11)
    return canvas


def roc(study: Study, table: Table, results: Rows) -> Any:
    """ROC curves of tectonic against non-tectonic, one for each row."""
    canvas, axes = new_canvas(8.0, 5.2)
    ax, drawn = axes[0][0], 0
    colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    for name, found in results.items():
        report = found[0].report
        if report is None or report.event_type is None:
            continue
        curve = next((c for c in reversed(report.event_type.roc) if c.who == MODEL), None)
        area = figure_at_end(report, "AUC", PAIR, "record", MODEL)
        if curve is not None:
            value = "" if area is None else f", AUC {area.value:.2f}"
            ax.plot(
                *zip(*curve.points, strict=True), color=colours[drawn % len(colours)], drawstyle="steps-post",
                label=f"{name}{value}",
            )  # fmt: skip
            drawn += 1
    if not drawn:
        return None
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.7, linestyle=":")
    ax.set(xlabel="1 − specificity", ylabel="sensitivity", title=_title(study, table, "tectonic against non-tectonic"))
    ax.set_aspect("equal")
    canvas.legend(fontsize=8, frameon=False, loc="outside right upper")
    plain_axes(ax)
    return canvas


def _of_main(draw: Callable[..., Any]) -> Callable[[Study, Table, Rows], Any]:
    """A plot of the evaluation, for the main row."""

    def drawn(study: Study, table: Table, results: Rows) -> Any:
        found = _main(study, results)
        canvas = None if found is None or found.report is None else draw(found.report)
        if canvas is not None and found is not None and found.smoke:
            canvas.text(0.01, 0.99, "SMOKE RUN", color=RED, fontsize=9, va="top")
        return canvas

    return drawn


def _main(study: Study, results: Rows) -> Result | None:
    names = [study.main] if study.main else list(results)
    return next((results[name][0] for name in names if results.get(name)), None)


def gallery(study: Study, table: Table, results: Rows) -> Any:
    """Waveforms of right (left) and wrong (right) records of the main row, the surest answers first."""
    found = _main(study, results)
    if found is None or not found.gallery:
        return None
    sides = [[p for p in found.gallery if p.answer.right == right] for right in (True, False)]
    lines = max(map(len, sides))
    canvas, axes = new_canvas(13, 1.35 * lines + 0.9, 2, lines)
    for column, pictures in enumerate(sides):
        for line in range(lines):
            ax = axes[line][column]
            if line < len(pictures):
                _trace(ax, pictures[line], last=line == len(pictures) - 1)
            else:
                ax.set_visible(False)
    title = f"{len(sides[0])} right (left) and {len(sides[1])} wrong (right) records"
    canvas.suptitle(_title(study, table, f"{title}, vertical component, each scaled to its peak"), fontsize=11)
    return canvas


def _trace(ax: Any, picture: Picture, last: bool) -> None:
    a = picture.answer
    x = [picture.start_s + k * picture.step_s for k in range(len(picture.trace))]
    ax.plot(x, picture.trace, color=BLUE if a.right else RED, linewidth=0.5)
    ax.axvline(0, color="black", linewidth=0.7, linestyle=":")
    sure = f", probability {a.probability:.2f}"
    ax.set_title(f"{a.record} ({a.source}): {a.truth}, answer {a.answer}{sure}", fontsize=8, loc="left", pad=2)
    ax.set_yticks([])
    ax.set_xlim(x[0], x[-1])
    ax.tick_params(labelsize=7)
    if last:
        ax.set_xlabel("seconds after the onset", fontsize=8)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


DRAW: dict[str, Callable[[Study, Table, Rows], Any]] = {
    "bars": bars,
    "curves": curves,
    "classes": _of_main(of_evaluation.classes),
    "predicted": _of_main(of_evaluation.predicted),
    "confusion": _of_main(of_evaluation.confusion),
    "roc": roc,
    "confidence": _of_main(of_evaluation.confidence),
    "gallery": gallery,
}

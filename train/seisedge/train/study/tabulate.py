"""The table of a study: for each row and column our figure, its interval, the spread of the seeds, and the paper's."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec

from seisedge.train.fit.schedule import planned_windows
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.study.columns import COLUMNS, COST, Column
from seisedge.train.study.features import feature_tau
from seisedge.train.study.measure import figure_at_end
from seisedge.train.study.plan import Choice, Line
from seisedge.train.study.result import Cost, Result
from seisedge.train.study.rows import Item
from seisedge.train.study.table import Row

SCHEMA = "seisedge.study/1"


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure. value: mean of the seeds. low, high: 95 % interval over events, mean of the seeds; None if there are
    too few events. seeds: the value of each seed. paper: the figure of the paper. All in the unit of the column.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: list[float] = []
    n_events: int = 0
    n_records: int = 0
    paper: float | None = None


class TableRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row. missing: why there is no figure of ours. how: data, steps and seeds, in words. keys: in rows/."""

    name: str
    recipe: str = ""
    cells: dict[str, Cell]
    missing: str = ""
    how: str = ""
    notes: list[str] = []
    smoke: bool = False
    keys: list[str] = []


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A finished table. made: machine, date and versions, in words. choice: with the names of the data folders."""

    schema: str = SCHEMA
    study: str
    paper: str
    about: str
    source: str
    read: str
    choice: Choice
    made: str
    columns: list[str]
    rows: list[TableRow]


def row_of(line: Line, results: Sequence[Result], cost: Cost | None, columns: Sequence[str]) -> TableRow:
    """The row of a line. results: one for each seed; empty if it was not run."""
    row = line.row
    cells = {}
    for name in columns:
        paper = row.paper.get(name)
        if name in COST:
            value = cost_value(cost, name) if cost is not None and row.who == "model" and not line.missing else None
            cells[name] = Cell(value=value, paper=paper)
        else:
            cells[name] = _cell(COLUMNS[name], results, row.who, paper)
    notes = [*line.notes, *dict.fromkeys(r.note for r in results if r.note)]
    return TableRow(
        name=row.name, recipe=row.recipe, cells=cells, missing=line.missing, how=_how(results, row),
        notes=[*([row.note] if row.note else []), *notes], smoke=any(r.smoke for r in results), keys=line.keys,
    )  # fmt: skip


def feature_row(line: Line, items: Sequence[Item], columns: Sequence[str], draws: int) -> TableRow:
    """The row of a feature: the absolute value of Kendall's tau with the magnitude."""
    row = line.row
    cells = {name: Cell(paper=row.paper.get(name)) for name in columns}
    if line.missing:
        return TableRow(name=row.name, cells=cells, missing=line.missing)
    e = feature_tau(row, items, draws)
    low, high = sorted((abs(e.low), abs(e.high))) if e.low * e.high > 0 else (0.0, max(abs(e.low), abs(e.high)))
    cells["tau"] = Cell(
        value=round(abs(e.value), 4), low=round(low, 4), high=round(high, 4), n_events=e.n_groups,
        n_records=e.n_records, paper=row.paper.get("tau"),
    )  # fmt: skip
    how = f"{e.n_records} records of {e.n_groups} events, nothing is trained; tau {e.value:+.2f}"
    return TableRow(name=row.name, cells=cells, how=how, notes=[row.note] if row.note else [])


def cost_value(cost: Cost, name: str) -> float:
    """Parameters, FLOPs or latency."""
    return {"parameters": float(cost.parameters), "flops": float(cost.flops), "latency": cost.latency_ms}[name]


def _cell(column: Column, results: Sequence[Result], who: str, paper: float | None) -> Cell:
    found = []
    for result in results:
        if result.report is not None:
            figures = (figure_at_end(result.report, column.what, on, column.level, who) for on in column.on)
            found += [f for f in figures if f is not None][:1]
    if not found:
        return Cell(paper=paper)
    values = [changed(column, f.value, f.n_records) for f in found]
    ends = []
    for end in ("low", "high"):
        bounds = [getattr(f, end) for f in found]
        known = None not in bounds
        both = zip(bounds, found, strict=True)
        ends.append(mean([changed(column, b, f.n_records) for b, f in both]) if known else None)
    low, high = ends
    if low is not None and high is not None and low > high:  # wrong records fall as accuracy rises
        low, high = high, low
    return Cell(
        value=mean(values), low=low, high=high, seeds=values if len(values) > 1 else [],
        n_events=found[0].n_events, n_records=found[0].n_records, paper=paper,
    )  # fmt: skip


def mean(values: Sequence[float]) -> float:
    """The mean, rounded."""
    return round(sum(values) / len(values), 5)


def changed(column: Column, value: float, n_records: int) -> float:
    """A figure of the evaluation in the unit of a column."""
    if column.transform == "absolute":
        return round(abs(value), 5)
    if column.transform == "variance":
        return round(value**2, 5)
    if column.transform == "wrong":
        return round((1 - value) * n_records, 2)
    return round(100 * value if column.percent else value, 5)


def _how(results: Sequence[Result], row: Row) -> str:
    """Data, steps, share of the row's recipe and seeds, in words."""
    if not results:
        return ""
    r = results[0]
    trained = f"{'SMOKE: ' if r.smoke else ''}{r.n_records} records of {r.n_events} events"
    if row.who != "model":
        return f"{trained}, on which the baseline was fitted"
    steps = "/".join(dict.fromkeys(str(x.steps) for x in results))
    seeds = f"{len(results)} seeds" if len(results) > 1 else "1 seed"
    held = "" if r.report is None else f"; held out {r.report.n_records} of {r.report.n_events} events"
    epochs = f"{r.epochs:g} epoch{'s' if r.epochs != 1 else ''}"
    return f"{trained}, {steps} steps ({epochs}){share_of_recipe(r, row)}, {seeds}{held}"


def share_of_recipe(result: Result, row: Row) -> str:
    """How many of the windows that the recipe of the row states the training was to draw, in words; '' if not known."""
    if result.smoke or not result.windows:
        return ""
    share = result.windows / planned_windows(load_recipe(row.recipe, row.set).optimisation, result.n_records)
    if abs(share - 1) >= 0.005:
        return f", {100 * share:.2g} % of its recipe"
    return f", its whole recipe{', which stopped early' if result.stopped else ''}"


def text_of(cell: Cell, name: str) -> str:
    """Our figure with its interval."""
    if cell.value is None:
        return "–"
    out = number(cell.value, name)
    if COLUMNS[name].transform == "wrong":
        out += f" of {cell.n_records}"
    if cell.low is not None and cell.high is not None:
        out += f" ({number(cell.low, name)} to {number(cell.high, name)})"
    if cell.seeds:
        out += f" [{number(min(cell.seeds), name)} to {number(max(cell.seeds), name)}]"
    return out


def number(value: float, name: str) -> str:
    """A value of a column as text."""
    if name in ("parameters", "flops"):
        for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if value >= factor:
                return f"{value / factor:.3g}{unit}"
        return f"{value:.0f}"
    if COLUMNS[name].transform == "wrong":
        return f"{value:.3g}"
    return f"{value:.1f}" if COLUMNS[name].percent or name == "latency" else f"{value:.2f}"


def of_paper(value: float, name: str) -> str:
    """A figure of the paper, as the paper gives it."""
    return number(value, name) if name in COST else f"{value:g}"


def markdown_of(table: Table, plots: Sequence[str]) -> str:
    """The table as a page; a column of the paper follows each of ours of which the paper has a figure."""
    heads, lines = ["row"], []
    shown = {n: any(row.cells[n].paper is not None for row in table.rows) for n in table.columns}
    for name in table.columns:
        heads += [COLUMNS[name].title.replace("|", r"\|"), *(["paper"] if shown[name] else [])]
    heads.append("how ours was obtained")
    for row in table.rows:
        parts = [row.name]
        for name in table.columns:
            cell = row.cells[name]
            parts.append(text_of(cell, name))
            if shown[name]:
                parts.append("" if cell.paper is None else of_paper(cell.paper, name))
        empty = not row.recipe and all(c.value is None for c in row.cells.values())
        nothing = "only in the paper" if empty else ""
        why = f"not run: {row.missing}" if row.missing else row.how or nothing
        parts.append("; ".join(filter(None, [why, *row.notes])))
        lines.append(f"| {' | '.join(part.replace('|', chr(92) + '|') for part in parts)} |")
    smoke = any(row.smoke for row in table.rows)
    page = [
        f"# {table.study}: {table.about}",
        "",
        f"Paper {table.paper}, {table.source}. {table.made}",
        "",
        *(["**Smoke run: a few steps on a few records. The figures show that the study runs, and nothing else.**", ""]
          if smoke else []),
        *(["**Shuffled labels: nothing can be learnt; each figure should be that of chance.**", ""]
          if table.choice.shuffle_labels else []),
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *lines,
        "",
        "In parentheses: 95 % interval from resampling the held-out events (none for fewer than three events). In "
        "brackets: lowest and highest of the seeds. FLOPs: two for each multiplication of the convolutions and matrix "
        "products of one window. –: not measured.",
        *(["", table.read] if table.read else []),
        *[f"\n![{name}]({name})" for name in plots],
    ]  # fmt: skip
    return "\n".join(page) + "\n"


def csv_of(table: Table) -> bytes:
    """One line for each row and column."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["row", "column", "value", "low", "high", "seed_low", "seed_high", "records", "events", "paper", "smoke"]
    )
    for row in table.rows:
        for name, c in row.cells.items():
            spread = [min(c.seeds), max(c.seeds)] if c.seeds else [None, None]
            values = [c.value, c.low, c.high, *spread, c.n_records or None, c.n_events or None, c.paper]
            writer.writerow([row.name, name, *("" if v is None else v for v in values), str(row.smoke).lower()])
    return stream.getvalue().encode()

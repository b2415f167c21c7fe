"""A report of `seisedge bench stream` as one HTML page without any other file."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from seisedge.runtime.bench.html import bar_svg, curves_svg, head, time_svg
from seisedge.runtime.bench.report import NS_PER_MS
from seisedge.runtime.bench.stream_report import STAGES, StreamReport, StreamRow
from seisedge.runtime.bench.stream_text import COLUMNS, NOT_MLPERF, fact_lines, row_name, search_lines
from seisedge.runtime.bench.text import figure_text, interval_text


def page(report: StreamReport) -> str:
    """The page: cumulative latency of all rows, then for each row the stages, processor and memory over time."""
    title = f"From ground to event on {report.machine.description}"
    parts = [
        head(title),
        f"<h1>{escape(title)}</h1><p>seisedge {escape(report.seisedge)}, {escape(report.created)}. "
        f"{escape(report.windows)}. Latency: {escape(report.method['latency'])}; {report.protocol}, "
        f"{report.method['seconds']:g} s a run.</p>",
        *_table(report),
    ]
    series = [(row_name(row), values) for row in report.rows if (values := _milliseconds(row))]
    if series:
        parts += ["<h2>Cumulative latency</h2>", curves_svg(series, "latency, ms; share of the event lines below it")]
    for row in report.rows:
        parts += [f"<h2>{escape(row_name(row))}</h2>", *_row_parts(row)]
    for search in report.searches:
        parts += ["<h2>Largest number of stations</h2><ul>"]
        parts += [f"<li>{escape(line)}</li>" for line in search_lines(search)] + ["</ul>"]
    return "\n".join([*parts, f"<p>{escape(NOT_MLPERF)}</p></html>", ""])


def _row_parts(row: StreamRow) -> Iterator[str]:
    medians = [(stage.replace("_", " "), row.stages[stage][0]) for stage in STAGES if row.stages[stage]]
    if medians:
        yield "<h3>Median of each stage</h3>"
        yield bar_svg(medians)
    run = row.runs[-1]
    if run.processor:
        yield "<h3>Memory of the station process, MiB</h3>"
        yield time_svg(run.resident_mib)
        yield "<h3>Processor of the station process, % of a core</h3>"
        yield time_svg([100 * share for share in run.processor])
    yield "<ul>"
    yield from (f"<li>{escape(line)}</li>" for line in fact_lines(row))
    yield "</ul>"


def _table(report: StreamReport) -> Iterator[str]:
    if not report.rows:
        return
    yield "<table><tr><th>data</th>" + "".join(f"<th>{name} ms</th>" for name in COLUMNS) + "<th>95 % of p99</th></tr>"
    for row in report.rows:
        cells = "".join(f"<td>{figure_text(row.figures[name])}</td>" for name in COLUMNS)
        yield f"<tr><td>{escape(row_name(row))}</td>{cells}<td>{escape(interval_text(row.figures['p99']))}</td></tr>"
    yield "</table>"


def _milliseconds(row: StreamRow) -> list[float]:
    return sorted(ns / NS_PER_MS for run in row.runs if not run.invalid for ns in run.latencies_ns)

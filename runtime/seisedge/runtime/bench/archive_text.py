"""A report of `seisedge bench archive` as lines for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from seisedge.runtime.bench.archive_report import ArchiveReport, ArchiveRow
from seisedge.runtime.bench.html import head
from seisedge.runtime.bench.report import Figure

HEADS = (
    "data",
    "mode",
    "processes",
    "stations",
    "hours",
    "x real time",
    "95 %",
    "by processor",
    "peak MiB",
    "events/h",
)
NOT_MLPERF = (
    "After MLPerf Inference's offline scenario (github.com/mlcommons/inference_policies): all data are there at the "
    "start. This is not an MLPerf result."
)


def terminal_lines(report: ArchiveReport) -> Iterator[str]:
    """The report for a terminal of 110 columns."""
    yield f"seisedge {report.seisedge} on {report.machine.description}"
    yield f"{report.windows}; {report.method['rounds']}"
    yield ""
    cells = [HEADS, *(cells_of(row) for row in report.rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(HEADS))]
    for line in cells:
        padded = [f"{text:<{width}}" for text, width in zip(line[:2], widths[:2], strict=True)]
        padded += [f"{text:>{width}}" for text, width in zip(line[2:], widths[2:], strict=True)]
        yield "  ".join(padded)
    yield from fact_lines(report)
    yield NOT_MLPERF


def markdown_lines(report: ArchiveReport) -> Iterator[str]:
    """The report as Markdown."""
    yield f"# From files to events on {report.machine.description}"
    yield ""
    yield f"seisedge {report.seisedge}, {report.created}. {report.windows}. `{' '.join(report.command)}`"
    yield ""
    yield f"Times real time: {report.method['rate']}. Processes: {report.method['processes']}."
    yield ""
    yield f"| {' | '.join(HEADS)} |"
    yield "|---|---|" + "--:|" * (len(HEADS) - 2)
    for row in report.rows:
        yield f"| {' | '.join(cells_of(row))} |"
    yield ""
    yield from (f"- {line}" for line in fact_lines(report))
    yield ""
    yield NOT_MLPERF


def page(report: ArchiveReport) -> str:
    """The report as one HTML page."""
    title = f"From files to events on {report.machine.description}"
    lines = [
        head(title),
        f"<h1>{escape(title)}</h1><p>seisedge {escape(report.seisedge)}, {escape(report.created)}. "
        f"{escape(report.windows)}. Times real time: {escape(report.method['rate'])}.</p>",
        "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in HEADS) + "</tr>",
        *("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells_of(row)) + "</tr>" for row in report.rows),
        "</table><ul>",
        *(f"<li>{escape(line)}</li>" for line in fact_lines(report)),
        f"</ul><p>{escape(NOT_MLPERF)}</p></html>",
    ]
    return "\n".join([*lines, ""])


def cells_of(row: ArchiveRow) -> tuple[str, ...]:
    """The cells of a row, as HEADS."""
    figures = row.figures
    station_h = sum(each.station_s for each in row.rounds) / 3600
    return (
        row.data,
        row.mode,
        str(row.processes),
        str(row.stations),
        f"{row.hours:.2f}",
        _whole(figures["rate"].value),
        _interval(figures["rate"]),
        _whole(figures["processor_rate"].value),
        _whole(figures["peak_mib"].value),
        f"{sum(each.events for each in row.rounds) / station_h:.1f}" if station_h else "-",
    )


def fact_lines(report: ArchiveReport) -> Iterator[str]:
    """What follows the table."""
    rounds = [each for row in report.rows for each in row.rounds]
    marked = [each for each in rounds if each.conditions["marks"]]
    if marked:
        kinds = sorted({mark.split()[0] for each in marked for mark in each.conditions["marks"]})
        yield f"DISTURBED: {len(marked)} of {len(rounds)} rounds ({', '.join(kinds)})"
    ready = max(each.ready_s for each in rounds)
    yield f"start of a process until its models are loaded, not part of the rates: at most {ready:.2f} s"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _interval(figure: Figure) -> str:
    return figure.reason if figure.low is None or figure.high is None else f"{figure.low:,.0f} to {figure.high:,.0f}"

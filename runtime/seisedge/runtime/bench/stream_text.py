"""A report of `seisedge bench stream` as lines for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from seisedge.runtime.bench.stream_report import STAGES, Search, StreamReport, StreamRow
from seisedge.runtime.bench.text import figure_text, interval_text, number_text

COLUMNS = ("p50", "p90", "p95", "p99", "max")
NOT_MLPERF = (
    "After MLPerf Inference's server scenario (github.com/mlcommons/inference_policies): requests arrive at their own "
    "pace, here that of the digitizer and not a Poisson process. This is not an MLPerf result."
)
MAX_REASONS = 3


def row_name(row: StreamRow) -> str:
    """Data, number of stations, and whether all send the same."""
    return f"{row.data}, {row.stations} station(s){', all at once' if row.together else ''}"


def terminal_lines(report: StreamReport) -> Iterator[str]:
    """The report for a terminal of 100 columns."""
    yield f"seisedge {report.seisedge} on {report.machine.description}"
    yield f"{report.windows}; {report.protocol} in real time, {report.method['seconds']:g} s a run"
    yield "latency in ms, from the due time of the last needed record to the event line"
    if report.rows:
        yield ""
        yield f"{'':36}{'lines':>7}{''.join(f'{name:>8}' for name in COLUMNS)}  95 % of p99"
    for row in report.rows:
        figures = row.figures
        cells = "".join(f"{figure_text(figures[name]):>8}" for name in COLUMNS)
        yield f"{row_name(row):36}{_lines_of(row):>7}{cells}  {interval_text(figures['p99'])}"
    for row in report.rows:
        yield ""
        yield f"{row_name(row)}: budget by stage, ms"
        yield f"  {'':16}{'p50':>8}{'p99':>8}{'max':>8}"
        yield from (
            f"  {stage.replace('_', ' '):16}{''.join(f'{number_text(value):>8}' for value in row.stages[stage])}"
            for stage in STAGES
            if row.stages[stage]
        )
        yield from (f"  {line}" for line in fact_lines(row))
    for search in report.searches:
        yield ""
        yield from search_lines(search)
    yield ""
    yield NOT_MLPERF


def markdown_lines(report: StreamReport) -> Iterator[str]:
    """The report as Markdown."""
    yield f"# From ground to event on {report.machine.description}"
    yield ""
    yield f"seisedge {report.seisedge}, {report.created}. {report.windows}. `{' '.join(report.command)}`"
    yield ""
    yield f"Latency in ms: {report.method['latency']}. {report.protocol}, {report.method['seconds']:g} s a run."
    if report.rows:
        yield ""
        yield f"| data | lines | {' | '.join(COLUMNS)} | 95 % of p99 |"
        yield "|---|" + "--:|" * (len(COLUMNS) + 1) + "---|"
    for row in report.rows:
        cells = " | ".join(figure_text(row.figures[name]) for name in COLUMNS)
        yield f"| {row_name(row)} | {_lines_of(row)} | {cells} | {interval_text(row.figures['p99'])} |"
    for row in report.rows:
        yield ""
        yield f"## {row_name(row)}"
        yield ""
        yield "| stage | p50 | p99 | max |"
        yield "|---|--:|--:|--:|"
        for stage in STAGES:
            if row.stages[stage]:
                yield f"| {stage.replace('_', ' ')} | {' | '.join(map(number_text, row.stages[stage]))} |"
        yield ""
        yield from (f"- {line}" for line in fact_lines(row))
    for search in report.searches:
        yield ""
        yield from (f"- {line}" for line in search_lines(search))
    yield ""
    yield NOT_MLPERF


def fact_lines(row: StreamRow) -> Iterator[str]:
    """What follows the table of a row."""
    for number, run in enumerate(row.runs, 1):
        if run.invalid:
            yield f"INVALID: run {number}: {'; '.join(run.invalid[:MAX_REASONS])}"
    valid = [run for run in row.runs if not run.invalid]
    disturbed = [run for run in row.runs if run.conditions["marks"]]
    if disturbed:
        kinds = sorted({mark.split()[0] for run in disturbed for mark in run.conditions["marks"]})
        yield f"DISTURBED: {len(disturbed)} of {len(row.runs)} runs ({', '.join(kinds)})"
    dropped, inferences = sum(run.dropped_windows for run in row.runs), sum(run.inferences for run in row.runs)
    yield (
        f"{len(valid)} of {len(row.runs)} runs valid; {sum(run.triggers for run in row.runs)} triggers, "
        f"{inferences} inferences, {dropped} windows dropped"
    )
    for run in row.runs:
        if run.processor and run.resident_mib:
            yield (
                f"station process: {sum(run.processor) / len(run.processor):.1%} of a core (at most "
                f"{max(run.processor):.0%} in a second), memory {run.resident_mib[0]:.0f} MiB at the start, "
                f"{run.resident_mib[-1]:.0f} MiB at the end, highest {max(run.resident_mib):.0f} MiB"
            )
        yield (
            f"digitizer: {run.generator.packets} records, late by {run.generator.lag_ms[0]:.2f} ms (median), "
            f"{run.generator.lag_ms[1]:.2f} ms (p99), {run.generator.lag_ms[2]:.2f} ms (most)"
        )


def search_lines(search: Search) -> Iterator[str]:
    """The result of a search, and its runs."""
    found = f"{search.stations} stations, confirmed in 3 of 3 fresh runs" if search.stations else "none"
    yield f"{search.data}: largest number of stations with p99 within {search.limit_ms:g} ms and no drop: {found}"
    yield from (f"  {trial.stations} stations: {trial.reason}" for trial in search.trials)


def _lines_of(row: StreamRow) -> int:
    return sum(len(run.latencies_ns) for run in row.runs if not run.invalid)

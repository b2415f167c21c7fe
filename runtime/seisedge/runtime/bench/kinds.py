"""Reports of all kinds: reading, computing their figures again, and their values by round."""

from __future__ import annotations

from pathlib import Path

import msgspec

from seisedge.runtime.bench import archive_report, report, stream_report
from seisedge.runtime.bench.archive_report import ArchiveReport, archive_figures, archive_values
from seisedge.runtime.bench.intervals import percentile
from seisedge.runtime.bench.report import NS_PER_MS, SHARES, Report, bytes_of, check_figures, check_stated, payload_of
from seisedge.runtime.bench.stream_report import StreamReport, StreamRow, latency_figures, stage_figures
from seisedge.runtime.bench.stream_text import row_name
from seisedge.runtime.errors import InputError
from seisedge.runtime.text import reason_of

AnyReport = Report | StreamReport | ArchiveReport
OtherReport = StreamReport | ArchiveReport
KINDS: dict[str, type[AnyReport]] = {
    report.SCHEMA: Report,
    stream_report.SCHEMA: StreamReport,
    archive_report.SCHEMA: ArchiveReport,
}


def read_any(path: Path) -> AnyReport:
    """Read a report of any kind, and compute its figures again. Raises InputError."""
    data = bytes_of(path)
    try:
        payload = payload_of(data)
        head = msgspec.json.decode(payload)
        found = head.get("schema") if isinstance(head, dict) else None
        if found not in KINDS:
            known = ", ".join(f"'{name}'" for name in KINDS)
            raise ValueError(f"its schema is {found!r:.60}, expected one of {known}" if found else "it has no 'schema'")
        content = msgspec.json.decode(payload, type=KINDS[found])
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise InputError(f"{path}: not a report of 'seisedge bench': {reason_of(error)}") from error
    if isinstance(content, Report):
        check_figures(content, str(path))
    else:
        _check(content, str(path))
    return content


def _check(content: OtherReport, place: str) -> None:
    """Raises InputError where a figure differs from the raw samples."""
    if isinstance(content, ArchiveReport):
        for row in content.rows:
            where = f"{place}: {archive_row_name(row)}"
            if not row.rounds or min(min(each.wall_s, each.processor_s) for each in row.rounds) <= 0:
                raise InputError(f"{where}: a round has no time")
            check_stated(row.figures, archive_figures(row.rounds), where)
        return
    for stream_row in content.rows:
        where = f"{place}: {row_name(stream_row)}"
        valid = [run for run in stream_row.runs if not run.invalid]
        check_stated(stream_row.figures, latency_figures([run.latencies_ns for run in valid]), where)
        try:
            stages = stage_figures([run.stages for run in valid])
        except KeyError as error:
            raise InputError(f"{where}: a run has no stage {error}") from error
        if stages != stream_row.stages:
            raise InputError(f"{where}: the stages differ from the raw samples; the report was edited or is damaged")


def archive_row_name(row: archive_report.ArchiveRow) -> str:
    """What a row of an archive report measures."""
    return f"{row.data}, {row.mode}, {row.processes} process(es), {row.stations} station(s), {row.hours:g} h"


def values_by_row(content: OtherReport) -> dict[str, dict[str, list[float] | str]]:
    """Of each row, one value per valid round of each figure that `compare` knows, or why there is none.

    For an archive `mean` is the seconds per hour of station data.
    """
    if isinstance(content, StreamReport):
        return {row_name(row): _of_stream(row) for row in content.rows}
    return {
        archive_row_name(row): {
            "mean": [3600 / rate for rate in archive_values(row.rounds, "rate")],
            "cold": archive_values(row.rounds, "ready_s"),
            "memory": archive_values(row.rounds, "peak_mib"),
        }
        for row in content.rows
    }


def _of_stream(row: StreamRow) -> dict[str, list[float] | str]:
    valid = [run for run in row.runs if not run.invalid]
    found: dict[str, list[float] | str] = {}
    samples = [sorted(ns / NS_PER_MS for ns in run.latencies_ns) for run in valid]
    for name, figure in row.figures.items():
        if name in SHARES or name == "mean":
            if figure.value is None:
                found[name] = figure.reason
            elif name == "mean":
                found[name] = [sum(values) / len(values) for values in samples]
            else:
                found[name] = [percentile(values, SHARES[name]) for values in samples]
    found["memory"] = [max(run.resident_mib) for run in valid if run.resident_mib]
    return found

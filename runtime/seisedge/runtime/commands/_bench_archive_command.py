"""`seisedge bench archive`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seisedge.runtime import machine
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._bench_options import log_progress, report_options

EPILOG = """\b
Examples:
  seisedge bench archive day1.mseed day2.mseed
  seisedge bench archive --processes 4 -o archive.json --markdown archive.md
"""


@click.command("archive", epilog=EPILOG)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--processes", type=click.IntRange(1, 1024), help="Also so many at once. Default: one per core.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Rounds of fresh processes.")
@click.option(
    "--hours",
    type=FiniteRange(0.1, 1000),
    default=2.0,
    show_default=True,
    help="Of the quiet data without FILE.",
)
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path), help="Model file; may be repeated.")
@report_options
def archive(
    files: tuple[Path, ...],
    processes: int | None,
    rounds: int,
    hours: float,
    models: tuple[Path, ...],
    as_json: bool,
    **files_of_report: Any,
) -> None:
    """Measure how fast files become events: triggered and continuous, one process and several.

    Rows with a part of the hours, and with copies of the stations, show how time and memory grow. FILE: miniSEED;
    without it, quiet data made of the bundled recording, and that recording.
    """
    from seisedge.runtime.commands._bench_archive import run_archive_bench
    from seisedge.runtime.commands._bench_output import Outputs, write_outputs

    outputs = Outputs(**files_of_report)
    outputs.check()
    report = run_archive_bench(
        files,
        processes=processes or machine.cores(),
        rounds=rounds,
        hours=hours,
        models=models,
        log=(lambda line: None) if as_json else log_progress,
    )
    write_outputs(report, outputs, as_json=as_json)

"""`seisedge archive`"""

from __future__ import annotations

import io
import os
import sys
from csv import writer as csv_writer
from pathlib import Path

import click
import msgspec

from seisedge.runtime.archive.catalogue import write_csv, write_quakeml
from seisedge.runtime.archive.cluster import DaskPool
from seisedge.runtime.archive.diff import KINDS, SHIFT, TOLERANCE_S, compare, table_lines, text_lines
from seisedge.runtime.archive.inputs import LocalFiles, is_url, parse_unit
from seisedge.runtime.archive.output import Manifest
from seisedge.runtime.archive.pages import difference_page, summarise, summary_page
from seisedge.runtime.archive.plan import Range
from seisedge.runtime.archive.pool import LocalPool, Pool
from seisedge.runtime.archive.progress import Progress
from seisedge.runtime.archive.run import ArchiveOptions, ArchiveRun, plans_text
from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._run_inputs import read_inputs
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import write_atomically
from seisedge.runtime.inference.infer import Models

MAX_SHOWN = 5  # failures in the summary
MAX_CHANGES = 20  # of a comparison, as text
UNIT_NAMES = {"1d": "station-days"}

EPILOG = """\b
Examples:
  seisedge archive sds:/data/archive -o events
  seisedge archive sds:/data/archive station.toml -o events --start 2019-07-01 --end 2019-08-01 --workers 8
  seisedge archive s3://bucket/sds -o events --stations 'PB.*' --scheduler tcp://head:8786
  seisedge archive diff events-old events-new
  seisedge archive summary events
"""


class DataFirst(click.Group):
    """Without a subcommand's name in the first place the arguments are those of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not {"-h", "--help"} & set(args[:1]):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=DataFirst, epilog=EPILOG, invoke_without_command=False)
def command() -> None:
    """Turn an archive of a network into tables of events, on one machine or on a Dask cluster.

    seisedge archive DATA... -o OUT is short for seisedge archive run DATA... -o OUT.
    """


@command.command()
@click.argument("data", nargs=-1, metavar="[STATION.toml] [DATA]...")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="OUT", help="Output folder.")
@click.option(
    "--files-from",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also read the places in this file, one per line.",
)
@click.option(
    "--stations", "patterns", multiple=True, metavar="NET.STA", help="Only these; * and ? are allowed. May be repeated."
)
@click.option("--start", metavar="TIME", help="Onsets from this time on, for example 2019-07-01.")
@click.option("--end", metavar="TIME", help="Onsets before this time.")
@click.option("--unit", default="1d", show_default=True, help="Length of a unit of work: 1d or a part of it, as 6h.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine; 1 works without Dask. Default: the processors of this machine.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of this Dask scheduler, as tcp://head:8786.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Use this model file for its task; may be repeated. Default: the station files', else the bundled model.",
)
@click.option(
    "--stationxml",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take gains and orientations from this StationXML file; stations that are not in it are left out.",
)
@click.option("--revisions", is_flag=True, help="Also write a table of all revisions.")
@click.option("--retry", is_flag=True, help="Analyse the units that have failed again.")
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Also write the events to this CSV file.")
@click.option(
    "--quakeml", type=click.Path(path_type=Path), metavar="DIR", help="Also write a QuakeML file per event to DIR."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON instead of the summary.")
def run(  # noqa: PLR0913 - one parameter for each option of the command
    data: tuple[str, ...],
    out: Path,
    files_from: Path | None,
    patterns: tuple[str, ...],
    start: str | None,
    end: str | None,
    unit: str,
    workers: int | None,
    scheduler: str | None,
    models: tuple[Path, ...],
    stationxml: Path | None,
    revisions: bool,
    retry: bool,
    csv: Path | None,
    quakeml: Path | None,
    as_json: bool,
) -> None:
    """Analyse DATA: sds:DIR, folders, files, and URLs such as s3://bucket/folder.

    The events are those of one uninterrupted run. Started again, the command analyses only what is missing. Progress
    goes to standard error.

    Exit status: 0 success, 1 units have failed or another failure, 2 unusable input.
    """
    if workers is not None and scheduler is not None:
        raise InputError("give --workers or --scheduler, not both: a scheduler has workers of its own")
    options = ArchiveOptions(
        out,
        _places(data, files_from),
        tuple(name for pattern in patterns for name in pattern.split(",")),
        unit,
        parse_unit(unit),
        _range(start, end),
        start,
        end,
        revisions,
        retry,
    )
    inputs = read_inputs((*data, *options.data[:1]), (), stationxml, None, None)
    loaded = Models.load(inputs.models, models)
    local = LocalFiles()
    archive = ArchiveRun(options, loaded, inputs.configs, inputs.metadata, local)
    processes = workers if workers is not None else len(os.sched_getaffinity(0))
    print(plans_text(archive.plans), file=sys.stderr)

    def pool() -> Pool:
        if scheduler is None and processes == 1:
            return LocalPool(loaded, archive.metadata, local)
        dask = DaskPool(loaded, inputs.models.engine, archive.metadata, workers=processes, address=scheduler or "")
        waiting = f"no worker yet, waiting: `dask worker {scheduler}` starts one"
        there = f"{dask.workers} worker(s)" if dask.workers else waiting
        print(f"{there}; dashboard at {dask.dashboard}", file=sys.stderr)
        return dask

    progress = Progress(archive.totals, UNIT_NAMES.get(unit, f"units of {unit}"))
    manifest = archive.run(pool, progress)
    if csv is not None:
        write_csv(out, csv)
    if quakeml is not None:
        write_quakeml(out, quakeml, manifest, loaded)
    if as_json:
        click.echo(msgspec.json.encode(manifest).decode())
    else:
        _summarise(manifest, archive, progress, out)
    if manifest.failures:
        raise FailedError(
            f"{len(manifest.failures)} unit(s) have failed, see {out / 'manifest.json'}; --retry analyses them again"
        )


def _places(data: tuple[str, ...], files_from: Path | None) -> tuple[str, ...]:
    """What to read: the arguments that are no station files, and the lines of a list."""
    places = [place for place in data if not place.endswith(".toml")]
    if files_from is not None:
        try:
            lines = files_from.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise InputError(f"--files-from {files_from}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"--files-from {files_from}: is not a text file in UTF-8") from error
        places += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not places:
        raise InputError("nothing to read: give DATA (sds:DIR, a folder, files or a URL) or --files-from FILE")
    if "-" in places:
        raise InputError("standard input ('-') cannot be read by several processes; use `seisedge run -`")
    return tuple(place if is_url(place) else _absolute(place) for place in places)


def _absolute(place: str) -> str:
    """With an absolute path: workers have another working directory."""
    scheme, mark, path = place.partition(":") if place.startswith(("sds:", "file:")) else ("", "", place)
    if scheme and is_url(path):
        return place
    return f"{scheme}{mark}{Path(path).absolute()}"


def _range(start: str | None, end: str | None) -> Range:
    wanted = Range(_time(start, "--start"), _time(end, "--end"))
    if wanted.start_ns is not None and wanted.end_ns is not None and wanted.end_ns <= wanted.start_ns:
        raise InputError(f"--end {end}: must be later than --start {start}")
    return wanted


def _time(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return ns_from_iso(text)
    except ValueError:
        raise InputError(f"{option} {text}: is not a time; write it as 2019-07-01 or 2019-07-01T12:00:00Z") from None


def _summarise(manifest: Manifest, archive: ArchiveRun, progress: Progress, out: Path) -> None:
    counts, totals = manifest.counts, archive.totals
    types = ", ".join(f"{count} {label}" for label, count in counts["types"].items())
    click.echo(f"{out}: {counts['events']} events" + (f" ({types})" if types else ""))
    speed = f", {progress.times_real_time:,.0f} times real time" if totals.done else ""
    click.echo(
        f"  {counts['units']} unit(s) of {counts['stations']} station(s); {totals.done} analysed now in "
        f"{progress.elapsed_s:.1f} s{speed}, {totals.done_before} before"
    )
    if totals.continued:
        click.echo(f"  {totals.continued} unit(s) continued from the one before: their memory reaches further back")
    if counts["uncalibrated"]:
        click.echo(
            f"  {counts['uncalibrated']} event(s) of stations without a gain have no magnitude; "
            "give --stationxml FILE, or a station file with the gain"
        )
    for reason, number in list(counts["left_out"].items())[:MAX_SHOWN]:
        click.echo(f"  {number} record(s) left out, the first in {totals.left_out_in[reason]}: {reason}")
    for place, why in list(manifest.unusable.items())[:MAX_SHOWN]:
        click.echo(f"  not analysed: {place}: {why}")
    for failure in manifest.failures[:MAX_SHOWN]:
        click.echo(f"  failed: {failure.station} {failure.unit}: {failure.reason}")
    if len(manifest.failures) > MAX_SHOWN:
        click.echo(f"  and {len(manifest.failures) - MAX_SHOWN} more")


@command.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--table", type=click.Path(path_type=Path), metavar="FILE", help="Write all changes to this CSV file.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Write plots and all changes to this HTML page."
)
@click.option(
    "--tolerance",
    type=FiniteRange(min=0.01, max=60.0),
    default=TOLERANCE_S,
    show_default=True,
    metavar="S",
    help="Largest difference of the onsets of one event, in seconds.",
)
@click.option(
    "--shift",
    type=FiniteRange(min=0.01, max=10.0),
    default=SHIFT,
    show_default=True,
    help="Smallest difference of two magnitudes that counts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts and all changes as JSON.")
def diff(
    old: Path, new: Path, table: Path | None, plot: Path | None, tolerance: float, shift: float, as_json: bool
) -> None:
    """Compare two outputs over the same data: what another model or version changes.

    Events are found, lost, of another type or of another magnitude. Compares the units that are in both outputs.
    """
    found = compare(old, new, tolerance_s=tolerance, shift=shift)
    if table is not None:
        text = io.StringIO()
        csv_writer(text, lineterminator="\n").writerows(table_lines(found.changes))
        write_atomically(table, text.getvalue().encode())
    if plot is not None:
        write_atomically(plot, difference_page(old, new, found).encode())
    if as_json:
        counts = {kind: found.count(kind) for kind in KINDS}
        facts = (
            {"units": found.units, "other_data": found.other_data, "same": found.same}
            | counts
            | {"changes": found.changes}
        )
        click.echo(msgspec.json.encode(facts).decode())
        return
    for line in text_lines(found, MAX_CHANGES):
        click.echo(line)


@command.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page here. Default: summary.html in OUT.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def summary(out: Path, page: Path | None, as_json: bool) -> None:
    """Draw events a day, magnitudes and the data of each station as one HTML page."""
    manifest, figures, facts = summarise(out)
    path = page if page is not None else out / "summary.html"
    write_atomically(path, summary_page(out, manifest, figures, facts).encode())
    if as_json:
        click.echo(msgspec.json.encode(figures).decode())
    else:
        click.echo(f"{figures.events} events of {len(figures.stations)} station(s); the page is {path}")

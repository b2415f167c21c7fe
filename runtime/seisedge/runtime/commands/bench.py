"""`seisedge bench`"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._bench_archive_command import archive
from seisedge.runtime.commands._bench_options import log_progress, report_options
from seisedge.runtime.commands._bench_reports import compare_files, import_command
from seisedge.runtime.commands._bench_stream_command import stream
from seisedge.runtime.config import EngineName
from seisedge.runtime.errors import InputError

EPILOG = """\b
Examples:
  seisedge bench model
  seisedge bench model my-model.onnx --batch 1,8,32 --threads 1,2 -o report.json --html report.html
"""
COMPARE_EPILOG = """\b
Examples:
  seisedge bench compare old.json new.json --fail-over p99=10% --fail-over mean=5%
  seisedge bench compare --against /opt/seisedge-0.2/venv --fail-over p99=10%
  seisedge bench import report.json --hardware "Jetson Orin Nano" --key station.pub
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Measure latency, throughput, FLOPs, memory and energy on this machine."""


class NumberList(click.ParamType[Any]):
    """Numbers separated by commas, each once."""

    name = "list"

    def __init__(self, kind: Callable[[str], Any], least: float) -> None:
        self._kind, self._least = kind, least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(dict.fromkeys(self._kind(word) for word in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas, as 1,8,32.", param, ctx)
        if not all(self._least <= number <= 1e6 for number in numbers):
            self.fail(f"{value}: each number must be between {self._least:g} and 1000000.", param, ctx)
        return numbers


class EngineList(click.ParamType[Any]):
    """Names of engines, separated by commas."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(str(value).split(",")))
        known = get_args(EngineName)
        for name in names:
            if name not in known:
                self.fail(f"{name!r} is not an engine; the engines are {', '.join(known)}.", param, ctx)
        return names


@command.command("model", epilog=EPILOG)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path), metavar="[M.onnx]...")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="miniSEED from which the windows are cut; may be repeated. Default: the bundled recording.",
)
@click.option("--engine", type=EngineList(), default="onnxruntime", show_default=True, help="Engines to measure.")
@click.option("--batch", type=NumberList(int, 1), default="1", show_default=True, help="Batch sizes, back to back.")
@click.option("--threads", type=NumberList(int, 1), default="1", show_default=True, help="Threads of onnxruntime.")
@click.option(
    "--pace",
    type=NumberList(float, 0),
    default="0,10,100,1000",
    show_default=True,
    help="Milliseconds from one inference to the next at batch 1; 0: back to back.",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=10, show_default=True, help="Fresh processes at least.")
@click.option("--max-rounds", type=click.IntRange(1, 1000), default=30, show_default=True, help="And at most.")
@click.option(
    "--seconds",
    type=FiniteRange(min=0),
    default=300.0,
    show_default=True,
    help="No round beyond --rounds begins after this time.",
)
@click.option("--row-s", type=FiniteRange(0.01, 600), default=1.0, show_default=True, help="Seconds per row and round.")
@click.option(
    "--spacing",
    type=FiniteRange(0, 3600),
    default=5.0,
    show_default=True,
    help="Seconds from the start of a round to the next one, at least.",
)
@click.option(
    "--width",
    type=FiniteRange(0.001, 10),
    default=0.1,
    show_default=True,
    help="Stop once the 95 % interval of p99 between rounds is within this share.",
)
@click.option(
    "--engine-cache",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of built engines. Default: ~/.cache/seisedge/engines.",
)
@report_options
def model(models: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure the latency of model files on real windows; without M.onnx, of the bundled models.

    Each round is a fresh process, and intervals are computed between rounds. Rows: every batch size back to back, and
    batch 1 at each pace, as a station infers. If an engine is unavailable, nothing is measured.
    """
    from seisedge.runtime.commands._bench_output import Outputs, write_outputs
    from seisedge.runtime.commands._bench_run import run_models

    outputs = Outputs(**{name: options.pop(name) for name in ("output", "markdown", "html", "sign", "overwrite")})
    outputs.check()
    report = run_models(models, options, log=None if as_json else log_progress)
    write_outputs(report, outputs, as_json=as_json)


@command.command("compare", epilog=COMPARE_EPILOG)
@click.argument("old", type=click.Path(path_type=Path), metavar="[OLD.json]", required=False)
@click.argument("new", type=click.Path(path_type=Path), metavar="[NEW.json]", required=False)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="VENV",
    help="Instead of reports: measure the build in this virtual environment and this build in turn.",
)
@click.option(
    "--model", "models", multiple=True, type=click.Path(path_type=Path), help="Of --against. Default: the bundled ones."
)
@click.option("--rounds", type=click.IntRange(2, 1000), default=10, show_default=True, help="Of --against: pairs.")
@click.option(
    "--row-s", type=FiniteRange(0.01, 600), default=1.0, show_default=True, help="Of --against: seconds per round."
)
@click.option(
    "--fail-over",
    multiple=True,
    metavar="FIGURE=PERCENT%",
    help="Largest increase that passes; may be repeated. mean, p50 … p99.9, cold, memory. Default: p99=10%.",
)
@click.option("--allow-inconclusive", is_flag=True, help="Exit 0 where the data are too noisy for a verdict.")
@click.option("--other-machine", is_flag=True, help="Compare reports of different machines.")
def compare(
    old: Path | None,
    new: Path | None,
    against: Path | None,
    other_machine: bool,
    allow_inconclusive: bool,
    **options: Any,
) -> None:
    """Compare two reports: same, better, worse (exit 1) or inconclusive (exit 3).

    The rounds of the two reports are compared, and several figures are corrected for their number. With --against the
    rounds of both builds take turns, which shows smaller changes.
    """
    if against is not None:
        from seisedge.runtime.commands._bench_against import compare_builds

        if old is not None or other_machine:
            raise InputError(
                "--against measures both builds on this machine; leave out the reports and --other-machine"
            )
        code = compare_builds(against, options, allow_inconclusive=allow_inconclusive, log=log_progress)
    elif old is None or new is None:
        raise InputError("give two reports, OLD.json and NEW.json, or --against VENV")
    else:
        code = compare_files(
            old, new, options["fail_over"], allow_inconclusive=allow_inconclusive, other_machine=other_machine
        )
    if code:
        sys.exit(code)


command.add_command(import_command)
command.add_command(stream)
command.add_command(archive)

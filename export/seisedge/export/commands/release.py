"""`seisedge release`: all steps from a run to the models of a station, with a model page."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.export.commands._options import DATA_HELP, accept_option, folders_of, windows_option
from seisedge.export.commands.prune import largest_effect_option, teacher_option
from seisedge.export.folder import write_curves, write_folder
from seisedge.export.prune.run import PruneSpec, load_training_data
from seisedge.export.prune.surgery import require_prunable
from seisedge.export.release import ReleaseSpec, make_release
from seisedge.runtime import machine
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._overwrite import protect_folder
from seisedge.runtime.files import folder_written_whole
from seisedge.train.run_file import load_run

EPILOG = """\b
Examples:
  seisedge release runs/event-type --accept-resolution 2 -o release/event-type
  seisedge release runs/mine --prune 0.5 --data data/mine -o release/mine
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the release; must be empty or missing.",
)
@click.option(
    "--prune",
    "ratio",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    help="Also make a pruned model: smallest share of the network's multiply-adds to remove.",
)
@click.option(
    "--steps", type=click.IntRange(1), help="Steps of fine-tuning the pruned model [default: half of the recipe's]."
)
@teacher_option
@largest_effect_option
@windows_option
@accept_option
@click.option("--curves/--no-curves", default=True, help="Also evaluate early answers and damaged records.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    run: Path,
    data: tuple[str, ...],
    out: Path,
    ratio: float | None,
    steps: int | None,
    teachers: tuple[Path, ...],
    largest_effect: float,
    windows: int,
    accept_points: float | None,
    curves: bool,
) -> None:
    """Write what a station needs of RUN: models that the gate accepts, cards, a model page, checksums.

    The run is exported and converted to fp16 and int8; with --prune a narrower model, too. Each model is compared with
    its parent on held-out windows, all are timed side by side, and the page names the cheapest for each target.
    """
    protect_folder(out)
    source = load_run(run)
    if ratio is not None:
        require_prunable(source.recipe, run)
    folders = folders_of(data, run, source.data_sha256)
    archive = load_training_data(source, folders)

    prune = None
    if ratio is not None:
        prune = PruneSpec(
            ratio=ratio, steps=steps, seed=source.seed, windows=windows, largest_effect=largest_effect,
            accept_points=accept_points, teachers=tuple(load_run(path) for path in teachers),
        )  # fmt: skip
    with folder_written_whole(out) as part:
        release = make_release(source, archive, part, ReleaseSpec(windows, accept_points, prune), click.echo)
        shipped = release.shipped().file
        report = write_curves(run, shipped, folders, part) if curves and shipped is not None else None
        write_folder(release, part, machine.describe(), report)
    for target, (name, why) in release.chosen.items():
        click.echo(f"{target}: {name} ({why})")
    refused = [v.name for v in release.variants if v.file is None]
    click.echo(
        f"{out}: {len(release.variants) - len(refused)} models, MODEL.md, SHA256SUMS"
        + (f"; not accepted by the gate and not written: {', '.join(refused)}" if refused else "")
    )

"""`seisedge release`: the whole line, and the page that says what came of it."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.export.commands.prune import largest_effect_option
from seisedge.export.commands.quantize import DATA_HELP, folders_of, windows_option
from seisedge.export.folder import write_curves, write_folder
from seisedge.export.prune.run import Pruned, load_training_data, prune_run
from seisedge.export.prune.select import require_prunable
from seisedge.export.release import make_release
from seisedge.runtime import machine
from seisedge.runtime.errors import InputError
from seisedge.train.fit.run import Run, load_run

EPILOG = """\b
Examples:
  seisedge release runs/event-type -o release/event-type
  seisedge release runs/magnitude --prune 0.5 --data datasets -o release/magnitude
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the release.")
@click.option(
    "--prune",
    "ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Also make a pruned model: the share of the network's multiply-adds to remove.",
)
@click.option("--steps", type=click.IntRange(1), help="Of fine-tuning a pruned model [default: half of the recipe's].")
@largest_effect_option
@windows_option
@click.option("--curves/--no-curves", default=True, help="Evaluate early answers and damaged records, too.")
def command(
    run: Path,
    data: tuple[str, ...],
    out: Path,
    ratio: float | None,
    steps: int | None,
    largest_effect: float,
    windows: int,
    curves: bool,
) -> None:
    """Make what a station is given of RUN: models inside the gate, cards, a model page, checksums.

    Export, then fp16 and int8, with --prune the same of a narrower model; each is compared with its parent on held-out
    windows, all are timed side by side, and the cheapest inside the gate is named for each target.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already and not empty; choose another -o")
    source = load_run(run)
    if ratio is not None:
        require_prunable(source.recipe.model, run)
    folders = folders_of(data)
    archive = load_training_data(source, folders)

    def narrower(full: Run) -> Pruned:
        chosen = steps or max(full.recipe.optimisation.steps // 2, 1)
        return prune_run(
            full, archive, ratio or 0.5, chosen, full.seed, windows, click.echo, largest_effect=largest_effect
        )

    release = make_release(source, archive, out, narrower if ratio is not None else None, windows, click.echo)
    shipped = release.shipped().file
    report = write_curves(run, shipped, folders, out) if curves and shipped is not None else None
    write_folder(release, out, machine.describe(), report)
    for target, (name, why) in release.chosen.items():
        click.echo(f"{target}: {name} ({why})")
    refused = [v.name for v in release.variants if v.file is None]
    click.echo(
        f"{out}: {len(release.variants) - len(refused)} models, MODEL.md, SHA256SUMS"
        + (f"; outside the gate and not written: {', '.join(refused)}" if refused else "")
    )

"""`seisedge prune`: from a run to a narrower run."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from seisedge.export.commands._options import DATA_HELP, accept_option, folders_of, windows_option
from seisedge.export.gate import lines_of
from seisedge.export.prune.run import PruneSpec, load_training_data, prune_run, write_pruned
from seisedge.export.prune.select import LARGEST_EFFECT
from seisedge.export.prune.surgery import require_prunable
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._overwrite import protect_folder
from seisedge.runtime.errors import FailedError
from seisedge.train.run_file import load_run

EPILOG = """\b
Examples:
  seisedge prune runs/event-type --ratio 0.5 --accept-resolution 2
  seisedge prune runs/magnitude --ratio 0.6 --data datasets -o runs/magnitude-narrow
"""


largest_effect_option = click.option(
    "--largest-effect",
    type=FiniteRange(0, 1),
    default=LARGEST_EFFECT,
    show_default=True,
    help="A block stays if the probabilities change by more without it, on average and before fine-tuning.",
)

teacher_option = click.option(
    "--teacher",
    "teachers",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN",
    help="A further run on the same labels, for example of another seed; fine-tuning learns from the mean of its "
    "answers and the parent's. May be repeated.",
)


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--ratio",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="Smallest share of the network's multiply-adds to remove; the front end stays.",
)
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option("--steps", type=click.IntRange(1), help="Steps of fine-tuning [default: half of the recipe's].")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Seed of the random generators."
)
@teacher_option
@largest_effect_option
@windows_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The new run [default: RUN-pruned].")
@accept_option
@click.option("--allow-drop", is_flag=True, help="Write the run whatever the gate's verdict is; gate.json states it.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    run: Path,
    ratio: float,
    data: tuple[str, ...],
    steps: int | None,
    seed: int,
    teachers: tuple[Path, ...],
    largest_effect: float,
    windows: int,
    out: Path | None,
    accept_points: float | None,
    allow_drop: bool,
) -> None:
    """Remove blocks and channels from the network of RUN, fine-tune it, and write an ordinary run.

    Blocks are removed first, by how much the answers change without them, then channels by their measured
    importance. Fine-tuning learns from the labels and from the parent's answers. Exit 1 and
    no run where the gate does not accept it.
    """
    source = load_run(run)
    require_prunable(source.recipe, run)
    folder = run if run.is_dir() else run.parent
    target = out or folder.with_name(f"{folder.name}-pruned")
    protect_folder(target)
    folders = folders_of(data, run, source.data_sha256)
    archive = load_training_data(source, folders)
    spec = PruneSpec(
        ratio=ratio, steps=steps, seed=seed, windows=windows, largest_effect=largest_effect,
        accept_points=accept_points, allow_drop=allow_drop, teachers=tuple(load_run(path) for path in teachers),
    )  # fmt: skip
    made = prune_run(source, archive, spec, click.echo)
    before, after = made.network_macs
    click.echo(
        f"network {before / 1e6:.2f} → {after / 1e6:.2f} M MAC ({1 - after / before:.0%} removed); with the front end "
        f"{made.macs[0] / 1e6:.2f} → {made.macs[1] / 1e6:.2f} M MAC, "
        f"{made.flops[0] / 1e6:.1f} → {made.flops[1] / 1e6:.1f} MFLOP, counted from the exported graphs"
    )
    click.echo("\n".join(lines_of(made.comparison, pruned=True)))
    if not made.comparison.accepted and not allow_drop:
        raise FailedError(
            f"{target}: not written, outside the gate; increase --steps, lower --ratio, or write it with --allow-drop"
        )
    write_pruned(made, folder, folders, target)
    click.echo(f"{target}: next: seisedge export {shlex.quote(str(target))}")

"""`seisedge prune`: from a run to a narrower run."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.export.cli_quantize import DATA_HELP, folders_of, windows_option
from seisedge.export.gate import lines_of
from seisedge.export.prune.run import load_training_data, prune_run, write_pruned
from seisedge.export.prune.select import LARGEST_EFFECT, require_prunable
from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.run import load_run

EPILOG = """\b
Examples:
  seisedge prune runs/event-type --ratio 0.5
  seisedge prune runs/magnitude --ratio 0.6 --data datasets -o runs/magnitude-narrow
"""


largest_effect_option = click.option(
    "--largest-effect",
    type=click.FloatRange(0, 1),
    default=LARGEST_EFFECT,
    show_default=True,
    help="A block stays where the probabilities change by more without it, in the mean and before fine-tuning.",
)


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="Share of the network's multiply-adds to remove, at least; the front end stays.",
)
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option("--steps", type=click.IntRange(1), help="Of fine-tuning [default: half of the recipe's].")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of everything random.")
@largest_effect_option
@windows_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The new run [default: RUN-pruned].")
@click.option("--allow-drop", is_flag=True, help="Write the run also outside the gate.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    run: Path,
    ratio: float,
    data: tuple[str, ...],
    steps: int | None,
    seed: int,
    largest_effect: float,
    windows: int,
    out: Path | None,
    allow_drop: bool,
) -> None:
    """Remove whole blocks and channels from the network of RUN, fine-tune, and write an ordinary run.

    RUN is of ganet_small or resnet18_cbam_small. Blocks go first, by what the answers lose without them, then
    channels by their measured importance. Fine-tuning learns from the labels and from the parent's answers. Exit 1 and
    no run where it is worse than the gate allows.
    """
    source = load_run(run)
    require_prunable(source.recipe.model, run)
    folder = run if run.is_dir() else run.parent
    target = out or folder.with_name(f"{folder.name}-pruned")
    if target.exists():
        raise InputError(f"{target}: is there already; choose another -o")
    archive = load_training_data(source, folders_of(data))
    chosen = steps or max(source.recipe.optimisation.steps // 2, 1)
    made = prune_run(source, archive, ratio, chosen, seed, windows, click.echo, largest_effect=largest_effect)
    before, after = made.macs
    click.echo(
        f"network {before / 1e6:.2f} → {after / 1e6:.2f} M MAC ({1 - after / before:.0%} removed); with the front end "
        f"{made.whole_macs[0] / 1e6:.2f} → {made.whole_macs[1] / 1e6:.2f} M MAC, "
        f"{made.flops[0] / 1e6:.1f} → {made.flops[1] / 1e6:.1f} MFLOP, counted from the exported graphs"
    )
    click.echo("\n".join(lines_of(made.comparison, pruned=True)))
    if not made.comparison.passed and not allow_drop:
        raise FailedError(
            f"{target}: not written, outside the gate; more --steps, a smaller --ratio, or --allow-drop writes it"
        )
    write_pruned(made, folder, target)
    click.echo(f"{target}: next: seisedge export {target}")

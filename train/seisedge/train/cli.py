"""`seisedge train`: from a recipe to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch

from seisedge.runtime.errors import InputError
from seisedge.train.data import find_dataset
from seisedge.train.dataset.benchmark import folders_from
from seisedge.train.holdout import KNOWN
from seisedge.train.recipe import load_recipe, recipe_names
from seisedge.train.run import run_training

EPILOG = """\b
Examples:
  seisedge train --list
  seisedge train event-type -o runs/event-type
  seisedge train magnitude --data datasets --seed 7 --set optimisation.steps=500
"""


def device_from(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N`. Raises InputError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: must be auto, cpu or cuda[:N]") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {name}: this machine has no CUDA device that torch can use")
    return device


def overrides_from(settings: tuple[str, ...]) -> dict[str, Any]:
    """`--set key=value` pairs; values read as TOML where they can be. Raises InputError."""
    import msgspec

    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting}: must be KEY=VALUE, as in optimisation.steps=500")
        try:
            out[key] = msgspec.toml.decode(f"value = {text}")["value"]
        except msgspec.DecodeError:
            out[key] = text
    return out


@click.command(epilog=EPILOG)
@click.argument("recipe", required=False)
@click.option("--list", "listing", is_flag=True, help="Show the recipes and what they make.")
@click.option(
    "--data", multiple=True, metavar="DIR", help="Folder in SeisBench format, or seisbench:NAME; may be repeated."
)
@click.option("--split", help=f"What is held out: {KNOWN} [default: the data's own column, else event].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda[:N].")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of everything random.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the run goes [default: runs/RECIPE].")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe.")
@click.option("--limit", type=click.IntRange(1), help="Use about so many records a folder (for a quick look).")
def train(
    recipe: str | None,
    listing: bool,
    data: tuple[str, ...],
    split: str | None,
    device: str,
    seed: int,
    out: Path | None,
    settings: tuple[str, ...],
    limit: int | None,
) -> None:
    """Train a model from RECIPE, a bundled name or a TOML file, and write checkpoint, log and metrics.

    Without --data the repository's own datasets/ is used when run inside a clone.
    """
    if listing:
        for name in recipe_names():
            click.echo(f"{name:18} {load_recipe(name).about}")
        return
    if recipe is None:
        raise click.UsageError("name a RECIPE, or --list them")
    changes = overrides_from(settings) | ({"data.split": split} if split else {})
    chosen = load_recipe(recipe, changes)
    folders = folders_from(data) or [find_dataset(Path.cwd())]
    target = out or Path("runs") / chosen.name
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: a file is there; -o wants a folder for the run")
    run = run_training(chosen, folders, target, seed, device_from(device), limit=limit, say=click.echo)
    click.echo((target / "metrics.md").read_text())
    click.echo(f"{target}: checkpoint of {run.n_records} records; next: seisedge export {target}")


command = train

"""`seisedge train`: from a recipe to a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import find_dataset
from seisedge.train.dataset.benchmark import folders_from
from seisedge.train.dataset.holdout import KNOWN
from seisedge.train.fit.distributed import join_world, leave_world
from seisedge.train.fit.loop import Settings
from seisedge.train.fit.precision import PRECISIONS
from seisedge.train.fit.run import resume_training, run_training
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe, recipe_names

EPILOG = """\b
Examples:
  seisedge train --list
  seisedge train event-type -o runs/event-type
  seisedge train magnitude --data datasets --seed 7 --set optimisation.steps=500
  seisedge train --resume runs/magnitude
  seisedge train event-type --data mine --from runs/event-type --set optimisation.transfer=last-layer -o runs/mine
"""

OUT_OF_MEMORY = (
    "out of memory; lower the batch (--set optimisation.batch=16), or --device-memory where the data lie on a GPU"
)


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


@click.command("train", epilog=EPILOG)
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
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="RUN|M.pt", help="Begin with its weights.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was interrupted.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Of the network; auto: bf16 on a GPU that has it. The front end is always fp32.",
)
@click.option("--compile", "compiled", is_flag=True, help="By torch.compile: pays on long runs, starts slowly.")
@click.option(
    "--device-memory",
    type=click.FloatRange(0),
    metavar="GB",
    help="For the data there [default: half of what is free].",
)
@click.option(
    "--checkpoint-every", type=click.FloatRange(0), default=60.0, show_default=True, metavar="S", help="For --resume."
)
@click.option("--limit", type=click.IntRange(1), help="Use about so many records a folder (for a quick look).")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    recipe: str | None,
    listing: bool,
    data: tuple[str, ...],
    split: str | None,
    device: str,
    seed: int,
    out: Path | None,
    settings: tuple[str, ...],
    source: Path | None,
    resume: Path | None,
    precision: str,
    compiled: bool,
    device_memory: float | None,
    checkpoint_every: float,
    limit: int | None,
) -> None:
    """Train a model from RECIPE, a bundled name or a TOML file, and write checkpoint, log and metrics.

    Without --data the repository's own datasets/ is used when run inside a clone. Started by torchrun, several
    processes share each batch.
    """
    if listing:
        click.echo(recipe_table())
        return
    if resume is not None and (recipe or data or settings or split or source or out or limit):
        raise click.UsageError("--resume goes on with what its RUN was asked for; give it alone")
    if recipe is None and resume is None:
        raise click.UsageError("name a RECIPE, or --list them")
    world, where = join_world(device_from(device))
    how = Settings(precision, compiled, device_memory, world)
    report = click.echo if world.first else _silent
    try:
        with out_of_memory_as_error():
            if resume is not None:
                target = resume
                run = resume_training(target, where, report=report, settings=how, checkpoint_s=checkpoint_every)
            else:
                chosen = load_recipe(recipe or "", overrides_from(settings) | ({"data.split": split} if split else {}))
                folders = folders_from(data) or [find_dataset(Path.cwd())]
                target = out or Path("runs") / chosen.name
                if target.exists() and not target.is_dir():
                    raise InputError(f"{target}: a file is there; -o wants a folder for the run")
                run = run_training(
                    chosen, folders, target, seed, where,
                    limit=limit, report=report, settings=how, weights=source, checkpoint_s=checkpoint_every,
                )  # fmt: skip
    finally:
        leave_world(world)
    if world.first:
        click.echo((target / "metrics.md").read_text(encoding="utf-8"))
        click.echo(f"{target}: checkpoint of {run.n_records} records; next: seisedge export {target}")


def _silent(_: str) -> None:
    """For all processes but the first."""


@contextlib.contextmanager
def out_of_memory_as_error() -> Iterator[None]:
    """Out of memory is one sentence, on the device or beside it."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise FailedError(OUT_OF_MEMORY) from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "not enough memory" in str(error):
            raise FailedError(OUT_OF_MEMORY) from error
        raise


def recipe_table() -> str:
    """The bundled recipes, a line each: name, network, window, what it makes."""
    rows = [("recipe", "model", "parameters", "window", "what it makes")]
    for name in recipe_names():
        recipe = load_recipe(name)
        model = create_model(recipe.model, **recipe.arguments)
        g = model.geometry
        parameters = sum(p.numel() for p in model.parameters())
        rows.append((name, recipe.model, f"{parameters:,}", f"{g.n_samples / g.rate_hz:g} s", recipe.about))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return "\n".join(
        f"{name:{widths[0]}}  {model:{widths[1]}}  {size:>{widths[2]}}  {window:>{widths[3]}}  {about}"
        for name, model, size, window, about in rows
    )

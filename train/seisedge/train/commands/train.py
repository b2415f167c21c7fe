"""`seisedge train`: trains a model from a recipe and writes a run."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._overwrite import overwrite_option
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.inference.infer import model_path
from seisedge.train.archive.archive import find_dataset
from seisedge.train.dataset.benchmark import folders_from
from seisedge.train.dataset.holdout import KNOWN
from seisedge.train.fit.distributed import join_world, leave_world, reported_to_launcher
from seisedge.train.fit.imagenet import require_imagenet
from seisedge.train.fit.loop import Settings
from seisedge.train.fit.model_weights import SUFFIX
from seisedge.train.fit.precision import PRECISIONS
from seisedge.train.fit.request import is_interrupted
from seisedge.train.fit.run import resume_training, run_training
from seisedge.train.models import describe_model, parameter_count
from seisedge.train.recipes.recipe import Recipe, load_recipe, recipe_names

EPILOG = """\b
Examples:
  seisedge train --list
  seisedge train event-type -o runs/event-type
  seisedge train magnitude --data datasets --seed 7 --set optimisation.steps=500
  seisedge train --resume runs/magnitude
  seisedge train event-type --data mine --from runs/event-type --set optimisation.transfer=last-layer -o runs/mine
"""

BUNDLED = ("event-type", "magnitude")
TWO_CLASSES = {"arguments.n_classes": 2, "data.noise": {}}
OUT_OF_MEMORY = (
    "out of memory; reduce the batch (--set optimisation.batch=16), or, on a GPU, the memory for data (--device-memory)"
)


def device_from(name: str) -> torch.device:
    """The device `auto`, `cpu`, `cuda` or `cuda:N`; auto: CUDA if available. Raises InputError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: must be auto, cpu or cuda[:N]") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: must be auto, cpu or cuda[:N]")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {name}: this machine has no CUDA device that torch can use")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; the first is 0")
    return device


def overrides_from(settings: tuple[str, ...]) -> dict[str, Any]:
    """The key=value pairs of `--set`; a value that is not valid TOML is a string. Raises InputError."""
    import msgspec

    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting}: must be KEY=VALUE, for example optimisation.steps=500")
        try:
            out[key] = msgspec.toml.decode(f"value = {text}")["value"]
        except (ValueError, RecursionError):  # DecodeError is a ValueError
            out[key] = text
    return out


def mix_from(texts: tuple[str, ...]) -> dict[str, float]:
    """The shares of `--mix NAME=SHARE`. Raises InputError."""
    out: dict[str, float] = {}
    for text in texts:
        name, _, share = text.rpartition("=")
        try:
            out[name] = float(share)
        except ValueError:
            out[name] = -1.0
        if not name or not 0 <= out[name] <= 1:
            raise InputError(f"--mix {text}: must be NAME=SHARE with a share from 0 to 1, for example own=0.7")
    return out


@click.command("train", epilog=EPILOG)
@click.argument("recipe", required=False)
@click.option("--list", "listing", is_flag=True, help="List the bundled recipes.")
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="Folder in SeisBench format, or seisbench:NAME; may be repeated [default: datasets/ of the repository].",
)
@click.option(
    "--mix",
    "mixture",
    multiple=True,
    metavar="NAME=SHARE",
    help="Share of each class that is drawn from the data folder NAME; may be repeated; 0: only evaluated, if at all "
    "[default: all folders alike].",
)
@click.option(
    "--split",
    help=f"Rule for held-out events: {KNOWN}; takes precedence over the recipe [default: column split of the data, "
    "else event].",
)
@click.option(
    "--without",
    type=click.Choice(["noise"]),
    help="Train an event type model without this class, for data without noise records.",
)
@click.option("--device", default="auto", show_default=True, help="auto (CUDA if available), cpu or cuda[:N].")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True,
    help="Seed of all random numbers.",
)  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the run [default: runs/RECIPE].")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Value that takes precedence over the recipe; may be repeated.",
)
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="RUN|M.pt|MODEL",
    help="Initial weights: a run, a file of tensors, or an event type model (event-type or M.onnx; needs onnx).",
)  # fmt: skip
@click.option(
    "--weights",
    "imagenet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Initial weights of a picture network, trained on ImageNet: a state_dict of torchvision (resnet18, vgg16, …).",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Resume an interrupted run.")
@overwrite_option
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Of the network; auto: bf16 on a GPU that supports it, else fp32. The front end is always fp32.",
)
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile: slower start, faster steps.")
@click.option(
    "--device-memory",
    type=FiniteRange(0, 1e6),
    metavar="GB",
    help="Memory on the device for the data, in GB [default: half of the free memory of a GPU].",
)
@click.option(
    "--memory",
    type=FiniteRange(0, 1e6),
    metavar="GB",
    help="Memory of this machine for the data, in GB; larger data are read from a temporary file in TMPDIR "
    "[default: half of the memory; /var/tmp].",
)
@click.option(
    "--checkpoint-every",
    type=FiniteRange(0, 86_400),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds between states for --resume.",
)
@click.option(
    "--limit", type=click.IntRange(1), help="Use only about this many records of each folder, for a quick test."
)
def command(  # noqa: PLR0913 - one parameter for each option of the command
    recipe: str | None,
    listing: bool,
    data: tuple[str, ...],
    mixture: tuple[str, ...],
    split: str | None,
    without: str | None,
    device: str,
    seed: int,
    out: Path | None,
    settings: tuple[str, ...],
    source: Path | None,
    imagenet: Path | None,
    resume: Path | None,
    overwrite: bool,
    precision: str,
    compiled: bool,
    device_memory: float | None,
    memory: float | None,
    checkpoint_every: float,
    limit: int | None,
) -> None:
    """Train a model from RECIPE (the name of a bundled recipe, or a TOML file) and write checkpoint, log and metrics.

    Without --data, the folder datasets/ of the repository is used, if the current folder is in a clone. If torchrun
    starts several processes, they share each batch.
    """
    if listing:
        click.echo(recipe_table())
        return
    given = (recipe, data, mixture, settings, split, without, source, imagenet, out, limit, overwrite)
    if resume is not None and any(given):
        raise click.UsageError(
            "--resume takes all parameters from RUN; it cannot be combined with RECIPE, --data, --mix, --set, --split, "
            "--without, --from, --weights, -o, --overwrite or --limit"
        )
    if recipe is None and resume is None:
        raise click.UsageError("RECIPE is missing; --list shows the bundled recipes")
    target = resume
    world, where = join_world(device_from(device))
    how = Settings(precision, compiled, device_memory, memory, world)
    report = click.echo if world.first else _silent
    try:
        with out_of_memory_as_error(), reported_to_launcher(world):
            if resume is not None:
                run = resume_training(resume, where, report=report, settings=how, checkpoint_s=checkpoint_every)
            else:
                overrides = overrides_from(settings) | ({"data.split": split} if split else {})
                overrides |= {"data.mix": mix_from(mixture)} if mixture else {}
                chosen = load_recipe(recipe or "", overrides | (TWO_CLASSES if without else {}))
                folders = folders_from(data) or [find_dataset(Path.cwd())]
                target = out or Path("runs") / chosen.name
                weights = initial_weights(source, imagenet, chosen)
                run = run_training(
                    chosen, folders, target, seed, where,
                    limit=limit, report=report, settings=how, weights=weights, checkpoint_s=checkpoint_every,
                    overwrite=overwrite,
                )  # fmt: skip
    except KeyboardInterrupt as stop:
        raise FailedError(_how_to_resume(target, stop)) from None
    finally:
        leave_world(world)
    if world.first and target is not None:
        click.echo(f"{target}: checkpoint of {run.n_records} records; next: seisedge export {shlex.quote(str(target))}")


def initial_weights(source: Path | None, imagenet: Path | None, recipe: Recipe) -> Path | None:
    """The file or run of --from or --weights. Raises InputError."""
    if imagenet is not None:
        if source is not None:
            raise InputError("--from and --weights both give initial weights; remove one of the two")
        require_imagenet(imagenet, recipe)
        return imagenet
    return model_path(source) if source is not None and is_model(source) else source


def is_model(source: Path) -> bool:
    """True for a model file or the name of a bundled model, where no run of that name exists."""
    return source.suffix == SUFFIX or (str(source) in BUNDLED and not source.exists())


def _how_to_resume(target: Path | None, stop: KeyboardInterrupt) -> str:
    """The message of an interrupted training."""
    if target is None or not is_interrupted(target):
        return "interrupted before the first state was saved; start the training again"
    where = f" {stop}" if str(stop) else ""
    return f"interrupted{where}; the state is saved; next: seisedge train --resume {shlex.quote(str(target))}"


def _silent(_: str) -> None:
    """Prints nothing; the reporter of all processes except the first."""


@contextlib.contextmanager
def out_of_memory_as_error() -> Iterator[None]:
    """Raise FailedError if the memory of the device or of the host is exhausted."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise FailedError(OUT_OF_MEMORY) from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "not enough memory" in str(error):
            raise FailedError(OUT_OF_MEMORY) from error
        raise


def recipe_table() -> str:
    """A table of the bundled recipes by group: name, model, number of parameters, window, description."""
    rows = [("recipe", "model", "parameters", "window", "description")]
    groups: dict[str, list[int]] = {}
    for recipe in sorted(map(load_recipe, recipe_names()), key=lambda r: (r.group, r.row, r.name)):
        model = describe_model(recipe.model, **recipe.arguments)
        g = model.geometry
        parameters = parameter_count(model)
        groups.setdefault(recipe.group, []).append(len(rows))
        rows.append((recipe.name, recipe.model, f"{parameters:,}", f"{g.n_samples / g.rate_hz:g} s", recipe.about))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = [
        f"{name:{widths[0]}}  {model:{widths[1]}}  {size:>{widths[2]}}  {window:>{widths[3]}}  {about}"
        for name, model, size, window, about in rows
    ]
    out = lines[:1]
    for group, members in groups.items():
        out += (["", group] if group else []) + [lines[k] for k in members]
    return "\n".join(out)

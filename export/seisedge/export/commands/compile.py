"""`seisedge compile`: from model files to engines. It needs no torch, so it also runs on a station."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from seisedge.runtime.engines._build import plan_from_target
from seisedge.runtime.engines._cache import compile_engine, default_folder
from seisedge.runtime.engines._first_open import try_first_open
from seisedge.runtime.engines._library import examine, load_library
from seisedge.runtime.engines._sidecar import ANY_CAPABILITY, Sidecar, sidecar_path
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.inference.infer import model_path

EPILOG = """\b
Examples:
  seisedge compile event-type magnitude --target tensorrt-rtx:sm86 -o engines
  seisedge compile my-model.onnx --target tensorrt
"""


@click.command(epilog=EPILOG)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="M.onnx...")
@click.option("--target", required=True, help="tensorrt, tensorrt-rtx or tensorrt-rtx:smNN, as in tensorrt-rtx:sm86.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="[default: the current folder]"
)
@click.option(
    "--max-batch",
    default=1,
    show_default=True,
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Windows in one inference; a station uses one.",
)
@click.option(
    "--workspace",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    metavar="MB",
    help="GPU memory that one kernel may use.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the sidecars as JSON.")
def command(models: tuple[Path, ...], target: str, out: Path, max_batch: int, workspace: int, as_json: bool) -> None:
    """Build a GPU engine from each model file, with its sidecar beside it.

    tensorrt builds for the GPU of this machine. tensorrt-rtx builds for any RTX card, given by its compute
    capability, and needs no GPU. The precision is that of the model file. A station finds the engine in its
    `engine_cache` by file name. Exit status: 0 success, 1 the library is missing or cannot build, 2 bad input.
    """
    plan = plan_from_target(target, max_batch, workspace)
    paths = [model_path(model) for model in models]
    for path in paths:
        try_first_open(path, default_folder())
    opened = [OnnxRuntimeEngine(path) for path in paths]  # all files are checked before the first is built
    library = load_library(plan.library)
    here = None if library.builds_for_others else examine(plan.library)
    done: list[Sidecar] = []
    for model in opened:
        path, sidecar = compile_engine(model, plan, out, here)
        done.append(sidecar)
        if not as_json:
            click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {_summary(sidecar)}; {sidecar_path(path).name}")
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(done), indent=2))


def _summary(sidecar: Sidecar) -> str:
    aim = "any card it supports" if sidecar.compute_capability == ANY_CAPABILITY else sidecar.compute_capability
    return (
        f"{sidecar.precision}, {sidecar.library} {sidecar.version} for {aim}, "
        f"batch 1 to {sidecar.max_batch}, built in {sidecar.build_s:.1f} s"
    )

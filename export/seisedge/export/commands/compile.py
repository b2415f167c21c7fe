"""`seisedge compile`: from model files to engines. Needs no torch, so a station can do it too."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from seisedge.runtime.engines._build import plan_from_target
from seisedge.runtime.engines._cache import compile_engine
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
    help="Windows in one inference; a station asks for one.",
)
@click.option(
    "--workspace",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    metavar="MB",
    help="Memory on the GPU that a kernel may take for itself.",
)
@click.option("--json", "as_json", is_flag=True, help="The sidecars, for a machine to read.")
def command(models: tuple[Path, ...], target: str, out: Path, max_batch: int, workspace: int, as_json: bool) -> None:
    """Build an engine of each model file for a GPU, with its sidecar beside it.

    tensorrt builds for the GPU of this machine; tensorrt-rtx builds here for any RTX card, named by its compute
    capability, and needs no GPU. Precision is the model file's own. In a station's `engine_cache` the engine is
    found by its name. Exit status: 0 done, 1 the library is not here or cannot build it, 2 bad input.
    """
    plan = plan_from_target(target, max_batch, workspace)
    opened = [OnnxRuntimeEngine(model_path(model)) for model in models]  # all are checked before the first is built
    library = load_library(plan.library)
    here = None if library.builds_for_others else examine(plan.library)
    done: list[Sidecar] = []
    for model in opened:
        path, sidecar = compile_engine(model, plan, out, here)
        done.append(sidecar)
        if not as_json:
            click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {_told(sidecar)}; {sidecar_path(path).name}")
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(done), indent=2))


def _told(sidecar: Sidecar) -> str:
    aim = "any card it supports" if sidecar.compute_capability == ANY_CAPABILITY else sidecar.compute_capability
    return (
        f"{sidecar.precision}, {sidecar.library} {sidecar.version} for {aim}, "
        f"batch 1 to {sidecar.max_batch}, built in {sidecar.build_s:.1f} s"
    )

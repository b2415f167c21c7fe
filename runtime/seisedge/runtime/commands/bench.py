"""`seisedge bench`"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import click

from seisedge.runtime import machine
from seisedge.runtime.card import ModelCard
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.config import EngineName
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.paths import text_from_path

EPILOG = """\b
Examples:
  seisedge bench model
  seisedge bench model my-model.onnx --seconds 60 --json
"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Measure latency, FLOPs and memory on this machine."""


@command.command("model", epilog=EPILOG)
@click.argument("models", nargs=-1, type=click.Path(path_type=Path), metavar="[M.onnx]...")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="miniSEED from which the windows are cut; may be repeated. Default: the bundled recording.",
)
@click.option("--seconds", type=FiniteRange(min=0.5), default=10.0, show_default=True, help="Maximum time per model.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of onnxruntime.")
@click.option(
    "--engine",
    default="onnxruntime",
    show_default=True,
    type=click.Choice(get_args(EngineName)),
    help="Engine to measure.",
)
@click.option(
    "--engine-cache",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of built engines. Default: ~/.cache/seisedge/engines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def model(
    models: tuple[Path, ...],
    data: tuple[Path, ...],
    seconds: float,
    threads: int,
    engine: str,
    engine_cache: Path | None,
    as_json: bool,
) -> None:
    """Measure the latency of model files on real windows; without M.onnx, of the bundled models.

    The batch size is 1. Stops after --seconds, or earlier once the p99 is known within 5 % (95 % interval by order
    statistics). If the engine of --engine is unavailable, nothing is measured.
    """
    from seisedge.runtime.bench.model import bench_model
    from seisedge.runtime.bench.recorded import trial_windows, windows_from
    from seisedge.runtime.engines import ONNXRUNTIME, Engine, open_engine
    from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
    from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model, model_path

    paths = [model_path(name) for name in models] or [bundled_model(task) for task in BUNDLED_FILES]
    for path in paths:
        open_engine(path, folder=engine_cache)  # check all models first; not kept, since memory is measured
    reports = []
    if not as_json:
        click.echo(f"seisedge {version('seisedge')}, onnxruntime {version('onnxruntime')} on {machine.describe()}")
    for path in paths:
        plain = OnnxRuntimeEngine(path, threads)
        make: Callable[[], Engine] = functools.partial(OnnxRuntimeEngine, path, threads)
        if engine != ONNXRUNTIME:  # no fallback: its figures would be taken for those of this engine
            make = functools.partial(
                open_engine, path, engine, engine_cache, trial_windows=trial_windows, allow_fallback=False
            )
        windows = windows_from(list(data) or [RECORDING], plain.card)
        row = bench_model(make, windows, seconds=seconds)
        if as_json:
            facts = {"model": plain.card.name, "sha256": plain.sha256, "engine": engine, "threads": threads}
            reports.append(facts | asdict(row))
            continue
        click.echo(
            "\n".join(
                _lines(plain.card, path, f"{threads} thread(s)" if engine == ONNXRUNTIME else engine, asdict(row))
            )
        )
    if as_json:
        click.echo(json.dumps({"machine": machine.describe(), "models": reports}, indent=2))


def _lines(card: ModelCard, path: Path, where: str, row: dict[str, float | None]) -> list[str]:
    width, resident = row["p99_half_width"], row["resident_mib"]
    known = f"p99 known within {width:.1%}" if width is not None else "too few for an interval of the p99"
    name = text_from_path(path.name)
    return [
        "",
        f"{card.name} ({name}, {card.precision}, {card.parameters / 1e3:.0f} k parameters), {where}",
        f"  latency    p50 {row['p50_ms']:.2f}  p90 {row['p90_ms']:.2f}  p95 {row['p95_ms']:.2f}  "
        f"p99 {row['p99_ms']:.2f}  max {row['max_ms']:.2f} ms",
        f"  parts      to device {row['host_to_device_ms']:.2f}  infer {row['infer_ms']:.2f}  "
        f"from device {row['device_to_host_ms']:.2f} ms (medians)",
        f"  cost       {card.flops / 1e6:.1f} MFLOP, {row['gflops_per_s']:.1f} GFLOP/s at the median latency",
        f"  cold       load {row['cold_load_ms']:.0f} ms, first inference {row['cold_first_ms']:.1f} ms",
        f"  memory     {f'{resident:.0f} MiB resident in this process' if resident else 'unavailable on this machine'}",
        f"  method     {row['inferences']} inferences in {row['seconds']:.1f} s after {row['warm_up']} for warm up, "
        f"{row['windows']} real windows, batch 1; {known}",
    ]

"""Build time and engine size by target and precision: `python -m benchmarks.export [M.onnx]... [--target T]...`

Each engine is compared with onnxruntime for the same file: its bytes, and the time to open it. A build is from the
bytes of the ONNX file to the bytes of the engine, for a batch of one window, in a process that has already built one,
so without loading the library; medians of the rounds. TensorRT-RTX compiles the kernels for a GPU at the first
inference on it, so its build time cannot be compared with that of TensorRT.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from seisedge.runtime import machine
from seisedge.runtime.engines._build import Plan, build_engine, plan_from_target
from seisedge.runtime.engines._library import load_library
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.inference.infer import model_path

TARGETS = ["tensorrt-rtx", "tensorrt-rtx:sm86", "tensorrt-rtx:sm89", "tensorrt-rtx:sm120"]
WORKSPACE_MB = 256


def rows(models: list[Path], targets: list[str], rounds: int) -> list[str]:
    """One line per model and target, that of onnxruntime first."""
    plans = [plan_from_target(target, 1, WORKSPACE_MB) for target in targets]
    opened = [OnnxRuntimeEngine(path) for path in models]
    for plan in {plan.library: plan for plan in plans}.values():
        build_engine(models[0], plan, _quietly)  # the first build of a process loads the library
    lines = [f"{'model':24}{'precision':>10}  {'target':20}{'s':>8}{'CPU s':>8}{'MB':>8}"]
    for model in opened:
        name = f"{model.card.name[:23]:24}{model.card.precision:>10}  "
        times = _medians_s(functools.partial(OnnxRuntimeEngine, model.path), rounds)
        lines.append(
            f"{name}{'onnxruntime, open':20}{times[0]:8.2f}{times[1]:8.2f}{model.path.stat().st_size / 1e6:8.2f}"
        )
        for target, plan in zip(targets, plans, strict=True):
            sizes: list[int] = []
            times = _medians_s(functools.partial(_build, model.path, plan, sizes), rounds)
            lines.append(f"{name}{target:20}{times[0]:8.2f}{times[1]:8.2f}{statistics.median(sizes) / 1e6:8.2f}")
    return lines


def _build(model: Path, plan: Plan, sizes: list[int]) -> None:
    sizes.append(len(build_engine(model, plan, _quietly)[0]))


def _medians_s(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Medians of wall-clock time and of processor time of all threads, a lower limit of the time on an idle machine."""
    taken = []
    for _ in range(rounds):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
    walls, cpus = zip(*taken, strict=True)
    return statistics.median(walls), statistics.median(cpus)


def _quietly(_share: float, _phase: str) -> None:
    """Ignore the progress."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", default=["event-type", "magnitude"], metavar="M.onnx")
    parser.add_argument("--target", action="append", dest="targets", help=f"Default: {', '.join(TARGETS)}.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    targets: list[str] = options.targets or TARGETS
    try:
        libraries = {name: load_library(name).version for name in {target.partition(":")[0] for target in targets}}
        lines = rows([model_path(name) for name in options.models], targets, options.rounds)
    except SeisedgeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    used = ", ".join(
        f"{name} {number}" for name, number in [*libraries.items(), ("onnxruntime", version("onnxruntime"))]
    )
    print(f"{machine.describe()}; {used}; medians of {options.rounds}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

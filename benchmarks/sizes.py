"""Cost and accuracy of smaller networks: `python -m benchmarks.sizes RUN... [--data DIR] [--windows N]`

One row per run: parameters, FLOPs of the exported graph, bytes, the score on events held out by the run (accuracy, or
magnitude within ±0.3; 95 % interval over events), and the time of one inference in onnxruntime on one thread. Networks
with other windows use other records (a band up to 40 Hz excludes records at 50 Hz), so scores of different windows are
on different records; the number of events is given with each score.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from seisedge.export.exported import export_run
from seisedge.export.gate import answers_of, hits
from seisedge.export.gate_windows import gate_windows
from seisedge.export.latency import side_by_side
from seisedge.export.onnx import write_card
from seisedge.export.prune.run import load_training_data
from seisedge.runtime import machine
from seisedge.runtime.errors import SeisedgeError
from seisedge.train.bootstrap import estimate
from seisedge.train.evaluation.metrics import mean
from seisedge.train.run_file import Run, load_run

HEAD = "| run | steps | parameters | MFLOP | kB | score | 95 % interval | events | p50 ms | p99 ms | CPU ms |"


def row_of(name: str, run: Run, folders: list[Path], windows: int, rounds: int) -> str:
    """One row of the table. Raises SeisedgeError."""
    archive = load_training_data(run, folders)
    model = export_run(run)
    file = write_card(model.graph, model.card)
    held = gate_windows(model.card, archive, windows, station_term=run.station_term)
    right = hits(model.card, answers_of(file, held), held.target)[held.scored]
    event = held.event[held.scored]
    share = estimate(event, partial(mean, x=right))
    time = side_by_side({name: file}, held, rounds)[name]
    o = run.recipe.optimisation
    length = f"{o.steps}" if o.steps else f"{o.epochs} epochs"
    return (
        f"| {name} | {length} | {model.card.parameters:,} | {model.card.flops / 1e6:,.1f} | {len(file) / 1e3:,.0f} | "
        f"{share.value:.3f} | {share.low:.3f} to {share.high:.3f} | {share.n_groups} | "
        f"{time.p50_ms:.2f} | {time.p99_ms:.2f} | {time.cpu_ms:.2f} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 2 for bad input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--data", action="append", type=Path, default=None, metavar="DIR", help="default: datasets")
    parser.add_argument(
        "--windows", type=int, default=2000, help="approximate number of held-out windows for the score"
    )
    parser.add_argument("--rounds", type=int, default=30, help="rounds of ten inferences each")
    given = parser.parse_args(arguments)
    print(machine.describe())
    print(HEAD)
    print("| --- " * HEAD.count(" | ") + "| --- |")
    for path in given.runs:
        try:
            print(row_of(path.name, load_run(path), given.data or [Path("datasets")], given.windows, given.rounds))
        except SeisedgeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`seisedge bench compare --against`: this build beside that of another virtual environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seisedge.runtime.bench.against import Subject, compare_against, python_of
from seisedge.runtime.bench.model import Plan
from seisedge.runtime.bench.recorded import windows_from
from seisedge.runtime.commands._bench_reports import limits_from, print_verdict
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.engines import ONNXRUNTIME, open_engine
from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model, model_path

PACES_MS = (0.0, 10.0)  # slower ones have too few inferences in a round for a p99


def compare_builds(
    environment: Path, options: dict[str, Any], *, allow_inconclusive: bool, log: Callable[[str], None]
) -> int:
    """Measure, print the verdicts and return the exit code. Raises InputError and FailedError."""
    limits = limits_from(options["fail_over"] or ("p99=10%",))
    python_of(environment)  # before the windows are cut
    paths = [model_path(name) for name in options["models"]] or [bundled_model(task) for task in BUNDLED_FILES]
    subjects = []
    for path in paths:
        engine = open_engine(path)
        subjects.append(Subject(engine.card.name, engine.path, windows_from([RECORDING], engine.card)))
    plan = Plan(engines=(ONNXRUNTIME,), paces_ms=PACES_MS, rounds=options["rounds"], row_s=options["row_s"])
    rows, versions = compare_against(subjects, environment, plan, limits, log)
    click.echo(f"old: {environment}: {', '.join(f'{name} {number}' for name, number in versions.items())}")
    click.echo(f"{plan.rounds} pairs of rounds in turn, the same model files and windows")
    return print_verdict(rows, allow_inconclusive=allow_inconclusive)

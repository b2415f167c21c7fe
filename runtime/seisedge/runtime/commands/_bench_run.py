"""The measurement behind `seisedge bench model`: checks first, then the rounds, then the accuracy."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seisedge.runtime import machine
from seisedge.runtime.bench.disturbance import power_mode
from seisedge.runtime.bench.model import Plan, measure
from seisedge.runtime.bench.recorded import trial_windows, windows_from
from seisedge.runtime.bench.report import Machine, Model, Report
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.demo.accuracy import accuracy_of
from seisedge.runtime.engines import ONNXRUNTIME, Engine, open_engine
from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model, model_path
from seisedge.runtime.paths import text_from_path

FLOAT_BYTES = 4


def run_models(models: tuple[Path, ...], options: dict[str, Any], log: Callable[[str], None] | None) -> Report:
    """Measure and report. Raises the errors of the engines, and DataError where the data have no onset."""
    paths = [model_path(name) for name in models] or [bundled_model(task) for task in BUNDLED_FILES]
    data = list(options["data"]) or [RECORDING]
    plan = Plan(
        engines=options["engine"],
        batches=options["batch"],
        threads=options["threads"],
        paces_ms=options["pace"],
        rounds=options["rounds"],
        max_rounds=max(options["rounds"], options["max_rounds"]),
        seconds=options["seconds"],
        row_s=options["row_s"],
        width=options["width"],
        spacing_s=options["spacing"],
        engine_cache=options["engine_cache"],
    )
    engines = list({engine.sha256: engine for engine in map(open_engine, paths)}.values())
    for name in plan.engines:
        if name != ONNXRUNTIME:  # no fallback: its figures would be taken for those of this engine
            for path in paths:
                open_engine(path, name, plan.engine_cache, trial_windows=trial_windows, allow_fallback=False)
    windows = [windows_from(data, engine.card) for engine in engines]
    facts = [model_facts(engine) for engine in engines]
    measured = list(zip((engine.path for engine in engines), facts, windows, strict=True))
    settings = measure(measured, plan, log or (lambda line: None))
    origin = ", ".join(text_from_path(Path(name).name) for name in data)
    return Report(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seisedge=version("seisedge"),
        command=[Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])],
        machine=this_machine(),
        method=plan.method(),
        windows=f"{min(map(len, windows))} real windows of {origin}",
        models=facts,
        settings=settings,
    )


def model_facts(engine: Engine) -> Model:
    """The facts of a model, with the accuracy of its file."""
    card, size = engine.card, engine.path.stat().st_size
    outputs = 1
    for length in card.output_shape:
        outputs *= length
    return Model(
        name=card.name,
        task=card.task,
        sha256=engine.sha256,
        file=text_from_path(engine.path.name),
        file_bytes=size,
        weight_bytes=card.weight_bytes if card.weight_bytes is not None else size,
        io_bytes=FLOAT_BYTES * (2 * 3 * card.n_samples + outputs),
        precision=card.precision,
        parameters=card.parameters,
        flops=card.flops,
        flops_by_operator=card.flops_by_operator,
        accuracy=accuracy_of(engine.path, card.task),
    )


def this_machine() -> Machine:
    """This machine, for a report."""
    return Machine(
        description=machine.describe(),
        board=machine.board(),
        processor=machine.processor(),
        cores=machine.cores(),
        memory_mib=machine.memory_limit_mib(),
        system=platform.platform(),
        power_mode=power_mode(),
    )

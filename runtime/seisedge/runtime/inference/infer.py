"""Inference: the models of a station, and the probabilities of one window by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.config import BUNDLED, ModelsConfig
from seisedge.runtime.engines import Engine, InferenceCost, TrialWindows, are_probabilities, open_engine
from seisedge.runtime.errors import CardError, InputError
from seisedge.runtime.event import Cost
from seisedge.runtime.inference.windows import Window
from seisedge.runtime.suggestion import suggestion

MODELS = Path(__file__).parents[1] / "models"
MODEL_FILES = {"event_type": "event-type.onnx", "magnitude": "magnitude.onnx", "onset": "onset.onnx"}
BUNDLED_FILES = {task: file for task, file in MODEL_FILES.items() if (MODELS / file).exists()}


def bundled_model(task: str) -> Path:
    """Path of the bundled model file of a task. Raises InputError where this version has none."""
    if task not in BUNDLED_FILES:
        raise InputError(f"no model for the task '{task}' is bundled; set models.{task} to a model file or to 'none'")
    return MODELS / BUNDLED_FILES[task]


def model_path(name: str | Path) -> Path:
    """Path of a model file, or of a bundled one by its name (`event-type`, `magnitude`, `onset`). Raises InputError."""
    path = Path(name)
    bundled = {Path(file).stem: task for task, file in BUNDLED_FILES.items()}
    if path.exists():
        return path
    if str(name) in bundled:
        return bundled_model(bundled[str(name)])
    raise InputError(f"{name}: no such model file and no bundled model; {suggestion(str(name), bundled)}")


@dataclass(slots=True)
class Meter:
    """Sums over the inferences of one line."""

    host_to_device_ms: float = 0.0
    infer_ms: float = 0.0
    device_to_host_ms: float = 0.0
    flops: int = 0
    inferences: int = 0
    engines: list[str] = field(default_factory=list)
    precisions: list[str] = field(default_factory=list)

    def add(self, engine: Engine, cost: InferenceCost, windows: int) -> None:
        """Add the share of one window in an inference of several."""
        self.host_to_device_ms += cost.host_to_device_ms / windows
        self.infer_ms += cost.infer_ms / windows
        self.device_to_host_ms += cost.device_to_host_ms / windows
        self.flops += engine.card.flops
        self.inferences += 1
        self.engines.append(engine.name)
        self.precisions.append(engine.card.precision)

    def include(self, other: Meter) -> None:
        """Add the sums of inferences that were made before."""
        self.host_to_device_ms += other.host_to_device_ms
        self.infer_ms += other.infer_ms
        self.device_to_host_ms += other.device_to_host_ms
        self.flops += other.flops
        self.inferences += other.inferences
        self.engines += other.engines
        self.precisions += other.precisions

    def cost(self) -> Cost:
        seconds = self.infer_ms / 1e3
        return Cost(
            flops=self.flops,
            gflops_per_s=round(self.flops / seconds / 1e9, 2) if seconds else 0.0,
            engine="+".join(dict.fromkeys(self.engines)) or "none",
            precision="+".join(dict.fromkeys(self.precisions)) or "none",
            inferences=self.inferences,
        )


class Models:
    """The engines of a station, at most one per task; loaded once and shared by all stations of the process."""

    def __init__(self, event_type: Engine | None, magnitude: Engine | None, onset: Engine | None = None) -> None:
        self.event_type = event_type
        self.magnitude = magnitude
        self.onset = onset

    @property
    def engines(self) -> list[Engine]:
        return [engine for engine in (self.event_type, self.magnitude, self.onset) if engine is not None]

    @property
    def window_engines(self) -> list[Engine]:
        """The models that are run on the window of an event: event type and magnitude."""
        return [engine for engine in (self.event_type, self.magnitude) if engine is not None]

    @property
    def scale_remarks(self) -> dict[str, str]:
        """SHA-256 of the magnitude model → the remark of its card on the magnitude type, where it has one."""
        engine = self.magnitude
        if engine is None or engine.card.magnitude is None or not engine.card.magnitude.remark:
            return {}
        return {engine.sha256: engine.card.magnitude.remark}

    @property
    def stand_ins(self) -> list[str]:
        """A sentence for each model that does not run on the engine in the settings."""
        return [
            f"{engine.card.name} runs on {engine.name}, not on {engine.instead_of}: {engine.reason}"
            for engine in self.engines
            if engine.instead_of is not None
        ]

    def try_batches(self) -> None:
        """Find the batch sizes and run lengths of all engines now (0.1 s), not when the first windows need them."""
        for engine in self.engines:
            _ = engine.batch_sizes, engine.run_lengths

    @classmethod
    def load(
        cls, config: ModelsConfig, paths: tuple[Path, ...] = (), trial_windows: TrialWindows | None = None
    ) -> Models:
        """Models of a station file; `paths` take precedence for the tasks on their cards.

        trial_windows: as in `open_engine`. Raises InputError where a file is missing, given twice for a task, or no
        model is left; CardError where the card of a file names another task.
        """
        folder = Path(config.engine_cache) if config.engine_cache is not None else None
        found: dict[str, Engine] = {}
        for path in map(model_path, paths):
            engine = open_engine(path, config.engine, folder, trial_windows=trial_windows)
            if engine.card.task in found:
                raise InputError(
                    f"{path}: a second model for the task '{engine.card.task}', "
                    f"after {found[engine.card.task].path}; give one a task"
                )
            found[engine.card.task] = engine
        for task in MODEL_FILES:
            wanted: str = getattr(config, task)
            if task in found or wanted == "none":
                continue
            path = bundled_model(task) if wanted == BUNDLED else model_path(wanted)
            engine = open_engine(path, config.engine, folder, trial_windows=trial_windows)
            if engine.card.task != task:
                raise CardError(f"{wanted}: a model for the task '{engine.card.task}'; models.{task} needs '{task}'")
            found[task] = engine
        if not found.keys() - {"onset"}:
            raise InputError("no model at all: models.event_type and models.magnitude are both 'none'")
        return cls(found.get("event_type"), found.get("magnitude"), found.get("onset"))


def infer(
    engine: Engine, window: Window, units_per_count: npt.NDArray[np.float64], meter: Meter
) -> npt.NDArray[np.float32] | None:
    """Probabilities (n_labels,) of a window, None where they are not between 0 and 1; adds the cost to `meter`."""
    waveform, valid = model_input(window, units_per_count)
    of_window: npt.NDArray[np.float32] = infer_windows(engine, waveform[None], valid[None], [meter])[0]
    return of_window if are_probabilities(of_window) else None


def model_input(
    window: Window, units_per_count: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Waveform and mask of a window, (3, n_samples) each.

    units_per_count: (3,), the factor of each component, see `model_units_per_count`; NaN masks the component.
    """
    usable = np.isfinite(units_per_count)
    valid = window.valid & usable[:, None]
    waveform = window.waveform * np.where(usable, units_per_count, 0.0)[:, None]
    return np.ascontiguousarray(waveform, dtype=np.float32), valid.astype(np.float32)


def infer_windows(
    engine: Engine, waveform: npt.NDArray[np.float32], valid: npt.NDArray[np.float32], meters: Sequence[Meter]
) -> npt.NDArray[np.float32]:
    """Outputs (n, *card.output_shape) for `n` windows, (n, 3, n_samples) each, with the bits of each window alone.

    meters: of each window; its share of the cost is added.
    """
    n = len(waveform)
    outputs: list[npt.NDArray[np.float32]] = []
    first = 0
    for size in engine.batch_sizes if n > 1 else (1,):
        while n - first >= size:
            batch = slice(first, first + size)
            output, cost = engine.infer(waveform[batch], valid[batch])
            for meter in meters[batch]:
                meter.add(engine, cost, size)
            outputs.append(output)
            first += size
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def infer_run(
    engine: Engine, waveform: npt.NDArray[np.float32], valid: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], Meter]:
    """Outputs (blocks, *card.output_shape) for consecutive blocks, see `Engine.infer_run`; the share of each block."""
    outputs, cost = engine.infer_run(waveform, valid)
    meter = Meter()
    meter.add(engine, cost, len(outputs))
    return outputs, meter


def model_units_per_count(
    card: ModelCard, polarity: npt.NDArray[np.float64], metres_per_count: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Factors (3,) from counts to the unit of the card; NaN for a component without a gain.

    polarity: (3,), +1 or -1. metres_per_count: (3,), m/s per count; not used by a model in counts.
    """
    return polarity if card.unit == "counts" else polarity * metres_per_count

"""A data set that a small network learns in seconds: the two types have different frequencies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.train.dataset.sets import write_set

RATE_HZ = 40.0
KINDS = ("earthquake", "explosion")


def make_types(
    folder: Path, events: int = 40, stations: int = 2, rate_hz: float = RATE_HZ, step: float = 0.07, source: int = 20,
    **columns: object,
) -> Path:  # fmt: skip
    """`events` events of alternating type, each at `stations` stations: 60 s with P after 12 s. Magnitudes grow by
    `step`, and with them amplitude, duration and S minus P. source: events of one source (column subset).
    """
    rng = np.random.default_rng(1)
    t = np.arange(round(60 * rate_hz)) / rate_hz
    rows, arrays = [], []
    for e in range(events):
        kind = KINDS[e % 2]
        frequency_hz = (2.5, 9.0)[e % 2]
        magnitude = round(0.05 + step * e, 3)
        for s in range(stations):
            decay = np.where(t > 12, np.exp(-(t - 12) / (3 + 4 * magnitude)), 0)
            wave = 3000 * 10 ** (0.4 * magnitude) * decay * np.sin(2 * np.pi * frequency_hz * t + rng.uniform(0, 6))
            arrays.append(np.round(wave + 100 * rng.standard_normal((3, len(t)))).astype(np.int32))
            rows.append(
                {
                    "trace_name": f"t{e}_{s}", "source_id": f"e{e}", "station_network_code": "XX",
                    "station_code": f"S{s}", "trace_sampling_rate_hz": rate_hz, "trace_npts": len(t),
                    "source_type": kind, "source_magnitude": magnitude, "subset": f"made{e // source}",
                    "trace_p_arrival_sample": round(12 * rate_hz),
                    "trace_s_arrival_sample": round((14 + 10 * magnitude) * rate_hz),
                    "trace_start_time": f"2020-01-{1 + e // 24:02}T{e % 24:02}:00:00Z",
                    "source_origin_time": f"2020-01-{1 + e // 24:02}T{e % 24:02}:00:05Z", "trace_visible": "True",
                }
                | columns
            )  # fmt: skip
    return write_set(folder, rows, arrays)


STUDY = """
name = "tiny"
paper = "B"
task = "event type"
about = "a small network with two rates"
source = "no paper"
columns = ["sensitivity", "accuracy", "auc", "event_accuracy", "wrong", "confident", "parameters", "flops", "latency"]
plots = ["bars", "curves", "confusion", "roc", "confidence", "gallery"]

[[row]]
name = "fast"
recipe = "event-type"
set = { "optimisation.rate" = 0.01, "arguments.width" = 8, "arguments.n_classes" = 2, "data.noise" = {}, %s }
paper = { accuracy = 95.75 }

[[row]]
name = "of the paper"
paper = { accuracy = 90.0 }
"""

BY_RECORD = """
[[row]]
name = "by record"
recipe = "event-type"
set = { "arguments.width" = 8, "arguments.n_classes" = 2, "data.noise" = {}, %s }
data = { split = "record" }
leaks = %s
"""


def write_study(folder: Path, steps: int = 4, leaks: bool | None = None) -> Path:
    """A study of one training, and of a second one that is divided by record if `leaks` is given."""
    few = f'"optimisation.steps" = {steps}, "optimisation.batch" = 16, "nuisance.answers_s" = [30.0]'
    path = folder / "tiny.toml"
    path.write_text(STUDY % few + ("" if leaks is None else BY_RECORD % (few, str(leaks).lower())))
    return path

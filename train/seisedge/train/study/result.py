"""The result of one training of a study: figures, answers, costs and learning curves, in one file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically
from seisedge.train.evaluation.report import EvaluationReport

FILE = "result.json"
SCHEMA = "seisedge.study-row/1"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The answer for one held-out record. truth, answer: label or magnitude. probability: of the answer."""

    record: str
    event: str
    source: str
    truth: str
    answer: str
    probability: float
    right: bool


class Picture(msgspec.Struct, frozen=True):
    """A record of the gallery: seconds from the onset of its first sample, spacing in s, scaled vertical component."""

    answer: Answer
    start_s: float
    step_s: float
    trace: list[float]


class Cost(msgspec.Struct, frozen=True):
    """What one answer costs. flops: two for each multiplication of convolutions and matrix products. latency_ms: of one
    window with torch on one thread of `machine`, as processor time. step_s: time of a training step for one copy of a
    window, on `device`; on a CPU, processor time.
    """

    parameters: int
    flops: int
    latency_ms: float
    step_s: float
    machine: str
    device: str


class Curve(msgspec.Struct, frozen=True):
    """A learning curve: the log of the first training, whose calibration fold is held out. Missing values are None."""

    epoch: list[float]
    loss: list[float]
    held: list[tuple[float, float, float, float | None]]  # epoch, loss, score and F1 on the calibration fold


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One training. key: name of its folder. report: of the evaluation on held-out events; None if nothing could be
    evaluated. note: why there is no report, or what the reader of its figures has to know. windows: that the training
    was to draw; 0: not known. stopped: before that.
    """

    schema: str = SCHEMA
    key: str
    recipe: str
    seed: int
    smoke: bool
    steps: int
    epochs: float
    windows: int = 0
    stopped: bool = False
    seconds: float
    device: str
    date: str
    n_records: int
    n_events: int
    split_rule: str
    report: EvaluationReport | None = None
    note: str = ""
    answers: list[Answer] = []
    gallery: list[Picture] = []
    curve: Curve | None = None


def write_result(result: Result, folder: Path) -> None:
    """Write FOLDER/result.json as a whole: a row is finished if this file exists."""
    write_atomically(folder / FILE, msgspec.json.encode(result))


def read_result(folder: Path) -> Result | None:
    """The result in a folder; None if the row is not finished. Raises InputError."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise InputError(
            f"{file}: not the result of a study ({error}); remove the folder to train the row again"
        ) from None

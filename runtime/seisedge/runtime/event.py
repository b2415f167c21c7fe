"""Event: what the station says, one JSON line a revision, schema `seisedge.event/1`.

A field that the data do not carry is absent, and `quality` says why. Probabilities have four decimals.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = "seisedge.event/1"
HOP_SCHEMA = "seisedge.hop/1"

# They tell how a revision came about, not what it says: two runs over the same samples differ only here.
CIRCUMSTANCES = ("latency_ms", "cost", "emitted", "source")

Status = Literal["new", "update", "final", "retracted"]
QualityCode = Literal[
    "ok",
    "insufficient",
    "clipped",
    "overlap",
    "timing",
    "band",
    "uncalibrated",
    "out_of_range",
    "dropped",
    "spike",
    "step",
    "flat",
    "teleseism",
    "calibration",
]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Common settings: a field at its default (None) is left out."""


class Quality(_Part, frozen=True, kw_only=True):
    """One remark on the event."""

    code: QualityCode
    reason: str


class TriggerInfo(_Part, frozen=True, kw_only=True):
    """How the event was noticed: `sta_lta` with its amplitude ratio, or `continuous` classification."""

    kind: Literal["sta_lta", "continuous"]
    snr: float | None = None


class TypeEstimate(_Part, frozen=True, kw_only=True):
    """Event type; `probability` belongs to `label`."""

    label: str
    probability: float
    probabilities: dict[str, float]
    model: str
    sha256: str


class MagnitudeEstimate(_Part, frozen=True, kw_only=True):
    """Magnitude bin (lo, hi]; None is open. No `value`, `expected`, `interval_90` where they would mislead."""

    label: str
    bin: tuple[float | None, float | None]
    probability: float
    type: str
    value: float | None = None  # the bin's centre
    expected: float | None = None  # mean over the bins
    interval_90: tuple[float | None, float | None] | None = None
    provisional: bool | None = None  # True: the gain is not known
    model: str
    sha256: str


class WindowInfo(_Part, frozen=True, kw_only=True):
    """What the models saw: from `start` for `length_s`; `answer_s` is the time after the onset."""

    start: str
    length_s: float
    answer_s: float
    coverage: float
    gaps: int


class Latency(_Part, frozen=True, kw_only=True):
    """Milliseconds. `total` runs from the last needed sample to the emitted line; of a file, only the work counts."""

    record_fill: float | None = None  # data time from the last needed sample to the end of the record that held it
    transport: float | None = None  # end of that record to its arrival, where the clocks can be compared
    wait: float | None = None  # arrival to assembly: the queue, and what else that record made due
    assemble: float
    host_to_device: float
    infer: float
    device_to_host: float
    journal: float | None = None  # the line made to it stored; only behind the outbox of a state folder
    emit: float
    total: float


class Cost(_Part, frozen=True, kw_only=True):
    """What this revision's inferences cost."""

    flops: int
    gflops_per_s: float
    engine: str
    precision: str
    inferences: int


class Event(_Part, frozen=True, kw_only=True):
    """One revision of one event."""

    schema: str
    id: str
    revision: int
    status: Status
    station: str
    onset: str
    emitted: str
    source: str
    trigger: TriggerInfo
    event_type: TypeEstimate | None = None
    magnitude: MagnitudeEstimate | None = None
    window: WindowInfo
    overlaps: list[str]
    timing: Literal["ok", "questionable"]
    quality: list[Quality]
    latency_ms: Latency
    cost: Cost


class Hop(_Part, frozen=True, kw_only=True):
    """One step of continuous mode: probabilities of the window that ends at `time`."""

    schema: str
    station: str
    time: str
    coverage: float
    probabilities: dict[str, float] | None = None  # absent where coverage is too small
    model: str
    emitted: str
    source: str
    latency_ms: Latency
    cost: Cost


def content_of(line: Event | Hop) -> bytes:
    """The line without its circumstances: the part that promise 1 is about."""
    plain = msgspec.to_builtins(line)
    return msgspec.json.encode({key: value for key, value in plain.items() if key not in CIRCUMSTANCES})

"""Event: the output of a station, one JSON line per revision, schema `seisedge.event/1`.

A field that cannot be derived from the data is absent, and `quality` gives the reason. Probabilities have four
decimals.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from seisedge.runtime.clock import iso_from_ns

SCHEMA = "seisedge.event/1"
HOP_SCHEMA = "seisedge.hop/1"

# When and how a revision was computed, not what it states: two runs over the same samples differ only in these fields.
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
    """Common settings: a field at its default (None) is omitted."""


class Quality(_Part, frozen=True, kw_only=True):
    """One remark on the data or the estimates of the event."""

    code: QualityCode
    reason: str


class TriggerInfo(_Part, frozen=True, kw_only=True):
    """What detected the event; `snr` is the ratio of the short to the long average of the amplitude.

    `onset` is the onset detector, with the `probability` of a P onset; `sta_lta` is the classic trigger; `given`
    is an onset that the user of `seisedge.api` gave; `continuous` was the classification of continuous mode up to
    version 0.1.
    """

    kind: Literal["sta_lta", "onset", "given", "continuous"]
    snr: float | None = None
    probability: float | None = None


class Pick(_Part, frozen=True, kw_only=True):
    """A phase of the event at this station; `uncertainty_s` is a standard deviation."""

    phase: Literal["P", "S"]
    time: str
    uncertainty_s: float
    probability: float
    channel: str


class CombinedAnswer(_Part, frozen=True, kw_only=True):
    """One answer of the event-type model that counts: seconds after the onset, and its share of the weights."""

    answer_s: float
    weight: float


class TypeEstimate(_Part, frozen=True, kw_only=True):
    """Event type; `probability` is that of `label`.

    `combined`: the answers that the probabilities are the weighted mean of; absent for a single answer.
    `prevalence`: the shares of the labels that weigh the probabilities; absent without `[models] prevalence`.
    `noise_probability`: of noise by this model and the onset detector together, which `[events] noise_threshold` is
    compared with; absent where no onset detector opened the event.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    model: str
    sha256: str
    combined: list[CombinedAnswer] | None = None
    prevalence: dict[str, float] | None = None
    noise_probability: float | None = None


class MagnitudeEstimate(_Part, frozen=True, kw_only=True):
    """The magnitude is `value`: the mean over the bins, weighted by their probabilities.

    `label` and `bin` (lo, hi] are the most probable bin, in which None is open; `value` may lie outside it. `value` and
    `interval_90` are absent where they would mislead. `expected` is the same number as `value`, for readers of version
    0.1, where `value` was the centre of the bin.
    """

    label: str
    bin: tuple[float | None, float | None]
    probability: float
    type: str
    value: float | None = None
    expected: float | None = None  # as `value`
    interval_90: tuple[float | None, float | None] | None = None
    provisional: bool | None = None  # True: the gain is unknown
    model: str
    sha256: str


class WindowInfo(_Part, frozen=True, kw_only=True):
    """Input of the models: `length_s` from `start`; `answer_s` is the time after the onset."""

    start: str
    length_s: float
    answer_s: float
    coverage: float
    gaps: int


class SensorPart(_Part, frozen=True, kw_only=True):
    """Part of the window, from `start` to `end`, in which a component is that of the accelerometer."""

    component: Literal["Z", "N", "E"]
    sensor: str  # location, band and instrument code, as 00.HN
    start: str
    end: str


class Latency(_Part, frozen=True, kw_only=True):
    """Milliseconds. `total`: from the last sample needed to the emitted line; for a file, the computing time only."""

    record_fill: float | None = None  # data time from the last sample needed to the end of its record
    transport: float | None = None  # from the end of that record to its arrival, where the clocks can be compared
    wait: float | None = None  # from arrival to assembly: the queue, and other answers due with the same record
    assemble: float
    host_to_device: float
    infer: float
    device_to_host: float
    journal: float | None = None  # from the finished line to its commit; only with the outbox of a state folder
    emit: float
    total: float


class Cost(_Part, frozen=True, kw_only=True):
    """Cost of the inferences made for this revision; `engine` and `precision` are `none` where none was needed."""

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
    picks: list[Pick] | None = None  # only of the onset detector
    distance_km: float | None = None  # hypocentral, from S - P; absent without a pick of S
    distance_uncertainty_km: float | None = None
    event_type: TypeEstimate | None = None
    magnitude: MagnitudeEstimate | None = None
    window: WindowInfo
    sensors: list[SensorPart] | None = None  # absent where all samples are those of the seismometer
    overlaps: list[str]
    timing: Literal["ok", "questionable"]
    quality: list[Quality]
    latency_ms: Latency
    cost: Cost


class Hop(_Part, frozen=True, kw_only=True):
    """One second of continuous mode: what was there from `time` to `length_s` later."""

    schema: str
    station: str
    time: str
    coverage: float
    length_s: float | None = None
    probabilities: dict[str, float] | None = None  # means over the second; absent where the coverage is too low
    p_onset: float | None = None  # largest probability of a P onset in the second
    s_onset: float | None = None
    model: str
    emitted: str
    source: str
    latency_ms: Latency
    cost: Cost


def event_id(station_id: str, onset_ns: int) -> str:
    """Deterministic: the station and its onset to the millisecond."""
    stamp = iso_from_ns(onset_ns)[:-4].replace("-", "").replace(":", "")
    return f"{station_id}-{stamp}"


def content_of(line: Event | Hop) -> bytes:
    """The line as JSON without its circumstances: the part that is the same in every run over the same samples."""
    plain = msgspec.to_builtins(line)
    return msgspec.json.encode({key: value for key, value in plain.items() if key not in CIRCUMSTANCES})

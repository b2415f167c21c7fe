"""ModelCard: the facts about a model that a station needs, stored in the metadata of the model file.

A model file is ONNX; its card is JSON under the metadata key `seisedge.card`. The contract with the graph:

    waveform       float32 (batch, 3, n_samples), ZNE, in `unit`, at `sampling_rate_hz`
    valid          float32 (batch, 3, n_samples), 1 where a sample exists, else 0
    probabilities  float32 (batch, len(labels)), calibrated; of an onset detector (batch, block_hops, len(labels))

The graph of an onset detector may have a free number of samples: n_samples and whole blocks more, of consecutive blocks
with the context of the first. `probabilities` then has the hops of all blocks, each block as if it were alone.

Preprocessing is part of the graph; the runtime normalises nothing.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import msgspec

from seisedge.runtime.errors import CardError
from seisedge.runtime.files import MIB
from seisedge.runtime.text import quoted, reason_of, shortened

CARD_KEY = "seisedge.card"
SCHEMA = 2  # 1: `magnitude.type` could be a sentence; the training events were not named

UNSPECIFIED_SCALE = "M"  # the standard code where scales are mixed, or where the data do not state one
MAGNITUDE_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_()./-]{0,31}")  # QuakeML allows 32 characters

MIN_TRANSITION_HZ = 0.5  # of the station's resampling filter; that of a narrower one has thousands of taps
TRANSITION_SHARE = 0.8  # of the frequencies between the band and half the sampling rate

# What a model may state. A card beyond these is not of a model for a station.
MAX_CARD_BYTES = 8 * MIB  # the hashes of a million training events
MAX_DEPTH = 16
MAX_LABELS = 256
MAX_ANSWERS = 32
MAX_WINDOW_S = 600.0
MAX_SAMPLES = 120_000  # ten minutes at 200 Hz: 3 MB of waveform and mask
MAX_NAME = 100  # characters of a name or a label
MAX_TEXT = 10_000  # characters of any other text but the hashes

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**18)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure on events not used for training, with its 95 % bootstrap interval over events."""

    name: str  # e.g. 'accuracy', 'sensitivity', 'sd'
    value: float
    low: float | None = None
    high: float | None = None
    n_events: int
    n_records: int
    subset: str = "all"  # e.g. 'blasts', 'vertical only', 'answer 3 s'
    baseline: str = ""  # '' for the model itself, else the name of the baseline


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """The training that produced the weights."""

    recipe: str
    seed: int
    data: list[str]  # data sets, each with its licence, or 'licence not stated'
    data_sha256: str  # fingerprint of metadata and waveforms
    split: str  # description of the rule
    n_events: int
    n_records: int
    licence: str  # of the weights, or 'not stated'
    event_hashes: str | None = None  # training events, see train's `dataset.event_hashes`; None: a card of schema 1
    n_unnamed_records: int = 0  # of n_records: without event id, station and start time, so not in event_hashes
    left_out: list[str] | None = None  # sources that the recipe does not read; None: a card that does not state them


class MagnitudeScale(msgspec.Struct, frozen=True, kw_only=True):
    """The bins of a magnitude model: label k covers (edges[k], edges[k + 1]]; None is open."""

    edges: list[float | None]
    type: str  # a code, e.g. 'ML'; 'M' where the scales are mixed or not stated
    remark: str = ""  # explanation of the code, e.g. 'as catalogued: ML (334 records), Md (116); not converted'

    def __post_init__(self) -> None:
        if not MAGNITUDE_CODE.fullmatch(self.type):
            raise ValueError(
                f"magnitude.type must be a code of at most 32 characters without spaces, as 'ML'; "
                f"got {quoted(self.type)}; write the code M there and the sentence under magnitude.remark"
            )
        inner = self.edges[1:-1]
        closed = [edge for edge in self.edges if edge is not None]
        if None in inner or len(closed) < 2 or closed != sorted(set(closed)):
            raise ValueError(f"magnitude.edges must ascend, with null only at the ends; got {quoted(self.edges)}")


ONSET_LABELS = ["P", "S", "noise", "tectonic", "non-tectonic"]
MAX_BLOCK_HOPS = 1000


class OnsetScale(msgspec.Struct, frozen=True, kw_only=True):
    """How an onset detector is used. It gives one row of probabilities for each hop of a block of `answers_s[0]`.

    P and S are independent probabilities that such an onset lies in the hop, within `tolerance_s`; the other labels sum
    to 1 and state what is there in this hop. The window is the context (`onset_s`) followed by the block.
    """

    hop_s: Positive
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=60)]  # row j of a block is for the hop this much earlier than hop j
    p_threshold: Share  # probability of P from which on an event opens
    s_threshold: Share  # probability of S from which on an S pick is made
    gate_ratio: Annotated[float, msgspec.Meta(ge=0, le=1000)]  # STA/LTA ratio below which it is not run; 0: always run
    tolerance_s: Annotated[float, msgspec.Meta(gt=0, le=60)]


Verdict = Literal["passed", "not tested", "failed"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A model compared with the one it was made from, on held-out windows: the measurements of the gate.

    The gate excludes a loss of more than `required_points`. With few events a single event is more than that; the test
    is then coarser (`allowed_points`), and a model that passes it has the verdict "not tested", not "passed".
    """

    parent_sha256: str
    windows: int
    agreement: float  # share of the windows with the same label
    mean_dp: float  # mean absolute difference of a probability
    score: str  # name of the score
    parent_score: float
    child_score: float
    loss_points: float  # 100 × (parent - child); negative is a gain
    low: float | None  # 95 % interval of the loss, by resampling whole events in pairs
    high: float | None
    allowed_points: float  # largest loss that this test let pass: the larger of required_points and one event
    n_events: int
    passed: bool  # is the verdict "passed"? in cards without a verdict: did it pass at allowed_points?
    verdict: Verdict | None = None  # None: a card of seisedge 0.1.0 or earlier; see `outcome`
    required_points: float = 0.5  # largest loss that the gate permits
    accepted_points: float | None = None  # coarsest test that was accepted (--accept-resolution); None: no coarser test

    @property
    def coarse(self) -> bool:
        """Were the events too few to test at `required_points`?"""
        return self.allowed_points > self.required_points

    @property
    def outcome(self) -> Verdict:
        """The verdict; of an older card, the one that its figures give."""
        if self.verdict is not None:
            return self.verdict
        if not self.passed:
            return "failed"
        return "not tested" if self.coarse else "passed"

    @property
    def accepted(self) -> bool:
        """May the model be used: passed, or not worse in a coarser test that was accepted explicitly?"""
        if self.outcome != "not tested":
            return self.outcome == "passed"
        return accepts(self.accepted_points, self.allowed_points)

    @property
    def verdict_text(self) -> str:
        """The verdict in words."""
        if self.outcome == "passed":
            return "inside the gate"
        tested = f"tested at {self.allowed_points:.3g} points"
        if self.outcome == "failed":
            return "outside the gate" + (f", {tested}" if self.coarse else "")
        text = (
            f"cannot be tested at {self.required_points:g} points ({self.n_events} events, "
            f"{math.ceil(100 / self.required_points)} are needed); {tested}: not worse than that"
        )
        if self.accepted_points is not None:
            text += (
                f"; {'accepted' if self.accepted else 'not accepted'} with --accept-resolution {self.accepted_points:g}"
            )
        return text


def accepts(accepted_points: float | None, points: float) -> bool:
    """Is a test as coarse as `points` accepted? `points` as printed, with two decimals, is enough."""
    return accepted_points is not None and points < accepted_points + 0.01


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """How the precision of a model was reduced."""

    calibration_sha256: str  # fingerprint of the windows that set the ranges; '' if none was needed
    calibration_windows: int
    layers: int  # in the lower precision
    kept: list[str]  # layers left in fp32 because they are sensitive, the most sensitive first


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one model file."""

    name: str
    task: Literal["event_type", "magnitude", "onset"]
    labels: list[str]
    magnitude: MagnitudeScale | None
    components: Literal["ZNE"]
    sampling_rate_hz: Positive
    n_samples: Annotated[int, msgspec.Meta(gt=0, le=MAX_SAMPLES)]
    onset_s: Positive  # nominal place of the onset after the start of the window; task onset: length of the context
    unit: Literal["counts", "m/s"]
    band_hz: tuple[float, float]  # passed by the front end; the sampling rate of a channel must cover all of it
    answers_s: list[float]  # seconds after the onset at which it was trained to answer, ascending; task onset: a block
    modes: list[Literal["triggered", "continuous"]]
    min_coverage: Share  # of an answer's span on the best component; below it no label is reported
    parameters: Count
    macs: Count
    flops: Count  # 1 MAC = 2 FLOP, plus elementwise operations as counted in flops_by_operator
    flops_by_operator: dict[str, int]
    not_counted: list[str]  # operators without a rule
    temperature: float
    training: Training
    metrics: list[Metric]
    not_for: list[str]  # uses for which the model is not suitable
    precision: Literal["fp32", "fp16", "int8"]
    pruning: str  # 'none' or how much was removed
    seisedge_version: str
    date: str  # of the training run, ISO 8601
    schema: int = SCHEMA
    front_end_macs: int | None = None  # of `macs`; the front end is never pruned or quantized
    front_end_flops: int | None = None
    weight_bytes: int | None = None
    peak_activation_bytes: int | None = None  # live tensors at batch 1 in the graph's own order
    quantization: Quantization | None = None
    comparison: Comparison | None = None  # with the parent of the last step
    onset: OnsetScale | None = None  # of task onset

    @property
    def window_s(self) -> float:
        """Length of the input window in seconds."""
        return self.n_samples / self.sampling_rate_hz

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of `probabilities` without the batch: (n_labels,), or (block_hops, n_labels) of an onset detector."""
        if self.onset is None:
            return (len(self.labels),)
        return (round(self.answers_s[0] / self.onset.hop_s), len(self.labels))

    @property
    def block_n(self) -> int:
        """Length of a block of an onset detector in samples; 0 of other models."""
        return 0 if self.onset is None else round(self.answers_s[0] * self.sampling_rate_hz)

    def __post_init__(self) -> None:
        if not 0 < len(self.labels) <= MAX_LABELS or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels must be 1 to {MAX_LABELS} different names; got {quoted(self.labels)}")
        if not 0 < len(self.name) <= MAX_NAME or not all(0 < len(label) <= MAX_NAME for label in self.labels):
            raise ValueError(f"name and labels must have 1 to {MAX_NAME} characters")
        if not 0 < len(self.answers_s) <= MAX_ANSWERS or list(self.answers_s) != sorted(set(self.answers_s)):
            raise ValueError(f"answers_s must ascend, with 1 to {MAX_ANSWERS} answers; got {quoted(self.answers_s)}")
        if self.answers_s[0] <= 0:
            raise ValueError(f"answers_s must be above 0 s; got {quoted(self.answers_s)}")
        if self.window_s > MAX_WINDOW_S:
            raise ValueError(f"the window must not be longer than {MAX_WINDOW_S:g} s; got {self.window_s:g} s")
        if self.onset_s + self.answers_s[-1] > self.window_s + 1e-9:
            raise ValueError(f"the last answer, {self.answers_s[-1]:g} s, lies beyond the window")
        highest_hz = highest_pass_hz(self.sampling_rate_hz)
        if not 0 <= self.band_hz[0] < self.band_hz[1] <= highest_hz:
            raise ValueError(
                f"band_hz must ascend and end at {highest_hz:g} Hz or below, so that a filter fits between it and half "
                f"the sampling rate of {self.sampling_rate_hz:g} Hz; got {quoted(self.band_hz)}"
            )
        if (self.task == "magnitude") != (self.magnitude is not None):
            raise ValueError("magnitude (the bins) must be given for task magnitude, and only for it")
        if self.magnitude is not None and len(self.magnitude.edges) != len(self.labels) + 1:
            raise ValueError(f"{len(self.labels)} labels need {len(self.labels) + 1} bin edges")
        if (self.task == "onset") != (self.onset is not None):
            raise ValueError("onset (hops and thresholds) must be given for task onset, and only for it")
        if self.onset is not None:
            self._check_onset(self.onset)

    def _check_onset(self, scale: OnsetScale) -> None:
        """Raises ValueError where the blocks of an onset detector do not fit its window."""
        if self.labels != ONSET_LABELS:
            raise ValueError(f"the labels of an onset detector must be {ONSET_LABELS}; got {quoted(self.labels)}")
        hop_n, block_hops = scale.hop_s * self.sampling_rate_hz, self.answers_s[0] / scale.hop_s
        if abs(hop_n - round(hop_n)) > 1e-9 or round(hop_n) < 1:
            raise ValueError(f"onset.hop_s must be a whole number of samples; got {scale.hop_s:g} s")
        if len(self.answers_s) > 1 or abs(block_hops - round(block_hops)) > 1e-9 or block_hops > MAX_BLOCK_HOPS:
            raise ValueError(
                f"answers_s of an onset detector must be one block of 1 to {MAX_BLOCK_HOPS} whole hops of "
                f"{scale.hop_s:g} s; got {quoted(self.answers_s)}"
            )
        if abs(self.onset_s + self.answers_s[0] - self.window_s) > 1e-9:
            raise ValueError(
                f"onset_s (the context) and the block must be the whole window of {self.window_s:g} s; "
                f"got {self.onset_s:g} s and {self.answers_s[0]:g} s"
            )
        delay_hops = scale.delay_s / scale.hop_s
        if abs(delay_hops - round(delay_hops)) > 1e-9 or scale.delay_s > self.onset_s:
            raise ValueError(
                f"onset.delay_s must be whole hops of {scale.hop_s:g} s, at most the context; got {scale.delay_s:g} s"
            )


def highest_pass_hz(sampling_rate_hz: float) -> float:
    """Highest frequency that a model's band may reach at a sampling rate."""
    return sampling_rate_hz / 2 - MIN_TRANSITION_HZ / TRANSITION_SHARE


def json_from_card(card: ModelCard) -> str:
    """The card as JSON, as stored in the model file: sorted keys, no spaces; `onset` only for that task.

    A card without a value for a field that came later has the bytes that it had before.
    """
    tree = msgspec.to_builtins(card)
    if card.onset is None:
        del tree["onset"]
    if card.training.left_out is None:
        del tree["training"]["left_out"]
    return msgspec.json.encode(tree, order="sorted").decode()


def card_from_json(text: str | None, path: str) -> ModelCard:
    """Read a card of this schema or an older one; `path` is the model file, for the message. Raises CardError."""
    if not text:
        raise CardError(f"{path}: no card in the file (metadata key '{CARD_KEY}'); export it with seisedge")
    try:
        if len(text) > MAX_CARD_BYTES:
            raise ValueError(f"it is larger than {MAX_CARD_BYTES // MIB} MiB")
        schema = msgspec.json.decode(text, type=_Schema).schema
        if schema > SCHEMA:
            raise CardError(f"{path}: the card has schema {schema}, this seisedge reads up to {SCHEMA}; upgrade")
        tree = msgspec.json.decode(text)
        _check_texts(tree, "")
        return msgspec.convert(_from_schema_1(tree) if schema < SCHEMA else tree, ModelCard)
    except RecursionError:
        raise CardError(f"{path}: the card cannot be read: it is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise CardError(f"{path}: the card cannot be read: {reason_of(error)}") from error


def _check_texts(tree: Any, place: str, depth: int = 0) -> None:
    """Raises ValueError for a text that is too long or has control characters: the texts of a card reach terminals."""
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(tree, str):
        if not tree.isprintable():
            raise ValueError(f"{place} contains control characters: {quoted(tree)}")
        if len(tree) > MAX_TEXT and place != "training.event_hashes":
            raise ValueError(f"{place} is longer than {MAX_TEXT} characters: {quoted(tree)}")
    elif isinstance(tree, dict):
        for key, value in tree.items():
            _check_texts(key, "a key", depth + 1)
            _check_texts(value, f"{place}.{shortened(key)}".lstrip("."), depth + 1)
    elif isinstance(tree, list):
        for value in tree:
            _check_texts(value, place, depth + 1)


def _from_schema_1(tree: dict[str, Any]) -> dict[str, Any]:
    """The fields of a schema 1 card as schema 2: a sentence in `magnitude.type` becomes the remark of code 'M'."""
    scale = tree.get("magnitude")
    if isinstance(scale, dict) and isinstance(scale.get("type"), str) and not MAGNITUDE_CODE.fullmatch(scale["type"]):
        scale = scale | {"type": UNSPECIFIED_SCALE, "remark": scale["type"]}
    return tree | {"magnitude": scale, "schema": SCHEMA}


class _Schema(msgspec.Struct):
    schema: int

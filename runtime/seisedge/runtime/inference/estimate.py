"""Estimates: from the probabilities of a model to the event type and the magnitude of an event line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.config import EventsConfig, TriggerKind
from seisedge.runtime.event import CombinedAnswer, MagnitudeEstimate, TypeEstimate

NOISE = "noise"
DECIMALS = 4
INTERVAL = (0.05, 0.95)  # quantiles of `interval_90`
OPEN_BIN_REACH = 0.2  # magnitude units from the edge of an open bin to the value that stands for it
OUTER_SHARE = 0.5  # an open bin must have more than this probability to become the label

DAMAGED_SHARE = 0.25  # weight of the answer of a clipped window, of that of an undamaged one
MOST_S_OF_THREE = 10.0  # sound data of three components beyond this length add no weight to an answer
LEAST_PROBABILITY = 1e-6  # a probability of 0 in one answer does not rule a label out
LEAST_EVIDENCE = 0.01  # no probability of the onset detector counts for more than the odds of this

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TypeAnswer:
    """One answer of the event-type model: its logarithmic probabilities, by label, and its weight."""

    answer_s: float
    weight: float
    log_probabilities: list[float]


def type_answer(
    answer_s: float, sound_s: float, probabilities: Probabilities, *, three: bool, clipped: bool
) -> TypeAnswer:
    """An answer with its weight: the square root of the length of the sound data after the onset, `sound_s`.

    three: the window has samples of all components. `MOST_S_OF_THREE` then limits the length: the longest windows of
    events unlike those of the training are judged worse than the shorter ones. The answer of a clipped window counts
    `DAMAGED_SHARE` of that: the answers before the clipping are not overruled by longer, damaged windows alone.
    """
    weight = math.sqrt(min(sound_s, MOST_S_OF_THREE) if three else sound_s) * (DAMAGED_SHARE if clipped else 1.0)
    return TypeAnswer(answer_s, weight, [math.log(max(float(p), LEAST_PROBABILITY)) for p in probabilities])


def combined_type(
    card: ModelCard, sha256: str, answers: Sequence[TypeAnswer], prevalence: Mapping[str, float] | None = None
) -> TypeEstimate:
    """Event type of one or more answers: the weighted mean of their logarithmic probabilities, normalised.

    prevalence: of each label of the card. Each probability is multiplied by it, because the models are trained with
    equally frequent labels; None or empty: no weights.
    """
    total = sum(answer.weight for answer in answers)
    single = len(answers) == 1 or not total
    means = list(answers[-1].log_probabilities)
    if not single:
        rows = [[answer.weight * x for x in answer.log_probabilities] for answer in answers]
        means = [sum(column) / total for column in zip(*rows, strict=True)]
    if prevalence:
        means = [x + math.log(prevalence[label]) for label, x in zip(card.labels, means, strict=True)]
    norm = 1.0 if single and not prevalence else sum(math.exp(x) for x in means)
    estimate = type_estimate(card, sha256, np.array([math.exp(x) / norm for x in means], dtype=np.float32))
    shares = [CombinedAnswer(answer_s=a.answer_s, weight=round(a.weight / total, DECIMALS)) for a in answers if total]
    return msgspec.structs.replace(
        estimate, combined=None if single else shares, prevalence=dict(prevalence) if prevalence else None
    )


def with_detector(estimate: TypeEstimate, onset: float, noise: Sequence[float]) -> TypeEstimate:
    """The estimate with `noise_probability`: the odds of noise by the event-type model, times those by the onset
    detector after the onset, divided by the odds of the onset itself.

    onset: probability of the P onset. noise: probabilities of noise in the seconds after it; none: odds of 1. An
    estimate without the label noise is returned as it is.
    """
    if NOISE not in estimate.probabilities:
        return estimate
    by_type = min(max(estimate.probabilities[NOISE], LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
    heard = sum(noise) / len(noise) if noise else 0.5
    log_odds = _log_odds(by_type) + _log_odds(_evidence(heard)) - _log_odds(_evidence(onset))
    return msgspec.structs.replace(estimate, noise_probability=round(1 / (1 + math.exp(-log_odds)), DECIMALS))


def is_suppressed(estimate: TypeEstimate, events: EventsConfig, kind: TriggerKind) -> bool:
    """True where nothing is to be emitted: the probability of noise reaches `noise_threshold`, or no other label
    reaches `min_probability`.

    kind: what opened the event. With a threshold of 0, and where the onset detector is heard, nothing is emitted whose
    most probable label is noise either; with 1 everything is.
    """
    limit = events.noise_limit(kind)
    if estimate.label == NOISE and (limit == 0 or (limit < 1 and estimate.noise_probability is not None)):
        return True
    if 0 < limit < 1 and probability_of_noise(estimate) >= limit:
        return True
    best = max((p for label, p in estimate.probabilities.items() if label != NOISE), default=0.0)
    return best < events.min_probability


def probability_of_noise(estimate: TypeEstimate) -> float:
    """What `noise_threshold` is compared with; 0 by a model without that label."""
    if estimate.noise_probability is not None:
        return estimate.noise_probability
    return estimate.probabilities.get(NOISE, 0.0)


def type_estimate(card: ModelCard, sha256: str, probabilities: Probabilities) -> TypeEstimate:
    """Event type of one window; `probabilities` (n_labels,)."""
    best = int(np.argmax(probabilities))
    return TypeEstimate(
        label=card.labels[best],
        probability=_rounded(probabilities[best]),
        probabilities={label: _rounded(p) for label, p in zip(card.labels, probabilities, strict=True)},
        model=card.name,
        sha256=sha256,
    )


def magnitude_estimate(
    card: ModelCard, sha256: str, probabilities: Probabilities, *, calibrated: bool
) -> MagnitudeEstimate:
    """Magnitude of one window; `probabilities` (n_labels,).

    The magnitude is `value`, the mean over the bins; the label and its bin follow from `magnitude_label`.
    calibrated: False where there is neither a gain nor a station correction; the bin is then provisional, and `value`,
    `expected` and `interval_90` are absent, as they are in an open outer bin.
    """
    assert card.magnitude is not None
    edges = card.magnitude.edges
    best = int(magnitude_label(edges, probabilities))
    low, high = edges[best], edges[best + 1]
    value = expected = interval = None
    if calibrated and low is not None and high is not None:
        value = expected = round(float(probabilities.astype(np.float64) @ bin_centres(edges)), 2)
        first, last = interval_bins(probabilities)
        interval = (edges[int(first)], edges[int(last) + 1])
    return MagnitudeEstimate(
        label=card.labels[best],
        bin=(low, high),
        probability=_rounded(probabilities[best]),
        type=card.magnitude.type,
        value=value,
        expected=expected,
        interval_90=interval,
        provisional=None if calibrated else True,
        model=card.name,
        sha256=sha256,
    )


def magnitude_label(edges: Sequence[float | None], probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Index of the label, (...,), from probabilities (..., n_labels).

    The most probable bin; an open outer bin, which is wider than the others, only if its probability exceeds 0.5.
    """
    open_bin = np.array([None in pair for pair in itertools.pairwise(edges)])
    outer = open_bin & (probabilities > OUTER_SHARE)
    inner = np.where(open_bin, -1.0, probabilities)
    return np.asarray(np.where(outer.any(-1), outer.argmax(-1), inner.argmax(-1)))


def interval_bins(probabilities: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last bin of the central 90 % of the probability, (...,) each, from probabilities (..., n_labels)."""
    below = np.cumsum(probabilities.astype(np.float64), axis=-1)
    first, last = ((below < quantile).sum(-1) for quantile in INTERVAL)
    return np.asarray(first), np.asarray(np.minimum(last, probabilities.shape[-1] - 1))


def bins_of(edges: Sequence[float | None], magnitude: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Index of the bin (edges[k], edges[k + 1]] of each magnitude, (...,) each.

    A magnitude outside closed outer edges gets the nearest bin. Training and evaluation import this rule, so that a
    label means the same there and at the station.
    """
    closed = np.array([edge for edge in edges if edge is not None])
    first = 0 if edges[0] is None else 1
    return np.asarray(np.clip(np.digitize(magnitude, closed, right=True) - first, 0, len(edges) - 2))


def bin_centres(edges: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """The value that stands for each bin in a mean, (n_labels,): its centre, or `OPEN_BIN_REACH` outside its edge."""
    centres = []
    for low, high in itertools.pairwise(edges):
        if low is None or high is None:
            centres.append((high or 0.0) - OPEN_BIN_REACH if low is None else low + OPEN_BIN_REACH)
        else:
            centres.append((low + high) / 2)
    return np.array(centres)


def _evidence(p: float) -> float:
    return min(max(p, LEAST_EVIDENCE), 1 - LEAST_EVIDENCE)


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def _rounded(p: np.floating) -> float:
    return round(float(p), DECIMALS)

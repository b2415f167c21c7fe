"""Draws records and windows: first the nuisance parameters, then the class.

A network can learn the class from parameters that have nothing to do with the ground: number of components, length of
the mask, position of the onset in the window. Therefore each draw starts with these nuisance parameters, from one
distribution for all classes. Then it draws the class from the prior, and then a source, an event and a record of that
class that has enough samples and components. So the class is independent of the nuisance parameters by construction.
Nuisance parameters for which some class has no suitable record are not drawn for any class.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.models._base import Geometry

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

POSITION_STEP_S = 5.0  # continuous use: width of bins of the onset position, which is uniform within a bin


@dataclass(frozen=True)
class NuisanceSpec:
    """Distribution of the nuisance parameters, the same for all classes.

    answers_s: seconds after the onset at which the window ends; equally likely in triggered use.
    jitter_s: largest error of the trigger, early or late.
    continuous_share: share of draws with a full window and the onset at any position.
    event_inside_s: in continuous use, the window contains at least this much of an event after its onset, and begins
        at most this much after the onset; windows with less are drawn neither as event nor as noise.
    vertical_share: share of draws with the vertical only.
    subset_share: share of draws with a random subset of three components.
    """

    answers_s: tuple[float, ...]
    jitter_s: float = 2.0
    continuous_share: float = 0.3
    event_inside_s: float = 2.5
    vertical_share: float = 0.5
    subset_share: float = 0.15


@dataclass(frozen=True)
class Draw:
    """The windows of a batch. Arrays (batch,); `keep` (batch, 3)."""

    record: Ints
    start: Ints  # first sample of the window, as index into the record; may be negative
    length: Ints  # number of samples of the window that have arrived
    keep: npt.NDArray[np.bool_]  # True for components that are used
    label: Ints
    bucket: Ints
    bound: Ints  # the record is used only before this sample


@dataclass(frozen=True)
class Bucket:
    """One cell of the nuisance parameters, and what a record needs to be drawn for it."""

    three: bool  # needs three components
    before: float  # samples needed before the onset
    after: float  # samples needed after the onset
    span: int  # samples of the window that have arrived
    position: tuple[float, float] | None  # range of the onset in the window (continuous use); None: triggered use
    weight: float


class Candidates:
    """Records that may be drawn for one label, balanced over sources and events.

    noise: draw from the noise part of the records instead of the events. In triggered use, noise at whose onset a
    trigger opened is cut around that onset, like an event.
    """

    def __init__(self, archive: Archive, indices: Sequence[int], source_weight: dict[str, float], noise: bool) -> None:
        self.noise = noise
        self.indices = np.array(indices, dtype=np.int64)
        records = [archive.records[i] for i in self.indices]
        self.three = np.array([r.three for r in records], dtype=bool)
        self.onset = np.array([r.onset for r in records])
        self.end = np.array([r.noise_end if noise else r.n_samples for r in records], dtype=np.float64)
        self.aligned = np.array([not noise or r.triggered_noise for r in records], dtype=bool)
        self.key = [self._key(r) for r in records]
        self.weight_of = source_weight
        self.event = [r.event for r in records]

    def _key(self, record: Record) -> str:
        return record.source if self.noise else f"{record.kind}/{record.source}"

    def fitting(self, bucket: Bucket) -> tuple[Ints, Floats]:
        """Indices of the candidates that fit the bucket, and their cumulative probability."""
        around_onset = (self.onset >= bucket.before) & (self.end - self.onset >= bucket.after)
        if self.noise:
            anywhere = ~self.aligned if bucket.position is None else np.ones(len(self.end), dtype=bool)
            fits = np.where(anywhere, self.end >= bucket.span, around_onset)
        else:
            fits = around_onset
        if bucket.three:
            fits &= self.three
        places = np.flatnonzero(fits)
        per_event: dict[tuple[str, str], int] = {}
        for place in places:
            cell = (self.key[place], self.event[place])
            per_event[cell] = per_event.get(cell, 0) + 1
        events: dict[str, int] = {}
        for key, _ in per_event:
            events[key] = events.get(key, 0) + 1
        weight = np.array(
            [
                self.weight_of.get(self.key[p], 0.0) / events[self.key[p]] / per_event[self.key[p], self.event[p]]
                for p in places
            ]
        )
        places, weight = places[weight > 0], weight[weight > 0]
        return places, np.cumsum(weight) / weight.sum() if len(places) else weight


class Sampler:
    """Draws batches; the same seed gives the same batches.

    candidates: one entry for each label. prior: probability of each label.
    Raises InputError if no cell of the nuisance parameters has records of all labels.
    """

    def __init__(
        self,
        archive: Archive,
        candidates: Sequence[Candidates],
        prior: Sequence[float],
        geometry: Geometry,
        spec: NuisanceSpec,
        seed: int,
    ) -> None:
        self.archive, self.candidates, self.geometry, self.spec = archive, list(candidates), geometry, spec
        self.prior = np.array(prior) / np.sum(prior)
        self.rng = np.random.default_rng(seed)
        self.pools: list[list[tuple[Ints, Floats]]] = []
        self.buckets: list[Bucket] = []
        for bucket in self._all_buckets():
            pools = [c.fitting(bucket) for c in self.candidates]
            if all(len(places) for places, _ in pools):
                self.buckets.append(bucket)
                self.pools.append(pools)
            else:
                logger.info("%s is not drawn: a class has no suitable record", bucket)
        if not self.buckets:
            raise InputError(
                "no combination of window length and components has records of every class; the shortest answer needs "
                f"{geometry.onset_s + spec.jitter_s:g} s before and {min(spec.answers_s) + spec.jitter_s:g} s after "
                "the onset"
            )
        weight = np.array([b.weight for b in self.buckets])
        self.bucket_probability = weight / weight.sum()

    def _all_buckets(self) -> list[Bucket]:
        g, s, rate = self.geometry, self.spec, self.geometry.rate_hz
        jitter, lead = s.jitter_s * rate, g.onset_s * rate
        out = []
        for three, share in ((False, s.vertical_share), (True, 1 - s.vertical_share)):
            triggered = (1 - s.continuous_share) * share / len(s.answers_s)
            for answer in s.answers_s:
                after = answer * rate
                span = round(lead + after)
                out.append(Bucket(three, lead + jitter, after + jitter, span, None, triggered))
            if s.continuous_share > 0:
                first = -s.event_inside_s * rate
                last = g.n_samples - s.event_inside_s * rate
                edges = np.linspace(first, last, max(round((last - first) / (POSITION_STEP_S * rate)), 1) + 1)
                for low, high in itertools.pairwise(edges):
                    weight = s.continuous_share * share / (len(edges) - 1)
                    before, after = max(high, 0.0), g.n_samples - low
                    out.append(Bucket(three, before, after, g.n_samples, (float(low), float(high)), weight))
        return out

    def draw(self, size: int) -> Draw:
        """Draw `size` windows."""
        rng, g = self.rng, self.geometry
        bucket = rng.choice(len(self.buckets), size, p=self.bucket_probability)
        label = rng.choice(len(self.prior), size, p=self.prior)
        chance, place = rng.random(size), rng.random(size)
        jitter = rng.uniform(-1, 1, size) * self.spec.jitter_s * g.rate_hz
        record, start = np.zeros(size, np.int64), np.zeros(size, np.int64)
        bound = np.full(size, np.iinfo(np.int64).max)
        span = np.array([b.span for b in self.buckets])[bucket]
        for b in np.unique(bucket):
            cell = self.buckets[b]
            for k in np.unique(label[bucket == b]):
                rows = np.flatnonzero((bucket == b) & (label == k))
                places, cumulative = self.pools[b][k]
                pool = self.candidates[k]
                hit = places[np.minimum(np.searchsorted(cumulative, chance[rows]), len(places) - 1)]
                record[rows] = pool.indices[hit]
                if pool.noise:
                    free = np.maximum(pool.end[hit] - cell.span, 0)
                    start[rows] = np.floor(place[rows] * (free + 1))
                    if cell.position is None:
                        around = np.round(pool.onset[hit] + jitter[rows] - g.onset_s * g.rate_hz)
                        start[rows] = np.where(pool.aligned[hit], around, start[rows])
                    bound[rows] = pool.end[hit].astype(np.int64)
                elif cell.position is None:
                    start[rows] = np.round(pool.onset[hit] + jitter[rows] - g.onset_s * g.rate_hz)
                else:
                    low, high = cell.position
                    start[rows] = np.round(pool.onset[hit] - (low + place[rows] * (high - low)))
        keep = np.ones((size, 3), dtype=bool)
        three = np.array([b.three for b in self.buckets])[bucket]
        keep[~three, 1:] = False
        some = three & (rng.random(size) < self.spec.subset_share / max(1 - self.spec.vertical_share, 1e-9))
        # All subsets but ZNE and Z
        parts = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=bool)
        keep[some] = parts[rng.integers(0, len(parts), int(some.sum()))]
        return Draw(record, start, span, keep, label, bucket, bound)

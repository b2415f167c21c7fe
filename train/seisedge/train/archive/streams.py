"""Streams: minutes of training data for the onset detector, mixed from records, with the truth of each hop.

A stream begins with a cut of a record: an event with its own noise, noise alone, a mass movement, or a piece of a
continuous recording. Other events are added to it at drawn times and sizes, then artefacts that are neither P nor S,
and parts of it are removed. What is known about a hop becomes a target, what is not known has no weight: an arrival
that is too small to be seen, the S of a record without an S pick, rises in a swarm that are in no list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.archive.artefacts import ARTEFACTS
from seisedge.train.dataset.vocabulary import UNTYPED
from seisedge.train.recipes.stream_spec import StreamSpec

HOP_N = 4
BAND_HZ = (2.0, 15.0)  # of the powers by which sizes are compared
PICKED_HOPS = 1  # an arrival picked by an analyst is the target of its hop and of this many before and after it
ENERGY_HOPS = 2  # the same of an arrival found by its energy; the hop before and after these has no weight
UNSURE_S = 1.5  # around an arrival without a clear onset
S_AFTER_P_S = (0.6, 20.0)  # where the S of a record may be whose S is not picked
SLIDE_S = (3.0, 6.0)  # around the catalogued start of a mass movement, where an onset is neither right nor wrong
VISIBLE, CLEAR = 1.3, 3.0  # ratio of amplitudes from which an added arrival is a target, and has the full weight
ACTIVE, QUIET = 1.5, 1.15  # ratio of amplitudes above which an event is there, and below which it is not
RISE = 8.0  # ratio of powers of an unlisted rise in a swarm
SWARMS = ("ridgecrest", "ridgecrest_continuous")
CLASSES = {"tectonic": 1, "blast": 2, "mass movement": 2}

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass
class Truth:
    """Targets and weights of the hops of a stream: P and S, (hops, 2) each; class and weight, (hops,) each.

    Classes: 0 noise, 1 tectonic, 2 non-tectonic.
    """

    picks: Floats
    picks_weight: Floats
    kind: npt.NDArray[np.int64]
    kind_weight: Floats


@dataclass(frozen=True)
class Item:
    """A record placed in a stream. shift: sample of the stream at which its first sample lies; power: (hops,)."""

    record: Record
    shift: int
    power: Floats
    role: Literal["noise", "event", "added"]


def hop_power(x: Floats, there: Bools, rate_hz: float) -> Floats:
    """Mean power in BAND_HZ in each hop, smoothed over 0.5 s: (hops,). x, there: (n,)."""
    n = len(x) // HOP_N * HOP_N
    f = np.fft.rfftfreq(n, 1 / rate_hz)
    gain = np.clip((f - 0.75 * BAND_HZ[0]) / (0.25 * BAND_HZ[0]), 0, 1) * (f < BAND_HZ[1])
    y = np.where(there[:n], x[:n].astype(np.float64) - np.median(x[there]), 0.0)
    power = (np.fft.irfft(np.fft.rfft(y) * gain, n) ** 2).reshape(-1, HOP_N).mean(1)
    return np.convolve(power, np.ones(5) / 5, "same").astype(np.float32)


class StreamMixer:
    """Draws streams from the records for which `chosen` is true; the same seed gives the same streams.

    hard: (record, hop) where a detector reported an onset in noise; may be replaced at any time.
    Raises InputError if a base of the spec has no record.
    """

    def __init__(
        self,
        archive: Archive,
        chosen: Callable[[Record], bool],
        spec: StreamSpec,
        context_hops: int,
        delay_hops: int,
        seed: int,
    ) -> None:
        """context_hops: before the first output; delay_hops: an output is for the hop this much earlier."""
        self.archive, self.spec, self.context_hops, self.delay_hops = archive, spec, context_hops, delay_hops
        self.hops = context_hops + 10 * spec.blocks
        self.rng = np.random.default_rng(seed)
        self._powers: dict[int, Floats] = {}
        self.hard: list[tuple[int, int]] = []
        self.drawn: set[int] = set()  # records of the newest batch
        self.pools: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}
        for base, wanted in (
            ("noise", lambda r: r.noise_end >= 60 * HOP_N),
            ("event", lambda r: r.kind in ("tectonic", "blast", UNTYPED) and r.visible and not _continuous(r)),
            ("mass movement", lambda r: r.kind == "mass movement" and r.visible),
            ("continuous", _continuous),
            ("added", lambda r: r.kind in ("tectonic", "blast", UNTYPED) and r.snr >= 3 and not _continuous(r)),
        ):
            self._add_pool(base, [i for i, r in enumerate(archive.records) if chosen(r) and wanted(r)])
        self.bases = [b for b, weight in spec.bases.items() if weight > 0 and b in self.pools]
        if "noise" not in self.pools or "added" not in self.pools:
            raise InputError("an onset detector needs records with noise, and events with a clear onset")
        self.base_weight = np.array([spec.bases[b] for b in self.bases])
        self.base_weight /= self.base_weight.sum()

    @property
    def used(self) -> list[int]:
        """Indices of the records that may be drawn."""
        return sorted({int(i) for indices, _ in self.pools.values() for i in indices})

    def batch(self, size: int) -> tuple[torch.Tensor, ...]:
        """Streams and masks (size, 3, n), and of the hops that have an output: targets and weights of P and S
        (size, hops, 2), class and its weight (size, hops).
        """
        self.drawn = set()
        drawn = [self.draw() for _ in range(size)]
        first = self.context_hops - self.delay_hops
        here = slice(first, first + 10 * self.spec.blocks)
        truths = [truth for _, _, truth in drawn]
        columns: list[list[npt.NDArray[Any]]] = [
            [x for x, _, _ in drawn],
            [valid.astype(np.float32) for _, valid, _ in drawn],
            [t.picks[here] for t in truths],
            [t.picks_weight[here] for t in truths],
            [t.kind[here] for t in truths],
            [t.kind_weight[here] for t in truths],
        ]
        return tuple(torch.from_numpy(np.stack(column)) for column in columns)

    def _power(self, i: int) -> Floats:
        """`hop_power` of the vertical of a record."""
        if i not in self._powers:
            x, there = self.archive.waveform[i, 0], self.archive.valid[i, 0]
            self._powers[i] = hop_power(x, there, self.archive.rate_hz)
        return self._powers[i]

    def _add_pool(self, name: str, indices: list[int]) -> None:
        """Records of one data set share its weight; events of a data set are equally likely."""
        if not indices:
            return
        keys = [(self.archive.records[i].source, self.archive.records[i].kind) for i in indices]
        events: dict[tuple[str, str], dict[str, int]] = {}
        for key, i in zip(keys, indices, strict=True):
            of_source = events.setdefault(key, {})
            event = self.archive.records[i].event
            of_source[event] = of_source.get(event, 0) + 1
        weight = []
        for key, i in zip(keys, indices, strict=True):
            record = self.archive.records[i]
            share = self.spec.sources.get(f"{record.kind}/{record.source}", 1.0)
            if record.noise_end == record.n_samples:  # recordings of noise: as long as they are
                weight.append(share * len(keys) / sum(k == key for k in keys) / len(events))
            else:
                weight.append(share / len(events[key]) / events[key][record.event])
        total = np.cumsum(weight)
        self.pools[name] = np.array(indices, dtype=np.int64), total / total[-1]

    def _draw_record(self, pool: str) -> int:
        indices, cumulative = self.pools[pool]
        index = int(indices[min(int(np.searchsorted(cumulative, self.rng.random())), len(indices) - 1)])
        self.drawn.add(index)
        return index

    def draw(self) -> tuple[Floats, Bools, Truth]:
        """One stream: samples and mask (3, hops · HOP_N), and the truth of all its hops."""
        rng, spec = self.rng, self.spec
        base = self.bases[int(rng.choice(len(self.bases), p=self.base_weight))]
        x, valid, items = self._base(base)
        if items[0].role == "noise" and valid.all() and rng.random() < spec.splice_share:
            self._splice(x, items[0])
        noise = self._noise_level(items[0])
        events = int(rng.poisson(spec.extra if base != "continuous" else 0.3 * spec.extra))
        first_s, spread_s = 0.0, self.hops / 10
        if rng.random() < spec.swarm_share:
            events = int(rng.integers(2, 6))
            first_s = rng.uniform(0, spread_s - 8)
            spread_s = rng.uniform(8, max(spread_s - first_s, 9))
        for _ in range(events):
            at = (first_s + rng.uniform(0, spread_s)) * 10 * HOP_N
            item = self._add_event(x, valid, noise, at)
            if item is not None:
                items.append(item)
        truth = self._truth(items, noise)
        if rng.random() < spec.artefact_share:
            for _ in range(int(rng.integers(1, 4))):
                begin, end = ARTEFACTS[int(rng.integers(len(ARTEFACTS)))](x, np.sqrt(noise), rng)
                _unsure(truth, begin // HOP_N, -(-end // HOP_N))
        self._distort(x)
        self._remove(valid)
        x *= np.float32(10 ** rng.uniform(-1, 1))
        return np.where(valid, x, 0.0).astype(np.float32), valid, truth

    def _base(self, base: str) -> tuple[Floats, Bools, list[Item]]:
        rng, archive = self.rng, self.archive
        n = self.hops * HOP_N
        if base == "noise":
            if self.hard and rng.random() < self.spec.hard_share:
                i, hop = self.hard[int(rng.integers(len(self.hard)))]
                self.drawn.add(i)
                first = self.context_hops + 5
                place = int(rng.integers(first, max(self.hops - 15, first + 1)))
                start = (hop - place) * HOP_N
            else:
                i = self._draw_record("noise")
                start = int(rng.integers(0, max(archive.records[i].noise_end - n, 1)))
            record = archive.records[i]
            index = np.arange(start, start + n)
            index = np.abs(index)
            period = 2 * (record.noise_end - 1)  # reflected at both ends, where it is too short
            index = np.minimum(index % period, period - index % period)
        else:
            i = self._draw_record(base)
            record = archive.records[i]
            if base == "continuous":
                start = int(rng.integers(0, max(record.n_samples - n, 1)))
            else:
                share = rng.uniform(0.15, 1.0) if base == "event" else rng.uniform(0, 1.0)
                start = round(record.onset - share * n)
            index = np.arange(start, start + n)
        inside = (index >= 0) & (index < archive.waveform.shape[-1])
        index = np.clip(index, 0, archive.waveform.shape[-1] - 1)
        valid = archive.valid[i][:, index] & inside
        count = np.maximum(archive.valid[i].sum(1, keepdims=True), 1)
        mean = (archive.waveform[i] * archive.valid[i]).sum(1, keepdims=True) / count
        x = np.where(valid, archive.waveform[i][:, index] - mean, 0.0).astype(np.float32)
        own = self._power(i)
        hops = np.clip(index[::HOP_N] // HOP_N, 0, len(own) - 1)
        power = np.where(valid[0, ::HOP_N], own[hops], 0.0).astype(np.float32)
        return x, valid, [Item(record, -start, power, "noise" if base == "noise" else "event")]

    def _splice(self, x: Floats, item: Item) -> None:
        """Change the level of noise at drawn times, in place: a fade into the same noise, shifted and scaled."""
        rng, n = self.rng, x.shape[1]
        for _ in range(int(rng.integers(1, 5))):
            begin, fade_n = int(rng.integers(0, n - 8)), int(rng.uniform(0.3, 3.0) * self.archive.rate_hz)
            share = np.clip((np.arange(n) - begin) / fade_n, 0, 1).astype(np.float32)
            gain, shift = np.float32(np.exp(rng.uniform(-0.5, 0.5))), int(rng.integers(40, n - 40))
            x += share * (gain * np.roll(x, shift, axis=1) - x)
            by_hop = share[::HOP_N]
            item.power[:] = item.power * (1 - by_hop) ** 2 + by_hop**2 * gain**2 * np.roll(item.power, shift // HOP_N)

    def _noise_level(self, item: Item) -> float:
        """Power of the noise: a low quantile, of the part before the onset if there is one."""
        end = round((item.record.onset + item.shift) / HOP_N)
        whole = item.role == "noise" or _continuous(item.record) or end <= 30
        part = item.power if whole else item.power[:end]
        part = part[part > 0]
        return float(np.quantile(part, 0.3)) if len(part) else 1e-12

    def _add_event(self, x: Floats, valid: Bools, noise: float, at: float) -> Item | None:
        """Add an event whose P arrives near sample `at`, in place."""
        rng, archive, n = self.rng, self.archive, x.shape[1]
        i = self._draw_record("added")
        record = archive.records[i]
        if not archive.valid[i, 1:].any() and valid[1:].any():
            if rng.random() < 0.5:
                return None
            valid[1:] = False
        onset = round(record.onset)
        before = int(rng.uniform(0.5, 3.0) * archive.rate_hz)
        begin = max(onset - before, 0)
        shift = round(at) - onset
        low, high = max(begin + shift, 0), min(record.n_samples + shift, n)
        if high - low < 2 * HOP_N:
            return None
        hop = onset // HOP_N
        source = self._power(i)
        size = float(source[hop : hop + 20].max(initial=0.0))
        if not size > 0:
            return None
        lowest, highest = np.log(self.spec.ratio)
        gain = np.exp(rng.uniform(lowest, highest)) * np.sqrt(noise / size)
        t = np.arange(low, high) - shift
        taper = np.clip((t - begin) / max(0.7 * before, 1), 0, 1) * np.clip((record.n_samples - t) / 80, 0, 1)
        piece = archive.waveform[i][:, t]
        level = piece[:, : max(before, 1)].mean(1, keepdims=True)
        there = archive.valid[i][:, t]
        x[:, low:high] += np.where(there, (piece - level) * (gain * taper), 0.0).astype(np.float32)
        power = np.zeros(self.hops, dtype=np.float32)
        own = np.arange(self.hops) - round(shift / HOP_N)
        inside = (own >= begin // HOP_N) & (own < min(record.n_samples // HOP_N, len(source)))
        power[inside] = source[own[inside]] * gain**2
        return Item(record, shift, power, "added")

    def _truth(self, items: Sequence[Item], noise: float) -> Truth:
        hops = self.hops
        truth = Truth(
            np.zeros((hops, 2), np.float32), np.ones((hops, 2), np.float32),
            np.zeros(hops, np.int64), np.ones(hops, np.float32),
        )  # fmt: skip
        total = np.sum([item.power for item in items], axis=0) + noise
        strongest = np.zeros(hops, dtype=np.float32)
        events = [item for item in items if item.role != "noise"]
        for item in events:
            self._kinds(truth, item, noise, strongest)
        known: list[tuple[int, int, int, float]] = []
        for item in events:
            width = PICKED_HOPS if item.record.p_picked else ENERGY_HOPS
            for phase, sample in item.record.picks:
                hop = int((sample + item.shift) // HOP_N)
                if not -20 <= hop < hops + 20:
                    continue
                column = "PS".index(phase[0])
                weight = 1.0
                if item.role == "added" and 0 < hop < hops - 5:
                    ahead = float(item.power[hop : hop + 10].max())
                    behind = float((total - item.power)[max(hop - 5, 0) : hop + 5].mean())
                    behind += float(item.power[max(hop - 10, 0) : max(hop - 3, 1)].mean()) if column else 0.0
                    ratio = math.sqrt(ahead / max(behind, 1e-30))
                    weight = min((ratio - VISIBLE) / (CLEAR - VISIBLE), 1.0)
                if phase.endswith("?") or weight <= 0:
                    _weigh(truth, column, hop, round(UNSURE_S * 10), round(UNSURE_S * 10))
                else:
                    known.append((column, hop, width, weight))
            self._unpicked(truth, item)
        for column, hop, width, _ in known:
            low, high = max(hop - width, 0), hop + width + 1
            _weigh(truth, column, hop, width + 1, width + 1)
            if high > 0:
                truth.picks[low:high, column] = 1.0
        for column, hop, width, weight in known:
            low, high = max(hop - width, 0), max(hop + width + 1, 0)
            truth.picks_weight[low:high, column] = np.maximum(truth.picks_weight[low:high, column], weight)
        return truth

    def _kinds(self, truth: Truth, item: Item, noise: float, strongest: Floats) -> None:
        """Set the class where the item is the strongest event, remove the weight where it is not clear."""
        picks = [s for phase, s in item.record.picks if phase.startswith("P")] or [item.record.onset]
        smooth = np.convolve(item.power, np.ones(10, np.float32) / 10, "same")
        level = max(noise, 1e-30)
        for k, sample in enumerate(picks):
            begin = int((sample + item.shift) // HOP_N)
            end = int((picks[k + 1] + item.shift) // HOP_N) if k + 1 < len(picks) else self.hops
            begin, end = np.clip([begin, end], 0, self.hops)
            part = smooth[begin:end]
            if not len(part):
                continue
            active = np.flatnonzero(part >= ACTIVE**2 * level)
            quiet = np.flatnonzero(part >= QUIET**2 * level)
            last, vague = (int(v[-1]) + 1 if len(v) else 0 for v in (active, quiet))
            truth.kind_weight[begin + last : begin + vague] = 0.0
            here = slice(begin, begin + last)
            wins = part[:last] > strongest[here]
            strongest[here] = np.where(wins, part[:last], strongest[here])
            if item.record.kind == UNTYPED:
                truth.kind_weight[here] = np.where(wins, 0.0, truth.kind_weight[here])
            else:
                truth.kind[here] = np.where(wins, CLASSES[item.record.kind], truth.kind[here])
                truth.kind_weight[here] = np.where(wins, 1.0, truth.kind_weight[here])

    def _unpicked(self, truth: Truth, item: Item) -> None:
        """Remove the weight where the record has arrivals that nobody picked."""
        record = item.record
        onset = round((record.onset + item.shift) / HOP_N)
        if record.kind == "mass movement":
            _weigh(truth, 0, onset, round(SLIDE_S[0] * 10), round(SLIDE_S[1] * 10))
            return
        if not _continuous(record) and not any(phase.startswith("S") for phase, _ in record.picks):
            begin, end = (onset + round(s * 10) for s in S_AFTER_P_S)
            truth.picks_weight[max(begin, 0) : max(end, 0), 1] = 0.0
        if record.source in SWARMS and item.role == "event":
            padded = np.concatenate([np.full(30, item.power[0], np.float32), item.power, np.zeros(5, np.float32)])
            total = np.concatenate([[0.0], np.cumsum(padded, dtype=np.float64)])
            k = np.arange(30, 30 + self.hops)
            rise = (total[k + 5] - total[k]) / 5 / np.maximum((total[k - 2] - total[k - 27]) / 25, 1e-30)
            for hop in np.flatnonzero(rise > RISE):
                _weigh(truth, 0, int(hop), 4, 12)
                _weigh(truth, 1, int(hop), 4, 12)

    def _distort(self, x: Floats) -> None:
        """Polarity, orientation of the horizontals, and a lower Nyquist frequency, in place."""
        rng = self.rng
        if rng.random() < 0.5:
            x *= -1
        angle = rng.uniform(0, 2 * np.pi)
        if rng.random() < 0.5:
            c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            x[1], x[2] = c * x[1] - s * x[2], s * x[1] + c * x[2]
        if rng.random() < self.spec.slow_share:
            f = np.fft.rfftfreq(x.shape[1], 1 / self.archive.rate_hz)
            corner = rng.choice([8.0, 10.0, 12.5]) * 0.85
            x[:] = np.fft.irfft(np.fft.rfft(x, axis=1) * np.clip((corner + 1 - f), 0, 1), x.shape[1], axis=1)

    def _remove(self, valid: Bools) -> None:
        """Components, gaps and late beginnings, in place."""
        rng, spec, n = self.rng, self.spec, valid.shape[1]
        if rng.random() < spec.vertical_share:
            valid[1:] = False
        elif rng.random() < spec.dead_share and valid[1:].any(1).all():
            valid[int(rng.integers(3))] = False
        if rng.random() < spec.gap_share:
            begin, length = int(rng.integers(n)), int(rng.uniform(0.1, 6.0) * self.archive.rate_hz)
            rows = slice(None) if rng.random() < 0.7 else int(rng.integers(3))
            valid[rows, begin : begin + length] = False
        if rng.random() < spec.late_share:
            valid[:, : int(rng.integers(self.context_hops * HOP_N))] = False


def _continuous(record: Record) -> bool:
    return record.source.endswith("_continuous")


def _weigh(truth: Truth, column: int, hop: int, before: int, after: int) -> None:
    """Remove the weight around a hop."""
    truth.picks_weight[max(hop - before, 0) : max(hop + after + 1, 0), column] = 0.0


def _unsure(truth: Truth, begin: int, end: int) -> None:
    """An artefact covers these hops: arrivals under it are not counted; what is there is not known."""
    hidden = truth.picks[begin:end] > 0
    truth.picks_weight[begin:end][hidden] = 0.0
    truth.kind_weight[begin:end] = np.where(truth.kind[begin:end] > 0, 0.0, truth.kind_weight[begin:end])

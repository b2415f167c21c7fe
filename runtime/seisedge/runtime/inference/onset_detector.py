"""OnsetDetector: opens events by a model of the task `onset`.

The model is run on blocks of whole seconds of the sample clock, each with the samples before it as context. A block
depends on these samples alone: no state of the network is stored, and no packet border has any influence. Blocks that
are due at once, as in files, are run together where the engine gives each of them the same bits as alone: consecutive
ones as a run, which computes what their contexts share once, others in batches.

A gate decides by the ratio of the classic trigger, with its default settings, which blocks are looked at: those for
which the ratio reaches `gate_ratio` of the card, and those within `HOLD_S` after a P onset. Without `every_block` the
model is not run on the others. The ratio is taken from the samples of a block and, where the model looks ahead, from
the hops before them that the probabilities are for, without the first `RISE_HOPS`: an onset raises the ratio for at
least as long.

Each component of a block is read from one sensor: where the samples of two sensors are joined, a step may be.

An onset is the hop with the highest probability among those that reach the threshold in a row. The next one is reported
once the probability was below `REARM_SHARE` of the threshold. The time of the onset is refined by `detection.picking`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ONSET_LABELS, ModelCard, OnsetScale
from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection import picking
from seisedge.runtime.detection.opener import (
    HOP_N,
    TRIGGER_GRID,
    NoisePart,
    Onset,
    Opener,
    OpenerState,
    Phase,
    Samples,
)
from seisedge.runtime.detection.trigger import HALF_TAPS, Ratios, Trigger
from seisedge.runtime.engines import Engine, are_probabilities
from seisedge.runtime.errors import CardError
from seisedge.runtime.inference.estimate import DECIMALS, NOISE
from seisedge.runtime.inference.infer import Meter, infer_run, infer_windows
from seisedge.runtime.inference.windows import grid_of
from seisedge.runtime.timeline.masks import drop_islands
from seisedge.runtime.timeline.timeline import Timeline

P, S = ONSET_LABELS.index("P"), ONSET_LABELS.index("S")
NOISE_COLUMN = ONSET_LABELS.index(NOISE)
HOLD_S = 15.0  # after a P onset the gate is open, for an S onset
RISE_HOPS = 5  # length of the short average
REARM_SHARE = 0.5
PEAK_HOPS = 6  # longest run of hops over the threshold that is one onset
MOST_WINDOWS = 16  # that are put together at once
MOST_NOISE_HOPS = 10  # of a block of which one mean of the probability of noise is taken
MIN_HELD_S = 4.0  # fewer samples of context and block than this: the block is not looked at
HORIZONTALS = [1, 2]

Window = tuple[npt.NDArray[np.floating], npt.NDArray[np.bool_]]  # samples and mask, (3, n_samples) each


@functools.cache
def _whole_mask(n_samples: int) -> npt.NDArray[np.float32]:
    """Mask of `MOST_WINDOWS` windows without a missing sample; all stations share it, read-only."""
    mask = np.ones((MOST_WINDOWS, 3, n_samples), dtype=np.float32)
    mask.flags.writeable = False
    return mask


@dataclass(frozen=True, slots=True)
class Block:
    """Output of the model for one block.

    first_hop: the first hop that the probabilities are for. known_hop: last hop of the samples that were used.
    probabilities: (block_hops, 5), None where too few samples exist. coverage: share of the samples of the block that
    exist, on the component that has most. meter: may be shared with other blocks of the same inference.
    """

    first_hop: int
    known_hop: int
    coverage: float
    probabilities: npt.NDArray[np.float32] | None
    meter: Meter


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples and mask, (3, n) each, from output `k0` on; whole: none is missing. other: those of a second sensor."""

    k0: int
    wave: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    whole: bool
    other: _Samples | None = None

    def are_whole(self, begin: int, end: int) -> bool:
        """True if no sample of [begin, end) is missing, apart from components of which all are."""
        if self.whole:
            return True
        if self.other is not None:
            return False
        valid = self.valid[:, begin:end]
        whole = valid.all(axis=1)
        return bool(whole.any() and (whole | ~valid.any(axis=1)).all())

    def chosen(self, begin: int, end: int, newest: int) -> npt.NDArray[np.bool_] | None:
        """(3,), True for the components of [begin, end) that are taken from the second sensor; None without one.

        A component is taken from the sensor with more samples among the last `newest`, then from the one with more in
        all, then from the first.
        """
        if self.other is None:
            return None
        first, second = self.valid[:, begin:end], self.other.valid[:, begin:end]
        late = second[:, -newest:].sum(axis=1) - first[:, -newest:].sum(axis=1)
        return np.asarray((late > 0) | ((late == 0) & (second.sum(axis=1) > first.sum(axis=1))))

    def window(
        self, begin: int, end: int, second: npt.NDArray[np.bool_] | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Samples and mask of [begin, end), of each component from one sensor alone; second: see `chosen`."""
        wave, valid = self.wave[:, begin:end], self.valid[:, begin:end]
        if self.other is None or second is None or not second.any():
            return wave, valid
        rows = second[:, None]
        return (
            np.where(rows, self.other.wave[:, begin:end], wave),
            np.where(rows, self.other.valid[:, begin:end], valid),
        )


def onset_scale(card: ModelCard) -> OnsetScale:
    """The scale of an onset detector. Raises CardError where the station cannot run its blocks."""
    scale = card.onset
    if scale is None:
        raise CardError(f"{card.name}: a model for the task '{card.task}', not an onset detector")
    if grid_of(card) != TRIGGER_GRID or card.unit != "counts" or round(scale.hop_s * TRIGGER_GRID.rate_hz) != HOP_N:
        raise CardError(
            f"{card.name}: an onset detector must take counts at {TRIGGER_GRID.rate_hz:g} Hz with a band up to "
            f"{TRIGGER_GRID.pass_hz:g} Hz, in hops of {HOP_N / TRIGGER_GRID.rate_hz:g} s; its card has {card.unit} at "
            f"{card.sampling_rate_hz:g} Hz, {card.band_hz[1]:g} Hz and {scale.hop_s:g} s"
        )
    return scale


def peaks(values: npt.NDArray[np.float32], threshold: float, *, armed: bool = True) -> tuple[list[int], bool]:
    """Hops with an onset, and whether the next one can be reported; values: (hops,). armed: the same before."""
    found: list[int] = []
    hop = 0
    while hop < len(values):
        rest = values[hop:]
        hits = np.flatnonzero(rest >= threshold if armed else rest < REARM_SHARE * threshold)
        if not len(hits):
            break
        hop += int(hits[0])
        if armed:
            end = hop + 1
            while end < min(len(values), hop + PEAK_HOPS) and values[end] >= threshold:
                end += 1
            found.append(hop + int(np.argmax(values[hop:end])))
            hop = end - 1
        armed = not armed
        hop += 1
    return found, armed


class OnsetDetector(Opener):
    """See the module. every_block: run the model on all blocks and keep them in `blocks`, without other onsets.

    on_block: called with the time in ns of the first hop and the probabilities of each block, as the model is run.
    """

    kind = "onset"

    def __init__(
        self, timeline: Timeline, engine: Engine, p_threshold: float | None = None, *, every_block: bool = False
    ) -> None:
        """p_threshold: instead of the card's. Raises CardError, see `onset_scale`."""
        super().__init__(timeline)
        self.engine = engine
        self.blocks: list[Block] = []
        self.runs = 0  # of the model
        self._noise: list[NoisePart] = []
        self.on_block: Callable[[int, npt.NDArray[np.float32]], None] | None = None
        self._every_block = every_block
        self._card, self._scale = engine.card, onset_scale(engine.card)
        self._thresholds = {P: p_threshold or self._scale.p_threshold, S: self._scale.s_threshold}
        self._block_hops = engine.card.output_shape[0]
        # parts of the same length, so that a mean over them is one over their hops
        self._noise_hops = max(n for n in range(1, MOST_NOISE_HOPS + 1) if self._block_hops % n == 0)
        self.noise_s = self._noise_hops * self._scale.hop_s
        self._delay_hops = round(self._scale.delay_s / self._scale.hop_s)
        # blocks that the gate looks back
        self._before = -(-max(self._delay_hops, self._block_hops) // self._block_hops)
        before = self._before * self._block_hops
        self._gate = Trigger(timeline, TriggerConfig(), align=self._block_hops, before=before)
        self._whole = _whole_mask(engine.card.n_samples)
        self._armed = {P: True, S: True}
        self._hold_hop = 0  # the gate is open for blocks that begin before it

    @property
    def scanned_hop(self) -> int | None:
        return self._gate.scanned_hop

    def scanned_to(self, hop: int) -> bool:
        # the `hop` of an onset is the last one of its block: one that ends later has no onset of this hop
        return self.scanned_hop is not None and (hop + 1) // self._block_hops * self._block_hops <= self.scanned_hop

    def state(self) -> OpenerState:
        return OpenerState(self.scanned_hop, self._armed[P], self._armed[S], self._hold_hop)

    def restore(self, state: OpenerState) -> None:
        self._gate.restore(OpenerState(state.scanned_hop, True))
        self._armed, self._hold_hop = {P: state.armed, S: state.s_armed}, state.hold_hop

    def recompute(self) -> None:
        self._gate.recompute()

    @property
    def needed_ns(self) -> int | None:
        gate_ns = self._gate.needed_ns
        if gate_ns is None or self.scanned_hop is None:
            return None
        block_k = self.scanned_hop * HOP_N
        window_k = block_k + self._block_hops * HOP_N - self._card.n_samples
        pick_k = block_k - self._delay_hops * HOP_N - self._samples(picking.BEFORE_S)
        return min(gate_ns, self.timeline.time_of(min(window_k, pick_k)))

    @property
    def earliest_ns(self) -> int | None:
        if self.scanned_hop is None:
            return None
        return self.time_of_hop(self.scanned_hop - self._delay_hops) - ns_from_s(picking.SEARCH_S)

    @property
    def reach_s(self) -> float:
        return self._card.window_s + self._scale.delay_s + picking.SEARCH_S

    def span_of(self, hop0: int, hop1: int) -> tuple[int, int]:
        n = self._block_hops
        first = hop0 // n * n
        end = max((hop1 + 1) // n * n, first + n)
        return (first + n) * HOP_N - self._card.n_samples, end * HOP_N

    def would_fire(self, sensors: list[Samples]) -> bool:
        pieces = [_Samples(0, wave.astype(np.float32), valid, whole=False) for wave, valid in sensors]
        samples = dataclasses.replace(pieces[0], other=pieces[1] if len(pieces) > 1 else None)
        n, block_n = self._card.n_samples, self._block_hops * HOP_N
        for begin in range(0, samples.wave.shape[1] - n + 1, block_n):
            window = samples.window(begin, begin + n, samples.chosen(begin, begin + n, block_n))
            (probabilities,) = self._run([window], [Meter()], whole=False)
            if probabilities is not None and float(probabilities[:, P].max()) >= self._thresholds[P]:
                return True
        return False

    def scan(self) -> list[Onset]:
        ratios = self._gate.advance()
        if ratios is None:
            return []
        if ratios.restarted:
            self._armed, self._hold_hop = {P: True, S: True}, 0
        n = self._block_hops
        passes = self._passes(ratios)
        if not self._every_block and ratios.first >= self._hold_hop and not any(passes):  # the usual case
            self._armed = {P: True, S: True}
            return []
        hops = [ratios.first + index * n for index in range(len(passes))]
        blocks: dict[int, Block | None] = {}
        onsets: list[Onset] = []
        for index, hop in enumerate(hops):
            looked_at = passes[index] or hop < self._hold_hop
            if (looked_at or self._every_block) and hop not in blocks:
                due = [
                    later
                    for later, passed in zip(hops[index:], passes[index:], strict=True)
                    if later not in blocks and (passed or later < self._hold_hop or self._every_block)
                ]
                blocks |= self._blocks(due, self._samples_for(due))
            block = blocks.pop(hop, None)
            if block is not None and self._every_block:
                self.blocks.append(block)
            if block is not None and block.probabilities is not None and self.on_block is not None:
                self.on_block(self.time_of_hop(block.first_hop), block.probabilities)
            if looked_at and block is not None and block.probabilities is not None:
                onsets += self._onsets(block, ratios)
                self._noise += self._noise_in(block, block.probabilities)
            else:
                self._armed = {P: True, S: True}
        return onsets

    def noise(self) -> list[NoisePart]:
        noise, self._noise = self._noise, []
        return noise

    def _noise_in(self, block: Block, probabilities: npt.NDArray[np.float32]) -> Iterator[NoisePart]:
        """The hops are added one after the other, so that a block has the same bits in a batch as alone."""
        hops: list[float] = probabilities[:, NOISE_COLUMN].tolist()
        n = self._noise_hops
        for first in range(0, len(hops), n):
            mean = round(sum(hops[first : first + n]) / n, DECIMALS)
            yield NoisePart(self.time_of_hop(block.first_hop + first), block.known_hop, mean)

    def _passes(self, ratios: Ratios) -> list[bool]:
        """For each new block whether the gate is open by the ratio."""
        n = self._block_hops
        back = self._delay_hops - min(RISE_HOPS, self._delay_hops)  # hops before the block that count
        width = n + back
        begin = self._before * n - back
        by_block = np.lib.stride_tricks.sliding_window_view(ratios.best[begin:], width)[::n]
        passed: list[bool] = (by_block.max(axis=1) >= self._scale.gate_ratio).tolist()
        return passed

    def _samples_for(self, hops: list[int]) -> _Samples:
        """The samples of the blocks that begin at `hops` with their context."""
        spans: list[tuple[int, int]] = []
        for hop in hops:
            end = (hop + self._block_hops) * HOP_N
            begin = end - self._card.n_samples
            if spans and begin <= spans[-1][1]:
                begin = spans.pop()[0]
            spans.append((begin, end))
        return self._samples_of(spans[0][0], spans[-1][1], spans)

    def _samples_of(self, k0: int, k1: int, spans: list[tuple[int, int]] | None = None) -> _Samples:
        """The samples of the outputs [k0, k1), of each sensor apart: where they are joined may be a step.

        spans: those that are used, if not all.
        """
        timeline = self.timeline
        wave, valid = timeline.first(k0, k1, spans=spans)
        if timeline.has_second:
            valid &= ~timeline.dead(k0, k1)
        whole = all(bool(valid[:, low - k0 : high - k0].all()) for low, high in spans or [(k0, k1)])
        other = None if whole or not timeline.has_second else _Samples(k0, *timeline.second(k0, k1), whole=False)
        return _Samples(k0, wave, valid, whole, other)

    def _blocks(self, hops: list[int], samples: _Samples) -> dict[int, Block | None]:
        """The blocks that begin at `hops`, by their hop; None for one without a sample in it."""
        block_n = self._block_hops * HOP_N
        blocks: dict[int, Block | None] = {}
        windows: list[tuple[int, float, Window]] = []  # of the blocks to run: hop, coverage, samples
        for hop in self._in_runs(hops, samples, blocks):
            end = hop * HOP_N + block_n - samples.k0
            begin = end - self._card.n_samples
            coverage = 1.0
            wave, valid = samples.window(begin, end, samples.chosen(begin, end, block_n))
            if not samples.whole:
                coverage = float(valid[:, -block_n:].sum(axis=1).max()) / block_n
                if coverage < self._card.min_coverage or valid.sum(axis=1).max() < self._samples(MIN_HELD_S):
                    blocks[hop] = self._block(hop, coverage, None, Meter()) if coverage else None
                    continue
            windows.append((hop, coverage, (wave, valid)))
        for first in range(0, len(windows), MOST_WINDOWS):
            part = windows[first : first + MOST_WINDOWS]
            meters = [Meter() for _ in part]
            found = self._run([window for _, _, window in part], meters, whole=samples.whole)
            for (hop, coverage, _), probabilities, meter in zip(part, found, meters, strict=True):
                blocks[hop] = self._block(hop, coverage, probabilities, meter)
        return blocks

    def _in_runs(self, hops: list[int], samples: _Samples, blocks: dict[int, Block | None]) -> list[int]:
        """Run consecutive blocks together, and put them into `blocks`; returns the hops of the others."""
        lengths, n = self.engine.run_lengths if len(hops) > 1 else (), self._block_hops
        rest: list[int] = []
        first = 0
        while first < len(hops):
            left = len(hops) - first
            length = next((k for k in lengths if k <= left and hops[first + k - 1] == hops[first] + (k - 1) * n), 0)
            end = (hops[first] + length * n) * HOP_N - samples.k0
            begin = hops[first] * HOP_N + n * HOP_N - samples.k0 - self._card.n_samples
            if not length or not samples.are_whole(begin, end):
                rest.append(hops[first])
                first += 1
                continue
            valid = samples.valid[None, :, begin:end].astype(np.float32)
            outputs, meter = infer_run(self.engine, np.ascontiguousarray(samples.wave[None, :, begin:end]), valid)
            self.runs += length
            usable = are_probabilities(outputs)
            for hop, output in zip(hops[first : first + length], outputs, strict=True):
                blocks[hop] = self._block(hop, 1.0, output if usable or are_probabilities(output) else None, meter)
            first += length
        return rest

    def _block(self, hop: int, coverage: float, probabilities: npt.NDArray[np.float32] | None, meter: Meter) -> Block:
        known = hop + self._block_hops - 1
        return Block(hop - self._delay_hops, known, round(coverage, DECIMALS), probabilities, meter)

    def _run(self, windows: list[Window], meters: list[Meter], *, whole: bool) -> list[npt.NDArray[np.float32] | None]:
        """Outputs of the model, (block_hops, 5), for windows; None: no probabilities. whole: no sample is missing."""
        waveform = np.empty((len(windows), 3, self._card.n_samples), dtype=np.float32)
        mask = self._whole[: len(windows)] if whole else np.empty_like(waveform)
        for row, (wave, valid) in enumerate(windows):
            if not whole:
                if not valid.all():
                    valid = valid.copy()
                    for component in valid:
                        drop_islands(component, TRIGGER_GRID.rate_hz)
                    wave = np.where(valid, wave, 0.0)
                mask[row] = valid
            waveform[row] = wave
        self.runs += len(windows)
        outputs = infer_windows(self.engine, waveform, mask, meters)
        if are_probabilities(outputs):
            return list(outputs)
        return [output if are_probabilities(output) else None for output in outputs]

    def _onsets(self, block: Block, ratios: Ratios) -> list[Onset]:
        """P and S onsets of a block, in order of time; moves the thresholds' state to its end."""
        assert block.probabilities is not None
        found: list[Onset] = []
        for label, phase in ((P, "P"), (S, "S")):
            values = block.probabilities[:, label]
            hops, self._armed[label] = peaks(values, self._thresholds[label], armed=self._armed[label])
            for hop in hops:
                found.append(self._onset(block, hop, "P" if phase == "P" else "S", float(values[hop]), ratios))
                if label == P:
                    hold = block.known_hop + round(HOLD_S / self._scale.hop_s)
                    self._hold_hop = max(self._hold_hop, hold)
        return sorted(found, key=lambda onset: onset.time_ns)

    def _onset(self, block: Block, hop: int, phase: Phase, probability: float, ratios: Ratios) -> Onset:
        """The onset in hop number `hop` of a block."""
        hop_k = (block.first_hop + hop) * HOP_N
        k0 = hop_k - self._samples(picking.BEFORE_S)
        k1 = min(hop_k + self._samples(picking.AFTER_S), (block.known_hop + 1) * HOP_N + HALF_TAPS)
        end_k = (block.known_hop + 1) * HOP_N
        begin_k = min(k0, end_k - self._card.n_samples)
        samples = self._samples_of(begin_k, k1)
        second = samples.chosen(end_k - self._card.n_samples - begin_k, end_k - begin_k, self._block_hops * HOP_N)
        wave, valid = samples.window(k0 - begin_k, k1 - begin_k, second)  # of the sensor that the block was read from
        whole = [bool(row.all()) for row in valid]
        preferred, others = ([0], HORIZONTALS) if phase == "P" else (HORIZONTALS, [0])
        rows = [row for row in preferred if whole[row]] or [row for row in others if whole[row]]
        time_ns, uncertainty_s = self.timeline.time_of(hop_k), self._scale.tolerance_s
        picked = picking.pick(wave[rows], hop_k - k0 + HOP_N // 2, TRIGGER_GRID.rate_hz) if rows else None
        if picked is not None:
            time_ns, uncertainty_s = self.timeline.time_of(k0 + picked.offset), picked.uncertainty_s
        rows = rows or [int(np.argmax(valid.sum(axis=1)))]
        loudest = rows[int(np.argmax([np.abs(np.diff(wave[row])).max(initial=0.0) for row in rows]))]
        end = block.known_hop + 1 - ratios.first + self._before * self._block_hops
        newest = ratios.best[end - (self._before + 1) * self._block_hops : end]
        return Onset(
            time_ns,
            block.known_hop,
            round(float(newest.max()), 2),
            phase,
            round(probability, DECIMALS),
            round(uncertainty_s, 3),
            "ZNE"[loudest],
        )

    def _samples(self, seconds: float) -> int:
        return round(seconds * TRIGGER_GRID.rate_hz)

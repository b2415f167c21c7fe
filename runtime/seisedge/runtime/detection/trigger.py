"""Trigger: onsets by the ratio of a short to a long average (STA/LTA).

The short average is the square root of the mean energy; the long one is the mean of the amplitudes of the hops. An
earlier event raises a mean amplitude less than a mean energy, so that in a swarm the next onset is still detected.

The trigger works on hops of 0.1 s of the sample clock. The energy of a hop, the averages over hops, and so each onset
depend only on a fixed number of samples before it (apart from the re-arming), not on how the packets were cut.
The filter has zero phase: its ringing may put a very strong onset up to 0.3 s early.
The vertical component is used; where it has been missing for 3 s, the horizontal with the larger ratio. The energies of
a second sensor, filtered by itself, are used for the hops that the first one has not, or in which it is dead.

The defaults were chosen on the Ridgecrest recording before 08:16 UTC on 2019-07-07; see docs/detection.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.opener import HOP_N, TRIGGER_GRID, Float, Kind, Onset, Opener, OpenerState, Samples
from seisedge.runtime.timeline.timeline import Timeline

HALF_TAPS = 20  # reach of the high-pass to either side, 0.5 s
AT_ONCE_N = 1000 * HOP_N  # samples filtered at once, 100 s: bounds the memory of long steps
MIN_SHARE = 0.5  # smallest share of the samples of an average that must exist
ONSET_AMPLITUDE_RATIO = (
    2.0  # hops before the trigger belong to the onset while their amplitude is this many times the long average
)
ONSET_SEARCH_HOPS = 8
LOST_HOPS = 30  # after so long without a usable vertical the horizontals are used; the filters add 1.5 s to a gap


@dataclass(frozen=True, slots=True)
class Ratios:
    """The hops of one scan, from `first` on; (rows, hops) arrays that end with the newest hop.

    ratio, average: as `Trigger._ratios`, of the new hops and of those before them that were requested.
    best, row: (hops,), ratio of the row that counts, and its index: the vertical, or, after `LOST_HOPS` without it, the
    larger horizontal.
    restarted: the hops before `first` were skipped, because the timeline begins there.
    """

    first: int
    restarted: bool
    ratio: Float
    average: Float
    energy: Float
    count: Float
    best: Float
    row: npt.NDArray[np.int64]


def _highpass_taps(highpass_hz: float, rate_hz: float) -> Float:
    n = np.arange(-HALF_TAPS, HALF_TAPS + 1)
    low = np.sinc(2 * highpass_hz / rate_hz * n) * np.hamming(2 * HALF_TAPS + 1)
    taps = -low / low.sum()
    taps[HALF_TAPS] += 1.0
    return np.asarray(taps, dtype=np.float64)


def _moving_sum(x: Float, width: int) -> Float:
    """Sums over `width` values: (…, n) → (…, n - width + 1).

    The values are added in a fixed order, by doubling: unlike a running sum it carries no rounding errors along.
    """
    total: Float | None = None
    partial, size, offset = x, 1, 0
    n = x.shape[-1] - width + 1
    rest = width
    while rest:
        if rest & 1:
            piece = partial[..., offset : offset + n]
            total = piece.copy() if total is None else total + piece
            offset += size
        rest >>= 1
        if rest:
            partial = partial[..., :-size] + partial[..., size:]
            size *= 2
    assert total is not None
    return total


class Trigger(Opener):
    """Scans a timeline for onsets; `scanned_hop` is the first hop that is not yet scanned."""

    kind: Kind = "sta_lta"

    def __init__(self, timeline: Timeline, settings: TriggerConfig, *, align: int = 1, before: int = 0) -> None:
        """align: hops in whole groups of this many, see `advance`. before: hops before the new ones in `Ratios`."""
        super().__init__(timeline)
        self.settings = settings
        self._scanned_hop: int | None = None
        self._align, self._before = align, before
        self._taps = _highpass_taps(settings.highpass_hz, TRIGGER_GRID.rate_hz)
        self._sta = round(settings.sta_s * TRIGGER_GRID.rate_hz / HOP_N)
        self._lta = round(settings.lta_s * TRIGGER_GRID.rate_hz / HOP_N)
        self._history_hops = self._lta + ONSET_SEARCH_HOPS + before
        self._armed = True
        # of the vertical, for the last `_history_hops` before `scanned_hop`
        self._energy: Float = np.zeros((1, 0))
        self._count: Float = np.zeros((1, 0))
        self._has_history = True  # False after `restore`: the energies are then computed again

    @property
    def scanned_hop(self) -> int | None:
        return self._scanned_hop

    def scanned_to(self, hop: int) -> bool:
        return self._scanned_hop is not None and hop < self._scanned_hop

    def state(self) -> OpenerState:
        return OpenerState(self._scanned_hop, self._armed)

    def restore(self, state: OpenerState) -> None:
        self._scanned_hop, self._armed, self._has_history = state.scanned_hop, state.armed, state.scanned_hop is None

    def recompute(self) -> None:
        """Compute the energies of the earlier hops again at the next scan: the scale of the samples has changed."""
        self._has_history = self.scanned_hop is None

    @property
    def needed_ns(self) -> int | None:
        if self._scanned_hop is None:
            return None
        return self.timeline.time_of((self._scanned_hop - self._history_hops) * HOP_N - HALF_TAPS)

    @property
    def earliest_ns(self) -> int | None:
        if self._scanned_hop is None:
            return None
        return self.time_of_hop(self._scanned_hop - ONSET_SEARCH_HOPS - 1)

    def span_of(self, hop0: int, hop1: int) -> tuple[int, int]:
        return (hop0 - self._lta + 1) * HOP_N - HALF_TAPS, (hop1 + 1) * HOP_N + HALF_TAPS

    def would_fire(self, sensors: list[Samples]) -> bool:
        wave, valid = sensors[0]
        for other, exists in sensors[1:]:
            wave, valid = np.where(~valid & exists, other, wave), valid | exists
        n = wave.shape[1]
        rows = [0] if valid[0, n // 2 :].any() else [1, 2]
        return any(self.reaches(wave[row], valid[row]) for row in rows)

    def reaches(self, wave: Float, valid: npt.NDArray[np.bool_]) -> bool:
        """True if a component, (n,) samples and mask of a `span_of`, reaches `on_ratio`."""
        energy, count = self._energies_of(wave[None], valid[None])
        ratio, _ = self._ratios(energy, count, energy.shape[1] - self._lta + 1)
        return bool((ratio >= self.settings.on_ratio).any())

    @property
    def reach_s(self) -> float:
        return (self._lta * HOP_N + HALF_TAPS) / TRIGGER_GRID.rate_hz

    def scan(self) -> list[Onset]:
        ratios = self.advance()
        return [] if ratios is None else self._onsets(ratios)

    def advance(self) -> Ratios | None:
        """The ratios of the hops that became ready since the last call, in whole groups of `align`; None if none."""
        align = self._align
        ready_hop = (self.timeline.ready_k - HALF_TAPS) // HOP_N // align * align
        if self._scanned_hop is None:
            if self.timeline.ready_k <= self.timeline.oldest_k:
                return None
            self._scanned_hop = 0
        oldest_hop = -(-(self.timeline.oldest_k + HALF_TAPS) // (HOP_N * align)) * align
        restarted = oldest_hop > self._scanned_hop
        if restarted:  # the timeline was restarted after a long gap
            self._scanned_hop, self._armed = oldest_hop, True
            self._energy, self._count = np.zeros((1, 0)), np.zeros((1, 0))
            self._has_history = True
        first = self._scanned_hop
        if ready_hop <= first:
            return None
        if not self._has_history:
            self._energy, self._count = self._energies([0], first - self._history_hops, first)
            self._has_history = True
        new = ready_hop - first
        energy, count = self._energies([0], first, ready_hop)
        energy = np.concatenate([self._energy, energy], axis=1)
        count = np.concatenate([self._count, count], axis=1)
        missing = max(self._history_hops + new - energy.shape[1], 0)  # the start of the data
        if missing:
            energy, count = (np.pad(x, ((0, 0), (missing, 0))) for x in (energy, count))
        self._energy, self._count = energy[:, -self._history_hops :], count[:, -self._history_hops :]
        wanted = new + self._before
        lost = _moving_sum(count[0, count.shape[1] - wanted - LOST_HOPS + 1 :], LOST_HOPS) == 0
        if lost.any():
            across = self._energies([1, 2], ready_hop - energy.shape[1], ready_hop)
            energy, count = np.concatenate([energy, across[0]]), np.concatenate([count, across[1]])
        ratio, average = self._ratios(energy, count, wanted)
        columns = np.arange(wanted)
        row = (
            np.where(lost, 1 + np.argmax(ratio[1:], axis=0), 0) if len(ratio) > 1 else np.zeros(wanted, dtype=np.int64)
        )
        self._scanned_hop = ready_hop
        return Ratios(first, restarted, ratio, average, energy, count, ratio[row, columns], row)

    def _energies(self, rows: list[int], hop0: int, hop1: int) -> tuple[Float, Float]:
        """Energy and number of valid samples of the high-passed hops [hop0, hop1): (len(rows), hops) each."""
        timeline, k0, k1 = self.timeline, hop0 * HOP_N - HALF_TAPS, hop1 * HOP_N + HALF_TAPS
        wave, valid = timeline.first(k0, k1, rows)
        if not timeline.has_second:
            return self._energies_of(wave[rows].astype(np.float64), valid[rows])
        valid &= ~timeline.dead(k0, k1)
        energy, count = self._energies_of(wave[rows].astype(np.float64), valid[rows])
        wave, valid = timeline.second(k0, k1)
        other, exists = self._energies_of(wave[rows].astype(np.float64), valid[rows])
        more = exists > count
        return np.where(more, other, energy), np.where(more, exists, count)

    def _energies_of(self, x: Float, exists: npt.NDArray[np.bool_]) -> tuple[Float, Float]:
        """As `_energies`, from samples (rows, n) that extend `HALF_TAPS` beyond the hops on either side."""
        rows, n, taps = len(x), x.shape[1] - 2 * HALF_TAPS, len(self._taps)
        high = np.empty((rows, n))
        for of_row, samples in zip(high, np.ascontiguousarray(x), strict=True):
            for begin in range(0, n, AT_ONCE_N):
                part = of_row[begin : begin + AT_ONCE_N]
                under = np.ndarray((taps, len(part)), np.float64, samples, begin * x.itemsize, (x.itemsize, x.itemsize))
                products = np.empty(under.shape)  # by rows in memory, so that numpy adds in the order of the taps
                np.multiply(under, self._taps[:, None], out=products)
                np.add.reduce(products, axis=0, out=part)
        whole = np.ones((rows, n), dtype=bool)
        if not exists.all():
            gone = np.cumsum(~exists, axis=1)
            whole = gone[:, taps - 1 :] == np.concatenate([np.zeros((rows, 1), gone.dtype), gone[:, : n - 1]], axis=1)
        squares = np.where(whole, high * high, 0.0).reshape(rows, -1, HOP_N)
        energy = (squares[..., 0] + squares[..., 1]) + (squares[..., 2] + squares[..., 3])
        by_hop = whole.view(np.int8).reshape(rows, -1, HOP_N)
        count = (by_hop[..., 0] + by_hop[..., 1] + by_hop[..., 2] + by_hop[..., 3]).astype(np.float64)
        return energy, count

    def _ratios(self, energy: Float, count: Float, hops: int) -> tuple[Float, Float]:
        """(rows, hops) each: ratio (0 where too many samples are missing) and the long average of the amplitude."""
        # energy ends with the newest hop; the long window of the first new hop starts `lta - 1` hops before it
        amplitude = np.sqrt(np.divide(energy, count, out=np.zeros_like(energy), where=count > 0))
        tail = slice(energy.shape[1] - hops - self._lta + 1, None)
        long_count = _moving_sum(count[:, tail], self._lta)
        long_amplitude = _moving_sum(amplitude[:, tail] * count[:, tail], self._lta) / np.maximum(long_count, 1)
        short = slice(energy.shape[1] - hops - self._sta + 1, None)
        short_count = _moving_sum(count[:, short], self._sta)
        short_energy = _moving_sum(energy[:, short], self._sta) / np.maximum(short_count, 1)
        enough = (long_count >= MIN_SHARE * self._lta * HOP_N) & (short_count >= MIN_SHARE * self._sta * HOP_N)
        average = np.where(enough, long_amplitude, 0.0)
        ratio = np.divide(np.sqrt(short_energy), average, out=np.zeros_like(average), where=average > 0)
        return ratio, average

    def _onsets(self, ratios: Ratios) -> list[Onset]:
        best = ratios.best
        found: list[Onset] = []
        column = 0
        while column < len(best):
            over = best[column:] >= self.settings.on_ratio if self._armed else best[column:] < self.settings.off_ratio
            hits = np.flatnonzero(over)
            if not len(hits):
                break
            column += int(hits[0])
            if self._armed:
                found.append(self._onset(column, ratios))
            self._armed = not self._armed
            column += 1
        return found

    def _onset(self, column: int, ratios: Ratios) -> Onset:
        """Walk back from the hop that triggered to the hop where the amplitude rose above the long average."""
        row, energy, count, average = ratios.row[column], ratios.energy, ratios.count, ratios.average
        newest = energy.shape[1] - average.shape[1] + column
        threshold = (ONSET_AMPLITUDE_RATIO * average[row, column]) ** 2
        back = 0
        while (
            back < ONSET_SEARCH_HOPS
            and count[row, newest - back] > 0
            and energy[row, newest - back] / count[row, newest - back] >= threshold
        ):
            back += 1
        hop = ratios.first + column
        begin = hop - max(back - 1, 0)
        return Onset(self.timeline.time_of(begin * HOP_N), hop, round(float(ratios.best[column]), 2))

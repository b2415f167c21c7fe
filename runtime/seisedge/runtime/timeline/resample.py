"""Resampling to the clock of a model by a windowed-sinc kernel of finite length; each output is independent.

Outputs lie on the absolute grid `k / rate_out_hz` seconds since 1970, so that all components of a station are on one
clock whatever the phase of their digitizers. An output is a sum over the taps of the kernel in a fixed order: its bits
depend only on the samples under the kernel, not on when or with how many others it is computed. Training resamples
with the same code, so that a network receives at the station what it was trained on.

An output lies between two inputs, at a phase. Simple ratios of the rates have few phases: 2 for 100 Hz to 40 Hz, whose
kernels are exact. Others, such as 99.9999 Hz, have up to millions: their kernels are computed for phases that are
`PHASE_STEP_S` apart (up to three times that for the longest kernels), and an output takes the nearest one. Its time is
off by up to half of that, 2 to 8 microseconds, and a sine of 15 Hz by up to 0.02 to 0.08 % of its amplitude. So the
memory of a kernel is bounded whatever the rate.

Acceleration is integrated to velocity by the same sum, with the kernel of the resampler integrated over time and a
high-pass of finite length in it: k(t) = L(t) - 2 P(t) + Q(t), t the age of a sample, L the running integral of the
windowed sinc, P that of a Kaiser window g of `SMOOTHING_S`, and Q that of g convolved with itself. The transfer
function is (1 - G)**2 / (i 2 pi f) times the low-pass. From `INTEGRATED_FROM_HZ` up to the pass band's edge it is that
of an integration within 2 % in amplitude and 1 degree in phase, without a delay. An offset of the acceleration gives 0,
a linear drift a constant. The kernel ends after `2 * SMOOTHING_S`: so long behind a gap, plus the half length of the
windowed sinc, outputs are masked.
"""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import MIN_TRANSITION_HZ, TRANSITION_SHARE, highest_pass_hz
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.timeline.masks import runs

ATTENUATION_DB = 60.0
ROWS_AT_ONCE = 4096  # outputs per phase that are computed at once; limits the memory for a long record
FEW_PHASES = 16  # of the outputs relative to the inputs, up to which those of one phase are computed together
MAX_EXACT = 1 << 17  # values of a kernel for all phases, 1 MB; with more, phases are rounded
MAX_ROUNDED = 1 << 19  # values of a kernel for rounded phases, 4 MB
PHASE_STEP_S = 4e-6
MAX_PRODUCTS = 1 << 19  # values that are multiplied at once, 4 MB
MAX_RATE_IN_HZ = 20_000.0  # of a channel: the kernel then has tens of thousands of taps
MANY_ROWS = 2048  # outputs per phase from which on another layout of the inputs is faster
MAX_RATE_DENOMINATOR = 10_000

SMOOTHING_S = 3.0  # length of the window of the high-pass of an integration
SMOOTHING_BETA = 5.65  # its Kaiser parameter: side lobes of 0.8 %
INTEGRATED_FROM_HZ = 0.75  # the main lobe of that window ends below
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(6)  # between two taps: the kernel is smooth there
FINE_STEPS = 3000  # of the window of the high-pass, 1 ms each

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def stop_hz(pass_hz: float, rate_out_hz: float) -> float:
    """Start of the stop band: four fifths of the way from the pass band's edge to the output's Nyquist."""
    return pass_hz + TRANSITION_SHARE * (rate_out_hz / 2 - pass_hz)


def transition_hz(rate_in_hz: float, pass_hz: float, rate_out_hz: float) -> float:
    """Width of the band between the pass and the stop band; not positive where the pass band is not contained."""
    stop = min(stop_hz(pass_hz, rate_out_hz), rate_in_hz - pass_hz)  # nor images of a channel with a lower rate
    return stop - pass_hz


def reaches_band(rate_in_hz: float, pass_hz: float) -> bool:
    """True if the Nyquist frequency of a channel lies above the pass band, with room for a filter."""
    return rate_in_hz - 2 * pass_hz >= MIN_TRANSITION_HZ


@dataclass(frozen=True, slots=True)
class _Design:
    """A Kaiser-windowed sinc, or its integral over time. half_s: half the length of the windowed sinc."""

    rate_in_hz: float
    pass_hz: float
    transition_hz: float
    integrates: bool

    @property
    def half_s(self) -> float:
        return (ATTENUATION_DB - 7.95) / (2 * 14.36 * self.transition_hz)

    @property
    def half(self) -> int:
        """Number of taps of the windowed sinc on either side of an output."""
        return math.ceil(self.half_s * self.rate_in_hz)

    @property
    def before(self) -> int:
        """Number of taps at or before an output; `half` lie behind it."""
        return self.half + (math.ceil(2 * SMOOTHING_S * self.rate_in_hz) if self.integrates else 0)

    @property
    def reach_s(self) -> float:
        """Length of the samples before an output that it depends on."""
        return self.half_s + (2 * SMOOTHING_S if self.integrates else 0.0)

    def kernel(self, fraction: Float) -> Float:
        """(n, before + half), for outputs that lie by `fraction` (n,) of a sample after an input."""
        kernel = np.empty((len(fraction), self.before + self.half))
        rows = self._integrated_rows if self.integrates else self._rows
        at_once = max(MAX_EXACT // (8 * kernel.shape[1]), 1)
        for start in range(0, len(fraction), at_once):
            kernel[start : start + at_once] = rows(fraction[start : start + at_once])
        return kernel

    def _rows(self, fraction: Float) -> Float:
        half = self.half
        tap = np.arange(1 - half, half + 1)
        tau_s = (tap[None, :] - fraction[:, None]) / self.rate_in_hz
        kernel = self._windowed_sinc(tau_s)
        return np.asarray(kernel / kernel.sum(axis=1, keepdims=True))

    def _windowed_sinc(self, tau_s: Float) -> Float:
        half_s, cutoff_hz = self.half / self.rate_in_hz, self.pass_hz + self.transition_hz / 2
        beta = 0.1102 * (ATTENUATION_DB - 8.7)
        inside = np.clip(1 - (tau_s / half_s) ** 2, 0, None)
        return np.asarray(np.sinc(2 * cutoff_hz * tau_s) * np.i0(beta * np.sqrt(inside)))

    def _integrated_rows(self, fraction: Float) -> Float:
        """Seconds times the weight of each tap: acceleration in, velocity out."""
        half, rate_hz = self.half, self.rate_in_hz
        age_s = (fraction[:, None] - np.arange(1 - self.before, half + 1)[None, :]) / rate_hz
        # the windowed sinc from one tap to the next, by Gauss-Legendre; it is even, so its sign does not matter
        edges_s = np.concatenate([age_s[:, -2 * half - 1 :], age_s[:, -1:] - 1 / rate_hz], axis=1)
        edges_s = np.clip(edges_s, -half / rate_hz, half / rate_hz)
        middle, width = (edges_s[:, :-1] + edges_s[:, 1:]) / 2, edges_s[:, :-1] - edges_s[:, 1:]
        parts = np.zeros(age_s.shape)
        for node, weight in zip(NODES, NODE_WEIGHTS, strict=True):
            parts[:, -2 * half - 1 :] += weight / 2 * width * self._windowed_sinc(middle + node * width / 2)
        risen = np.cumsum(parts[:, ::-1], axis=1)[:, ::-1]  # from the newest tap to each one
        once_s, once, twice_s, twice = _smoothing()
        kernel = risen / parts.sum(axis=1, keepdims=True)
        kernel += np.interp(age_s, twice_s, twice) - 2 * np.interp(age_s, once_s, once)
        kernel[age_s >= 2 * SMOOTHING_S] = 0.0
        # an offset gives exactly 0: what is left of the sum is spread over the memory
        spread = np.interp(age_s, twice_s[:-1], np.diff(twice))
        kernel -= kernel.sum(axis=1, keepdims=True) / spread.sum(axis=1, keepdims=True) * spread
        return np.asarray(kernel / rate_hz)


@functools.lru_cache(maxsize=1)
def _smoothing() -> tuple[Float, Float, Float, Float]:
    """Running integrals of the smoothing window, and of it convolved with itself: ages in seconds, and values."""
    window: Float = np.kaiser(FINE_STEPS + 1, SMOOTHING_BETA)
    window /= window.sum()
    both: Float = np.convolve(window, window)
    step_s = SMOOTHING_S / FINE_STEPS
    once: Float = np.concatenate([[0.0], np.cumsum(window)])
    twice: Float = np.concatenate([[0.0], np.cumsum(both)])
    ages_once, ages_twice = (np.asarray((np.arange(len(x)) - 0.5) * step_s, np.float64) for x in (once, twice))
    return ages_once, once, ages_twice, twice


@functools.lru_cache(maxsize=8)
def _rounded_kernel(design: _Design, steps: int) -> Float:
    """Kernels of the phases 0, 1 / steps … 1; the same for every clock of a segment."""
    return design.kernel(np.arange(steps + 1) / steps)


class Resampler:
    """From samples at `anchor_ns + n / rate_in_hz` to samples at `k / rate_out_hz` since the epoch.

    pass_hz: amplitudes are kept (within 0.2 %) up to here; from `stop_hz(...)` on they are attenuated by 60 dB.
    integrates: inputs are accelerations, in counts, and outputs velocities, in count seconds.
    reach_s: length of the inputs before an output that it depends on.

    Raises ValueError if `pass_hz` is not below the Nyquist frequencies of the input and of the output by enough for a
    kernel of bounded length, or if the input rate is not below `MAX_RATE_IN_HZ`.
    """

    def __init__(
        self, rate_in_hz: float, rate_out_hz: float, pass_hz: float, anchor_ns: int, *, integrates: bool = False
    ) -> None:
        if rate_in_hz > MAX_RATE_IN_HZ:
            raise ValueError(f"a channel must have at most {MAX_RATE_IN_HZ:g} Hz; got {rate_in_hz:g} Hz")
        if not reaches_band(rate_in_hz, pass_hz):
            raise ValueError(f"a channel of {rate_in_hz:g} Hz does not contain the pass band up to {pass_hz:g} Hz")
        if pass_hz > highest_pass_hz(rate_out_hz):
            raise ValueError(
                f"the pass band must end at {highest_pass_hz(rate_out_hz):g} Hz or below at an output rate of "
                f"{rate_out_hz:g} Hz; got {pass_hz:g} Hz"
            )
        self.rate_in = Fraction(rate_in_hz).limit_denominator(MAX_RATE_DENOMINATOR)
        self.rate_out = Fraction(rate_out_hz).limit_denominator(MAX_RATE_DENOMINATOR)
        self.anchor_ns = anchor_ns
        self.integrates = integrates
        step = self.rate_in / self.rate_out
        self._advance, self._phases = step.numerator, step.denominator  # numbers of inputs and outputs in one period
        width_hz = transition_hz(rate_in_hz, pass_hz, rate_out_hz)
        self._design = design = _Design(rate_in_hz, pass_hz, width_hz, integrates)
        self.reach_s, self._before, self._after = design.reach_s, design.before, design.half
        taps = self._before + self._after
        # output k lies at (k * scale - shift) / unit on the input's sample axis, in exact integers
        begin = Fraction(anchor_ns, NS_PER_S) * self.rate_in
        self._unit = math.lcm(step.denominator, begin.denominator)
        self._scale = step.numerator * (self._unit // step.denominator)
        self._shift = begin.numerator * (self._unit // begin.denominator)
        self._steps = 0  # number of the phases that phases are rounded to; 0: each phase has its own kernel
        if self._phases > FEW_PHASES and self._phases * taps > MAX_EXACT:
            self._steps = max(min(math.ceil(1 / (PHASE_STEP_S * rate_in_hz)), MAX_ROUNDED // taps), 1)
            return
        first = [divmod(phase * self._scale - self._shift, self._unit) for phase in range(self._phases)]
        self._floor = np.array([whole for whole, _ in first], dtype=np.int64)
        self._fraction = np.array([rest / self._unit for _, rest in first])

    @functools.cached_property
    def _kernel(self) -> Float:
        """Computed when it is first used: a segment that is shorter than the kernel needs none."""
        return _rounded_kernel(self._design, self._steps) if self._steps else self._design.kernel(self._fraction)

    def without_kernel(self) -> Resampler:
        """A copy without a kernel in memory, to relate inputs and outputs only."""
        bare = copy.copy(self)
        bare.__dict__.pop("_kernel", None)
        return bare

    def _floor_at(self, k: int) -> int:
        """Index of the last input at or before output k."""
        return (k * self._scale - self._shift) // self._unit

    def _floors(self, k0: int, k1: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each of the outputs [k0, k1) the last input at or before it, and the row of its kernel."""
        if not self._steps:
            period, phase = np.divmod(np.arange(k0, k1, dtype=np.int64), self._phases)
            return self._floor[phase] + period * self._advance, phase
        places = [divmod(k * self._scale - self._shift, self._unit) for k in range(k0, k1)]  # beyond 64 bits
        floors, rests = zip(*places, strict=True)
        half, unit, steps = self._unit // 2, self._unit, self._steps
        rows = np.array([(rest * steps + half) // unit for rest in rests], dtype=np.int64)
        return np.array(floors, dtype=np.int64), rows

    def inputs_for(self, k0: int, k1: int) -> tuple[int, int]:
        """Input samples [n0, n1) under the kernels of outputs [k0, k1)."""
        return self._floor_at(k0) + 1 - self._before, self._floor_at(k1 - 1) + 1 + self._after

    def outputs_from(self, n0: int, n1: int) -> tuple[int, int]:
        """Outputs [k0, k1) whose kernels lie within the input samples [n0, n1); empty where k1 <= k0."""
        return self._first_with_floor(n0 - 1 + self._before), self.output_after(n1)

    def outputs_under(self, n0: int, n1: int) -> tuple[int, int]:
        """Outputs [k0, k1) that have any of the input samples [n0, n1) under their kernel."""
        return self.output_after(n0), self._first_with_floor(n1 - 1 + self._before)

    def output_after(self, n1: int) -> int:
        """First output whose kernel reaches to input sample `n1` or beyond."""
        return self._first_with_floor(n1 - self._after)

    def _first_with_floor(self, n: int) -> int:
        return -(-(n * self._unit + self._shift) // self._scale)

    def __call__(self, x: Float, valid: Mask, n_first: int, k0: int, k1: int) -> tuple[Float, Mask]:
        """Outputs [k0, k1).

        x, valid: (n,), input samples from index `n_first` on; must contain all of `inputs_for(k0, k1)`.
        Returns values and mask (k1 - k0,); 0 and False where a sample under the kernel is missing.
        Raises ValueError if `x` does not contain the inputs.
        """
        if k1 <= k0:
            return np.zeros(0), np.zeros(0, dtype=bool)
        n0, n1 = self.inputs_for(k0, k1)
        if n0 < n_first or n1 > n_first + len(x):
            raise ValueError(f"outputs [{k0}, {k1}) need inputs {(n0, n1)}; got [{n_first}, {n_first + len(x)})")
        x, valid = x[n0 - n_first : n1 - n_first], valid[n0 - n_first : n1 - n_first]
        missing = [] if valid.all() else runs(~valid)
        known = np.where(valid, x, 0.0) if missing else x
        outputs = self._by_phase if self._phases <= FEW_PHASES else self._one_by_one
        out, whole = outputs(known, n0, k0, k1), np.ones(k1 - k0, dtype=bool)
        for begin, end in missing:
            low, high = self.outputs_under(n0 + begin, n0 + end)
            under = slice(max(low - k0, 0), max(high - k0, 0))
            out[under], whole[under] = 0.0, False
        return out, whole

    def _by_phase(self, x: Float, n0: int, k0: int, k1: int) -> Float:
        """Outputs [k0, k1) from the samples `x`, which begin at index `n0`: those of one phase together."""
        # one or two periods of zeros at the end: `_sum` always computes at least two outputs
        inputs = np.zeros((len(x) // self._advance + 2) * self._advance)
        inputs[: len(x)] = x
        side_by_side = None
        if k1 - k0 >= MANY_ROWS * self._phases:
            side_by_side = np.ascontiguousarray(inputs.reshape(-1, self._advance).T)
        out = np.empty(k1 - k0)
        at_once = max(min(ROWS_AT_ONCE, MAX_PRODUCTS // self._kernel.shape[1]), 1)
        for phase in range(min(self._phases, k1 - k0)):
            k = k0 + phase
            first = self._floor_at(k) + 1 - self._before - n0
            of_phase = out[phase :: self._phases]
            for start in range(0, len(of_phase), at_once):
                part = of_phase[start : start + at_once]
                at = first + start * self._advance
                part[:] = self._sum(inputs, side_by_side, at, self._kernel[k % self._phases], len(part))
        return out

    def _one_by_one(self, x: Float, n0: int, k0: int, k1: int) -> Float:
        """As `_by_phase`, for rates with many phases, such as 99.99 Hz."""
        floors, phase = self._floors(k0, k1)
        out = np.empty(k1 - k0)
        tap = np.arange(1 - self._before - n0, 1 - self._before - n0 + self._kernel.shape[1])
        at_once = max(MAX_PRODUCTS // len(tap), 1)
        for start in range(0, k1 - k0, at_once):
            rows = slice(start, start + at_once)
            products = np.empty((len(tap), max(len(out[rows]), 2)))  # as in `_sum`
            products[:] = x[tap[:, None] + floors[None, rows]] * self._kernel[phase[rows]].T
            out[rows] = np.add.reduce(products, axis=0)[: len(out[rows])]
        return out

    def _sum(self, x: Float, side_by_side: Float | None, first: int, kernel: Float, count: int) -> Float:
        """Outputs of one phase: m-th = sum over taps of `kernel[tap] * x[first + m * advance + tap]`.

        Whole rows are added in the order of the taps, so that no bit depends on `count`. numpy adds a single column in
        another order (pairwise), so that there are always at least two columns.
        side_by_side: (advance, n), sample i of `x` in row `i % advance`: the inputs of a tap are contiguous, which for
        many outputs saves more time than the copy takes.
        """
        taps, columns = len(kernel), max(count, 2)
        step = x.itemsize
        products = np.empty((taps, columns))  # by rows in memory, otherwise numpy adds the taps pairwise
        if side_by_side is None:
            under = np.ndarray((taps, columns), np.float64, x, first * step, (step, self._advance * step))
            np.multiply(under, kernel[:, None], out=products)
        else:
            for k in range(min(self._advance, taps)):
                place, row = divmod(first + k, self._advance)
                of_row = kernel[k :: self._advance, None]
                offset = (row * side_by_side.shape[1] + place) * step
                under = np.ndarray((len(of_row), columns), np.float64, side_by_side, offset, (step, step))
                np.multiply(under, of_row, out=products[k :: self._advance])
        return np.asarray(np.add.reduce(products, axis=0)[:count])


def resample_record(
    x: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    valid: Mask,
    starttime_ns: int,
    rate_in_hz: float,
    rate_out_hz: float,
    pass_hz: float,
    *,
    integrates: bool = False,
) -> tuple[Float, Mask, int]:
    """Resample a whole record.

    x, valid: (n,). integrates: see `Resampler`. Returns values and mask (m,), and the grid index of the first output.
    """
    resampler = Resampler(rate_in_hz, rate_out_hz, pass_hz, starttime_ns, integrates=integrates)
    k0, k1 = resampler.outputs_from(0, len(x))
    if k1 <= k0:
        return np.zeros(0), np.zeros(0, dtype=bool), k0
    values, whole = resampler(np.asarray(x, dtype=np.float64), valid, 0, k0, k1)
    return values, whole, k0

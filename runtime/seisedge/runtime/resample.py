"""Resampling to a model's clock: one windowed-sinc kernel, finite memory, every output on its own.

Outputs lie on the absolute grid `k / rate_out_hz` seconds since 1970, so that the components of a station meet
on one clock whatever the phase of their digitizers. An output is a sum over the kernel's taps in a fixed order;
its bits depend on the samples under the kernel and on nothing else: not on how many outputs are asked for at once,
not on when. Training resamples through here too, so a network meets at the station what it was trained on.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S

ATTENUATION_DB = 60.0
ROWS_AT_ONCE = 4096  # of the products; bounds the memory of a long record
MAX_RATE_DENOMINATOR = 10_000

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def stop_hz(pass_hz: float, rate_out_hz: float) -> float:
    """Start of the stop band: four fifths of the way from the pass band's edge to the output's Nyquist."""
    return pass_hz + 0.8 * (rate_out_hz / 2 - pass_hz)


def reaches_band(rate_in_hz: float, pass_hz: float) -> bool:
    """True where a channel of this rate carries the whole pass band."""
    return rate_in_hz / 2 > pass_hz


class Resampler:
    """From samples at `anchor_ns + n / rate_in_hz` to samples at `k / rate_out_hz` since the epoch.

    pass_hz: amplitudes are kept (within 0.2 %) up to here; from `stop_hz(...)` on they are down by 60 dB.
    half_s: reach of the kernel to either side of an output.

    Raises ValueError where the input's Nyquist frequency lies below `pass_hz` or the pass band does not
    fit the output.
    """

    def __init__(self, rate_in_hz: float, rate_out_hz: float, pass_hz: float, anchor_ns: int) -> None:
        if rate_in_hz / 2 <= pass_hz:
            raise ValueError(f"a channel of {rate_in_hz:g} Hz does not carry the band up to {pass_hz:g} Hz")
        if pass_hz >= rate_out_hz / 2:
            raise ValueError(f"the pass band ({pass_hz:g} Hz) must end below {rate_out_hz / 2:g} Hz")
        self.rate_in = Fraction(rate_in_hz).limit_denominator(MAX_RATE_DENOMINATOR)
        self.rate_out = Fraction(rate_out_hz).limit_denominator(MAX_RATE_DENOMINATOR)
        self.anchor_ns = anchor_ns
        step = self.rate_in / self.rate_out
        self._advance, self._phases = step.numerator, step.denominator  # inputs and outputs of one period
        stop = min(stop_hz(pass_hz, rate_out_hz), rate_in_hz - pass_hz)  # no images of a slower channel either
        transition_hz = stop - pass_hz
        self.half_s = (ATTENUATION_DB - 7.95) / (2 * 14.36 * transition_hz)
        self._half = math.ceil(self.half_s * rate_in_hz)
        cutoff_hz = pass_hz + transition_hz / 2
        # output k lies at (k * scale - shift) / unit on the input's sample axis, in exact integers
        begin = Fraction(anchor_ns, NS_PER_S) * self.rate_in
        self._unit = math.lcm(step.denominator, begin.denominator)
        self._scale = step.numerator * (self._unit // step.denominator)
        self._shift = begin.numerator * (self._unit // begin.denominator)
        first = [divmod(phase * self._scale - self._shift, self._unit) for phase in range(self._phases)]
        self._floor = np.array([whole for whole, _ in first], dtype=np.int64)
        fraction = np.array([rest / self._unit for _, rest in first])
        tap = np.arange(1 - self._half, self._half + 1)
        tau_s = (tap[None, :] - fraction[:, None]) / rate_in_hz  # (phases, taps)
        beta = 0.1102 * (ATTENUATION_DB - 8.7)
        inside = np.clip(1 - (tau_s / (self._half / rate_in_hz)) ** 2, 0, None)
        kernel = np.sinc(2 * cutoff_hz * tau_s) * np.i0(beta * np.sqrt(inside))
        self._kernel: Float = kernel / kernel.sum(axis=1, keepdims=True)

    def _floor_at(self, k: int) -> int:
        """Index of the input at or before output k."""
        return (k * self._scale - self._shift) // self._unit

    def _floors(self, k0: int, k1: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        k = np.arange(k0, k1, dtype=np.int64)
        period, phase = np.divmod(k, self._phases)
        return self._floor[phase] + period * self._advance, phase

    def inputs_for(self, k0: int, k1: int) -> tuple[int, int]:
        """Input samples [n0, n1) under the kernels of outputs [k0, k1)."""
        return self._floor_at(k0) + 1 - self._half, self._floor_at(k1 - 1) + 1 + self._half

    def outputs_from(self, n0: int, n1: int) -> tuple[int, int]:
        """Outputs [k0, k1) whose kernels lie within the input samples [n0, n1); empty where k1 <= k0."""
        return self._first_with_floor(n0 - 1 + self._half), self._first_with_floor(n1 - self._half)

    def _first_with_floor(self, n: int) -> int:
        return -(-(n * self._unit + self._shift) // self._scale)

    def __call__(self, x: Float, valid: Mask, n_first: int, k0: int, k1: int) -> tuple[Float, Mask]:
        """Outputs [k0, k1).

        x, valid: (n,), input samples from index `n_first` on; must hold all of `inputs_for(k0, k1)`.
        Returns (k1 - k0,) values and a mask, False and 0 where a sample under the kernel is missing.
        """
        floors, phase = self._floors(k0, k1)
        base = floors + (1 - self._half - n_first)
        taps = self._kernel.shape[1]
        if len(base) and (base[0] < 0 or base[-1] + taps > len(x)):
            raise ValueError(
                f"outputs [{k0}, {k1}) need inputs {self.inputs_for(k0, k1)}; got [{n_first}, {n_first + len(x)})"
            )
        under = np.lib.stride_tricks.sliding_window_view(np.where(valid, x, 0.0), taps)  # (n, taps), a view
        out = np.empty(k1 - k0)
        for start in range(0, k1 - k0, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            # each row is summed by itself, in an order that only its length decides
            out[rows] = (under[base[rows]] * self._kernel[phase[rows]]).sum(axis=1)
        missing = np.concatenate([[0], np.cumsum(~valid)])
        whole = missing[base + taps] == missing[base]
        return np.where(whole, out, 0.0), whole


def resample_record(
    x: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    valid: Mask,
    starttime_ns: int,
    rate_in_hz: float,
    rate_out_hz: float,
    pass_hz: float,
) -> tuple[Float, Mask, int]:
    """A whole record at once: `x`, `valid` (n,) → values, mask (m,) and the grid index of the first output."""
    resampler = Resampler(rate_in_hz, rate_out_hz, pass_hz, starttime_ns)
    k0, k1 = resampler.outputs_from(0, len(x))
    if k1 <= k0:
        return np.zeros(0), np.zeros(0, dtype=bool), k0
    values, whole = resampler(np.asarray(x, dtype=np.float64), valid, 0, k0, k1)
    return values, whole, k0

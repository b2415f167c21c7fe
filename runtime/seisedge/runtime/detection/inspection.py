"""Inspection of a window or of a trigger before a model is run; `soundness` has the rules.

Only samples under valid outputs of the timeline are inspected. These are final, so that the same samples give the same
findings however the packets were cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seisedge.runtime.detection.opener import Opener
from seisedge.runtime.detection.soundness import Rails, Run, Unsound, clipped, repaired, unsound
from seisedge.runtime.event import Quality, QualityCode
from seisedge.runtime.records.channelcode import COMPONENTS
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.timeline.masks import runs
from seisedge.runtime.timeline.resample import resample_record
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import RawStretch

Mask = npt.NDArray[np.bool_]
Artefact = Literal["spike", "step"]


BLOCK_S = 5.0
MARGIN_S = 1.0  # more than the samples that a spike or a step is compared with
BEFORE_S = BLOCK_S + MARGIN_S  # length of the samples before a window that are inspected
KEEP_S = 120.0  # age of the findings that are kept once there are more than `MAX_BLOCKS`
MAX_BLOCKS = 1000

REASONS: dict[QualityCode, str] = {
    "spike": "single samples far off their neighbours on {}: masked",
    "step": "a jump of the level on {}: the samples beyond it are masked",
    "flat": "a constant value on {}: masked",
    "clipped": "clipped amplitudes on {}: the true amplitude is larger, so no magnitude is estimated",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """Findings in one block: outputs [low, high) with the kind of bad samples under them, and the extremes."""

    spans: list[tuple[int, int, QualityCode]]
    rails: list[Rails]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Parts of a window that are not ground motion.

    mask: (3, n), True for samples that a model must not use. clipped: True if any component is.
    """

    mask: Mask
    remarks: list[Quality]
    clipped: bool


class Inspector:
    """Inspects windows of a timeline in blocks of the grid; findings that cannot change any more are cached.

    A block is inspected with `MARGIN_S` on either side, as far as the outputs are valid without a gap.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._block_n = round(BLOCK_S * timeline.spec.rate_hz)
        self._margin_n = round(MARGIN_S * timeline.spec.rate_hz)
        self._cache: dict[tuple[int, int, int], list[_Found]] = {}  # by component, begin and end

    def window(self, k0: int, k1: int, focus_k: int) -> Inspection:
        """Inspect the samples as recorded under the outputs [k0, k1).

        focus_k: output of interest, such as the onset. A component with a step is masked on the side of the step that
        does not contain it.
        """
        timeline = self._timeline
        mask = np.zeros((3, max(k1 - k0, 0)), dtype=bool)
        found_on: dict[QualityCode, list[str]] = {"spike": [], "step": [], "flat": [], "clipped": []}
        if k1 <= k0:
            return Inspection(mask, [], False)
        first = (k0 // self._block_n) * self._block_n - self._margin_n
        _, valid = timeline.window(first, k1)
        self._forget(k0)
        for row, component in enumerate(COMPONENTS):
            rails: list[Rails] = []
            for found in self._blocks(row, first, k1, valid[row]):
                rails += found.rails
                for low, high, code in found.spans:
                    if high <= k0 or low >= k1:
                        continue
                    found_on[code].append(component)
                    if code == "step" and (low + high) / 2 <= focus_k:
                        low = k0
                    elif code == "step":
                        high = k1
                    mask[row, max(low - k0, 0) : max(high - k0, 0)] = True
            if clipped(rails):
                found_on["clipped"].append(component)
        if timeline.weights:  # a rotated component is masked where any component of its sum is
            sound = ~mask
            timeline.rotate(k0, np.zeros(mask.shape, dtype=np.float32), sound)
            mask = ~sound
        remarks = [
            Quality(code=code, reason=REASONS[code].format(", ".join(dict.fromkeys(components))))
            for code, components in found_on.items()
            if components
        ]
        return Inspection(mask, remarks, bool(found_on["clipped"]))

    def _blocks(self, row: int, first: int, k1: int, valid: Mask) -> Iterator[_Found]:
        """Findings in each block from output `first` on; valid: mask of the outputs [first, k1)."""
        if not valid.any():
            return
        unbroken = bool(valid.all())
        for begin in range(first + self._margin_n, k1, self._block_n):
            low, high = begin - self._margin_n, min(begin + self._block_n + self._margin_n, k1)
            here = valid[low - first : high - first]
            settled = unbroken or bool(here.all())  # otherwise more samples may become valid
            key = (row, begin, high)
            if settled and key in self._cache:
                yield from self._cache[key]
                continue
            found = list(self._inspect(COMPONENTS[row], low, here))
            if settled:
                self._cache[key] = found
            yield from found

    def _inspect(self, component: str, k0: int, valid: Mask) -> Iterator[_Found]:
        for stretch, bad in _stretches(self._timeline, component, k0, valid):
            spans: list[tuple[int, int, QualityCode]] = []
            kinds: list[tuple[QualityCode, list[Run]]] = [
                ("spike", bad.spikes),
                ("step", bad.steps),
                ("flat", bad.flats),
            ]
            for code, found in kinds:
                spans += [(*stretch.outputs_under(n0, n1), code) for n0, n1 in found]
            yield _Found(spans, [bad.rails] if bad.rails is not None else [])

    def _forget(self, k0: int) -> None:
        if len(self._cache) > MAX_BLOCKS:
            oldest = k0 - round(KEEP_S * self._timeline.spec.rate_hz)
            self._cache = {key: found for key, found in self._cache.items() if key[1] >= oldest}


def flag_remarks(flags: RecordFlag) -> list[Quality]:
    """Remarks on a window from the flags of the digitizer."""
    remarks: list[Quality] = []
    if flags & (RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED):
        remarks.append(Quality(code="timing", reason="the digitizer flags its time as questionable"))
    if flags & (RecordFlag.CLIPPED | RecordFlag.SATURATED):
        remarks.append(Quality(code="clipped", reason="the digitizer flags clipping or saturation"))
    if flags & RecordFlag.SPIKES:
        remarks.append(Quality(code="spike", reason="the digitizer flags spikes"))
    return remarks


def artefact_of(opener: Opener, hop0: int, hop1: int, last_hop: int) -> Artefact | None:
    """Kind of artefact that caused a trigger in the hops `hop0` to `hop1`; None if it triggers without artefacts too.

    last_hop: last hop whose samples are used; the samples after a spike distinguish it from an onset.
    """
    timeline = opener.timeline
    (k0, k1), (_, end) = opener.span_of(hop0, hop1), opener.span_of(hop0, last_hop)
    wave, valid = timeline.window(k0, end)
    change = np.zeros(wave.shape, dtype=np.float32)
    kind: Artefact | None = None
    for row, component in enumerate(COMPONENTS):
        for stretch, bad in _stretches(timeline, component, k0, valid[row]):
            if bad.spikes or bad.steps:
                kind = "spike" if bad.spikes else "step"
                change[row] += _change(timeline, k0, end - k0, stretch, bad)
    if kind is None:
        return None
    timeline.rotate(k0, change, np.ones(change.shape, dtype=bool))
    without = wave.astype(np.float64) + change
    return None if opener.would_fire(without[:, : k1 - k0], valid[:, : k1 - k0]) else kind


def _stretches(timeline: Timeline, component: str, k0: int, valid: Mask) -> Iterator[tuple[RawStretch, Unsound]]:
    """Samples as recorded under each run of valid outputs, with the findings on them."""
    for begin, end in runs(valid):
        for stretch in timeline.raw(component, k0 + begin, k0 + end):
            yield stretch, unsound(stretch.x, stretch.ok, stretch.rate_hz)


def _change(timeline: Timeline, k0: int, n: int, stretch: RawStretch, bad: Unsound) -> npt.NDArray[np.float64]:
    """(n,), change of the outputs from `k0` on by the repair of the samples."""
    change = np.zeros(n)
    delta = repaired(stretch.x, bad) - stretch.x
    spec = timeline.spec
    values, whole, first = resample_record(
        delta, np.ones(len(delta), dtype=bool), stretch.start_ns, stretch.rate_hz, spec.rate_hz, spec.pass_hz
    )
    low, high = max(first, k0), min(first + len(values), k0 + n)
    if high > low:
        change[low - k0 : high - k0] = np.where(whole, values, 0.0)[low - first : high - first]
    return change

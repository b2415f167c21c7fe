"""Inspection of a window or of a trigger before a model is run; `soundness` has the rules.

Only samples under valid outputs of the timeline are inspected. These are final, so that the same samples give the same
findings however the packets were cut.

Where a station has a second sensor, it is inspected as well, and takes the place of the first: where a sample of the
first is missing or masked, and on a component that clips from the first clipped sample to the end of the window. A
component whose clipped samples the second sensor does not have, or has clipped, stays clipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seisedge.runtime.detection.opener import Opener, Samples
from seisedge.runtime.detection.soundness import Rails, Run, Unsound, clipped_rails, repaired, unsound
from seisedge.runtime.event import Quality, QualityCode
from seisedge.runtime.records.channelcode import COMPONENTS, SECOND
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
    """Findings in one block: outputs [low, high) with the kind of bad samples under them, and the extremes.

    spans: with the value of flat samples, else 0. rails: with the outputs over the samples at the top and at the
    bottom, if any are held there.
    """

    spans: list[tuple[int, int, QualityCode, float]]
    rails: list[tuple[Rails, tuple[Run, Run]]]


@dataclass(frozen=True, slots=True)
class _Look:
    """Findings on one sensor in Z, N and E, (3, n) each, and the components with each kind of bad samples.

    valid: samples that exist. mask: samples that a model must not use. held: samples that are clipped. after: samples
    from the first clipped one on.
    """

    valid: Mask
    mask: Mask
    held: Mask
    after: Mask
    found_on: dict[QualityCode, list[str]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Parts of a window that are not ground motion.

    mask: (3, n), True for samples that a model must not use. clipped: True if any component is.
    second: (3, n), True where the sample of the second sensor is used; None for a station with one sensor.
    """

    mask: Mask
    remarks: list[Quality]
    clipped: bool
    second: Mask | None = None


class Inspector:
    """Inspects windows of a timeline in blocks of the grid; findings that cannot change any more are cached.

    A block is inspected with `MARGIN_S` on either side, as far as the outputs are valid without a gap.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._block_n = round(BLOCK_S * timeline.spec.rate_hz)
        self._margin_n = round(MARGIN_S * timeline.spec.rate_hz)
        self._cache: dict[tuple[str, int, int], list[_Found]] = {}  # by component, begin and end
        self._prepared: dict[int, int] = {}  # number of blocks from an output on that `prepare` has looked at

    def window(self, k0: int, k1: int, focus_k: int) -> Inspection:
        """Inspect the samples as recorded under the outputs [k0, k1).

        focus_k: output of interest, such as the onset. A component with a step is masked on the side of the step that
        does not contain it.
        """
        if k1 <= k0:
            return Inspection(np.zeros((3, 0), dtype=bool), [], False)
        self._forget(k0)
        first = self._look(k0, k1, focus_k)
        if self._timeline.has_second:
            return _joined(first, self._look(k0, k1, focus_k, second=True))
        return Inspection(first.mask, _remarks(first.found_on), bool(first.found_on["clipped"]))

    def prepare(self, k0: int) -> None:
        """Inspect the complete blocks from output `k0` on that `window` will need, before it is waited for.

        Only the first sensor. Blocks that may still change are left to `window`.
        """
        self._forget(k0)
        first = (k0 // self._block_n) * self._block_n - self._margin_n
        whole = (self._timeline.ready_k - first - 2 * self._margin_n) // self._block_n
        if whole <= self._prepared.get(first, 0):
            return
        self._prepared[first] = whole
        k1 = first + whole * self._block_n + 2 * self._margin_n
        _, valid = self._timeline.first(first, k1)
        for row, component in enumerate(COMPONENTS):
            for begin in range(first + self._margin_n, k1 - self._margin_n, self._block_n):
                low, high = begin - self._margin_n, begin + self._block_n + self._margin_n
                here = valid[row, low - first : high - first]
                if here.all() and (component, begin, high) not in self._cache:
                    self._cache[component, begin, high] = list(self._inspect(component, low, here))

    def _look(self, k0: int, k1: int, focus_k: int, *, second: bool = False) -> _Look:
        """Findings on one sensor in the outputs [k0, k1)."""
        timeline = self._timeline
        mask, held, after = (np.zeros((3, k1 - k0), dtype=bool) for _ in range(3))
        found_on: dict[QualityCode, list[str]] = {"spike": [], "step": [], "flat": [], "clipped": []}
        first = (k0 // self._block_n) * self._block_n - self._margin_n
        _, valid = timeline.second(first, k1) if second else timeline.first(first, k1)
        for row, component in enumerate(COMPONENTS):
            rails: list[tuple[Rails, tuple[Run, Run]]] = []
            blocks = list(self._blocks(SECOND[component] if second else component, first, k1, valid[row]))
            for found in blocks:
                rails += found.rails
            for low, high, code, remarked in _spans_in(blocks, rails, k0, k1):
                if remarked:
                    found_on[code].append(component)
                if code == "step" and (low + high) / 2 <= focus_k:
                    low = k0
                elif code == "step":
                    high = k1
                mask[row, max(low - k0, 0) : max(high - k0, 0)] = True
            spans = _clipped_outputs(rails)
            if timeline.has_second:
                name = SECOND[component] if second else component
                spans += timeline.flagged_outputs(name, RecordFlag.CLIPPED | RecordFlag.SATURATED, k0, k1)
            if spans:
                found_on["clipped"].append(component)
                low, high = min(low for low, _ in spans), max(high for _, high in spans)
                held[row, max(low - k0, 0) : max(high - k0, 0)] = True
                after[row, max(low - k0, 0) :] = True
        weights = timeline.second_weights if second else timeline.weights
        if weights:  # a rotated component is masked where any component of its sum is
            for bad in (mask, held, after):
                sound = ~bad
                timeline.rotate(k0, np.zeros(bad.shape, dtype=np.float32), sound, weights)
                bad[:] = ~sound
        return _Look(valid[:, k0 - first :], mask, held, after, found_on)

    def _blocks(self, component: str, first: int, k1: int, valid: Mask) -> Iterator[_Found]:
        """Findings in each block from output `first` on; valid: mask of the outputs [first, k1)."""
        if not valid.any():
            return
        unbroken = bool(valid.all())
        for begin in range(first + self._margin_n, k1, self._block_n):
            low, high = begin - self._margin_n, min(begin + self._block_n + self._margin_n, k1)
            here = valid[low - first : high - first]
            settled = unbroken or bool(here.all())  # otherwise more samples may become valid
            key = (component, begin, high)
            if settled and key in self._cache:
                yield from self._cache[key]
                continue
            found = list(self._inspect(component, low, here))
            if settled:
                self._cache[key] = found
            yield from found

    def _inspect(self, component: str, k0: int, valid: Mask) -> Iterator[_Found]:
        for stretch, bad in _stretches(self._timeline, component, k0, valid):
            spans: list[tuple[int, int, QualityCode, float]] = []
            kinds: list[tuple[QualityCode, list[Run]]] = [
                ("spike", bad.spikes),
                ("step", bad.steps),
                ("flat", bad.flats),
            ]
            for code, found in kinds:
                spans += [
                    (*stretch.outputs_under(n0, n1), code, float(stretch.x[n0]) if code == "flat" else 0.0)
                    for n0, n1 in found
                ]
            yield _Found(spans, [(bad.rails, _rail_outputs(stretch, bad.rails))] if bad.rails is not None else [])

    def _forget(self, k0: int) -> None:
        if len(self._cache) > MAX_BLOCKS:
            oldest = k0 - round(KEEP_S * self._timeline.spec.rate_hz)
            self._cache = {key: found for key, found in self._cache.items() if key[1] >= oldest}
            self._prepared = {first: whole for first, whole in self._prepared.items() if first >= oldest}


def _rail_outputs(stretch: RawStretch, rails: Rails) -> tuple[Run, Run]:
    """Outputs over the samples at the top and at the bottom of a stretch; empty where none is held there."""
    top, bottom = (stretch.outputs_under(n0, n1) if n1 > n0 else (0, 0) for n0, n1 in rails.spans)
    return top, bottom


def _spans_in(
    blocks: list[_Found], rails: list[tuple[Rails, tuple[Run, Run]]], k0: int, k1: int
) -> Iterator[tuple[int, int, QualityCode, bool]]:
    """The spans of bad samples that reach into the outputs [k0, k1); True for those that get a remark of their kind.

    Flat samples at the value that clips the component do not: they are clipped.
    """
    limits = clipped_rails([each for each, _ in rails])
    for found in blocks:
        for low, high, code, value in found.spans:
            if high > k0 and low < k1:
                yield low, high, code, code != "flat" or value not in limits


def _clipped_outputs(found: list[tuple[Rails, tuple[Run, Run]]]) -> list[Run]:
    """Outputs over the samples of a component that are clipped; empty where it is not clipped."""
    top, bottom = clipped_rails([rails for rails, _ in found])
    held = [over for rails, (over, _) in found if rails.top == top and rails.held_top]
    return held + [under for rails, (_, under) in found if rails.bottom == bottom and rails.held_bottom]


def _remarks(found_on: dict[QualityCode, list[str]]) -> list[Quality]:
    return [
        Quality(code=code, reason=REASONS[code].format(", ".join(dict.fromkeys(components))))
        for code, components in found_on.items()
        if components
    ]


def _joined(first: _Look, second: _Look) -> Inspection:
    """The first sensor, with the second one where the first cannot be used."""
    good = second.valid & ~second.mask & ~second.after
    has_clips = _rows_with(first.held & first.valid)
    replaced = has_clips & ~_rows_with(first.held & first.valid & ~good)
    bad: Mask = ~first.valid | first.mask | (first.after & replaced[:, None])
    # an accelerometer that stands alone is used where it clips, as a seismometer is
    good |= second.valid & ~second.mask & ~first.valid
    used = bad & good
    from_second = used | (~first.valid & second.valid)
    clipped_rows = (has_clips & ~replaced) | _rows_with(second.held & from_second)
    found_on: dict[QualityCode, list[str]] = {}
    for code, components in first.found_on.items():
        left = _rows_with(first.mask & first.valid & ~used)  # rows with samples that stay masked
        wanted = clipped_rows if code == "clipped" else left
        found_on[code] = [c for c in components if wanted[COMPONENTS.index(c)]]
        masked = _rows_with(second.mask & from_second)
        wanted = _rows_with(second.held & from_second) if code == "clipped" else masked
        found_on[code] += [c for c in second.found_on[code] if wanted[COMPONENTS.index(c)]]
    mask = (bad & first.valid & ~used) | (second.mask & ~first.valid)
    return Inspection(mask, _remarks(found_on), bool(clipped_rows.any()), used)


def _rows_with(found: Mask) -> Mask:
    """(3,): rows of `found` (3, n) with a True."""
    return np.asarray(found.any(axis=1))


def flag_remarks(flags: RecordFlag, inspection: Inspection | None = None) -> list[Quality]:
    """Remarks on a window from the flags of the digitizer."""
    if (
        inspection is not None and inspection.second is not None and not inspection.clipped
    ):  # the second sensor has taken the place
        flags &= ~(RecordFlag.CLIPPED | RecordFlag.SATURATED)
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
    wave, valid = timeline.first(k0, end)
    kind, change = _artefacts(timeline, k0, COMPONENTS, valid)
    second: Samples | None = None
    if timeline.has_second:
        valid &= ~timeline.dead(k0, end)
        other, exists = timeline.second(k0, end)
        if (exists & ~valid).any():
            names = tuple(SECOND[component] for component in COMPONENTS)
            kind_2, change_2 = _artefacts(timeline, k0, names, exists)
            kind = kind or kind_2
            second = other.astype(np.float64) + change_2, exists
    if kind is None:
        return None
    first = wave.astype(np.float64) + change, valid
    sensors = [first] if second is None else [first, second]
    return None if opener.would_fire([(x[:, : k1 - k0], ok[:, : k1 - k0]) for x, ok in sensors]) else kind


def _artefacts(
    timeline: Timeline, k0: int, components: Sequence[str], valid: Mask
) -> tuple[Artefact | None, npt.NDArray[np.float32]]:
    """Kind of the spikes and steps on one sensor, and the change (3, n) of its outputs from `k0` on by their repair."""
    change = np.zeros(valid.shape, dtype=np.float32)
    kind: Artefact | None = None
    for row, component in enumerate(components):
        for stretch, bad in _stretches(timeline, component, k0, valid[row]):
            if bad.spikes or bad.steps:
                kind = "spike" if bad.spikes else "step"
                change[row] += _change(timeline, k0, valid.shape[1], stretch, bad)
    if kind is not None and components[0] != COMPONENTS[0]:
        timeline.scale_second(k0, change, np.ones(change.shape, dtype=bool))
    elif kind is not None:
        timeline.rotate(k0, change, np.ones(change.shape, dtype=bool))
    return kind, change


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
        delta,
        np.ones(len(delta), dtype=bool),
        stretch.start_ns,
        stretch.rate_hz,
        spec.rate_hz,
        spec.pass_hz,
        integrates=stretch.resampler.integrates,
    )
    low, high = max(first, k0), min(first + len(values), k0 + n)
    if high > low:
        change[low - k0 : high - k0] = np.where(whole, values, 0.0)[low - first : high - first]
    return change

"""Inspection: a window, or a trigger, looked at before any model is asked; see `soundness` for the rules.

All that is looked at are samples under valid outputs of the timeline, and they are final: the same samples lead to
the same words, whatever the packets were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.event import Quality, QualityCode
from seisedge.runtime.packet import RecordFlag
from seisedge.runtime.resample import resample_record
from seisedge.runtime.soundness import Unsound, repaired, unsound
from seisedge.runtime.timeline import COMPONENTS, Timeline
from seisedge.runtime.track import RawStretch
from seisedge.runtime.trigger import Trigger

Mask = npt.NDArray[np.bool_]
Artefact = Literal["spike", "step"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a window holds that is no ground motion.

    mask: (3, n), True where a model must not look. clipped: on any component.
    """

    mask: Mask
    remarks: list[Quality]
    clipped: bool


def inspect_window(timeline: Timeline, k0: int, k1: int, focus_k: int) -> Inspection:
    """Look at the outputs [k0, k1) and the raw samples under them.

    focus_k: what the window is about. Beyond a step, seen from there, a component is masked: its level is another.
    """
    mask = np.zeros((3, max(k1 - k0, 0)), dtype=bool)
    found: dict[QualityCode, list[str]] = {"spike": [], "step": [], "flat": [], "clipped": []}
    _, valid = timeline.window(k0, max(k1, k0))
    for row, component in enumerate(COMPONENTS):
        for stretch, bad in _stretches(timeline, component, k0, valid[row]):
            for n0, n1 in bad.spikes:
                found["spike"].append(component)
                _cover(mask[row], timeline, k0, stretch, n0, n1)
            for n0, n1 in bad.flats:
                found["flat"].append(component)
                _cover(mask[row], timeline, k0, stretch, n0, n1)
            for n0, n1 in bad.steps:
                found["step"].append(component)
                low, high = _reach(timeline, k0, stretch, n0, n1)
                if (low + high) / 2 <= focus_k - k0:
                    mask[row, : max(high, 0)] = True
                else:
                    mask[row, max(low, 0) :] = True
            if bad.clipped:
                found["clipped"].append(component)
    words: dict[QualityCode, str] = {
        "spike": "single samples far off their neighbours on {}: masked",
        "step": "a jump of the level on {}: what lies beyond it is masked",
        "flat": "a constant value on {}: masked",
        "clipped": "cut-off crests on {}: the true amplitude is larger, no magnitude is given",
    }
    remarks = [
        Quality(code=code, reason=words[code].format(", ".join(dict.fromkeys(components))))
        for code, components in found.items()
        if components
    ]
    return Inspection(mask, remarks, bool(found["clipped"]))


def flag_remarks(flags: RecordFlag) -> list[Quality]:
    """What the digitizer's own flags say of a window."""
    remarks: list[Quality] = []
    if flags & (RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED):
        remarks.append(Quality(code="timing", reason="the digitizer flags its time as questionable"))
    if flags & (RecordFlag.CLIPPED | RecordFlag.SATURATED):
        remarks.append(Quality(code="clipped", reason="the digitizer flags clipping or saturation"))
    if flags & RecordFlag.SPIKES:
        remarks.append(Quality(code="spike", reason="the digitizer flags spikes"))
    return remarks


def artefact_of(trigger: Trigger, hop0: int, hop1: int) -> Artefact | None:
    """What a trigger in the hops from `hop0` to `hop1` is, where without spikes and steps it would not have gone on."""
    timeline = trigger.timeline
    k0, k1 = trigger.span_of(hop0, hop1)
    wave, valid = timeline.window(k0, k1)
    rows = [0] if valid[0, (k1 - k0) // 2 :].any() else [1, 2]
    kind: Artefact | None = None
    for row in rows:
        without = wave[row].astype(np.float64)
        for stretch, bad in _stretches(timeline, COMPONENTS[row], k0, valid[row]):
            if bad.spikes or bad.steps:
                kind = "spike" if bad.spikes else "step"
                without += _change(timeline, k0, len(without), stretch, bad)
        if trigger.would_fire(without, valid[row]):
            return None
    return kind


def _stretches(timeline: Timeline, component: str, k0: int, valid: Mask) -> Iterator[tuple[RawStretch, Unsound]]:
    """Raw samples under each run of valid outputs, with what is unsound in them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]])))
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for stretch in timeline.raw(component, k0 + begin, k0 + end):
            bad = unsound(stretch.x, stretch.ok, stretch.rate_hz)
            if bad.any:
                yield stretch, bad


def _reach(timeline: Timeline, k0: int, stretch: RawStretch, n0: int, n1: int) -> tuple[int, int]:
    """Outputs [low, high), counted from k0, that the samples [n0, n1) are part of."""
    reach_ns = ns_from_s(stretch.reach_s)
    first_ns = stretch.start_ns + ns_from_s(n0 / stretch.rate_hz) - reach_ns
    last_ns = stretch.start_ns + ns_from_s((n1 - 1) / stretch.rate_hz) + reach_ns
    return timeline.k_at(first_ns) - k0, timeline.k_at(last_ns) + 1 - k0


def _cover(mask: Mask, timeline: Timeline, k0: int, stretch: RawStretch, n0: int, n1: int) -> None:
    low, high = _reach(timeline, k0, stretch, n0, n1)
    mask[max(low, 0) : max(high, 0)] = True


def _change(timeline: Timeline, k0: int, n: int, stretch: RawStretch, bad: Unsound) -> npt.NDArray[np.float64]:
    """(n,), what the repair of raw samples changes in the outputs from k0 on."""
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

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.fakes import T0_NS, packet

from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.inspection import Inspection, Inspector, artefact_of, flag_remarks
from seisedge.runtime.detection.opener import TRIGGER_GRID
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.timeline.resample import Resampler
from seisedge.runtime.timeline.timeline import Timeline

NOISE = np.random.default_rng(0).normal(0, 20, (3, 12_000)).round()
RESAMPLER = Resampler(100.0, 40.0, 15.0, T0_NS)


def _timeline(traces: np.ndarray, packet_n: int = 400) -> Timeline:
    timeline = Timeline("XX.STA", TRIGGER_GRID, raw_keep_s=200.0)
    for n in range(0, traces.shape[1], packet_n):
        for row, component in enumerate("ZNE"):
            samples = traces[row, n : n + packet_n].astype(np.int32)
            timeline.add(component, packet(samples, n / 100, f"HH{component}"))
    timeline.finish()
    return timeline


def _outputs_under(n0: int, n1: int) -> tuple[int, int]:
    """Outputs [low, high) whose kernels hold one of the samples [n0, n1)."""
    return RESAMPLER.output_after(n0), RESAMPLER.outputs_from(n1, 10**6)[0]


def _window(timeline: Timeline, from_s: float, to_s: float, focus_s: float) -> tuple[Inspection, int]:
    k0, k1, focus_k = (timeline.k_at(T0_NS + round(s * 1e9)) for s in (from_s, to_s, focus_s))
    return Inspector(timeline).window(k0, k1, focus_k), k0


def _masked(inspection: Inspection, k0: int, row: int) -> list[tuple[int, int]]:
    mask = np.concatenate([[False], inspection.mask[row], [False]])
    edges = np.flatnonzero(np.diff(mask))
    return [(k0 + int(a), k0 + int(b)) for a, b in edges.reshape(-1, 2)]


def _close(found: list[tuple[int, int]], expected: list[tuple[int, int]]) -> bool:
    """The same runs, to within an output at either end, where the kernel is almost 0."""
    return len(found) == len(expected) and all(
        abs(low - want_low) <= 1 and abs(high - want_high) <= 1
        for (low, high), (want_low, want_high) in zip(found, expected, strict=True)
    )


def test_nothing_is_found_in_noise() -> None:
    found, _ = _window(_timeline(NOISE), 30.0, 65.0, 35.0)
    assert found.mask.shape == (3, 1400) and not found.mask.any()
    assert found.remarks == [] and found.clipped is False


def test_an_empty_window() -> None:
    timeline = _timeline(NOISE)
    for k1 in (1000, 999):
        found = Inspector(timeline).window(1000, k1, 1000)
        assert found.mask.shape == (3, 0) and found.remarks == [] and not found.clipped


@pytest.mark.parametrize("at", [4000, 4321, 4499, 4500, 4501])  # inside and at the borders of blocks
def test_a_spike_is_masked_as_far_as_it_reaches(at: int) -> None:
    traces = NOISE.copy()
    traces[1, at] = 5000
    found, k0 = _window(_timeline(traces), 30.0, 65.0, 35.0)
    assert _close(_masked(found, k0, 1), [_outputs_under(at, at + 1)])
    assert not found.mask[0].any() and not found.mask[2].any()
    (remark,) = found.remarks
    assert (remark.code, remark.reason) == ("spike", "single samples far off their neighbours on N: masked")


@pytest.mark.parametrize("at", [2990, 3000, 6499, 6510])
def test_a_spike_beside_the_window_is_masked_where_it_reaches_in(at: int) -> None:
    traces = NOISE.copy()
    traces[0, at] = 5000
    timeline = _timeline(traces)
    found, k0 = _window(timeline, 30.0, 65.0, 35.0)
    low, high = _outputs_under(at, at + 1)
    k1 = k0 + 1400
    assert _close(_masked(found, k0, 0), [(max(low, k0), min(high, k1))])
    assert [remark.code for remark in found.remarks] == ["spike"]
    far, _ = _window(timeline, at / 100 + 1.0, at / 100 + 36.0, at / 100 + 6.0)
    assert not far.mask.any() and far.remarks == []
    far, _ = _window(timeline, at / 100 - 26.0, at / 100 - 1.0, at / 100 - 6.0)
    assert not far.mask.any() and far.remarks == []


@pytest.mark.parametrize(("focus_s", "beyond"), [(35.0, True), (55.0, False)])
def test_beyond_a_step_a_component_is_masked(focus_s: float, beyond: bool) -> None:
    traces = NOISE.copy()
    traces[2, 4500:] += 3000
    found, k0 = _window(_timeline(traces), 30.0, 65.0, focus_s)
    low, high = _outputs_under(4494, 4506)
    expected = (low, k0 + 1400) if beyond else (k0, high)
    assert _close(_masked(found, k0, 2), [expected])
    (remark,) = found.remarks
    assert (remark.code, remark.reason) == ("step", "a jump of the level on E: the samples beyond it are masked")


def test_a_held_value_is_masked_on_each_component() -> None:
    traces = NOISE.copy()
    traces[0, 4000:4100] = 7
    traces[2, 5000:5050] = -3
    found, k0 = _window(_timeline(traces), 30.0, 65.0, 35.0)
    assert _close(_masked(found, k0, 0), [_outputs_under(4000, 4100)])
    assert _close(_masked(found, k0, 2), [_outputs_under(5000, 5050)])
    assert not found.mask[1].any()
    (remark,) = found.remarks
    assert (remark.code, remark.reason) == ("flat", "a constant value on Z, E: masked")


def test_clipping_over_several_blocks_is_found_and_not_masked() -> None:
    t = np.arange(12_000) / 100
    traces = NOISE.copy()
    swell = 9000 * np.exp(-2 * (t % 5.0)) * np.sin(2 * np.pi * 3.0 * t)
    traces[1] = np.clip(swell + NOISE[1], -5000, 5000)
    found, _ = _window(_timeline(traces), 30.0, 65.0, 35.0)
    assert found.clipped is True and not found.mask.any()
    (remark,) = found.remarks
    assert remark.code == "clipped" and "clipped amplitudes on N" in remark.reason


def _with_everything() -> np.ndarray:
    traces = NOISE.copy()
    traces[0, [3100, 4499, 5777]] = 5000, -5000, 4000
    traces[1, 5200:] += 3000
    traces[2, 6000:6200] = 1
    return traces


@pytest.mark.parametrize("packet_n", [100, 1999, 12_000])
def test_findings_do_not_depend_on_packets_or_earlier_windows(packet_n: int) -> None:
    reference, k0 = _window(_timeline(_with_everything()), 30.0, 65.0, 35.0)
    timeline = _timeline(_with_everything(), packet_n)
    inspector = Inspector(timeline)
    focus_k = timeline.k_at(T0_NS + 35 * 10**9)
    for _ in range(2):
        for shift in (-400, -77, 0, 77, 400):
            found = inspector.window(k0 + shift, k0 + shift + 1400, focus_k)
            if not shift:
                assert np.array_equal(found.mask, reference.mask)
                assert found.remarks == reference.remarks


def test_a_block_that_is_not_complete_is_inspected_again() -> None:
    """Continuous mode inspects windows that end where the samples end; a spike needs samples on either side."""
    traces = NOISE.copy()
    traces[0, 4490] = 5000
    timeline = Timeline("XX.STA", TRIGGER_GRID, components="Z", raw_keep_s=200.0)
    inspector = Inspector(timeline)
    seen = []
    for n in range(0, 12_000, 50):
        timeline.add("Z", packet(traces[0, n : n + 50].astype(np.int32), n / 100))
        k0 = timeline.k_at(T0_NS + 30 * 10**9)
        if timeline.ready_k > k0 + 100:
            found = inspector.window(k0, timeline.ready_k, k0)
            seen.append(bool(found.mask[0].any()))
            fresh = Inspector(timeline).window(k0, timeline.ready_k, k0)
            assert np.array_equal(found.mask, fresh.mask)
    assert seen[0] is False and seen[-1] is True
    assert seen == sorted(seen)


def test_a_gap_does_not_hide_a_spike() -> None:
    traces = NOISE.copy()
    traces[0, 4400] = 5000
    timeline = Timeline("XX.STA", TRIGGER_GRID, components="Z", raw_keep_s=200.0)
    for n0, n1 in ((0, 4200), (4300, 4600), (4700, 12_000)):
        timeline.add("Z", packet(traces[0, n0:n1].astype(np.int32), n0 / 100))
    timeline.finish()
    found, k0 = _window(timeline, 30.0, 65.0, 35.0)
    assert _close(_masked(found, k0, 0), [_outputs_under(4400, 4401)])


def test_a_rotated_component_is_masked_where_one_of_its_sum_is() -> None:
    traces = NOISE.copy()
    traces[1, 4000] = 5000
    timeline = _timeline(traces)
    timeline.weights = ((-(2**62), np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.0, 0.0, 1.0]])),)
    found, k0 = _window(timeline, 30.0, 65.0, 35.0)
    assert _close(_masked(found, k0, 1), [_outputs_under(4000, 4001)])
    assert not found.mask[0].any() and not found.mask[2].any()
    timeline.weights = ((-(2**62), np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.0, -0.8, 0.6]])),)
    found, k0 = _window(timeline, 30.0, 65.0, 35.0)
    assert np.array_equal(found.mask[1], found.mask[2]) and found.mask[1].any() and not found.mask[0].any()


@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        (RecordFlag.NONE, []),
        (RecordFlag.CALIBRATION, []),
        (RecordFlag.TIME_QUESTIONABLE, ["timing"]),
        (RecordFlag.CLOCK_UNLOCKED, ["timing"]),
        (RecordFlag.CLIPPED, ["clipped"]),
        (RecordFlag.SATURATED, ["clipped"]),
        (RecordFlag.SPIKES, ["spike"]),
        (RecordFlag.SPIKES | RecordFlag.CLIPPED | RecordFlag.CLOCK_UNLOCKED, ["timing", "clipped", "spike"]),
    ],
)
def test_flags_of_the_digitizer_are_remarks(flags: RecordFlag, codes: list[str]) -> None:
    assert [remark.code for remark in flag_remarks(flags)] == codes


def _artefact(traces: np.ndarray) -> str | None:
    timeline = _timeline(traces)
    trigger = Trigger(timeline, TriggerConfig())
    (onset,) = trigger.scan()
    return artefact_of(trigger, onset.hop, onset.hop, onset.hop + 20)


def _burst(traces: np.ndarray, at: int) -> np.ndarray:
    made = traces.copy()
    made[:, at : at + 300] += 2000 * np.sin(2 * np.pi * 0.06 * np.arange(300)) * np.exp(-np.arange(300) / 150)
    return made


def test_a_trigger_by_a_spike_or_a_step_is_an_artefact() -> None:
    for row in (0, 1):
        spiked, stepped = NOISE.copy(), NOISE.copy()
        spiked[row, 5000] += 4000
        stepped[row, 5000:] += 4000
        if row == 0:
            assert _artefact(spiked) == "spike"
            assert _artefact(stepped) == "step"
        else:  # the vertical decides
            for traces in (spiked, stepped):
                assert Trigger(_timeline(traces), TriggerConfig()).scan() == []
    assert _artefact(_burst(NOISE, 5000)) is None


def test_a_trigger_by_an_earthquake_with_a_spike_is_no_artefact() -> None:
    traces = _burst(NOISE, 5000)
    traces[1, 5005] += 40_000
    assert _artefact(traces) is None
    traces = _burst(NOISE, 5000)
    traces[0, 4950] += 60_000  # on the vertical, before it
    timeline = _timeline(traces)
    trigger = Trigger(timeline, TriggerConfig())
    onset = trigger.scan()[0]
    assert artefact_of(trigger, onset.hop, onset.hop, onset.hop + 20) == "spike"
    assert artefact_of(trigger, onset.hop, onset.hop + 10, onset.hop + 30) is None


def test_a_prepared_window_is_the_same_and_inspects_only_its_last_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step, a spike, a constant value and a gap; samples arrive while the event is open."""
    traces = NOISE.copy()
    traces[0, 3000:] += 5000
    traces[1, 4100] += 90_000
    traces[2, 5000:6000] = 7
    inspected: list[int] = []
    inspect = Inspector._inspect

    def counted(self: Inspector, component: str, k0: int, valid: np.ndarray) -> Iterator[Any]:
        inspected.append(k0)
        return inspect(self, component, k0, valid)

    monkeypatch.setattr(Inspector, "_inspect", counted)
    timeline = Timeline("XX.STA", TRIGGER_GRID, raw_keep_s=200.0)
    prepared, k0 = Inspector(timeline), timeline.k_at(T0_NS) + 40 * 20
    for n in range(0, traces.shape[1], 400):
        for row, component in enumerate("ZNE"):
            if not (row == 0 and 4000 <= n < 4800):
                timeline.add(component, packet(traces[row, n : n + 400].astype(np.int32), n / 100, f"HH{component}"))
        prepared.prepare(k0)
        if n % 1200 == 0 and timeline.ready_k > k0:
            inspected.clear()
            found = prepared.window(k0, timeline.ready_k, k0 + 100)
            assert len(inspected) <= 3 * 3  # the last block, and those near the gap
            fresh = Inspector(timeline).window(k0, timeline.ready_k, k0 + 100)
            assert np.array_equal(found.mask, fresh.mask) and found.remarks == fresh.remarks
    assert len(found.remarks) == 3

"""Station and training give the same mask for the same trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests.fakes import card
from tests.train.dataset.sets import make_rows, write_set

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.detection.inspection import Inspector
from seisedge.runtime.inference.windows import cut_window
from seisedge.runtime.records.channelcode import COMPONENTS
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.timeline.masks import drop_islands, runs
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec
from seisedge.train.archive.archive import load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.augment import Chance
from seisedge.train.augment.chain import Chain
from seisedge.train.augment.islands import without_islands
from seisedge.train.models._base import Geometry

Bool = npt.NDArray[np.bool_]
START_NS = ns_from_iso("2020-09-13T12:26:40.123Z")
SPEC = GridSpec(40.0, 15.0)
N = 3000  # outputs of a window, longer than a record
RECORD_S = 60.0


def trace(rng: np.random.Generator, n: int, rate_hz: float) -> tuple[npt.NDArray[np.int32], Bool]:
    """Noise with constant values about as long as the shortest flat run, gaps, and short stretches between gaps.

    A range of 3 counts is too small for a spike or a step, which a station masks and training does not.
    """
    x = rng.integers(-1, 3, n).astype(np.int32)
    ok = np.ones(n, dtype=bool)
    for _ in range(6):
        at, length = (
            int(rng.integers(n)),
            round(rate_hz * rng.choice([0.45, 0.5, 0.55, 1.3, 4.0])) + int(rng.integers(-1, 2)),
        )
        x[at : at + length] = x[at]
    for _ in range(3):
        at = int(rng.integers(n))
        for _ in range(int(rng.integers(1, 4))):
            end = at + int(rng.integers(1, round(0.6 * rate_hz)))
            ok[at:end] = False
            at = end + round(rate_hz * rng.uniform(0.1, 1.5))
    return x, ok


def packet(component: str, start_ns: int, rate_hz: float, samples: npt.NDArray[np.int32]) -> Packet:
    return Packet(SourceId("XX", "STA", "", f"HH{component}"), start_ns, rate_hz, samples, RecordFlag.NONE, 0, "")


def from_station(x: npt.NDArray[np.int32], ok: Bool, rate_hz: float, first: int) -> Bool:
    """Mask (3, N) of the window that begins at output `first`, by the timeline, the inspection and the cut."""
    timeline = Timeline("XX.STA", SPEC, raw_keep_s=600.0)
    for component, samples, there in zip(COMPONENTS, x, ok, strict=True):
        for begin, end in runs(there):
            for n0 in range(begin, end, 400):
                start_ns = START_NS + round(n0 * NS_PER_S / rate_hz)
                timeline.add(component, packet(component, start_ns, rate_hz, samples[n0 : min(n0 + 400, end)]))
    timeline.finish()
    found = Inspector(timeline).window(first, first + N, first)
    assert not {remark.code for remark in found.remarks} & {"spike", "step"}
    model = card("event_type", n_samples=N)
    start_ns = timeline.time_of(first)
    return cut_window(timeline, model, start_ns, start_ns + round(N * NS_PER_S / SPEC.rate_hz), found.mask).valid


@pytest.mark.parametrize("rate_hz", [40.0, 50.0, 62.5, 99.99, 100.0, 125.0, 200.0])
def test_station_and_training_have_the_same_mask(tmp_path: Path, rate_hz: float) -> None:
    rng = np.random.default_rng(round(rate_hz))
    n, count = round(RECORD_S * rate_hz), 6
    traces = [[trace(rng, n, rate_hz) for _ in COMPONENTS] for _ in range(count)]
    rows = make_rows(count, trace_start_time=iso_from_ns(START_NS), trace_component_order=COMPONENTS)
    for row, components in zip(rows, traces, strict=True):
        row["trace_sampling_rate_hz"], row["trace_P_arrival_sample"] = rate_hz, n // 3
        row["trace_missing"] = ";".join(
            f"{c}:" + " ".join(f"{n0}-{n1}" for n0, n1 in runs(~ok))
            for c, (_, ok) in zip(COMPONENTS, components, strict=True)
        )
    arrays = [np.stack([np.where(ok, x, 0) for x, ok in components]) for components in traces]
    archive = load_archive([write_set(tmp_path, rows, arrays)], SPEC.rate_hz, SPEC.pass_hz)
    cutter = WindowCutter(archive, Geometry(N, SPEC.rate_hz, 10.0), torch.device("cpu"))
    seen = 0
    for i, record in enumerate(archive.records):
        components = traces[int(record.name.removeprefix("t"))]
        x, ok = np.stack([x for x, _ in components]), np.stack([ok for _, ok in components])
        offset = int(rng.integers(200))
        _, valid = cutter.cut_at(torch.tensor([i]), torch.tensor([offset]))
        at_station = from_station(x, ok, rate_hz, first_output(rate_hz) + offset)
        assert np.array_equal(valid[0].numpy() > 0.5, at_station), record.name
        seen += int((~at_station[:, : round(50 * SPEC.rate_hz)]).sum())
    assert len(archive.records) == count
    assert seen > 1000


def first_output(rate_hz: float) -> int:
    """Grid index of the first sample that training keeps of a record."""
    timeline = Timeline("XX.STA", SPEC)
    timeline.add("Z", packet("Z", START_NS, rate_hz, np.arange(4000, dtype=np.int32)))
    timeline.finish()
    _, valid = timeline.window(timeline.k_at(START_NS), timeline.k_at(START_NS) + 400)
    return timeline.k_at(START_NS) + int(np.argmax(valid[0]))


@pytest.mark.parametrize(("equal", "masked"), [(49, False), (50, True)])
def test_half_a_second_of_equal_samples_is_masked(tmp_path: Path, equal: int, masked: bool) -> None:
    x = np.round(1000 * np.random.default_rng(3).standard_normal((3, 6000))).astype(np.int32)
    x[0, 3000 : 3000 + equal] = 4321
    rows = make_rows(1, trace_component_order="ZNE", split="train")
    archive = load_archive([write_set(tmp_path, rows, [x])], 40.0, 15.0)
    assert archive.valid[0, 0].all() == (not masked)
    assert archive.valid[0, 1].all()


def test_islands_are_dropped_as_at_the_station() -> None:
    """Runs of every length about the shortest, also at both ends of a window, at several rates."""
    rng = np.random.default_rng(4)
    for rate_hz in (20.0, 40.0, 100.0, 200.0):
        shortest = round(0.2 * rate_hz)
        rows = []
        for _ in range(100):
            row, at = np.zeros(300, dtype=bool), int(rng.integers(-3, 4))
            while at < 300:
                length = shortest + int(rng.integers(-3, 4))
                row[max(at, 0) : at + length] = True
                at += length + int(rng.integers(1, 2 * shortest))
            rows.append(row)
        expected = np.stack(rows)
        masks = torch.from_numpy(expected.copy()).float().reshape(10, 10, 300)
        for row in expected:
            drop_islands(row, rate_hz)
        assert all(n1 - n0 >= shortest for row in expected for n0, n1 in runs(row))
        assert np.array_equal(without_islands(masks, rate_hz).numpy().reshape(100, 300) > 0.5, expected)
    assert not without_islands(torch.ones(1, 3, 5), 100.0).any()  # a window shorter than the shortest island


def test_augmentations_leave_no_islands() -> None:
    """A short stretch that an augmentation leaves valid is masked too."""
    valid = torch.zeros(1, 3, 400)
    valid[:, 0, 100:107] = 1.0
    valid[:, 1, 100:108] = 1.0
    x = torch.ones(1, 3, 400)
    chain = Chain([], "event_type", Chance(0, torch.device("cpu"), 40.0, 100))
    y, there = chain.waveform(x, valid)
    assert there.sum(-1).tolist() == [[0.0, 8.0, 0.0]]
    assert y.sum(-1).tolist() == [[0.0, 8.0, 0.0]]

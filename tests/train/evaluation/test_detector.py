"""The detector in memory: the rule of the station, joined recordings, thresholds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.fakes import RuleEngine, onset_card
from tests.train.archive.test_streams import EVENT, NOISE, P_AT, archive_of, record

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.inference.onset_detector import OnsetDetector, peaks
from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.detector import (
    Heard,
    Limits,
    Stretch,
    ThresholdRow,
    hop_probabilities,
    noise_onsets,
    open_hops,
    p_threshold_from,
    quiet_stretches,
    s_threshold_from,
    stretches,
    threshold_table,
)
from seisedge.train.evaluation.detector_input import ArrayTimeline
from seisedge.train.models import create_model
from seisedge.train.models._base import OnsetModel


@pytest.fixture(scope="module")
def model() -> OnsetModel:
    torch.manual_seed(3)
    built = create_model("onset_tcn").eval()
    assert isinstance(built, OnsetModel)
    return built


def test_a_row_is_for_its_hop(model: OnsetModel) -> None:
    """The row of a hop is that of the block, `delay_hops` later, that begins with nothing before the data."""
    archive = archive_of(EVENT)
    x, valid = archive.waveform[0], archive.valid[0]
    rows = hop_probabilities(model, x, valid)
    assert rows.shape == (x.shape[1] // model.hop_n, 5)
    n, hop = model.geometry.n_samples, 355
    block = (hop + model.delay_hops) // model.block_hops
    end = (block + 1) * model.block_hops * model.hop_n
    with torch.no_grad():
        alone = model(
            torch.from_numpy(x[None, :, end - n : end]), torch.from_numpy(valid[None, :, end - n : end]).float()
        )
    assert rows[hop] == pytest.approx(alone[0, hop + model.delay_hops - block * model.block_hops].numpy(), abs=1e-5)


def test_peaks_are_armed_again_below_half_of_the_threshold() -> None:
    values = np.zeros(40, dtype=np.float32)
    values[[5, 6, 7]] = 0.6, 0.9, 0.7
    values[8:12] = 0.4  # above half of the threshold
    values[12] = 0.8
    values[20] = 0.5
    assert peaks(values, 0.5) == ([6, 20], True)
    assert peaks(values, 0.95) == ([], True)


def test_consecutive_records_are_joined_with_their_picks() -> None:
    start = 1_500_000_000 * NS_PER_S
    length_ns = 75 * NS_PER_S  # 3000 samples at 40 Hz
    first, second, other = (
        record(name, "tectonic", event="c", source="x_continuous", time_ns=start + shift)
        for name, shift in (("a", 0), ("b", length_ns), ("d", 10 * length_ns))
    )
    found = stretches(archive_of(second, first, other), lambda _: True)
    assert [s.waveform.shape for s in found] == [(3, 6000), (3, 3000)]
    assert found[0].picks == [("P", 1403.0), ("S", 1603.0), ("P", 4403.0), ("S", 4603.0)]
    assert found[0].hours == pytest.approx(150 / 3600)


def heard(
    p: dict[int, float], s: dict[int, float] | None = None, picks: list[tuple[str, float]] | None = None
) -> Heard:
    values = np.zeros((3600, 5), dtype=np.float32)
    for column, marks in enumerate((p, s or {})):
        for hop, value in marks.items():
            values[hop, column] = value
    x = np.zeros((3, 3600 * 4), dtype=np.float32)
    return Heard(Stretch("e", "XX.A", 0, x, np.ones_like(x, dtype=bool), picks or []), values)


def test_the_threshold_of_p_is_the_lowest_that_keeps_all_limits() -> None:
    swarm = [heard({100: 0.9, 1000: 0.3, 2000: 0.3}, picks=[("P", 400.0), ("P", 4000.0)])]
    noise, quiet = [heard({500: 0.6})], [heard({500: 0.7})]  # 0.1 h each
    rows = threshold_table(swarm, noise, quiet)
    at = {r.threshold: r for r in rows}
    assert (at[0.2].recall, at[0.2].matched, at[0.2].noise_per_hour) == pytest.approx((1.0, 2 / 3, 10.0))
    assert (at[0.65].noise_per_hour, at[0.65].quiet_per_hour) == pytest.approx((0.0, 10.0))
    assert (at[0.5].recall, at[0.5].matched) == pytest.approx((0.5, 1.0))
    assert p_threshold_from(rows, Limits(0.6, 20.0, 20.0)) == 0.02
    assert p_threshold_from(rows, Limits(0.7, 20.0, 20.0)) == pytest.approx(0.325)
    assert p_threshold_from(rows, Limits(0.6, 5.0, 20.0)) == pytest.approx(0.625)
    assert p_threshold_from(rows, Limits(0.6, 20.0, 5.0)) == pytest.approx(0.725)
    limits = Limits(0.6, 5.0, 5.0)
    assert p_threshold_from([ThresholdRow(0.1, None, None, None, None)], limits) == 0.5
    assert p_threshold_from([ThresholdRow(0.1, 1.0, 0.1, None, None)], limits) == 0.1  # none is good enough


def test_an_onset_near_an_arrival_without_a_clear_onset_is_matched() -> None:
    swarm = [heard({100: 0.9, 1000: 0.9}, picks=[("P", 400.0), ("P?", 4000.0)])]
    row = threshold_table(swarm, [], [])[0]
    assert (row.recall, row.matched) == (1.0, 1.0)
    assert len(swarm[0].recording.truth["clear"].time_ns) == 1


def test_quiet_noise_is_that_before_events() -> None:
    long = record("long", "tectonic", noise_end=1200, onset=1403.0)
    found = quiet_stretches(archive_of(long, EVENT, NOISE), lambda _: True)
    assert [s.waveform.shape for s in found] == [(3, 1200)]


def test_a_closed_gate_hides_onsets_except_after_an_onset() -> None:
    source = heard({100: 0.9, 1000: 0.9, 1140: 0.9, 1200: 0.9})
    assert source.p_hops(0.5) == [100, 1000, 1140, 1200]
    is_open = np.zeros(3600, dtype=bool)
    is_open[995:1005] = True
    gated = dataclasses.replace(source, open_hops=is_open)
    assert gated.p_hops(0.5) == [1000, 1140, 1200]  # 15 s after 1000, then 15 s after 1140
    assert (gated.p_times_ns(0.5) == np.array([100, 114, 120]) * NS_PER_S).all()
    is_open[:] = False
    assert gated.p_hops(0.5) == []


@pytest.mark.parametrize("delay_hops", [10, 20])
def test_the_gate_opens_for_the_blocks_that_the_station_looks_at(delay_hops: int) -> None:
    """The hops whose block passes are those of the blocks that an OnsetDetector runs the model on."""
    archive = archive_of(EVENT)
    x, valid = archive.waveform[0], archive.valid[0]
    stretch = Stretch("e", "XX.A", 0, x, valid, [])
    engine = RuleEngine(
        onset_card(delay_s=delay_hops / 10, gate_ratio=3.0), lambda _w, _v: [[0.0, 0.0, 1.0, 0.0, 0.0]] * 10
    )
    detector = OnsetDetector(ArrayTimeline(x, valid), engine)
    assert detector.scan() == []
    found = open_hops(stretch, 3.0, delay_hops, 10)
    blocks = found.reshape(-1, 10)
    assert (blocks == blocks[:, :1]).all()
    assert found[P_AT // 4] and not found[200:300].any()
    assert 0 < int(blocks[:, 0].sum()) == detector.runs


def test_the_threshold_of_s_is_the_lowest_with_enough_right_ones() -> None:
    swarm = [heard({}, {100: 0.9, 700: 0.3}, [("S", 404.0)])]
    assert s_threshold_from(swarm, 0.4) == 0.02
    assert s_threshold_from(swarm, 0.6) == pytest.approx(0.325)
    assert s_threshold_from([heard({}, {100: 0.9})], 0.6) == 0.5


def test_onsets_in_noise_are_hops_of_its_records(model: OnsetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    archive: Archive = archive_of(EVENT, NOISE)
    values = np.zeros((750, 5), dtype=np.float32)
    values[[10, 300], 0] = 0.8
    monkeypatch.setattr("seisedge.train.evaluation.detector.hop_probabilities", lambda *_: values)
    assert noise_onsets(model, archive, lambda _: True) == [(1, 300)]
    assert noise_onsets(model, archive, lambda r: r.kind == "tectonic") == []

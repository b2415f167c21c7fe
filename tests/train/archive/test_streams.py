"""Streams of the onset detector: the truth lies where the signals are."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record, picks_of
from seisedge.train.archive.artefacts import ARTEFACTS, Artefact
from seisedge.train.archive.streams import ENERGY_HOPS, HOP_N, PICKED_HOPS, StreamMixer, Truth
from seisedge.train.recipes.stream_spec import StreamSpec

N = 3000  # samples of a record
CONTEXT_HOPS, DELAY_HOPS, P_AT, S_AT = 60, 10, 1403, 1603
PLAIN = StreamSpec(
    blocks=30, bases={"noise": 1.0}, extra=1.5, swarm_share=0.0, ratio=(20.0, 60.0), splice_share=0.0,
    artefact_share=0.0, vertical_share=0.0, dead_share=0.0, gap_share=0.0, late_share=0.0, slow_share=0.0,
)  # fmt: skip


def spec_with(**more: object) -> StreamSpec:
    return msgspec.structs.replace(PLAIN, **more)


def record(name: str, kind: str, **more: object) -> Record:
    noise = kind == "noise"
    event = kind in ("tectonic", "blast")
    base = Record(
        name=name, source="made", event=name, group=name, kind=kind, station="XX.A", rate_hz=100.0, three=True,
        onset=0.0 if noise else float(P_AT), noise_end=N if noise else 0, n_samples=N, visible=True, snr=50.0,
        magnitude=None, distance_km=None, gain=None, split="train", fold=1,
        picks=(("P", float(P_AT)), ("S", float(S_AT))) if event else (),
    )  # fmt: skip
    return dataclasses.replace(base, **more)  # type: ignore[arg-type]  # any field


def archive_of(*records: Record) -> Archive:
    """Noise of amplitude 1; an event begins with a sine at P that trebles at S."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((len(records), 3, N)).astype(np.float32)
    t = np.arange(N)
    signal = 40 * np.sin(2 * np.pi * 5 * t / 40) * (1.0 * (t >= P_AT) + 2.0 * (t >= S_AT)) * (t < S_AT + 400)
    for k, r in enumerate(records):
        if r.kind != "noise":
            x[k] += signal.astype(np.float32)
    return Archive(40.0, list(records), x, np.ones_like(x, dtype=bool), "", ["made"])


def mixer(archive: Archive, spec: StreamSpec = PLAIN, seed: int = 1) -> StreamMixer:
    return StreamMixer(archive, lambda _: True, spec, CONTEXT_HOPS, DELAY_HOPS, seed)


EVENT, NOISE, SLIDE = record("e", "tectonic"), record("n", "noise"), record("m", "mass movement")


def middles(truth: Truth, column: int, width: int = ENERGY_HOPS) -> list[int]:
    """Hops in the middle of the runs of targets; width: of the runs, to either side."""
    hops = np.flatnonzero(truth.picks[:, column])
    runs = np.split(hops, np.flatnonzero(np.diff(hops) > 1) + 1)
    return [int(run[width]) for run in runs if len(run) == 2 * width + 1]


def test_the_targets_lie_on_the_first_samples_of_the_added_signals() -> None:
    source = mixer(archive_of(EVENT, NOISE))
    checked = 0
    for _ in range(40):
        x, _, truth = source.draw()
        for hop in middles(truth, 0):
            before = x[0, max(hop - 10, 0) * HOP_N : hop * HOP_N]
            first = hop * HOP_N + P_AT % HOP_N
            after = x[0, first : first + 40]
            if len(before) < 8 or len(after) < 40 or (truth.kind[max(hop - 12, 0) : hop - 2] > 0).any():
                continue
            assert np.abs(after).max() > 4 * np.abs(before).max()
            checked += 1
    assert checked > 20


def test_s_follows_p_as_in_the_record() -> None:
    source = mixer(archive_of(EVENT, NOISE), spec_with(extra=0.7))
    gap = S_AT // HOP_N - P_AT // HOP_N
    pairs = 0
    for _ in range(40):
        truth = source.draw()[2]
        p, s = middles(truth, 0), middles(truth, 1)
        if len(p) == len(s) == 1 and s[0] > p[0]:
            assert abs(s[0] - p[0] - gap) <= 1
            pairs += 1
    assert pairs > 5


def test_noise_has_no_targets_and_a_mass_movement_no_p_either_way_at_its_start() -> None:
    spec = spec_with(extra=0.0)
    truth = mixer(archive_of(EVENT, NOISE), spec).draw()[2]
    assert not truth.picks.any() and (truth.picks_weight == 1).all() and (truth.kind == 0).all()
    spec = spec_with(extra=0.0, bases={"mass movement": 1.0})
    source = mixer(archive_of(EVENT, NOISE, SLIDE), spec)
    kinds = []
    for _ in range(10):
        truth = source.draw()[2]
        assert not truth.picks.any()
        kinds.append(int(truth.kind.max()))
        begins = np.flatnonzero(np.diff(truth.kind) > 0) + 1
        assert all(truth.picks_weight[hop, 0] == 0 for hop in begins)
    assert 2 in kinds


def test_an_event_without_an_s_pick_has_no_weight_for_s_and_without_a_type_none_for_the_class() -> None:
    untyped = record("u", "untyped", picks=(("P", float(P_AT)),))
    source = mixer(archive_of(untyped, NOISE), spec_with(bases={"event": 1.0}, extra=0.0))
    for _ in range(10):
        truth = source.draw()[2]
        for hop in middles(truth, 0):
            later = slice(hop + 8, hop + 100)
            assert (truth.picks_weight[later, 1] == 0).all()
            assert (truth.kind_weight[hop : hop + 20] == 0).all()


def test_an_added_arrival_below_the_noise_is_no_target() -> None:
    source = mixer(archive_of(EVENT, NOISE), spec_with(ratio=(0.05, 0.1), extra=2.0))
    hidden = 0
    for _ in range(10):
        truth = source.draw()[2]
        assert not truth.picks[:, 0].any()
        hidden += int((truth.picks_weight[:, 0] == 0).any())
    assert hidden > 3


def test_the_weight_of_an_added_arrival_grows_with_its_size() -> None:
    """The ratio is to a low quantile of the noise, so that the event rises above the noise by less."""
    archive = archive_of(EVENT, NOISE)
    weights = []
    for ratio in (2.5, 20.0):
        source = mixer(archive, spec_with(ratio=(ratio, ratio * 1.01), extra=0.7))
        truths = [source.draw()[2] for _ in range(30)]
        weights.append({float(t.picks_weight[hop, 0]) for t in truths for hop in middles(t, 0)})
    assert weights[0] and all(0 < w < 0.9 for w in weights[0])
    assert 1.0 in weights[1]


def test_the_target_of_a_picked_arrival_is_narrower() -> None:
    picked = record("p", "tectonic", p_picked=True)
    source = mixer(archive_of(picked, NOISE))
    found = [middles(source.draw()[2], 0, PICKED_HOPS) for _ in range(10)]
    assert sum(map(len, found)) > 3 and PICKED_HOPS < ENERGY_HOPS


def test_the_level_of_noise_changes_without_a_target() -> None:
    archive = archive_of(EVENT, NOISE)
    rises = []
    for share in (0.0, 1.0):
        source = mixer(archive, spec_with(extra=0.0, splice_share=share))
        drawn = [source.draw() for _ in range(10)]
        assert not any(truth.picks.any() or truth.kind.any() for _, _, truth in drawn)
        assert all((truth.picks_weight == 1).all() for _, _, truth in drawn)
        seconds = [x[0].reshape(-1, 40).std(axis=1) for x, _, _ in drawn]
        rises.append(float(np.median([s.max() / s.min() for s in seconds])))
    assert rises[1] > 1.3 * rises[0]


@pytest.mark.parametrize("blocks", [1, 2])
def test_hard_negatives_are_drawn_into_the_shortest_streams(blocks: int) -> None:
    source = mixer(archive_of(EVENT, NOISE), spec_with(extra=0.0, hard_share=1.0, blocks=blocks))
    source.hard = [(1, 500)]
    assert source.draw()[0].shape == (3, (CONTEXT_HOPS + 10 * blocks) * HOP_N)


def test_hard_negatives_are_drawn_into_the_outputs() -> None:
    archive = archive_of(EVENT, NOISE)
    archive.waveform[1, :, 2000:2040] += 500  # a knock
    source = mixer(archive, spec_with(extra=0.0, hard_share=1.0))
    source.hard = [(1, 505)]
    for _ in range(10):
        x, _, truth = source.draw()
        hop = int(np.argmax(np.abs(x[0]) > 0.2 * np.abs(x[0]).max())) // HOP_N  # the gain is drawn
        assert CONTEXT_HOPS - DELAY_HOPS <= hop < source.hops
        assert truth.picks_weight[hop, 0] == 1 and truth.picks[hop, 0] == 0


def test_a_batch_holds_the_hops_that_have_an_output_and_repeats_with_the_seed() -> None:
    archive = archive_of(EVENT, NOISE)
    one, two = (mixer(archive, StreamSpec(bases={"noise": 1.0})).batch(4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    x, valid, picks, picks_weight, kind, kind_weight = one
    assert x.shape == valid.shape == (4, 3, (CONTEXT_HOPS + 300) * HOP_N)
    assert picks.shape == picks_weight.shape == (4, 300, 2)
    assert kind.shape == kind_weight.shape == (4, 300)
    assert torch.isfinite(x).all() and bool(((valid == 0) | (valid == 1)).all())


@pytest.mark.parametrize("artefact", list(dict.fromkeys(ARTEFACTS)))
def test_artefacts_are_finite_and_change_the_stream(artefact: Artefact) -> None:
    for seed in range(30):
        x = np.zeros((3, 2000), dtype=np.float32)
        begin, end = artefact(x, 2.0, np.random.default_rng(seed))
        assert np.isfinite(x).all() and begin <= end
    assert x.dtype == np.float32


def test_too_few_records_are_an_error() -> None:
    with pytest.raises(InputError, match="needs records with noise, and events with a clear onset"):
        mixer(archive_of(EVENT))


def test_the_column_of_picks() -> None:
    row = {"trace_name": "t", "trace_picks": "P 100;S? 250.5"}
    assert picks_of(row, 0.0, None, 0.4, 1.0) == (("P", 41.0), ("S?", 101.2))
    assert picks_of({"trace_name": "t", "trace_onset_basis": "expected"}, 50.0, None, 1.0, 0.0) == (("P?", 50.0),)
    assert picks_of({"trace_name": "t"}, 50.0, 80.0, 1.0, 0.0) == (("P", 50.0), ("S", 80.0))
    for wrong in ("P", "X 3", "P three"):
        with pytest.raises(InputError, match="t: trace_picks must have the form"):
            picks_of({"trace_name": "t", "trace_picks": wrong}, 0.0, None, 1.0, 0.0)

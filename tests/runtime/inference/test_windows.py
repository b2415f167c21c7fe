"""The window of a model: where it begins and ends, what is masked in it, and what it says of its own content."""

import dataclasses

import numpy as np
import pytest
from tests.fakes import T0_NS, burst, card, packet

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.inference.windows import cut_window, grid_of, span_of_window, start_of_window
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

CARD = card()  # 40 Hz, onset at 5 s
RATE = 40
START_NS = T0_NS + ns_from_s(10)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    """Two minutes of three components; E ends after 30 s."""
    made = Timeline("XX.STA", grid_of(CARD))
    for component, length_s in (("Z", 120), ("N", 120), ("E", 30)):
        made.add(component, packet(burst(length_s, [20.0], seed=ord(component)), channel=f"HH{component}"))
    made.finish()
    return made


def sound(n: int = 0) -> np.ndarray:
    """(3, n or a window's length): nothing to be masked."""
    return np.zeros((3, n or CARD.n_samples), dtype=bool)


def only(*spans: tuple[int, int]) -> np.ndarray:
    """(3, a window's length): all to be masked but these samples."""
    mask = ~sound()
    for begin, end in spans:
        mask[:, begin:end] = False
    return mask


def test_a_models_grid_is_its_rate_and_upper_band_edge() -> None:
    assert grid_of(CARD) == GridSpec(CARD.sampling_rate_hz, CARD.band_hz[1])
    assert CARD.band_hz[0] != CARD.band_hz[1]


def test_a_window_starts_before_its_onset() -> None:
    assert start_of_window(CARD, START_NS) == START_NS - 5_000_000_000


@pytest.mark.parametrize(
    ("end_s", "length"),
    [(-3, 0), (0, 0), (1 / RATE, 1), (8, 8 * RATE), (1000, CARD.n_samples)],
    ids=["before the start", "at the start", "one sample", "part", "beyond the window"],
)
def test_the_span_lies_between_nothing_and_the_whole_window(timeline: Timeline, end_s: float, length: int) -> None:
    k0, k1 = span_of_window(timeline, CARD, START_NS, START_NS + ns_from_s(end_s))
    assert timeline.time_of(k0) == START_NS
    assert k1 - k0 == length


def test_a_part_is_the_timelines_samples_and_zeros_behind(timeline: Timeline) -> None:
    window = cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(8))
    k0, span = timeline.k_at(START_NS), 8 * RATE
    wave, valid = timeline.window(k0, k0 + span)
    assert window.waveform.shape == window.valid.shape == (3, CARD.n_samples)
    assert valid.all() and window.valid[:, :span].all() and not window.valid[:, span:].any()
    assert np.array_equal(window.waveform[:, :span], wave) and not window.waveform[:, span:].any()
    assert (window.start_ns, window.span_s, window.coverage, window.gaps) == (START_NS, 8.0, 1.0, 0)


@pytest.mark.parametrize("end_s", [8, 22, 30])
def test_the_first_samples_are_the_window_of_a_shorter_model(timeline: Timeline, end_s: float) -> None:
    short = card(n_samples=1200, answers_s=[3.0])
    end_ns, mask = START_NS + ns_from_s(end_s), ~only((3, 200), (205, 900))
    window, expected = (cut_window(timeline, one, START_NS, end_ns, mask) for one in (CARD, short))
    found = window.first(short.n_samples)
    assert found.waveform.tobytes() == expected.waveform.tobytes() and found.valid.tobytes() == expected.valid.tobytes()
    assert dataclasses.replace(found, waveform=expected.waveform, valid=expected.valid) == expected


def test_a_window_that_ends_before_it_starts_is_empty(timeline: Timeline) -> None:
    window = cut_window(timeline, CARD, START_NS, START_NS - 1)
    assert not window.valid.any() and not window.waveform.any()
    assert (window.span_s, window.coverage, window.gaps) == (0.0, 0.0, 0)


def test_the_best_component_gives_coverage_and_gaps(timeline: Timeline) -> None:
    """E has ended and Z has gaps: N, the second of three, is the best."""
    unsound = sound()
    unsound[0, 400:800] = unsound[1, 100:120] = unsound[1, 200:220] = True
    window = cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(25), unsound)
    held = window.valid[:, : 25 * RATE].sum(axis=1)
    assert held[1] == 960 and held[0] == 600 and held[2] < 900
    assert (window.coverage, window.gaps, window.span_s) == (0.96, 2, 25.0)


def test_a_gap_at_the_start_and_one_at_the_end_count(timeline: Timeline) -> None:
    window = cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(25), only((100, 500), (520, 900)))
    assert (window.coverage, window.gaps) == (0.78, 3)
    assert cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(25), only()).gaps == 1


def test_unsound_samples_are_masked_and_zero(timeline: Timeline) -> None:
    """The mask of the first samples only, and one that is longer than the window."""
    short = sound(60)
    short[0, 10:50] = True
    window = cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(8), short)
    assert not window.valid[0, 10:50].any() and window.valid[0, 50:320].all() and window.valid[1, :320].all()
    assert not window.waveform[0, 10:50].any() and window.waveform[0, 50:320].any()
    long = sound(CARD.n_samples + 7)
    long[:, CARD.n_samples :] = True
    assert cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(8), long).valid[:, :320].all()


@pytest.mark.parametrize(("samples", "kept"), [(7, False), (8, True), (9, True)])
@pytest.mark.parametrize("begin", [0, 100, 400])
def test_an_island_shorter_than_a_fifth_of_a_second_is_dropped(
    timeline: Timeline, samples: int, kept: bool, begin: int
) -> None:
    """8 samples at 40 Hz. Longer stretches beside it stay, wherever it lies."""
    unsound = only((begin, begin + samples), (200, 300))
    window = cut_window(timeline, CARD, START_NS, START_NS + ns_from_s(15), unsound)
    assert window.valid[:, begin : begin + samples].all() == kept
    assert window.valid[:, begin : begin + samples].any() == kept
    assert window.valid[:, 200:300].all() and window.valid.sum() == 3 * (100 + samples * kept)
    assert window.waveform[:, begin : begin + samples].any() == kept

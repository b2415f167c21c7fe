"""Labels, numbers and intervals from given probabilities, worked out by hand."""

import itertools

import numpy as np
import pytest
from tests.fakes import EDGES, card

from seisedge.runtime.card import MagnitudeScale
from seisedge.runtime.config import EventsConfig
from seisedge.runtime.event import CombinedAnswer, TypeEstimate
from seisedge.runtime.inference.estimate import (
    bin_centres,
    bins_of,
    combined_type,
    interval_bins,
    is_suppressed,
    magnitude_estimate,
    magnitude_label,
    type_answer,
    type_estimate,
    with_detector,
)
from seisedge.runtime.inference.infer import model_units_per_count

CLOSED: list[float | None] = [0.0, 0.1, 0.2, 0.3]
OPEN: list[float | None] = [None, 0.0, 0.1, 0.2, None]


def _probabilities(**bins: float) -> np.ndarray:
    """(32,): b11=0.5 is a probability of 0.5 in bin 11, (1.0, 1.1]."""
    probabilities = np.zeros(32, dtype=np.float32)
    for name, p in bins.items():
        probabilities[int(name[1:])] = p
    return probabilities


def test_the_event_type_is_the_most_probable_label() -> None:
    estimate = type_estimate(card(), "ab", np.array([0.123456, 0.8, 0.076544], dtype=np.float32))
    assert (estimate.label, estimate.probability) == ("non-tectonic", 0.8)
    assert estimate.probabilities == {"tectonic": 0.1235, "non-tectonic": 0.8, "noise": 0.0765}
    assert (estimate.model, estimate.sha256) == ("fake-event_type", "ab")


# the magnitude of a window


def test_magnitude_by_hand() -> None:
    # bins 10, 11, 12 are (0.9, 1.0], (1.0, 1.1], (1.1, 1.2]
    estimate = magnitude_estimate(card("magnitude"), "ab", _probabilities(b10=0.25, b11=0.5, b12=0.25), calibrated=True)
    assert (estimate.label, estimate.bin, estimate.probability) == ("bin 11", (1.0, 1.1), 0.5)
    assert (estimate.value, estimate.expected) == (1.05, 1.05)
    assert estimate.interval_90 == (0.9, 1.2) and estimate.provisional is None
    assert (estimate.type, estimate.model, estimate.sha256) == ("ML", "fake-magnitude", "ab")


def test_the_expected_magnitude_is_the_mean_over_the_bins() -> None:
    # 0.5 at 1.05, 0.3 at 1.15, 0.2 at the open bin's 3.2
    estimate = magnitude_estimate(card("magnitude"), "ab", _probabilities(b11=0.5, b12=0.3, b31=0.2), calibrated=True)
    assert estimate.expected == round(0.525 + 0.345 + 0.64, 2)


def test_numbers_are_rounded() -> None:
    """The centre of a bin, 1.000625, to 0.001; the mean, 1.005625, to 0.01."""
    fine = card("magnitude", labels=["a", "b"], magnitude=MagnitudeScale(edges=[1.0, 1.00125, 1.1], type="ML"))
    estimate = magnitude_estimate(fine, "ab", np.array([0.9, 0.1], dtype=np.float32), calibrated=True)
    assert (estimate.value, estimate.expected) == (1.01, 1.01)


def test_a_narrow_distribution_has_a_narrow_interval() -> None:
    estimate = magnitude_estimate(card("magnitude"), "ab", _probabilities(b11=1.0), calibrated=True)
    assert estimate.interval_90 == (1.0, 1.1)


def test_an_interval_that_reaches_the_open_bin_is_open() -> None:
    estimate = magnitude_estimate(card("magnitude"), "ab", _probabilities(b30=0.8, b31=0.2), calibrated=True)
    assert estimate.value == 3.0 and estimate.interval_90 == (2.9, None)


def test_an_open_bin_is_the_label_only_where_its_probability_exceeds_one_half() -> None:
    # a magnitude of about 2.7: the open bin is the most probable single one because it is the widest
    wide = magnitude_estimate(
        card("magnitude"), "ab", _probabilities(b27=0.2, b28=0.25, b29=0.2, b31=0.35), calibrated=True
    )
    assert wide.bin == (2.7, 2.8) and wide.value == 2.91
    beyond = magnitude_estimate(card("magnitude"), "ab", _probabilities(b30=0.45, b31=0.55), calibrated=True)
    assert beyond.bin == (3.0, None) and beyond.value is None


def test_not_calibrated_and_out_of_range_give_no_number() -> None:
    for probabilities, calibrated in (
        (_probabilities(b11=1.0), False),
        (_probabilities(b0=1.0), True),
        (_probabilities(b31=1.0), True),
    ):
        estimate = magnitude_estimate(card("magnitude"), "ab", probabilities, calibrated=calibrated)
        assert estimate.value is None and estimate.expected is None and estimate.interval_90 is None
        assert estimate.provisional is (None if calibrated else True)
        assert estimate.probability == 1.0


# the label


@pytest.mark.parametrize(
    ("probabilities", "label"),
    [
        ([0.5, 0.2, 0.3, 0.0, 0.0], 2),  # not more than half: the best of the closed bins
        ([0.51, 0.09, 0.4, 0.0, 0.0], 0),
        ([0.0, 0.1, 0.1, 0.3, 0.5], 3),
        ([0.0, 0.0, 0.1, 0.3, 0.6], 4),
        ([0.4, 0.05, 0.05, 0.1, 0.4], 3),  # both open bins are more probable than any other
    ],
)
def test_the_label_of_probabilities(probabilities: list[float], label: int) -> None:
    edges: list[float | None] = [None, 0.0, 0.1, 0.2, 0.3, None]
    assert magnitude_label(edges, np.array(probabilities)) == label


def test_labels_of_many_windows_at_once() -> None:
    rows = np.array([[0.6, 0.3, 0.1, 0.0], [0.2, 0.3, 0.5, 0.0], [0.1, 0.2, 0.1, 0.6]])
    assert magnitude_label(OPEN, rows).tolist() == [0, 2, 3]
    assert magnitude_label(CLOSED, rows[:, :3]).tolist() == [0, 2, 1]
    assert magnitude_label(OPEN, rows[None]).shape == (1, 3)


# the 90 % interval


@pytest.mark.parametrize(
    ("probabilities", "first", "last"),
    [
        ([0.04, 0.92, 0.04, 0.0], 1, 1),  # 4 % lie outside on either side
        ([0.06, 0.88, 0.06, 0.0], 0, 2),  # 6 % do not
        ([0.0625, 0.875, 0.0625, 0.0], 0, 2),
        ([0.0, 0.03, 0.03, 0.94], 2, 3),  # 3 % and 6 % below the second and the third bin
        ([0.94, 0.02, 0.02, 0.02], 0, 1),  # 94 % and 96 % up to the first and the second
        ([0.25, 0.25, 0.25, 0.25], 0, 3),
        ([0.0, 0.0, 0.0, 1.0], 3, 3),
        ([1.0, 0.0, 0.0, 0.0], 0, 0),
    ],
)
def test_the_interval_leaves_at_most_5_percent_outside_on_either_side(
    probabilities: list[float], first: int, last: int
) -> None:
    p = np.array(probabilities, dtype=np.float32)
    found = interval_bins(p)
    assert (int(found[0]), int(found[1])) == (first, last)
    assert p[:first].sum() <= 0.05 and p[last + 1 :].sum() <= 0.05
    assert p[: first + 1].sum() > 0.05 - 1e-6 and p[last:].sum() > 0.05 - 1e-6  # the narrowest such interval


def test_a_bin_that_ends_at_exactly_5_percent_is_in_the_interval() -> None:
    first, _ = interval_bins(np.array([0.05, 0.9, 0.05]))
    assert int(first) == 0


def test_a_sum_that_rounds_below_95_percent_ends_at_the_last_bin() -> None:
    """float32 probabilities of a model whose sum is 0.94 must not point behind the last bin."""
    _, last = interval_bins(np.array([0.47, 0.47], dtype=np.float32))
    assert int(last) == 1


def test_intervals_of_many_windows_at_once() -> None:
    first, last = interval_bins(np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]))
    assert first.tolist() == [1, 0] and last.tolist() == [1, 2]


# bins


def test_a_bin_is_open_below_and_closed_above() -> None:
    magnitudes = np.array([-0.5, 0.0, 0.05, 0.1, 0.11, 3.0, 3.1])
    assert bins_of(EDGES, magnitudes).tolist() == [0, 0, 1, 1, 2, 30, 31]


def test_a_magnitude_outside_closed_edges_gets_the_nearest_bin() -> None:
    assert bins_of(CLOSED, np.array([-1.0, 0.0, 0.05, 0.1, 0.11, 0.3, 0.31, 9.0])).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]


def test_every_centre_lies_in_its_bin() -> None:
    for edges in (OPEN, CLOSED, EDGES):
        assert bins_of(edges, bin_centres(edges)).tolist() == list(range(len(edges) - 1))


def test_centres_by_hand() -> None:
    assert bin_centres(OPEN).tolist() == pytest.approx([-0.2, 0.05, 0.15, 0.4])
    assert bin_centres([None, 1.0, None]).tolist() == pytest.approx([0.8, 1.2])
    assert len(bin_centres(CLOSED)) == len(list(itertools.pairwise(CLOSED)))


def test_a_scale_with_closed_outer_bins_has_numbers_in_all_of_them() -> None:
    closed = card("magnitude", labels=["a", "b", "c"], magnitude=MagnitudeScale(edges=CLOSED, type="Mw"))
    estimate = magnitude_estimate(closed, "ab", np.array([0.7, 0.2, 0.1], dtype=np.float32), calibrated=True)
    assert (estimate.label, estimate.value, estimate.interval_90) == ("a", 0.09, (0.0, 0.3))


# noise, with what the onset detector hears


def _type(noise: float) -> TypeEstimate:
    return type_estimate(card(), "ab", np.array([0.9 - noise, 0.1, noise], dtype=np.float32))


@pytest.mark.parametrize(
    ("onset", "heard", "expected"),
    [
        (0.9, [0.2, 0.4], 0.0118),  # odds 1 / 4, times 3 / 7, divided by 9
        (0.5, [], 0.2),
        (0.4, [0.9], 0.7714),
        (1.0, [0.0], 0.0),  # odds of 0.01 at least: 1 / 4 / 99 / 99
        (0.0, [1.0], 0.9996),
    ],
)
def test_the_odds_of_noise_are_multiplied(onset: float, heard: list[float], expected: float) -> None:
    estimate = with_detector(_type(0.2), onset, heard)
    assert estimate.noise_probability == expected
    assert estimate.probabilities == _type(0.2).probabilities
    without = type_estimate(card(labels=["tectonic", "non-tectonic"]), "ab", np.array([0.6, 0.4], dtype=np.float32))
    assert with_detector(without, onset, heard) == without


@pytest.mark.parametrize(
    ("threshold", "noise", "heard", "suppressed"),
    [
        (None, 0.3, 0.1, False),  # odds 3 / 7, times 1 / 9: 0.045
        (None, 0.3, 0.11, True),  # 0.0503
        (None, 0.6, 0.01, True),  # 0.015, but the most probable label
        (1.0, 0.6, 0.01, False),
        (1.0, 0.8, 1.0, False),  # 0.9975, and rounded to 1 with a higher one
        (1.0, 0.9, 1.0, False),
        (0.0, 0.3, 0.9, False),
        (0.0, 0.6, 0.01, True),
        (0.12, 0.3, 0.21, False),
    ],
)
def test_the_threshold_is_compared_with_the_odds_of_both(
    threshold: float | None, noise: float, heard: float, suppressed: bool
) -> None:
    estimate = with_detector(_type(noise), 0.5, [heard])
    assert is_suppressed(estimate, EventsConfig(noise_threshold=threshold), "onset") == suppressed
    assert not is_suppressed(_type(0.3), EventsConfig(), "sta-lta")  # 0 is its default


# units


def test_factors_from_counts_to_the_unit_of_a_model() -> None:
    polarity, metres_per_count = np.array([1.0, -1.0, 1.0]), np.array([1e-9, 2e-9, np.nan])
    assert model_units_per_count(card(), polarity, metres_per_count).tolist() == [1.0, -1.0, 1.0]
    factors = model_units_per_count(card("magnitude"), polarity, metres_per_count)
    assert factors[:2].tolist() == [1e-9, -2e-9] and np.isnan(factors[2])


def test_a_magnitude_has_all_its_fields() -> None:
    """Edges of which neither centre nor mean is a round number; the upper bin of the two with an end holds more."""
    scale = MagnitudeScale(type="Mw", edges=[None, 0.0, 0.4111, 1.0, None])
    labels = ["below", "low", "high", "above"]
    shares = np.array([0.02, 0.333333, 0.611111, 0.035556], dtype=np.float32)
    model = card("magnitude", magnitude=scale, labels=labels)
    estimate = magnitude_estimate(model, "ab", shares, calibrated=True)
    assert (estimate.label, estimate.bin, estimate.probability) == ("high", (0.4111, 1.0), 0.6111)
    assert estimate.value == 0.54
    assert estimate.expected == 0.54  # -0.2 * 0.02 + 0.20555 * 0.3333 + 0.70555 * 0.6111 + 1.2 * 0.0356
    assert estimate.interval_90 == (0.0, 1.0)
    assert (estimate.type, estimate.model, estimate.sha256, estimate.provisional) == ("Mw", model.name, "ab", None)
    provisional = magnitude_estimate(model, "ab", shares, calibrated=False)
    assert (provisional.label, provisional.bin, provisional.provisional) == ("high", (0.4111, 1.0), True)


# the answers of one event


def test_answers_combine_by_the_weighted_mean_of_their_logarithms() -> None:
    """4 s and 16 s of sound data weigh 2 and 4: 0.9 ** (1 / 3) * 0.4 ** (2 / 3), and so on, normalised."""
    answers = [
        type_answer(4.0, 4.0, np.array([0.9, 0.05, 0.05], dtype=np.float32), three=False, clipped=False),
        type_answer(16.0, 16.0, np.array([0.4, 0.5, 0.1], dtype=np.float32), three=False, clipped=False),
    ]
    estimate = combined_type(card(), "ab", answers)
    assert (estimate.label, estimate.probability) == ("tectonic", 0.6273)
    assert estimate.probabilities == {"tectonic": 0.6273, "non-tectonic": 0.2777, "noise": 0.095}
    assert estimate.combined == [
        CombinedAnswer(answer_s=4.0, weight=0.3333),
        CombinedAnswer(answer_s=16.0, weight=0.6667),
    ]


def test_windows_of_three_components_beyond_10_s_count_alike() -> None:
    """The label of an early answer stands against one later answer of three components, not of the vertical alone."""
    p = np.array([0.85, 0.1, 0.05], dtype=np.float32), np.array([0.15, 0.8, 0.05], dtype=np.float32)
    made = {
        three: combined_type(
            card(),
            "ab",
            [type_answer(s, s, x, three=three, clipped=False) for s, x in zip((9.0, 40.0), p, strict=True)],
        )
        for three in (True, False)
    }
    assert {three: estimate.label for three, estimate in made.items()} == {True: "tectonic", False: "non-tectonic"}
    weights = [[part.weight for part in estimate.combined or []] for estimate in made.values()]
    assert weights == [[0.4868, 0.5132], [0.3217, 0.6783]]
    assert type_answer(3.0, 3.0, p[0], three=True, clipped=False) == type_answer(
        3.0, 3.0, p[0], three=False, clipped=False
    )


def test_a_clipped_window_counts_a_quarter() -> None:
    """A confident early answer stands against one later window that is clipped, and not against one that is not."""
    early = type_answer(3.0, 3.0, np.array([0.9, 0.08, 0.02], dtype=np.float32), three=False, clipped=False)
    late = [
        type_answer(30.0, 30.0, np.array([0.1, 0.85, 0.05], dtype=np.float32), three=False, clipped=clipped)
        for clipped in (True, False)
    ]
    assert [combined_type(card(), "ab", [early, x]).label for x in late] == ["tectonic", "non-tectonic"]
    assert late[0].weight == late[1].weight / 4


def test_a_single_answer_is_the_output_of_the_model_and_no_answer_rules_a_label_out() -> None:
    p = np.array([0.123456, 0.876544, 0.0], dtype=np.float32)
    one = type_answer(3.0, 3.0, p, three=False, clipped=False)
    assert combined_type(card(), "ab", [one]) == type_estimate(card(), "ab", p)
    other = type_answer(30.0, 30.0, np.array([0.0, 0.0, 1.0], dtype=np.float32), three=False, clipped=False)
    estimate = combined_type(card(), "ab", [one, other])
    assert estimate.label == "noise" and 0 < estimate.probabilities["non-tectonic"] < 0.1


def test_a_prevalence_weighs_the_probabilities_and_is_stated() -> None:
    """0.5 * 0.1, 0.3 * 0.1, 0.2 * 0.8 = 0.05, 0.03, 0.16, of 0.24."""
    one = type_answer(3.0, 3.0, np.array([0.5, 0.3, 0.2], dtype=np.float32), three=False, clipped=False)
    shares = {"tectonic": 0.1, "non-tectonic": 0.1, "noise": 0.8}
    estimate = combined_type(card(), "ab", [one], shares)
    assert estimate.probabilities == {"tectonic": 0.2083, "non-tectonic": 0.125, "noise": 0.6667}
    assert (estimate.label, estimate.prevalence) == ("noise", shares)
    equal = combined_type(card(), "ab", [one], dict.fromkeys(shares, 1 / 3))
    assert equal.probabilities == combined_type(card(), "ab", [one]).probabilities
    assert combined_type(card(), "ab", [one]).prevalence is None

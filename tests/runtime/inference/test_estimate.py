import numpy as np
import pytest
from tests.fakes import card

from seisedge.runtime.card import MagnitudeScale
from seisedge.runtime.inference.estimate import (
    bin_centres,
    interval_bins,
    magnitude_estimate,
    magnitude_label,
    type_estimate,
)


def _shares(**bins: float) -> np.ndarray:
    shares = np.zeros(32, dtype=np.float32)
    for name, p in bins.items():
        shares[int(name[1:])] = p
    return shares


def test_type() -> None:
    estimate = type_estimate(card(), "ab", np.array([0.123456, 0.8, 0.076544], dtype=np.float32))
    assert (estimate.label, estimate.probability) == ("non-tectonic", 0.8)
    assert estimate.probabilities == {"tectonic": 0.1235, "non-tectonic": 0.8, "noise": 0.0765}


def test_magnitude_by_hand() -> None:
    # bins 10, 11, 12 are (0.9, 1.0], (1.0, 1.1], (1.1, 1.2]
    estimate = magnitude_estimate(card("magnitude"), "ab", _shares(b10=0.25, b11=0.5, b12=0.25), calibrated=True)
    assert estimate.bin == (1.0, 1.1) and estimate.value == 1.05
    assert estimate.expected == 1.05
    assert estimate.interval_90 == (0.9, 1.2)


def test_a_narrow_distribution_has_a_narrow_interval() -> None:
    estimate = magnitude_estimate(card("magnitude"), "ab", _shares(b11=1.0), calibrated=True)
    assert estimate.interval_90 == (1.0, 1.1)


def test_an_interval_that_reaches_the_open_bin_is_open() -> None:
    estimate = magnitude_estimate(card("magnitude"), "ab", _shares(b30=0.8, b31=0.2), calibrated=True)
    assert estimate.value == 2.95 and estimate.interval_90 == (2.9, None)


def test_an_open_bin_is_the_label_only_where_it_holds_more_than_half() -> None:
    # magnitude 2.7 or so: the open bin is the largest single one because it is the widest
    wide = magnitude_estimate(card("magnitude"), "ab", _shares(b27=0.2, b28=0.25, b29=0.2, b31=0.35), calibrated=True)
    assert wide.bin == (2.7, 2.8) and wide.value == 2.75
    beyond = magnitude_estimate(card("magnitude"), "ab", _shares(b30=0.45, b31=0.55), calibrated=True)
    assert beyond.bin == (3.0, None) and beyond.value is None


def test_not_calibrated_and_out_of_range_give_no_number() -> None:
    for shares, calibrated in ((_shares(b11=1.0), False), (_shares(b0=1.0), True), (_shares(b31=1.0), True)):
        estimate = magnitude_estimate(card("magnitude"), "ab", shares, calibrated=calibrated)
        assert estimate.value is None and estimate.expected is None and estimate.interval_90 is None
        assert estimate.provisional is (None if calibrated else True)


@pytest.mark.parametrize(
    ("shares", "first", "last"),
    [
        ((0.04, 0.06, 0.8, 0.06, 0.04), 1, 3),  # 4 % below and above lie outside
        ((0.06, 0.88, 0.06), 0, 2),  # more than 5 % in each outer bin: both are needed
        ((0.04, 0.92, 0.04), 1, 1),
        ((0.05, 0.45, 0.5), 0, 2),  # exactly 5 % in the first bin: it is within
        ((0.5, 0.45, 0.05), 0, 1),  # 95 % reached exactly with the second bin: the third is not needed
        ((0.3, 0.3, 0.3), 0, 2),  # a sum below 95 %, by rounding: the last bin at most
        ((1.0, 0.0, 0.0), 0, 0),
        ((0.0, 0.0, 1.0), 2, 2),
    ],
)
def test_the_interval_holds_the_central_90_percent(shares: tuple[float, ...], first: int, last: int) -> None:
    found = interval_bins(np.array(shares))
    assert (int(found[0]), int(found[1])) == (first, last)


def test_the_interval_of_many_windows_is_that_of_each() -> None:
    rng = np.random.default_rng(3)
    many = rng.dirichlet(np.ones(6), (4, 5))
    first, last = interval_bins(many)
    assert first.shape == last.shape == (4, 5)
    for at in np.ndindex(4, 5):
        assert [int(x) for x in interval_bins(many[at])] == [first[at], last[at]]
        assert many[at][: first[at]].sum() < 0.05 <= many[at][: first[at] + 1].sum()
        assert many[at][: last[at]].sum() < 0.95 <= many[at][: last[at] + 1].sum()


EDGES = (None, 0.0, 0.5, 1.0, None)


@pytest.mark.parametrize(
    ("shares", "label"),
    [
        ((0.5, 0.2, 0.3, 0.0), 2),  # half is not more than half
        ((0.51, 0.29, 0.2, 0.0), 0),
        ((0.1, 0.2, 0.15, 0.55), 3),
        ((0.3, 0.31, 0.0, 0.39), 1),
        ((0.5, 0.0, 0.0, 0.5), 1),  # the first of the bins with an end
    ],
)
def test_the_label_by_hand(shares: tuple[float, ...], label: int) -> None:
    assert int(magnitude_label(EDGES, np.array(shares))) == label
    assert magnitude_label(EDGES, np.array([shares, shares])).tolist() == [label, label]


def test_an_open_bin_counts_from_a_little_beyond_its_edge() -> None:
    assert bin_centres(EDGES).tolist() == pytest.approx([-0.2, 0.25, 0.75, 1.2])
    assert bin_centres((None, 2.0, None)).tolist() == pytest.approx([1.8, 2.2])


def test_a_magnitude_has_all_its_fields() -> None:
    """Edges of which neither centre nor mean is a round number; the upper bin of the two with an end holds more."""
    scale = MagnitudeScale(type="Mw", edges=[None, 0.0, 0.4111, 1.0, None])
    labels = ["below", "low", "high", "above"]
    shares = np.array([0.02, 0.333333, 0.611111, 0.035556], dtype=np.float32)
    model = card("magnitude", magnitude=scale, labels=labels)
    estimate = magnitude_estimate(model, "ab", shares, calibrated=True)
    assert (estimate.label, estimate.bin, estimate.probability) == ("high", (0.4111, 1.0), 0.6111)
    assert estimate.value == 0.706  # 0.70555, to three places
    assert estimate.expected == 0.54  # -0.2 * 0.02 + 0.20555 * 0.3333 + 0.70555 * 0.6111 + 1.2 * 0.0356
    assert estimate.interval_90 == (0.0, 1.0)
    assert (estimate.type, estimate.model, estimate.sha256, estimate.provisional) == ("Mw", model.name, "ab", None)
    provisional = magnitude_estimate(model, "ab", shares, calibrated=False)
    assert (provisional.label, provisional.bin, provisional.provisional) == ("high", (0.4111, 1.0), True)


def test_the_first_bin_may_be_open_downwards() -> None:
    below = magnitude_estimate(card("magnitude"), "ab", _shares(b0=0.6, b1=0.4), calibrated=True)
    assert below.bin[0] is None and below.value is None and below.expected is None and below.interval_90 is None


def test_a_type_names_its_model() -> None:
    estimate = type_estimate(card(), "ab", np.array([0.2, 0.3, 0.5], dtype=np.float32))
    assert (estimate.label, estimate.model, estimate.sha256) == ("noise", card().name, "ab")

import numpy as np
from tests.fakes import card

from seisedge.runtime.inference.estimate import magnitude_estimate, type_estimate


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

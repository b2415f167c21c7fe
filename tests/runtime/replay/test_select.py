"""Channel patterns and start positions."""

from __future__ import annotations

import pytest

from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.replay._recording import Entry, Station
from seisedge.runtime.replay._select import Request, Selector, Subscription, is_selected

EHZ, HHE = SourceId("PB", "B918", "", "EHZ"), SourceId("PB", "B918", "00", "HHE")


@pytest.mark.parametrize(
    ("patterns", "ehz", "hhe"),
    [
        ("", True, True),
        ("EHZ", True, False),
        ("EH?", True, False),
        ("??E", False, True),
        ("00HH?", False, True),
        ("00???", False, True),
        ("--EHZ", True, False),
        ("00EHZ", False, False),
        ("EHZ HHE", True, True),
        ("!EHZ", False, True),
        ("EH? !EHZ", False, False),
        ("EHZ.D", True, False),
        ("EHZ.L", False, False),
        ("D", True, True),
        ("E", False, False),
        ("*", True, True),
    ],
)
def test_patterns(patterns: str, ehz: bool, hhe: bool) -> None:
    selectors = [Selector.from_text(text) for text in patterns.split()]
    known = [selector for selector in selectors if selector is not None]
    assert len(known) == len(selectors)
    assert (is_selected(EHZ, known), is_selected(HHE, known)) == (ehz, hhe)


@pytest.mark.parametrize("text", ["", "!", "EH", "EHZZ", "00EHZZ", "EH Z", "EHZ.", "EHZ.DD", "eh?", "É??"])
def test_invalid_patterns(text: str) -> None:
    assert Selector.from_text(text) is None


def subscription(first_sequence: int = 1, **request: int) -> Subscription:
    entries = [Entry(EHZ, 10 * k, 10 * k + 9, b"") for k in range(100)]  # of 10 ns each
    return Subscription(Station("PB", "B918", entries), Request(**request), first_sequence)  # type: ignore[arg-type]  # ints only


def taken(wanted: Subscription, n_released: int = 0) -> list[int]:
    wanted.set_range(n_released)
    return [k for k in range(wanted.next, wanted.stop) if wanted.takes(k)]


@pytest.mark.parametrize(
    ("sequence", "first_sequence", "begins"),
    [
        (1, 1, 0),
        (41, 1, 40),
        (101, 1, 100),  # the next one, not recorded yet
        (500, 1, 100),  # unknown, in the future: waits
        (0xFFFFFF, 1, 0),  # unknown, in the past: the oldest
        (0, 0xFFFFF0, 16),  # across the wrap of the numbers
        (5, 0xFFFFF0, 21),
    ],
)
def test_resume(sequence: int, first_sequence: int, begins: int) -> None:
    wanted = subscription(first_sequence, sequence=sequence)
    wanted.set_range(0)
    assert wanted.next == begins
    assert begins == 100 or sequence == 0xFFFFFF or wanted.sequence(wanted.next) == sequence


def test_time_window() -> None:
    assert taken(subscription(begin_ns=205)) == list(range(20, 100))
    assert taken(subscription(begin_ns=205, end_ns=250)) == [20, 21, 22, 23, 24]
    assert taken(subscription(begin_ns=5000)) == []
    assert taken(subscription(begin_ns=0, end_ns=0)) == []


def test_from_now() -> None:
    assert taken(subscription(), n_released=97) == [97, 98, 99]

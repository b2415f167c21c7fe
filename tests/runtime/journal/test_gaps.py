"""Ranges of numbers against a plain set of numbers."""

import random

from seisedge.runtime.journal.gaps import Gaps


def test_gaps_between_given_numbers() -> None:
    gaps = Gaps([3, 4, 7], 9)
    assert [gaps.count_after(number) for number in (0, 1, 2, 4, 5, 8, 9)] == [6, 5, 4, 4, 3, 1, 0]
    assert Gaps().count_after(0) == 0


def test_gaps_are_those_of_a_set() -> None:
    draw = random.Random(4)
    for _ in range(300):
        missing = set(draw.sample(range(1, 41), draw.randrange(20)))
        gaps = Gaps(sorted(set(range(1, 41)) - missing), 40)
        floor = 0  # no sink is behind it
        for _ in range(8):
            first = draw.randrange(1, 41)
            last = draw.randrange(first, 41)
            if draw.random() < 0.7:
                gaps.add(first, last)
                missing |= set(range(first, last + 1))
            else:
                floor = max(floor, first)
                gaps.forget(floor)
            after = draw.randrange(floor, 42)
            known = {number for number in missing if number > after}
            assert gaps.count_after(after) == len(known)
        assert all(b[0] > a[1] + 1 for a, b in zip(gaps._ranges, gaps._ranges[1:], strict=False))

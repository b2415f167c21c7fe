"""Gaps: numbers of lines that are no longer in the outbox although a sink has not received them."""

from __future__ import annotations

from collections.abc import Iterable


class Gaps:
    """Ranges of numbers without a line, up to `newest`. numbers: those that have a line, in order."""

    def __init__(self, numbers: Iterable[int] = (), newest: int = 0) -> None:
        self._ranges: list[tuple[int, int]] = []  # first and last, in order, with lines between them
        expected = 1
        for number in numbers:
            if number > expected:
                self._ranges.append((expected, number - 1))
            expected = number + 1
        if newest >= expected:
            self._ranges.append((expected, newest))

    def add(self, first: int, last: int) -> None:
        """The lines `first` to `last` have left the outbox."""
        before = [pair for pair in self._ranges if pair[1] < first - 1]
        after = [pair for pair in self._ranges if pair[0] > last + 1]
        joined = self._ranges[len(before) : len(self._ranges) - len(after)]
        span = (min([first, *(pair[0] for pair in joined)]), max([last, *(pair[1] for pair in joined)]))
        self._ranges = [*before, span, *after]

    def forget(self, up_to: int) -> None:
        """Every sink has received the lines up to this number."""
        self._ranges = [pair for pair in self._ranges if pair[1] > up_to]

    def count_after(self, number: int) -> int:
        """How many numbers above this one have no line."""
        return sum(last - max(first, number + 1) + 1 for first, last in self._ranges if last > number)

"""Progress of a build: from nested phases to one share, shown as a bar or as lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

BAR_WIDTH = 30
LINE_STEP = 0.1  # without a terminal: one line per 10 %


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Progress:
    """Nested phases, each with a number of steps, as reported by IProgressMonitor. The share never decreases."""

    def __init__(self, report: Callable[[float, str], None]) -> None:
        self._report = report
        self._phases: dict[str, _Phase] = {}
        self.share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._phases[name] = _Phase(parent if parent in self._phases else None, max(steps, 1))
        self._update(name)

    def step(self, name: str, step: int) -> None:
        """step: counted from 0."""
        if name in self._phases:
            self._phases[name].done = step + 1
            self._update(name)

    def finish(self, name: str) -> None:
        phase = self._phases.pop(name, None)
        if phase is not None and phase.parent is None:
            self.share = 1.0
            self._report(1.0, name)

    def _update(self, name: str) -> None:
        share, inner = 0.0, self._phases.get(name)
        while inner is not None:  # from the innermost phase outwards: its share is part of one step of its parent
            share = min((inner.done + share) / inner.steps, 1.0)
            inner = self._phases.get(inner.parent) if inner.parent is not None else None
        self.share = max(self.share, share)
        self._report(self.share, name)


class ProgressPrinter:
    """Writes a bar to a terminal, else one line per 10 %."""

    def __init__(self, stream: TextIO, what: str) -> None:
        self._stream = stream
        self._what = what
        self._bar = stream.isatty()
        self._printed = -1.0

    def __call__(self, share: float, phase: str) -> None:
        if self._bar:
            filled = round(share * BAR_WIDTH)
            self._stream.write(
                f"\r{self._what} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {share:4.0%} {phase:.40}\033[K"
            )
            if share >= 1.0:
                self._stream.write("\n")
            self._stream.flush()
        elif share - self._printed >= LINE_STEP or (share >= 1.0 > self._printed):
            self._printed = share
            self._stream.write(f"{self._what}: {share:.0%}, {phase}\n")
            self._stream.flush()

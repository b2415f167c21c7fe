"""Progress of a run over an archive: a bar on a terminal, else a line every few seconds; on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from seisedge.runtime.archive.schedule import Totals
from seisedge.runtime.clock import seconds_text
from seisedge.runtime.screen import Screen

LINE_EVERY_S = 10.0
BAR_EVERY_S = 0.2
BAR_COLUMNS = 24


class Progress:
    """Shows the totals of a run. unit: what is counted, as `station-days`."""

    def __init__(
        self,
        totals: Totals,
        unit: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._totals, self._unit = totals, unit
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._bar = Screen.of(self._stream).fd is not None
        self._began_s = self._shown_s = clock()
        self._shown_done = -1

    @property
    def elapsed_s(self) -> float:
        """Time since the begin of the run."""
        return self._clock() - self._began_s

    @property
    def times_real_time(self) -> float:
        """Length of the data of this run over its time."""
        return self._totals.data_s / max(self.elapsed_s, 1e-9)

    def text(self) -> str:
        """One line: units, speed, time left, failures."""
        totals = self._totals
        done = totals.done + totals.done_before + len(totals.failures)
        parts = [f"{done} of {totals.units} {self._unit}"]
        if totals.done:
            parts.append(f"{self.times_real_time:,.0f} times real time")
            left = (totals.units - done) * self.elapsed_s / totals.done
            parts.append(f"{seconds_text(left)} left" if done < totals.units else seconds_text(self.elapsed_s))
        if totals.failures:
            parts.append(f"{len(totals.failures)} failed")
        return ", ".join(parts)

    def update(self) -> None:
        """Show the totals, if the last time is long enough ago."""
        now_s = self._clock()
        if now_s - self._shown_s >= (BAR_EVERY_S if self._bar else LINE_EVERY_S):
            self._shown_s = now_s
            self.show()

    def show(self) -> None:
        """Show the totals now."""
        totals = self._totals
        done = self._shown_done = totals.done + totals.done_before + len(totals.failures)
        if not self._bar:
            print(self.text(), file=self._stream, flush=True)
            return
        filled = BAR_COLUMNS * done // max(totals.units, 1)
        bar = "#" * filled + "." * (BAR_COLUMNS - filled)
        columns = Screen.of(self._stream).columns or 80
        print(f"\r{f'[{bar}] {self.text()}'[: columns - 1]:<{columns - 1}}", end="", file=self._stream, flush=True)

    def end(self) -> None:
        """Show the totals, if they have changed, and leave the line of the bar."""
        if self._totals.done + self._totals.done_before + len(self._totals.failures) != self._shown_done:
            self.show()
        if self._bar:
            print(file=self._stream, flush=True)

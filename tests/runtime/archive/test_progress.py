"""What is shown while units are analysed."""

from __future__ import annotations

import io

from seisedge.runtime.archive.output import Failure
from seisedge.runtime.archive.progress import Progress
from seisedge.runtime.archive.schedule import Totals


def test_lines_without_a_terminal() -> None:
    totals, stream, time_s = Totals(units=100), io.StringIO(), [50.0]
    progress = Progress(totals, "station-days", stream, lambda: time_s[0])
    totals.done, totals.done_before, totals.data_s = 10, 30, 10 * 86_400.0
    time_s[0] = 59.0
    progress.update()
    assert stream.getvalue() == ""  # not more often than every ten seconds
    time_s[0] = 150.0
    totals.failures.append(Failure("XX.A", "2021-03-01", "is not miniSEED"))
    progress.update()
    assert stream.getvalue() == "41 of 100 station-days, 8,640 times real time, 0:09:50 left, 1 failed\n"
    progress.end()
    assert stream.getvalue().count("\n") == 1  # nothing new
    totals.done += 1
    progress.end()
    assert stream.getvalue().splitlines()[1].startswith("42 of 100 ")

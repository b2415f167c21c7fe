"""Are the intervals of reports true? `python -m benchmarks.coverage [--reports N] [--seconds S] [--save ROUNDS.json]`.

Measures reports of one build one after the other, 10 rounds in fresh processes each, as `seisedge bench model` does,
and counts how often the p99 of a later report lies in the 95 % interval of an earlier one: of the next report, and of
all later ones.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.compare_errors import PER_REPORT, measured
from seisedge.runtime import machine
from seisedge.runtime.bench.intervals import Interval, between_rounds, share_interval


def hits(intervals: list[Interval], *, all_later: bool) -> tuple[int, int]:
    """How many later values lie in the interval of an earlier report, and of how many."""
    found = total = 0
    for k, earlier in enumerate(intervals):
        for later in intervals[k + 1 :] if all_later else intervals[k + 1 : k + 2]:
            found += earlier.low <= later.value <= earlier.high
            total += 1
    return found, total


def main() -> None:
    """Measure and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=20)
    parser.add_argument("--row-s", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=3600.0, help="no round begins later")
    parser.add_argument("--save", type=Path, help="also write the p99 of each round to this file")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    values, median_ms = measured(arguments.reports * PER_REPORT, arguments.row_s, (0.0,), arguments.seconds)
    rounds = values[0.0]
    if arguments.save:
        kept = {"p99_ms": rounds, "row_s": arguments.row_s, "seconds": time.monotonic() - began_s}
        arguments.save.write_text(json.dumps(kept), encoding="utf-8")
    reports = [rounds[k : k + PER_REPORT] for k in range(0, len(rounds) - PER_REPORT + 1, PER_REPORT)]
    intervals = [found for report in reports if (found := between_rounds(report)) is not None]
    print(f"{machine.describe()}; median of the first round {median_ms:.3f} ms")
    print(f"{len(reports)} reports of {PER_REPORT} rounds of {arguments.row_s:g} s")
    for each in intervals:
        print(f"p99 {each.value:8.3f} ms, 95 % {each.low:8.3f} to {each.high:8.3f}")
    for name, all_later in (("the next report", False), ("all later reports", True)):
        inside, total = hits(intervals, all_later=all_later)
        low, high = share_interval(inside, total)
        print(f"p99 of {name} in the interval: {inside} of {total} ({inside / total:.0%}; {low:.0%} to {high:.0%})")


if __name__ == "__main__":
    main()

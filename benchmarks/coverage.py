"""Are the intervals of reports true? `python -m benchmarks.coverage [--blocks N] [--save ROUNDS.json] [--load …]`.

Measures rounds of one build in fresh processes one after the other, about one a second, and makes reports of 10 rounds
of them. `seisedge bench model` begins a round every 5 s: with a stride of 5 a block of 50 rounds gives 5 reports, each
of every fifth round. Counts how often the p99 of a report of a later block lies in the 95 % interval of an earlier
report: of the next block, and of all later ones. Reports of one block are not compared, because they were measured at
the same time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.compare_errors import PER_REPORT, measured
from seisedge.runtime import machine
from seisedge.runtime.bench.intervals import Interval, between_rounds, correlation, share_interval


def blocks_of(rounds: Sequence[float], stride: int) -> list[list[Interval]]:
    """The intervals of the reports of each block."""
    size = PER_REPORT * stride
    blocks = [rounds[k : k + size] for k in range(0, len(rounds) - size + 1, size)]
    return [
        [found for first in range(stride) if (found := between_rounds(block[first::stride])) is not None]
        for block in blocks
    ]


def hits(blocks: Sequence[Sequence[Interval]], *, all_later: bool) -> tuple[int, int]:
    """How many values of later blocks lie in the interval of an earlier report, and of how many."""
    later = [(a, b) for k, a in enumerate(blocks) for b in blocks[k + 1 :]]
    pairs = later if all_later else list(pairwise(blocks))
    inside = [one.low <= other.value <= one.high for a, b in pairs for one in a for other in b]
    return sum(inside), len(inside)


def main() -> None:
    """Measure, or read rounds, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--stride", type=int, default=5, help="a report has every so many-th round of its block")
    parser.add_argument("--row-s", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=3600.0, help="no round begins later")
    parser.add_argument("--save", type=Path, help="write the p99 of each round to this file")
    parser.add_argument("--load", type=Path, help="read rounds from a file of --save instead of measuring")
    arguments = parser.parse_args()
    if arguments.load:
        rounds: list[float] = json.loads(arguments.load.read_text(encoding="utf-8"))["p99_ms"]
    else:
        began_s = time.monotonic()
        count = arguments.blocks * PER_REPORT * arguments.stride
        values, _ = measured(count, arguments.row_s, (0.0,), arguments.seconds)
        rounds = values[0.0]["p99"]
        each_s = (time.monotonic() - began_s) / len(rounds)
        print(f"{machine.describe()}; a round of {arguments.row_s:g} s every {each_s:.2f} s")
        if arguments.save:
            arguments.save.write_text(json.dumps({"p99_ms": rounds}), encoding="utf-8")
    blocks = blocks_of(rounds, arguments.stride)
    print(f"{len(rounds)} rounds; correlation of consecutive ones {correlation(rounds):.2f}, ", end="")
    print(f"of every {arguments.stride}th {correlation(rounds[:: arguments.stride]):.2f}")
    print(f"{len(blocks)} blocks of {arguments.stride} reports of {PER_REPORT} rounds")
    for block in blocks:
        print("p99, 95 %: " + "; ".join(f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})" for each in block))
    for name, all_later in (("the next block", False), ("all later blocks", True)):
        inside, total = hits(blocks, all_later=all_later)
        low, high = share_interval(inside, total)
        print(f"p99 of {name} in the interval: {inside} of {total} ({inside / total:.0%}; {low:.0%} to {high:.0%})")


if __name__ == "__main__":
    main()

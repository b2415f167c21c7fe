"""Error rates of `seisedge bench compare`, by experiment: `python -m benchmarks.compare_errors [--rounds N]`.

Measures rounds of the bundled event-type model in fresh processes, in turn as it is and slowed on purpose by 10, 25, 50
and 100 % of its median. Then it draws pairs of reports of 10 rounds each from these rounds, without replacement within
a pair, and counts the verdicts at --fail-over p50=10% and p99=10%: 300 pairs of the build with itself, 100 of each
slowed one; unpaired (any rounds) and paired (rounds that took turns). Drawn pairs share rounds, so the intervals of the
rates are those of independent pairs and too narrow; the spread of this machine over days is not in them.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from seisedge.runtime import machine
from seisedge.runtime.bench.compare import Compared
from seisedge.runtime.bench.intervals import paired_change, percentile, share_interval, unpaired_change
from seisedge.runtime.bench.model import stored_windows
from seisedge.runtime.bench.processes import run_round
from seisedge.runtime.bench.recorded import trial_windows
from seisedge.runtime.engines import open_engine
from seisedge.runtime.inference.infer import bundled_model

SLOWED = (0.0, 0.10, 0.25, 0.50, 1.0)
SHARES = {"p50": 0.5, "p99": 0.99}
PER_REPORT = 10
LIMIT = 0.10
PAIRS = {0.0: 300, 0.10: 100, 0.25: 100, 0.50: 100, 1.0: 100}


def measured(
    rounds: int, row_s: float, slowdowns: Sequence[float] = SLOWED, seconds: float = math.inf
) -> tuple[dict[float, dict[str, list[float]]], float]:
    """p50 and p99 of each round in milliseconds, by how much the build was slowed; the median of the first round.

    No round begins after `seconds`.
    """
    until_s = time.monotonic() + seconds
    path = bundled_model("event_type")
    with tempfile.TemporaryDirectory() as folder:
        windows = stored_windows(Path(folder) / "windows.npz", trial_windows(open_engine(path).card))
        request = {"model": str(path), "engine": "onnxruntime", "threads": 1, "engine_cache": None}
        request |= {"windows": str(windows), "seed": 0}
        row = {"batch": 1, "pace_ms": 0.0, "seconds": row_s, "least": 400, "warm_up": 20, "slow_us": 0.0}
        values: dict[float, dict[str, list[float]]] = {s: {name: [] for name in SHARES} for s in slowdowns}
        first = run_round(request | {"rows": [row]})["rows"][0]["samples_ns"]
        median_us = percentile(sorted(first), 0.5) / 1e3
        for _ in range(rounds):
            if time.monotonic() > until_s:
                break
            for slowed in slowdowns:
                result = run_round(request | {"rows": [row | {"slow_us": slowed * median_us}]})
                ordered = sorted(result["rows"][0]["samples_ns"])
                for name, share in SHARES.items():
                    values[slowed][name].append(percentile(ordered, share) / 1e6)
    return values, median_us / 1e3


def verdicts(old: list[float], new: list[float], pairs: int, figure: str, *, paired: bool) -> dict[str, int]:
    """How often each verdict was given. old and new: of the same rounds, which took turns."""
    draw, counts = random.Random(0), {"same": 0, "better": 0, "worse": 0, "inconclusive": 0}
    for _ in range(pairs):
        chosen = draw.sample(range(len(old)), 2 * PER_REPORT)
        first = chosen[:PER_REPORT]
        second = first if paired and old is not new else chosen[PER_REPORT:]
        a, b = [old[k] for k in first], [new[k] for k in second]
        change = paired_change(a, b) if paired else unpaired_change(a, b)
        p_value = change.p_value if change is not None else 1.0
        counts[Compared("", figure, LIMIT, change, p_value=p_value).verdict] += 1
    return counts


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of each build; at least 20")
    parser.add_argument("--row-s", type=float, default=0.5)
    arguments = parser.parse_args()
    if arguments.rounds < 2 * PER_REPORT:
        parser.error(f"--rounds must be at least {2 * PER_REPORT}")
    values, median_ms = measured(arguments.rounds, arguments.row_s)
    print(f"{machine.describe()}; {arguments.rounds} rounds of each build, median {median_ms:.3f} ms")
    heads = f"{'slowed by':>10}{'figure':>8}{'rounds':>10}{'same':>6}{'better':>8}{'worse':>7}{'inconclusive':>14}"
    print(f"{heads}  worse, 95 %")
    for slowed, pairs in PAIRS.items():
        for figure in SHARES:
            for name, paired in (("unpaired", False), ("paired", True)):
                counts = verdicts(values[0.0][figure], values[slowed][figure], pairs, figure, paired=paired)
                low, high = share_interval(counts["worse"], pairs)
                print(
                    f"{slowed:>10.0%}{figure:>8}{name:>10}{counts['same']:>6}{counts['better']:>8}{counts['worse']:>7}"
                    f"{counts['inconclusive']:>14}  {low:.1%} to {high:.1%}"
                )


if __name__ == "__main__":
    main()

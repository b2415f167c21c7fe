"""Rows of a table: variants run in turn, several rounds; medians of wall-clock and of processor time."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """Medians of a variant. amount: of one round, in records or seconds of data. cpu_s: of all threads."""

    name: str
    amount: float
    wall_s: float
    cpu_s: float
    note: str = ""

    @property
    def rate(self) -> float:
        """Amount per second of wall-clock time."""
        return self.amount / self.wall_s

    @property
    def cpu_rate(self) -> float:
        """Amount per second of processor time of this process: the wall-clock rate on an idle machine."""
        return self.amount / self.cpu_s


def take_turns(variants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS, warm_up: bool = True) -> list[Row]:
    """Run each variant once unmeasured, then all of them in turn `rounds` times; each returns its amount."""
    amounts: dict[str, float] = {}
    walls: dict[str, list[float]] = {name: [] for name in variants}
    cpus: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-1 if warm_up else 0, rounds):
        for name, variant in variants.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            amounts[name] = variant()
            if turn >= 0:
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
    return [
        Row(name, amounts[name], statistics.median(walls[name]), statistics.median(cpus[name])) for name in variants
    ]


def rate_lines(title: str, unit: str, rows: list[Row]) -> list[str]:
    """Title, header and one line per row; the first row is seisedge, the last column its speed ratio to each row."""
    lines = [title, f"{'':52}{unit:>14}{'by CPU time':>14}{'ours is':>10}"]
    for row in rows:
        ratio = f"{rows[0].cpu_rate / row.cpu_rate:9.2f}x" if row is not rows[0] else f"{'':10}"
        lines.append(f"{row.name:52}{row.rate:14,.0f}{row.cpu_rate:14,.0f}{ratio}{row.note}")
    return lines

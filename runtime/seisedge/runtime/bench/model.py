"""Measures models: `seisedge bench model`. What is reported is defined in `report`.

Each round is one fresh process per model, engine and number of threads. All of them take turns, so that the rounds of
one are spread over the whole time. After `rounds` of them, rounds are added until the p99 of each back-to-back row is
known within `width`, or until `seconds` have passed or `max_rounds` are made.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec
import numpy as np

from seisedge.runtime import machine
from seisedge.runtime.bench.disturbance import LIMITS, Sampler
from seisedge.runtime.bench.intervals import DRIFT, between_rounds, percentile
from seisedge.runtime.bench.processes import cached_share, measure_peak, run_round
from seisedge.runtime.bench.report import (
    SHARES,
    Energy,
    Model,
    Peak,
    Roof,
    Round,
    Row,
    RowRound,
    Setting,
    cold_figures_of,
    figures_of,
    packed,
)
from seisedge.runtime.engines._base import Pair
from seisedge.runtime.errors import FailedError

IDLE_S = ENERGY_S = 60.0
LEAST_SAMPLES = 3  # of a paced row in a round


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and for how long. row_s: of a row in a round, at least; paced rows have `LEAST_SAMPLES`.

    spacing_s: from the start of a round to that of the next, at least: rounds that follow at once meet the same other
    work on the machine.
    """

    engines: Sequence[str]
    batches: Sequence[int] = (1,)
    threads: Sequence[int] = (1,)
    paces_ms: Sequence[float] = (0.0, 10.0, 100.0, 1000.0)
    rounds: int = 10
    max_rounds: int = 30
    seconds: float = 300.0
    row_s: float = 1.0
    width: float = 0.1
    spacing_s: float = 5.0
    warm_up: int = 20
    slow_us: float = 0.0  # added to each inference, for experiments
    engine_cache: Path | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The rows of a round: every batch back to back, and batch 1 at each pace."""
        combinations = [(batch, 0.0) for batch in self.batches if 0.0 in self.paces_ms]
        combinations += [(1, pace) for pace in self.paces_ms if pace > 0]
        return [
            {
                "batch": batch,
                "pace_ms": pace,
                "seconds": max(self.row_s, (LEAST_SAMPLES + 0.5) * pace / 1e3),
                "least": LEAST_SAMPLES,
                "warm_up": self.warm_up if pace == 0 else 2,
                "slow_us": self.slow_us,
            }
            for batch, pace in combinations
        ]

    def method(self) -> dict[str, Any]:
        """The method, for the report."""
        return {
            "rounds": f"{self.rounds} fresh processes at least, {self.max_rounds} at most, {self.seconds:g} s at most",
            "stop": f"95 % interval of the p99 of each back-to-back row within {self.width:.0%}, without the drift",
            "drift": f"{DRIFT:.0%} between one measurement and the next is part of each interval",
            "row_s": self.row_s,
            "spacing_s": self.spacing_s,
            "warm_up": f"{self.warm_up} inferences per row and round, 2 where paced; not counted",
            "interval": "95 %, for a repetition of the whole measurement with as many rounds",
            "order": "settings take turns within each round; the rows of a round in random order",
            "limits": LIMITS,
        }


@dataclass(slots=True)
class _Running:
    """The rounds of one setting so far."""

    model: Model
    path: Path
    windows: Path
    engine: str
    threads: int
    results: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    stopped: str = ""

    def request(self, plan: Plan, rows: list[dict[str, Any]], seed: int) -> dict[str, Any]:
        return {
            "model": str(self.path),
            "engine": self.engine,
            "threads": self.threads,
            "engine_cache": str(plan.engine_cache) if plan.engine_cache else None,
            "windows": str(self.windows),
            "seed": seed,
            "rows": rows,
        }


def measure(
    models: Sequence[tuple[Path, Model, list[Pair]]], plan: Plan, log: Callable[[str], None] = lambda line: None
) -> list[Setting]:
    """Measure all models at all settings. Raises FailedError where an engine cannot run."""
    with tempfile.TemporaryDirectory(prefix="seisedge-bench-") as folder:
        running = [
            _Running(model, path, stored_windows(Path(folder) / f"{k}.npz", windows), engine, threads)
            for k, (path, model, windows) in enumerate(models)
            for engine in plan.engines
            for threads in plan.threads
        ]
        sampler = Sampler()
        idle = _idle(sampler) if not sampler.meter.reason else None
        began, number = monotonic(), 0
        while waiting := [item for item in running if not item.stopped]:
            sleep(max(began + number * plan.spacing_s - monotonic(), 0.0))
            number += 1
            for item in waiting:
                _add_round(item, plan, sampler, number)
            elapsed = monotonic() - began
            for item in waiting:
                item.stopped = _why_stop(item, plan, elapsed)
            log(f"round {number}: {elapsed:.0f} s")
        peaks = _peaks(running)
        return [_setting(item, plan, sampler, idle, peak) for item, peak in zip(running, peaks, strict=True)]


def _peaks(running: Sequence[_Running]) -> list[Peak]:
    """The peak rates for each setting; the matrix product and the copy in memory are the best with as many threads."""
    limit = machine.memory_limit_mib()
    peaks = [measure_peak(item.threads, item.model.weight_bytes + item.model.io_bytes, limit) for item in running]
    best = []
    for item, peak in zip(running, peaks, strict=True):
        alike = [other for it, other in zip(running, peaks, strict=True) if it.threads == item.threads]
        gflops, memory = max(other.gflops for other in alike), max(other.memory_gb_s for other in alike)
        best.append(msgspec.structs.replace(peak, gflops=gflops, memory_gb_s=memory))
    return best


def stored_windows(path: Path, windows: Sequence[Pair]) -> Path:
    """Write windows to a file that the rounds read."""
    np.savez(
        path,
        waveform=np.concatenate([waveform for waveform, _ in windows]),
        valid=np.concatenate([valid for _, valid in windows]),
    )
    return path


def _add_round(item: _Running, plan: Plan, sampler: Sampler, number: int) -> None:
    rows = plan.rows()
    order = list(range(len(rows)))
    random.Random(number).shuffle(order)
    began, in_cache = _now(), cached_share(item.path)
    with sampler:
        result = run_round(item.request(plan, [rows[k] for k in order], number))
    if result["sha256"] != item.model.sha256:
        raise FailedError(f"{item.path}: the file was changed during the benchmark; run it again")
    result["rows"] = [result["rows"][order.index(k)] for k in range(len(rows))]
    item.results.append(result)
    item.rounds.append(
        Round(
            began=began,
            cold_ns=result["cold_ns"],
            resident_kib=result["resident_kib"],
            peak_kib=result["peak_kib"],
            page_cache=in_cache,
            conditions=sampler.summary,
        )
    )


def _why_stop(item: _Running, plan: Plan, elapsed: float) -> str:
    """Why no further round is made; '' if one is."""
    count = len(item.rounds)
    if count < plan.rounds:
        return ""
    widths = []
    for k, row in enumerate(plan.rows()):
        if row["pace_ms"] == 0:
            widths.append(_half_width([result["rows"][k]["samples_ns"] for result in item.results], row["batch"]))
    widest = max(widths, default=0.0)
    if widest <= plan.width:
        return f"p99 known within {widest:.1%} after {count} rounds" if widths else f"{count} rounds made"
    known = "p99 not known" if widest == float("inf") else f"p99 known within {widest:.0%} only"
    if count >= plan.max_rounds:
        return f"limit of {plan.max_rounds} rounds, {known}"
    return f"limit of {plan.seconds:g} s, {known}" if elapsed >= plan.seconds else ""


def _half_width(rounds: Sequence[Sequence[int]], batch: int) -> float:
    """Half width of the interval of p99, as a share of it, without the drift that further rounds do not reduce."""
    if figures_of(rounds, batch)["p99"].value is None:
        return float("inf")
    interval = between_rounds([percentile(sorted(samples), SHARES["p99"]) for samples in rounds], drift=0.0)
    return float("inf") if interval is None else interval.half_width


def _setting(item: _Running, plan: Plan, sampler: Sampler, idle_w: float | None, peak: Peak) -> Setting:
    rows = []
    for k, row in enumerate(plan.rows()):
        results = [result["rows"][k] for result in item.results]
        figures = figures_of([each["samples_ns"] for each in results], row["batch"])
        rounds = [
            RowRound(samples=packed(each["samples_ns"]), **{key: each[key] for key in each if key != "samples_ns"})
            for each in results
        ]
        median = figures["p50"].value
        roof = roof_of(item.model, row["batch"], median, peak) if median is not None else None
        rows.append(Row(batch=row["batch"], pace_ms=row["pace_ms"], rounds=rounds, figures=figures, roof=roof))
    first = item.results[0]
    return Setting(
        model=item.model.sha256,
        engine=item.engine,
        engine_name=first["engine"],
        threads=item.threads,
        versions=first["versions"],
        rounds=item.rounds,
        stopped=item.stopped,
        cold=cold_figures_of([each.cold_ns for each in item.rounds]),
        peak=peak,
        energy=_energy(item, plan, sampler, idle_w),
        rows=rows,
    )


def roof_of(model: Model, batch: int, median_ms: float, peak: Peak) -> Roof:
    """The median beside the floor: the larger of operations / peak rate and bytes / rate of a copy."""
    moved = model.weight_bytes + batch * model.io_bytes
    fits = peak.last_cache_bytes is not None and moved <= peak.last_cache_bytes
    compute_ms = batch * model.flops / peak.gflops / 1e6
    bytes_ms = moved / (peak.cache_gb_s if fits else peak.memory_gb_s) / 1e6
    floor_ms = max(compute_ms, bytes_ms)
    rate = batch * model.flops / median_ms / 1e6
    return Roof(
        gflops_per_s=rate,
        share_of_peak=rate / peak.gflops,
        floor_ms=floor_ms,
        bound="compute" if compute_ms >= bytes_ms else "cache" if fits else "memory",
        ratio=median_ms / floor_ms,
    )


def _idle(sampler: Sampler) -> float | None:
    """Power of the idle machine in watts, over IDLE_S."""
    with sampler:
        sleep(IDLE_S)
    facts = sampler.summary
    return None if facts["joules"] is None else facts["joules"] / facts["seconds"]


def _energy(item: _Running, plan: Plan, sampler: Sampler, idle_w: float | None) -> Energy:
    """Energy per inference, integrated over ENERGY_S of back-to-back inferences."""
    meter = sampler.meter
    if meter.reason:
        return Energy(gross_mj=None, reason=meter.reason)
    row = {"batch": 1, "pace_ms": 0.0, "seconds": ENERGY_S, "least": 1, "warm_up": plan.warm_up, "slow_us": 0.0}
    with sampler:
        result = run_round(item.request(plan, [row], 0))
    return energy_of(sampler.summary, len(result["rows"][0]["samples_ns"]), idle_w, meter.source, list(meter.rails))


def energy_of(
    conditions: dict[str, Any], inferences: int, idle_w: float | None, source: str, rails: list[str]
) -> Energy:
    """The energy of one inference; gross counts all that the board took, above idle what it took more than idle."""
    joules, seconds = conditions["joules"], conditions["seconds"]
    if joules is None:
        return Energy(gross_mj=None, reason=f"{source} could not be read during the run")
    above = None if idle_w is None else (joules - idle_w * seconds) / inferences * 1e3
    return Energy(gross_mj=joules / inferences * 1e3, above_idle_mj=above, seconds=seconds, source=source, rails=rails)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Compares this build with that of another virtual environment, by rounds that take turns: `bench compare --against`.

Both builds infer with the same model files on the same windows. A round of one follows a round of the other, and the
order changes from pair to pair, so that what changes on the machine meanwhile meets both.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seisedge.runtime.bench.compare import Compared, corrected
from seisedge.runtime.bench.intervals import paired_change, percentile
from seisedge.runtime.bench.model import Plan, stored_windows
from seisedge.runtime.bench.processes import foreign_environment, run_round
from seisedge.runtime.bench.report import COLD, NS_PER_MS, SHARES
from seisedge.runtime.engines._base import Pair
from seisedge.runtime.errors import InputError

ASK = "import seisedge.runtime.engines.onnxruntime"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model file with its windows. name: for the lines."""

    name: str
    path: Path
    windows: Sequence[Pair]


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment with seisedge. Raises InputError if it is none."""
    found = environment / "bin" / "python"
    if not found.is_file():
        raise InputError(f"--against {environment}: has no bin/python; give the folder of a virtual environment")
    try:
        done = subprocess.run([str(found), "-P", "-c", ASK], capture_output=True, text=True, env=foreign_environment())
    except OSError as error:
        raise InputError(f"--against {environment}: {found} cannot run: {error.strerror}") from error
    if done.returncode:
        raise InputError(f"--against {environment}: seisedge is not installed there; install the build to compare with")
    return found.absolute()


def compare_against(
    subjects: Sequence[Subject],
    environment: Path,
    plan: Plan,
    limits: Mapping[str, float],
    log: Callable[[str], None] = lambda line: None,
) -> tuple[list[Compared], dict[str, str]]:
    """The verdicts, and the versions of the other environment.

    Raises InputError where there is no environment, FailedError where a round fails, as without seisedge in it.
    """
    other = python_of(environment)
    pairs: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory(prefix="seisedge-bench-") as folder:
        stored = [stored_windows(Path(folder) / f"{k}.npz", each.windows) for k, each in enumerate(subjects)]
        for number in range(plan.rounds):
            for subject, windows in zip(subjects, stored, strict=True):
                for threads in plan.threads:
                    request = _request(subject.path, windows, plan, threads, number)
                    name = f"{subject.name}, {threads} thread(s)"
                    pairs.setdefault(name, []).append(_pair(request, other, number))
            log(f"pair of rounds {number + 1} of {plan.rounds}")
    versions: dict[str, str] = next(iter(pairs.values()))[0][0]["versions"]
    return corrected([row for name, each in pairs.items() for row in _rows(name, each, plan, limits)]), versions


def _request(path: Path, windows: Path, plan: Plan, threads: int, seed: int) -> dict[str, Any]:
    return {
        "model": str(path.absolute()),
        "engine": plan.engines[0],
        "threads": threads,
        "engine_cache": None,
        "windows": str(windows),
        "seed": seed,
        "rows": plan.rows(),
    }


def _pair(request: dict[str, Any], other: Path, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A round of the other build and one of this build; which one is first alternates."""
    if number % 2:
        new = run_round(request)
        return run_round(request, python=other), new
    return run_round(request, python=other), run_round(request)


def _rows(
    name: str, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], plan: Plan, limits: Mapping[str, float]
) -> list[Compared]:
    rows = []
    for figure, limit in limits.items():
        for k, row in enumerate(plan.rows()):
            if figure in ("cold", "memory"):
                continue
            pace = "back to back" if row["pace_ms"] == 0 else f"every {row['pace_ms']:g} ms"
            where = f"{name}, {pace}, batch {row['batch']}"
            samples = [[build["rows"][k]["samples_ns"] for build in pair] for pair in pairs]
            rows.append(_compared(where, figure, limit, [[_value(figure, x) for x in pair] for pair in samples]))
        if figure == "cold":
            values = [[sum(build["cold_ns"][part] for part in COLD) / NS_PER_MS for build in pair] for pair in pairs]
            rows.append(_compared(name, figure, limit, values))
        elif figure == "memory":
            rows.append(_compared(name, figure, limit, [[build["resident_kib"] for build in pair] for pair in pairs]))
    return rows


def _value(figure: str, samples_ns: Sequence[int]) -> float | None:
    """A figure of a round in ms; None where the round has too few inferences for it."""
    if figure == "mean":
        return math.fsum(samples_ns) / len(samples_ns) / NS_PER_MS
    share = SHARES[figure]
    if len(samples_ns) < 1 / (1 - share) - 1e-9:
        return None
    return percentile(sorted(samples_ns), share) / NS_PER_MS


def _compared(where: str, figure: str, limit: float, values: Sequence[Sequence[float | None]]) -> Compared:
    old, new = ([value for value in build if value is not None] for build in zip(*values, strict=True))
    if len(old) != len(values) or len(new) != len(values):
        return Compared(where, figure, limit, None, "a round has too few inferences for it; give a longer --row-s")
    change = paired_change(old, new)
    return Compared(where, figure, limit, change, "" if change else "fewer than two pairs of rounds")

"""Compares two reports of `bench stream`, or two of `bench archive`, as `compare` does those of `bench model`.

The rows are matched by what they measure; their valid runs or rounds are compared.
"""

from __future__ import annotations

from collections.abc import Mapping

from seisedge.runtime.bench.compare import Compared, check_conditions, corrected
from seisedge.runtime.bench.intervals import unpaired_change
from seisedge.runtime.bench.kinds import OtherReport, values_by_row
from seisedge.runtime.bench.stream_report import StreamReport
from seisedge.runtime.errors import InputError


def check_alike(old: OtherReport, new: OtherReport, *, other_machine: bool) -> list[str]:
    """Remarks on differences that are allowed. Raises InputError where the reports are not of the same thing."""
    remarks = check_conditions(old.machine, new.machine, old.windows, new.windows, other_machine=other_machine)
    if isinstance(old, StreamReport) and isinstance(new, StreamReport):
        for name, a, b in (
            ("protocols", old.protocol, new.protocol),
            ("durations", old.method.get("seconds"), new.method.get("seconds")),
        ):
            if a != b:
                raise InputError(
                    f"the reports are of different {name}: {a} and {b}; measure both with the same options"
                )
    for name, sha256 in old.models.items():
        if name not in new.models:
            remarks.append(f"DIFFERENT MODELS: {name} is only in the old report")
        elif new.models[name] != sha256:
            remarks.append(f"DIFFERENT FILES of the model {name}: sha256 {sha256[:12]} and {new.models[name][:12]}")
    for report, which in ((old, "old"), (new, "new")):
        invalid = [run for row in report.rows if hasattr(row, "runs") for run in row.runs if run.invalid]
        if invalid:
            remarks.append(f"INVALID: {len(invalid)} runs of the {which} report are left out: {invalid[0].invalid[0]}")
    return remarks


def compare_other(old: OtherReport, new: OtherReport, limits: Mapping[str, float]) -> list[Compared]:
    """Every figure of `limits` in every row of the old report that carries it.

    What the new report lacks is inconclusive. Raises InputError where nothing can be compared.
    """
    olds, news = values_by_row(old), values_by_row(new)
    if not olds.keys() & news.keys():
        raise InputError("the reports have no row in common; measure both with the same options")
    rows = []
    for where, before in olds.items():
        after = news.get(where, {})
        for figure, limit in limits.items():
            a, b = before.get(figure), after.get(figure, "the new report does not have it")
            if not isinstance(a, list):
                continue
            change = unpaired_change(a, b) if isinstance(b, list) else None
            reason = b if isinstance(b, str) else "" if change else "fewer than two valid runs"
            rows.append(Compared(where, figure, limit, change, reason))
    if not rows:
        raise InputError(f"the old report carries none of {', '.join(limits)}; compare mean, memory or cold")
    return corrected(rows)

"""Compares two reports: is the new build slower than the old one, and could these data have shown it?

Rows are matched by model name, engine, threads, batch and pace; their rounds are compared by Welch's test on the
logarithm of the figure. P-values are corrected for the number of figures (Holm). A verdict:

- worse: the change is larger than the limit, and the corrected test excludes no change;
- better: the same in the other direction;
- same: the upper end of the 95 % interval of the change is below the limit;
- inconclusive: none of these; the data are too noisy, or the new report does not have the row or the figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from seisedge.runtime.bench.intervals import CONFIDENCE, Change, holm, percentile, unpaired_change
from seisedge.runtime.bench.report import COLD, NS_PER_MS, SHARES, Machine, Report, Row, Setting
from seisedge.runtime.bench.text import model_of, pace_text
from seisedge.runtime.errors import InputError

Verdict = Literal["same", "better", "worse", "inconclusive"]
FIGURES = ("mean", *SHARES, "cold", "memory")
ALPHA = 1 - CONFIDENCE


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure in both reports. limit: largest change that passes, 0.1 for 10 %. change: None where it is unknown."""

    where: str
    figure: str
    limit: float
    change: Change | None
    reason: str = ""
    p_value: float = 1.0  # corrected for the number of figures

    @property
    def verdict(self) -> Verdict:
        """See the module."""
        change = self.change
        if change is None:
            return "inconclusive"
        significant = self.p_value < ALPHA
        if significant and change.value > self.limit:
            return "worse"
        if significant and change.value < -self.limit:
            return "better"
        return "same" if change.high < self.limit else "inconclusive"


def check_conditions(
    old: Machine, new: Machine, old_windows: str, new_windows: str, *, other_machine: bool
) -> list[str]:
    """Remarks on another machine. Raises InputError where that is not allowed, or the data differ."""
    differing = [
        f"{name} {one!r} and {two!r}"
        for name, one, two in (
            ("processor", old.processor, new.processor),
            ("board", old.board, new.board),
            ("cores", old.cores, new.cores),
            ("power mode", old.power_mode, new.power_mode),
        )
        if one != two
    ]
    if differing and not other_machine:
        raise InputError(
            f"the reports are of different machines ({'; '.join(differing)}); with --other-machine they are compared"
        )
    if old_windows != new_windows:
        raise InputError(
            f"the reports were measured on different windows: {old_windows} in the old one, {new_windows} in the new "
            "one; measure both with the same data"
        )
    return [f"DIFFERENT MACHINES: {'; '.join(differing)}"] if differing else []


def check_comparable(old: Report, new: Report, *, other_machine: bool) -> list[str]:
    """Remarks on differences that are allowed. Raises InputError where the reports are not of the same thing."""
    remarks = check_conditions(old.machine, new.machine, old.windows, new.windows, other_machine=other_machine)
    names_old, names_new = ({model.name: model for model in report.models} for report in (old, new))
    if not names_old.keys() & names_new.keys():
        first, second = ", ".join(names_old), ", ".join(names_new)
        raise InputError(f"the reports are of different models: {first} in the old one, {second} in the new one")
    for name, model in names_old.items():
        if name not in names_new:
            remarks.append(f"NOT COMPARED: the model {name} is only in the old report")
        elif names_new[name].sha256 != model.sha256:
            hashes = f"{model.sha256[:12]} and {names_new[name].sha256[:12]}"
            remarks.append(f"DIFFERENT FILES of the model {name}: sha256 {hashes}")
    for report, which in ((old, "old"), (new, "new")):
        rounds = [each for setting in report.settings for each in setting.rounds]
        marked = sum(bool(each.conditions.get("marks")) for each in rounds)
        if marked:
            remarks.append(f"DISTURBED: {marked} of {len(rounds)} rounds of the {which} report")
    return remarks


def compare(old: Report, new: Report, limits: Mapping[str, float]) -> list[Compared]:
    """Every figure of `limits` in every row of the old report that carries it; see `left_out` for the others.

    A row or figure that only the new report lacks is inconclusive: what was not measured again cannot pass. Raises
    InputError where nothing can be compared.
    """
    olds, news = dict(_places(old)), dict(_places(new))
    rows = []
    for where, place, figure in _figures_of(olds, limits):
        before = _values(*place, figure)
        after = _values(*news[where], figure) if where in news else "the new report does not have this row"
        if isinstance(before, str):
            continue
        change = None if isinstance(after, str) else unpaired_change(before, after)
        reason = after if isinstance(after, str) else "" if change else "fewer than two rounds"
        rows.append(Compared(where, figure, limits[figure], change, reason))
    if not olds.keys() & news.keys():
        raise InputError("the reports have no row in common; measure both with the same options")
    if not rows:
        raise InputError(
            f"the old report carries none of {', '.join(limits)}; measure it with more inferences (--row-s), "
            "or compare another figure"
        )
    return corrected(rows)


def left_out(old: Report, limits: Mapping[str, float]) -> list[str]:
    """Remarks on the figures of `limits` that the old report does not carry, with the reasons."""
    return [
        f"NOT COMPARED: {figure} of {where}: {reason}"
        for where, place, figure in _figures_of(dict(_places(old)), limits)
        if isinstance(reason := _values(*place, figure), str)
    ]


def _figures_of(
    places: Mapping[str, tuple[Setting, Row | None]], limits: Mapping[str, float]
) -> Iterator[tuple[str, tuple[Setting, Row | None], str]]:
    """Each row with each figure of `limits` that belongs to such a row."""
    for where, place in places.items():
        for figure in limits:
            if (place[1] is None) == (figure in ("cold", "memory")):
                yield where, place, figure


def corrected(rows: Sequence[Compared]) -> list[Compared]:
    """The same rows with p-values that are corrected for their number."""
    p_values = iter(holm([row.change.p_value for row in rows if row.change is not None]))
    return [
        Compared(row.where, row.figure, row.limit, row.change, row.reason, next(p_values) if row.change else 1.0)
        for row in rows
    ]


def _places(report: Report) -> Iterator[tuple[str, tuple[Setting, Row | None]]]:
    """Each row of a report, and for cold start and memory each setting, by its name."""
    for setting in report.settings:
        name = f"{model_of(report, setting).name}, {setting.engine}, {setting.threads} thread(s)"
        yield name, (setting, None)
        for row in setting.rows:
            yield f"{name}, {pace_text(row)}, batch {row.batch}", (setting, row)


def _values(setting: Setting, row: Row | None, figure: str) -> list[float] | str:
    """One value per round, or why there is none."""
    if row is None:
        if figure == "cold":
            return [sum(each.cold_ns[part] for part in COLD) / NS_PER_MS for each in setting.rounds]
        resident = [each.resident_kib for each in setting.rounds if each.resident_kib is not None]
        return [float(kib) for kib in resident] if resident else "the memory is unknown"
    stated = row.figures[figure]
    if stated.value is None:
        return stated.reason
    latencies = [[ns / NS_PER_MS for ns in each.latencies_ns] for each in row.rounds]
    if figure == "mean":
        return [math.fsum(values) / len(values) for values in latencies]
    return [percentile(sorted(values), SHARES[figure]) for values in latencies]


def lines_of(rows: Sequence[Compared]) -> Iterator[str]:
    """One line per figure, with the smallest change that these data could have shown."""
    for row in rows:
        if row.change is None:
            yield f"{row.verdict:13} {row.figure:6} {row.where}: {row.reason}"
            continue
        change = row.change
        yield (
            f"{row.verdict:13} {row.figure:6} {row.where}: {change.value:+.1%} (95 % {change.low:+.1%} to "
            f"{change.high:+.1%}, corrected p {row.p_value:.2g}), limit {row.limit:+.0%}; "
            f"smallest change that these data show: {change.detectable:.1%}"
        )


def overall(rows: Sequence[Compared]) -> Verdict:
    """Worse if any figure is, else inconclusive if any is, else better if any is, else same."""
    found = {row.verdict for row in rows}
    order: tuple[Verdict, ...] = ("worse", "inconclusive", "better", "same")
    return next(verdict for verdict in order if verdict in found)

"""Schedule: which unit is analysed when, and when its result is written.

Units are analysed in any order and written in order of time. A unit is written once the one before it has been, if both
have the same memory at its seam. If not, it is continued from the carry of the one before. A carry is in memory only:
where it is missing, the units from the last one that began by itself are analysed once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from seisedge.runtime.archive.output import Failure, Output
from seisedge.runtime.archive.plan import StationPlan, inputs_digest
from seisedge.runtime.archive.pool import Answer, Pool
from seisedge.runtime.archive.table import UnitFacts
from seisedge.runtime.archive.unit import Seed, UnitRequest, UnitResult
from seisedge.runtime.inference.infer import Models

UNKNOWN = "unknown"  # the seam behind a unit that has failed: the next one begins by itself


@dataclass(slots=True)
class _Unit:
    """A unit of a plan.

    facts: of its file, once it is done. result: of an analysis by itself that is not written yet. continued: it cannot
    begin by itself. open: it was submitted, and its answer is to come.
    """

    request: UnitRequest
    inputs: str
    facts: UnitFacts | None = None
    result: UnitResult | None = None
    failure: Failure | None = None
    continued: bool = False
    open: bool = False

    @property
    def needed(self) -> bool:
        """True where it is to be analysed by itself."""
        known = self.facts is not None or self.result is not None or self.failure is not None
        return not (known or self.continued or self.open)

    @property
    def seam_out(self) -> str | None:
        """Memory at the seam of the next unit."""
        if self.facts is not None:
            return self.facts.seam_out
        return (self.failure.seam_out if self.failure is not None else None) or UNKNOWN

    @property
    def follows(self) -> str:
        """Seam of the unit that it was continued from; '' where it began by itself."""
        if self.facts is not None:
            return self.facts.follows
        return self.failure.follows if self.failure is not None else ""


@dataclass(slots=True)
class Totals:
    """Progress of a run. data_s, records, events: of the units of this run, not of those that were done before.

    left_out: records that are not used, by reason, of all units. left_out_in: the first unit that has some, by reason.
    """

    units: int = 0
    done: int = 0
    done_before: int = 0
    continued: int = 0
    data_s: float = 0.0
    records: int = 0
    events: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    left_out_in: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def leave_out(self, station_id: str, unit: str, reasons: Mapping[str, int]) -> None:
        """Count records that are not used."""
        self.left_out.update(reasons)
        for reason in reasons:
            self.left_out_in.setdefault(reason, f"{station_id} {unit}")


class StationSchedule:
    """The units of one station."""

    def __init__(self, plan: StationPlan, output: Output, totals: Totals, models: Models, *, revisions: bool) -> None:
        self.plan, self._output, self._totals = plan, output, totals
        self._models, self._revisions = models, revisions
        requests = [plan.request(number, models) for number in range(len(plan))]
        self._units = [_Unit(request, inputs_digest(request)) for request in requests]
        self._number = {request.name: number for number, request in enumerate(requests)}
        self._next = 0  # the first unit that is neither written nor failed
        self._seed: Seed | None = None
        self._first: list[UnitRequest] = []  # to be submitted before others
        self._carry: tuple[int, bytes] | None = None  # behind unit number
        self._continuing = False  # such a request is to come or open
        totals.units += len(requests)

    def resume(self, failures: Mapping[tuple[str, str], Failure], *, retry: bool) -> None:
        """Take over the units of an earlier run over the same inputs."""
        for unit in self._units:
            key = (self.plan.station_id, unit.request.name)
            facts = self._output.facts(*key)
            if facts is not None and facts.inputs == unit.inputs:
                unit.facts = facts
                self._totals.done_before += 1
                self._totals.leave_out(*key, facts.left_out)
            elif key in failures and not retry:
                unit.failure = failures[key]
        self._advance()

    @property
    def finished(self) -> bool:
        return self._next == len(self._units)

    @property
    def has_requests(self) -> bool:
        """True while `requests` yields any."""
        return bool(self._first) or any(unit.needed for unit in self._units[self._next :])

    def requests(self) -> Iterator[UnitRequest]:
        """What is to be submitted, one after the other."""
        while self._first:
            yield self._first.pop(0)
        for unit in self._units[self._next :]:
            if unit.needed:
                unit.open = True
                yield replace(unit.request, seed=self._seed)

    def take(self, answered: Answer) -> None:
        """Take the answer to a request. Raises OSError where a result cannot be written."""
        request, result = answered.request, answered.result
        number = self._number[request.name]
        if result is not None and result.needs_more:
            everything = self.plan.request(number, self._models, all_files=True)
            more = replace(everything, seed=request.seed, carry=request.carry, wants_carry=request.wants_carry)
            self._first.append(more)
            return
        if request.wants_carry:
            self._take_continued(number, answered)
        elif result is None:
            self._units[number].open = False
            self._fail(number, answered.reason)
        else:
            self._units[number].open = False
            self._units[number].result = result
            if self._seed is None and result.records:
                self._seed = result.seed
        self._advance()

    def _take_continued(self, number: int, answered: Answer) -> None:
        """A unit was continued, or analysed once more for its carry."""
        self._continuing = False
        unit, result = self._units[number], answered.result
        if result is None or (result.carry is None and number < self._next):
            self._fail(self._next, answered.reason or f"{answered.request.name} cannot be continued")
            return
        if result.carry is not None:
            self._carry = number, result.carry
        if number == self._next:
            result.seam_in = self._seam_before(number)
            self._finish(number, result, follows=result.seam_in or "")
            unit.continued = False
            self._totals.continued += 1

    def _seam_before(self, number: int) -> str | None:
        """Memory at the seam of a unit by the one before it; `UNKNOWN` where there is none to compare with."""
        return self._units[number - 1].seam_out if number else UNKNOWN

    def _advance(self) -> None:
        """Write the results that are next, and ask for what the one after them needs."""
        while not self.finished:
            number, unit = self._next, self._units[self._next]
            seam = self._seam_before(number)
            if unit.facts is not None and seam not in (UNKNOWN, unit.follows or unit.facts.seam_in):
                self._output.withdraw(self.plan.station_id, unit.request.name)
                unit.facts, unit.continued = None, True
                self._totals.done_before -= 1
            if unit.result is not None:
                result, unit.result = unit.result, None
                if seam in (UNKNOWN, result.seam_in):
                    self._finish(number, result, follows="")
                else:
                    unit.continued = True
            if unit.continued and unit.failure is None:
                self._continue(number)
                return
            if unit.failure is not None:
                self._note(unit.failure)
            elif unit.facts is None:
                return
            self._next += 1

    def _continue(self, number: int) -> None:
        """Ask for the next step towards a unit that cannot begin by itself."""
        if self._continuing:
            return
        self._continuing = True
        if self._carry is not None and self._carry[0] < number:
            behind, carry = self._carry
            self._first.append(replace(self._units[behind + 1].request, carry=carry, wants_carry=True))
            return
        first = number - 1
        while first and self._units[first].follows:
            first -= 1
        self._first.append(replace(self._units[first].request, seed=self._seed, wants_carry=True))

    def _finish(self, number: int, result: UnitResult, follows: str) -> None:
        """Write the result of a unit, or note that files of it cannot be used."""
        unit = self._units[number]
        self._totals.data_s += result.data_s
        self._totals.records += result.records
        self._totals.leave_out(self.plan.station_id, unit.request.name, result.left_out)
        if result.faults:
            reason = "; ".join(f"{url}: {why}" for url, why in sorted(result.faults.items()))
            self._fail(number, reason, result.seam_out, follows)
            return
        coverage = {
            name: (round(channel.covered_s, 3), channel.gaps, round(channel.gap_s, 3))
            for name, channel in sorted(result.coverage.items())
        }
        unit.facts = UnitFacts(
            self.plan.station_id, unit.request.name, unit.inputs, result.seam_in, result.seam_out, follows,
            result.records, round(result.data_s, 3), coverage, result.left_out, result.unused,
        )  # fmt: skip
        self._output.publish(result, unit.facts, revisions=self._revisions)
        self._totals.done += 1
        self._totals.events += len(result.revisions)

    def _fail(self, number: int, reason: str, seam_out: str | None = None, follows: str = "") -> None:
        unit = self._units[number]
        self._output.withdraw(self.plan.station_id, unit.request.name)
        unit.failure = Failure(self.plan.station_id, unit.request.name, reason, seam_out, follows)

    def _note(self, failure: Failure) -> None:
        if failure not in self._totals.failures:
            self._totals.failures.append(failure)


def run_schedule(stations: list[StationSchedule], pool: Pool, on_progress: Callable[[], None]) -> None:
    """Analyse all units. Raises FailedError where the pool is lost, and OSError where a result cannot be written."""
    by_id = {station.plan.station_id: station for station in stations}
    waiting = [station for station in stations if not station.finished]
    open_now: Counter[str] = Counter()  # requests, by station
    station: StationSchedule | None = None  # of the newest answer: its worker has room now
    while waiting:
        at_once, workers = pool.at_once, max(pool.workers, 1)
        while open_now.total() < at_once:
            chosen, station = _next_station(waiting, open_now, workers, station), None
            if chosen is None:
                break
            pool.submit(next(chosen.requests()))
            open_now[chosen.plan.station_id] += 1
        answered = pool.next()
        station = by_id[answered.request.station_id]
        open_now[station.plan.station_id] -= 1
        station.take(answered)
        on_progress()
        if station.finished:
            waiting.remove(station)


def _next_station(
    waiting: Sequence[StationSchedule], open_now: Mapping[str, int], workers: int, preferred: StationSchedule | None
) -> StationSchedule | None:
    """The station whose next unit is submitted; None where no station has one.

    As many stations as workers are under way, and the one of the newest answer is preferred: the worker that is free
    now has its files. So each worker stays with a station as far as possible, and reads most files once.
    """
    if preferred is not None and preferred.has_requests:
        return preferred
    under_way = [one for one in waiting if open_now[one.plan.station_id] and one.has_requests]
    if len(under_way) < workers:
        others = (one for one in waiting if not open_now[one.plan.station_id] and one.has_requests)
        new = next(others, None)
        if new is not None:
            return new
    return min(under_way, key=lambda one: open_now[one.plan.station_id], default=None)

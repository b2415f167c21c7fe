"""Every fault of the virtual digitizer on every source that it applies to. The table is in `fault_cases.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fault_table import DOCS, OTHER_BEGIN, OTHER_END, located
from tests.other_failures import OTHER
from tests.runtime.fault_cases import CASES, SERVERS, Case, Matrix, judge, short_waits

from seisedge.runtime.replay._fault import known_faults


def _is_short(number: int, case: Case, source: str) -> bool:
    """One server per fault, in rotation; the growing file for every third fault, UDP for one."""
    if source == "file":
        return True
    if source == "shake-udp":
        return case.name == "poison"
    if source == "growing file":
        return number % 3 == 0
    return source == SERVERS[number % len(SERVERS)] or len(case.sources) == 1


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with short_waits():
        yield Matrix(tmp_path_factory.mktemp("matrix"))


def _parameters() -> Iterator[object]:
    for number, case in enumerate(CASES):
        for source in case.sources:
            marks = () if _is_short(number, case, source) else (pytest.mark.long,)
            yield pytest.param(case, source, marks=marks, id=f"{case.fault} {source}")


@pytest.mark.parametrize(("case", "source"), list(_parameters()))
def test_fault(case: Case, source: str, matrix: Matrix) -> None:
    assert judge(matrix, source, case, matrix.run(source, case)) == []


def test_the_tests_named_in_the_docs_exist() -> None:
    for _, _, tests in OTHER:
        for test in tests:
            assert located(test)


def test_the_page_has_these_failures() -> None:
    page = DOCS.read_text(encoding="utf-8")
    rows = page.partition(OTHER_BEGIN)[2].partition(OTHER_END)[0].strip().splitlines()[2:]
    assert rows == [
        f"| {what} | {outcome} | {', '.join(f'`{test}`' for test in tests)} | ok |" for what, outcome, tests in OTHER
    ]


def test_every_fault_has_a_row() -> None:
    assert {case.name for case in CASES} == set(known_faults())


def test_the_part_contains_events_to_compare(matrix: Matrix, tmp_path: Path) -> None:
    assert len(matrix.undisturbed("file", CASES[0]).lines) >= 20

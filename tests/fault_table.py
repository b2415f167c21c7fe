"""Run the fault matrix and write its tables into docs/reliability.md: `python -m tests.fault_table`.

The first table has the faults that the virtual digitizer injects. The second has other failures; each row names the
tests that show it, by function or by file.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
from pathlib import Path

import pytest
from tests.other_failures import OTHER
from tests.runtime.fault_cases import CASES, SOURCES, Case, Matrix, judge, short_waits

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
OTHER_BEGIN, OTHER_END = "<!-- other failures: begin -->", "<!-- other failures: end -->"
TESTS = Path(__file__).parent
EXPECTED = {
    "same": "all events, byte for byte",
    "as_file": "the events of a file that holds the same records",
    "none": "none",
    "recovers": "after it, all events, byte for byte",
}


def table() -> tuple[list[str], list[str]]:
    """Rows of the table, and the cases that failed."""
    rows = [
        f"| fault | events | what the station does | {' | '.join(SOURCES)} |",
        f"|---|---|---|{'---|' * len(SOURCES)}",
    ]
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, short_waits():
        matrix = Matrix(Path(folder))
        for case in CASES:
            cells = [_cell(matrix, case, source, failed) for source in SOURCES]
            rows.append(f"| `{case.fault}` | {EXPECTED[case.expected]} | {case.says} | {' | '.join(cells)} |")
    return rows, failed


def _cell(matrix: Matrix, case: Case, source: str, failed: list[str]) -> str:
    if source not in case.sources:
        return "–"
    wrong = judge(matrix, source, case, matrix.run(source, case))
    if wrong:
        failed.append(f"{case.fault} on {source}: {'; '.join(wrong)}")
    return "**failed**" if wrong else "ok"


def other_table() -> tuple[list[str], list[str]]:
    """Rows of the other failures, and those whose tests failed."""
    rows = ["| failure | required outcome | shown by | |", "|---|---|---|---|"]
    failed: list[str] = []
    for what, outcome, tests in OTHER:
        paths = [located(test) for test in tests]
        with contextlib.redirect_stdout(io.StringIO()):
            status = pytest.main(["-q", "-p", "no:cacheprovider", "-m", "not long", *paths])
        if status:
            failed.append(f"{what}: {', '.join(tests)}")
        names = ", ".join(f"`{test}`" for test in tests)
        rows.append(f"| {what} | {outcome} | {names} | {'**failed**' if status else 'ok'} |")
    return rows, failed


def located(test: str) -> str:
    """The pytest address of a test function or a test file below tests/. Raises LookupError."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if path.name == test:
            return str(path)
        if f"def {test}(" in path.read_text(encoding="utf-8"):
            return f"{path}::{test}"
    raise LookupError(f"no test or test file '{test}' below {TESTS}")


def _between(text: str, begin: str, end: str, rows: list[str]) -> str:
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return "\n".join([f"{head}{begin}", *rows, f"{end}{tail}"])


def run() -> int:
    """Write the tables into the page; return 1 if a cell failed."""
    logging.disable(logging.CRITICAL)  # the faults log warnings
    rows, failed = table()
    logging.disable(logging.NOTSET)  # tests read the log
    others, others_failed = other_table()
    failed += others_failed
    text = DOCS.read_text(encoding="utf-8")
    text = _between(_between(text, BEGIN, END, rows), OTHER_BEGIN, OTHER_END, others)
    DOCS.write_text(text, encoding="utf-8")
    print(f"{DOCS.name}: {len(CASES)} faults on {len(SOURCES)} kinds of source, {len(OTHER)} other failures")
    for line in failed:
        print(f"  failed: {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(run())

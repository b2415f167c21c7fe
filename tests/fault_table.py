"""The fault matrix as a table in docs/reliability.md, from a run of it. `python -m tests.fault_table`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from tests.runtime.fault_cases import CASES, SOURCES, Case, Matrix, judge, short_waits

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
EXPECTED = {
    "same": "all events, byte for byte",
    "as_file": "the events of a file that holds the same records",
    "none": "none",
    "recovers": "after it, all events, byte for byte",
}


def table() -> tuple[list[str], list[str]]:
    """Rows of the table, and what was not as expected."""
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


def run() -> int:
    """Write the table into the page; 1 where a cell failed."""
    logging.disable(logging.CRITICAL)  # faults are what this is about
    rows, failed = table()
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCS.write_text("\n".join([f"{head}{BEGIN}", *rows, f"{END}{tail}"]), encoding="utf-8")
    print(f"{DOCS.name}: {len(CASES)} faults on {len(SOURCES)} kinds of source")
    for line in failed:
        print(f"  failed: {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(run())

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
from tests.runtime.fault_cases import CASES, SOURCES, Case, Matrix, judge, short_waits

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
OTHER_BEGIN, OTHER_END = "<!-- other failures: begin -->", "<!-- other failures: end -->"
TESTS = Path(__file__).parent / "runtime"
OTHER = (  # failure, required outcome, tests
    (
        "records of 128 to 65,536 bytes",
        "all events, byte for byte",
        ["test_other_record_lengths", "test_a_file_of_long_records"],
    ),
    (
        "Steim 1 and 2, integers and floats, miniSEED 2 and 3",
        "all events, byte for byte",
        ["test_other_encodings"],
    ),
    (
        "a client that reads slowly",
        "receives everything",
        ["test_a_slow_reader_receives_everything"],
    ),
    (
        "inference slower than the stream",
        "drops and counts the oldest windows, but no sample",
        ["test_backlog.py"],
    ),
    (
        "`kill -9` at random moments (200 times in the long run)",
        "resumes; no line lost or doubled",
        ["test_kill_9", "test_killed_between_packets"],
    ),
    (
        "a damaged state file",
        "renames the file and reads the stream again from where the source begins",
        ["test_a_damaged_journal_is_set_aside"],
    ),
    (
        "a full disk",
        "sends events to the sinks, retries the journal every 10 s",
        [
            "test_a_disk_that_is_full_for_a_while",
            "test_a_full_disk_leaves_whole_lines",
        ],
    ),
    (
        "a read-only or broken disk at the start",
        "runs without storing until the disk works",
        [
            "test_a_disk_fault_at_the_start",
            "test_a_disk_that_is_repaired_during_the_run",
        ],
    ),
    (
        "a sink that is down",
        "continues inference, delivers the lines in order later",
        [
            "test_one_is_down_the_other_is_not",
            "test_down_and_back_in_order",
        ],
    ),
    (
        "SIGTERM, also while a sink hangs",
        "exit status 0 within 5 s",
        [
            "test_stopped_in_the_stream_and_resumed",
            "test_stopped_with_a_hanging_sink",
        ],
    ),
    (
        "spikes, steps, flat and clipped traces, calibrations, teleseisms without a flag of the digitizer",
        "masks and reports them; they open no event and get no magnitude",
        ["test_bad_data.py"],
    ),
    (
        "a sampling rate that drifts",
        "makes no gap, corrects the time every half sample",
        ["test_a_drifting_clock_makes_no_gaps_and_keeps_time"],
    ),
)
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
    """The pytest address of a test function or a test file below tests/runtime. Raises LookupError."""
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

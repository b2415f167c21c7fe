"""The fault matrix as tables in docs/reliability.md, from a run of it. `python -m tests.fault_table`.

The first table is of the faults that the virtual digitizer injects; the second of what else can go wrong, each row one
or more tests by name.
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
OTHER = (  # what, what must come of it, tests
    (
        "records of 128 to 65,536 bytes",
        "all events, byte for byte",
        [
            "station/test_same_events.py::test_other_record_lengths",
            "station/test_same_events.py::test_a_file_of_long_records",
        ],
    ),
    (
        "Steim 1 and 2, integers and floats, miniSEED 2 and 3",
        "all events, byte for byte",
        ["station/test_same_events.py::test_other_encodings"],
    ),
    (
        "a client that reads slowly",
        "it gets everything",
        ["replay/test_digitizer.py::test_a_slow_reader_gets_everything"],
    ),
    (
        "a station too slow for its stream",
        "the oldest windows are dropped and counted, no sample is",
        ["station/test_backlog.py"],
    ),
    (
        "`kill -9` at random moments (200 times in the long run)",
        "resumes; no line lost or repeated",
        ["journal/test_kill.py::test_kill_9", "journal/test_kill.py::test_killed_between_packets"],
    ),
    (
        "a state that is torn or damaged",
        "set aside, the stream is read again from where the source begins",
        ["journal/test_store.py::test_a_damaged_journal_is_set_aside"],
    ),
    (
        "a full disk",
        "sinks receive all events, the journal is retried every 10 s",
        [
            "journal/test_store.py::test_a_disk_that_is_full_for_a_while",
            "sinks/test_jsonl.py::test_a_full_disk_leaves_whole_lines",
        ],
    ),
    (
        "a read-only or broken disk at the start",
        "the run continues without a journal until the disk is repaired",
        [
            "journal/test_store.py::test_a_disk_fault_at_the_start",
            "journal/test_store.py::test_a_disk_that_is_repaired_during_the_run",
        ],
    ),
    (
        "a sink that is down",
        "inference continues, the sink receives its lines in order when it works again",
        [
            "sinks/test_drain.py::test_one_is_down_the_other_is_not",
            "sinks/test_webhook.py::test_down_and_back_in_order",
        ],
    ),
    (
        "SIGTERM, also with a sink that hangs",
        "exit status 0 within 5 s",
        [
            "commands/test_service.py::test_stopped_in_the_stream_and_gone_on_with",
            "commands/test_service.py::test_stopped_with_a_hanging_sink",
        ],
    ),
    (
        "spikes, steps, flat and clipped traces, calibrations, teleseisms, none of them flagged",
        "masked and told; no event of their own, no magnitude",
        ["service/test_bad_data.py"],
    ),
    (
        "a clock that drifts from its rate",
        "no gap, time counted anew every half sample",
        ["timeline/test_timeline.py::test_a_drifting_clock_makes_no_gaps_and_keeps_time"],
    ),
)
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


def other_table() -> tuple[list[str], list[str]]:
    """Rows of what no digitizer injects, and what failed."""
    rows = ["| failure | what must come of it | shown by | |", "|---|---|---|---|"]
    failed: list[str] = []
    for what, outcome, tests in OTHER:
        paths = [str(TESTS / test) for test in tests]
        with contextlib.redirect_stdout(io.StringIO()):
            status = pytest.main(["-q", "-p", "no:cacheprovider", "-m", "not long", *paths])
        if status:
            failed.append(f"{what}: {', '.join(tests)}")
        names = ", ".join(f"`{test.rpartition('::')[2]}`" for test in tests)
        rows.append(f"| {what} | {outcome} | {names} | {'**failed**' if status else 'ok'} |")
    return rows, failed


def _between(text: str, begin: str, end: str, rows: list[str]) -> str:
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return "\n".join([f"{head}{begin}", *rows, f"{end}{tail}"])


def run() -> int:
    """Write the tables into the page; 1 where a cell failed."""
    logging.disable(logging.CRITICAL)  # faults are what this is about
    rows, failed = table()
    logging.disable(logging.NOTSET)  # tests look at the log
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

"""Order of the lines, places of the sinks, and bounds."""

from itertools import pairwise
from pathlib import Path

import pytest
from tests.runtime.journal.runs import STORY, Clock, event, hop, run, waiting

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.journal.outbox import Outbox

MAX_TIMED = 256
MAX_UNSAVED = 10_000


def _nothing() -> None:
    """A sink that does not react."""


def _journal(folder: Path, *names: str, clock: Clock | None = None) -> Journal:
    clock = clock or Clock()
    journal = Journal(folder, "list:", now_s=clock, time_ns=clock.time_ns)
    for name in names:
        journal.outbox.subscribe(name, _nothing)
    return journal


def _revisions(outbox: Outbox, after: int = 0, limit: int = 1000) -> list[int | str]:
    decoded = [line.decoded() for line in outbox.lines_after(after, limit)]
    return [line.revision if isinstance(line, Event) else line.time[17:19] for line in decoded]


def test_lines_come_in_the_order_in_which_they_were_added(tmp_path: Path) -> None:
    journal = _journal(tmp_path, "sink")
    for revision in (7, 3, 5):
        journal.add(event(revision))
        journal.add(hop(revision))
    assert _revisions(journal.outbox) == []  # not before they are stored
    journal.step()
    assert _revisions(journal.outbox) == [7, "07", 3, 5]  # hops of 3 and 5 s would be repetitions of older ones
    journal.add(event(1))
    journal.step()
    journal.close()
    journal = _journal(tmp_path, "sink")
    journal.add(event(0))
    journal.step()
    lines = journal.outbox.lines_after(0)
    assert _revisions(journal.outbox) == [7, "07", 3, 5, 1, 0]
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.kind for line in lines] == ["event", "hop", "event", "event", "event", "event"]
    assert {line.station for line in lines} == {"XX.STA"}
    assert _revisions(journal.outbox, 2, 3) == [3, 5, 1]
    assert _revisions(journal.outbox, 6) == []
    assert isinstance(lines[1].decoded(), Hop)


def test_a_page_of_lines_has_a_hundred(tmp_path: Path) -> None:
    for journal in (_journal(tmp_path, "sink"), MemoryJournal("list:")):
        journal.outbox.subscribe("another", _nothing)
        for revision in range(150):
            journal.add(event(revision))
        journal.step()
        assert [line.seq for line in journal.outbox.lines_after(10)] == list(range(11, 111))
        assert [line.seq for line in journal.outbox.lines_after(110)] == list(range(111, 151))


def test_lines_that_all_sinks_have_received_leave_the_outbox(tmp_path: Path) -> None:
    journal = _journal(tmp_path, "one", "two")
    run(journal, stop=False)
    assert waiting(journal.outbox) == STORY
    journal.outbox.delivered("one", 6)
    journal.outbox.delivered("two", 4)
    journal.flush()
    assert [line.seq for line in journal.outbox.lines_after(0)] == [5, 6]
    assert (journal.outbox.undelivered("one"), journal.outbox.undelivered("two")) == (0, 2)
    journal.close()
    journal = _journal(tmp_path)
    assert [journal.outbox.subscribe(name, _nothing) for name in ("one", "two", "new")] == [6, 4, 6]
    assert [journal.outbox.undelivered(name) for name in ("one", "two", "new")] == [0, 2, 0]


def test_numbers_are_not_used_twice(tmp_path: Path) -> None:
    """A sink's place would be beyond a line that it has never received."""
    journal = _journal(tmp_path, "sink")
    journal.add(event(0))
    journal.step()
    journal.outbox.delivered("sink", 1)
    journal.flush()
    assert journal.outbox.lines_after(0) == []
    journal.close()
    journal = _journal(tmp_path, "sink")
    journal.add(event(1))
    journal.step()
    assert [line.seq for line in journal.outbox.lines_after(0)] == [2]
    assert journal.outbox.undelivered("sink") == 1


@pytest.mark.parametrize("kept_place", [0, 2])
def test_a_sink_that_no_station_file_names_any_more_holds_nothing_back(tmp_path: Path, kept_place: int) -> None:
    journal = _journal(tmp_path, "kept", "removed")
    for revision in range(3):
        journal.add(event(revision))
    journal.step()
    journal.outbox.delivered("kept", kept_place)
    journal.flush()
    journal.close()
    journal = _journal(tmp_path, "kept")
    journal.add(event(3))
    journal.step()
    assert _revisions(journal.outbox) == list(range(kept_place, 4))  # without what "removed" alone has not received
    journal.outbox.delivered("kept", 4)
    journal.flush()
    assert journal.outbox.lines_after(0) == []
    journal.close()
    journal = _journal(tmp_path)
    assert journal.outbox.subscribe("removed", _nothing) == 0  # named again: its place was kept
    assert journal.outbox.lines_after(0) == []


def test_a_new_sink_starts_with_the_next_line(tmp_path: Path) -> None:
    journal = _journal(tmp_path, "old")
    journal.add(event(0))
    journal.flush()
    journal.close()
    journal = _journal(tmp_path, "old")
    place = journal.outbox.subscribe("new", _nothing)
    journal.add(event(1))
    journal.step()
    assert _revisions(journal.outbox, place) == [1] and _revisions(journal.outbox) == [0, 1]


def test_the_place_of_a_new_sink_is_stored_before_its_first_delivery(tmp_path: Path) -> None:
    journal = _journal(tmp_path, "old")
    journal.add(event(0))
    journal.flush()
    assert journal.outbox.subscribe("new", _nothing) == 1
    journal.add(event(1))
    journal.flush()
    journal.close()
    assert _journal(tmp_path).outbox.subscribe("new", _nothing) == 1


def test_the_age_of_the_oldest_line_that_waits(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    journal = _journal(tmp_path, "sink", clock=clock)
    age = journal.outbox.oldest_waiting_s
    assert age("sink") == 0.0
    for revision in range(2):
        journal.add(event(revision))
        journal.step()
        clock.now_s += 100.0
    assert age("sink") == 200.0
    journal.outbox.delivered("sink", 1)
    assert age("sink") == 100.0
    clock.now_s = 0.0  # the wall clock was set back
    assert age("sink") == 0.0
    journal.outbox.delivered("sink", 2)
    assert age("sink") == 0.0


def test_the_age_of_a_line_that_waits_in_memory() -> None:
    clock = Clock(1000.0)
    outbox = Outbox(now_s=clock)
    outbox.subscribe("sink", _nothing)
    assert outbox.oldest_waiting_s("sink") == 0.0
    for revision in range(2):
        outbox.add(event(revision))
        clock.now_s += 10.0
    assert outbox.oldest_waiting_s("sink") == 20.0
    outbox.delivered("sink", 1)
    assert outbox.oldest_waiting_s("sink") == 10.0
    outbox.delivered("sink", 2)
    assert outbox.oldest_waiting_s("sink") == 0.0


def test_the_time_to_be_stored_is_measured_for_the_newest_lines(tmp_path: Path) -> None:
    clock = Clock(5.0)
    journal = _journal(tmp_path, "sink", clock=clock)
    for revision in range(MAX_TIMED + 10):
        journal.add(event(revision))
    clock.now_s += 0.25
    journal.step()
    times = [line.journal_ms for line in journal.outbox.lines_after(0, 1000)]
    assert times == [None] * 10 + [250.0] * MAX_TIMED
    journal.add(event(1000))
    clock.now_s += 0.5
    journal.step()
    times = [line.journal_ms for line in journal.outbox.lines_after(0, 1000)]
    assert times == [None] * 11 + [250.0] * (MAX_TIMED - 1) + [500.0]
    (last,) = journal.outbox.lines_after(MAX_TIMED + 10)
    latency = last.decoded().latency_ms
    assert latency.journal == 500.0 and latency.total == event(1000).latency_ms.total + 500.0


def test_lines_held_in_memory_are_bounded() -> None:
    journal = MemoryJournal("list:")
    journal.outbox.subscribe("slow", _nothing)
    journal.outbox.subscribe("fast", _nothing)
    for revision in range(MAX_UNSAVED):
        journal.add(event(revision))
    journal.step()
    journal.outbox.delivered("fast", MAX_UNSAVED)
    journal.step()
    assert len(journal.outbox.unsaved) == MAX_UNSAVED and journal.counters.dropped_lines == 0
    for revision in range(6):
        journal.add(event(revision))
    journal.step()
    assert journal.counters.dropped_lines == 6  # of "slow"
    seqs = [line.seq for line in journal.outbox.unsaved]
    assert (seqs[0], seqs[-1], len(seqs)) == (7, MAX_UNSAVED + 6, MAX_UNSAVED)
    assert all(later == earlier + 1 for earlier, later in pairwise(seqs))
    journal.outbox.delivered("slow", MAX_UNSAVED)
    journal.step()
    assert [line.seq for line in journal.outbox.unsaved] == list(range(MAX_UNSAVED + 1, MAX_UNSAVED + 7))


def test_trimming_counts_the_lines_that_a_sink_has_not_received() -> None:
    outbox = Outbox()
    outbox.subscribe("sink", _nothing)
    for revision in range(MAX_UNSAVED + 5):
        outbox.add(event(revision))
    outbox.delivered("sink", 2)
    assert outbox.trim() == 3  # the sink has two of the five removed ones
    assert outbox.undelivered("sink") == MAX_UNSAVED
    assert [line.seq for line in outbox.unsaved[:2]] == [6, 7]
    outbox.delivered("sink", 8)
    assert outbox.trim() == 0
    assert [line.seq for line in outbox.unsaved[:2]] == [9, 10]


def test_dropped_lines_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    journal = MemoryJournal("list:")
    journal.outbox.subscribe("slow", _nothing)
    for revision in range(MAX_UNSAVED):
        journal.add(event(revision))
    for revision in range(2):
        journal.add(event(revision))
        journal.step()
    found = [(r.levelname, r.message) for r in caplog.records if "dropped" in r.message]
    text = "list:: dropped 1 lines from the outbox before every sink had received them"
    assert found == [("WARNING", text), ("DEBUG", text)]

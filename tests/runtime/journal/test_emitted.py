"""Repetitions of events and hops are recognised."""

from pathlib import Path

import pytest
from tests.runtime.journal.runs import Clock, event, hop

from seisedge.runtime.journal.emitted import Emitted, HopPosition
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.outbox import MAX_UNSAVED


def _never(_event_id: str, _revision: int) -> bool:
    return False


def test_an_event_is_recognised_by_id_and_revision() -> None:
    emitted = Emitted({})
    stored = {("XX.STA-1", 5)}

    def is_stored(event_id: str, revision: int) -> bool:
        return (event_id, revision) in stored

    revisions = (0, 0, 1, 5, 0)
    assert [emitted.add(event(r), 0, is_stored) for r in revisions] == [True, False, True, False, False]
    assert emitted.add(event(5, "XX.B"), 0, is_stored)
    assert emitted.unsaved_events == [("XX.STA-1", 0), ("XX.STA-1", 1), ("XX.B-1", 5)]
    emitted.stored()
    assert emitted.unsaved_events == []
    assert emitted.add(event(0), 0, _never)  # from here on the database knows


def test_keys_in_memory_are_bounded() -> None:
    emitted = Emitted({})
    for revision in range(MAX_UNSAVED + 1):
        assert emitted.add(event(revision), 0, _never)
    assert len(emitted.unsaved_events) == MAX_UNSAVED
    assert emitted.add(event(0), 0, _never)  # the oldest was forgotten
    assert not emitted.add(event(2), 0, _never) and not emitted.add(event(MAX_UNSAVED), 0, _never)


def test_a_hop_is_recognised_by_epoch_and_time() -> None:
    emitted = Emitted({"XX.STA": "1/2020-09-13T12:27:30.000000Z", "XX.OLD": "2020-09-13T12:27:30.000000Z"})
    assert (emitted.epoch_of("XX.STA"), emitted.epoch_of("XX.OLD"), emitted.epoch_of("XX.NEW")) == (1, 0, None)
    assert emitted.unsaved_hops == {}
    expected = [(1, 29, False), (1, 30, False), (0, 40, False), (1, 31, True), (1, 31, False), (2, 10, True)]
    for epoch, second, is_new in expected:
        assert emitted.add(hop(second), epoch, _never) is is_new, (epoch, second)
    assert not emitted.add(hop(30, "XX.OLD"), 0, _never) and emitted.add(hop(1, "XX.OLD"), 1, _never)
    assert emitted.add(hop(0, "XX.NEW"), 0, _never)
    assert emitted.unsaved_hops == {
        "XX.NEW": "0/2020-09-13T12:27:00.000000Z",
        "XX.OLD": "1/2020-09-13T12:27:01.000000Z",
        "XX.STA": "2/2020-09-13T12:27:10.000000Z",
    }
    emitted.stored()
    assert emitted.unsaved_hops == {} and not emitted.add(hop(10), 2, _never)


@pytest.mark.parametrize("text", ["0/x", "12/2020-09-13T12:27:10.000000Z"])
def test_a_position_as_text(text: str) -> None:
    assert str(HopPosition.parse(text)) == text
    assert HopPosition.parse("2020") == HopPosition(0, "2020")
    assert HopPosition(9, "a") < HopPosition(10, "a") < HopPosition(10, "b")


def test_hops_of_an_earlier_run_are_recognised(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:", now_s=Clock())
    journal.outbox.subscribe("sink", lambda: None)
    assert journal.add(hop(10)) and journal.add(hop(20, "XX.B"))
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:", now_s=Clock())
    assert not journal.add(hop(10)) and journal.add(hop(11)) and not journal.add(hop(20, "XX.B"))
    journal.flush()
    journal.close()
    assert Journal(tmp_path, "another").add(hop(10))


def test_a_hop_emitted_during_an_outage_is_recognised_later(tmp_path: Path) -> None:
    """Also if its line was delivered and forgotten before the database could be opened."""
    clock = Clock()
    (tmp_path / "journal.sqlite").mkdir()
    journal = Journal(tmp_path, "list:", now_s=clock)
    journal.outbox.subscribe("sink", lambda: None)
    journal.add(hop(10))
    journal.add(event(0))
    journal.step()
    journal.outbox.delivered("sink", 2)
    clock.now_s = 5.0
    journal.flush()
    assert journal.outbox.unsaved == []
    (tmp_path / "journal.sqlite").rmdir()
    clock.now_s = 10.0
    journal.flush()
    assert journal.durable
    journal.close()
    journal = Journal(tmp_path, "list:")
    assert not journal.add(hop(10)) and not journal.add(event(0))

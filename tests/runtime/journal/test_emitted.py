"""Repetitions of events and hops are recognised."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.fakes import ListSource, answer_of, classic_config, fake_models
from tests.runtime.journal.runs import STORY, Clock, Kept, event, hop, with_tokens

from seisedge.runtime.config import EventsConfig
from seisedge.runtime.engines._base import Array
from seisedge.runtime.journal.emitted import Emitted, HopPosition
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.outbox import MAX_UNSAVED
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.jsonl import JsonLinesFile


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


def _story(events: Path) -> dict[str, list[tuple[int, str]]]:
    """Event → (revision, status) in the order of the file."""
    found: dict[str, list[tuple[int, str]]] = {}
    for line in events.read_text(encoding="utf-8").splitlines():
        tree = json.loads(line)
        found.setdefault(tree["id"][-10:], []).append((tree["revision"], tree["status"]))
    return found


def _version(folder: Path, last: int | None, kept: Kept, *, late: bool) -> None:
    """A run of a version, killed after packet `last`; it delivers to two sinks.

    late: its first answer is noise, so that it numbers what follows from 0, and it has other settings.
    """
    journal = Journal(folder, "list:")
    drains = [Drain(sink, name, journal.outbox) for name, sink in (("file", _file(folder)), ("kept", kept))]
    for drain in drains:
        drain.start()
    config = classic_config(events=EventsConfig(noise_threshold=0.6 if late else 0.5))

    def rule(_waveform: Array, valid: Array) -> list[float]:
        return [0.05, 0.05, 0.9] if late and answer_of(valid) < 5.0 else [0.7 if late else 0.8, 0.1, 0.1]

    token = journal.resume.get("XX.STA")
    begin = 0 if token is None else int(token, 16) + 1
    loop = Loop(fake_models(rule), [], {}, default=config, journal=journal)

    class Stopping(ListSource):
        def packets(self) -> Iterator[Packet | None]:
            yield from super().packets()
            if last is not None:
                loop.stop()

    loop.run(Stopping(with_tokens(begin)[: None if last is None else max(last - begin, 0)], live=True))
    for drain in drains:
        drain.close(20)
    journal.save_places()
    journal.close()


def _file(folder: Path) -> JsonLinesFile:
    return JsonLinesFile(folder / "events.jsonl")


@pytest.mark.parametrize("back", (57, 63, 69))
def test_a_version_and_back(back: int, tmp_path: Path) -> None:
    """Mid-event to another version, and back: each (id, revision) has one content in both sinks, each event one end."""
    kept = Kept()
    _version(tmp_path, back, kept, late=False)
    _version(tmp_path, back + 12, kept, late=True)
    _version(tmp_path, None, kept, late=False)
    lines = [json.loads(text) for text in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    contents: dict[tuple[str, int], set[str]] = {}
    for tree in [*lines, *(msgspec.to_builtins(line) for line in kept.lines)]:
        contents.setdefault((tree["id"], tree["revision"]), set()).add(json.dumps(tree, sort_keys=True))
    assert {len(found) for found in contents.values()} == {1}
    assert {(tree["id"], tree["revision"]) for tree in lines} == contents.keys()
    story = _story(tmp_path / "events.jsonl")
    assert set(story) == {event for event, _ in STORY}
    for revisions in story.values():
        statuses = [status for _, status in revisions]
        assert [number for number, _ in revisions] == list(range(len(revisions)))
        assert statuses[0] == "new" and statuses[-1] == "final" and set(statuses[1:-1]) <= {"update"}


def test_a_journal_of_the_release_before(tmp_path: Path) -> None:
    """Contents that it did not store are unknown: a revision that it has emitted counts as a repetition."""
    journal = Journal(tmp_path, "list:")
    journal.add(event(0))
    journal.flush()
    journal.close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as link, link:
        link.execute("DROP TABLE contents")
    journal = Journal(tmp_path, "list:")
    other = msgspec.structs.replace(event(0), timing="questionable")
    assert journal.numbered(other) == other and not journal.add(other)
    assert journal.numbered(event(1)) == event(1) and journal.add(event(1))
    again = msgspec.structs.replace(event(1), timing="questionable")
    renumbered = msgspec.structs.replace(again, revision=2)
    assert journal.numbered(again) == renumbered and journal.add(renumbered)
    assert journal.numbered(again) == again and not journal.add(again)  # it has been said, as revision 2
    journal.close()

"""A unit reports the events of one run over all data, byte for byte, wherever it is cut."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.archive.conftest import END_S, STATION, Recording, S, later, records_of

from seisedge.runtime.archive.unit import REPEATED, UnitRequest, UnitResult, analyse
from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.config import StationConfig
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.sources.miniseed import MiniSeedSource


def requests_of(recording: Recording, config: StationConfig, cuts_ns: list[int]) -> list[UnitRequest]:
    """Units between the cuts; the first and the last one are open-ended."""
    times = [recording.first_ns - S, *cuts_ns, recording.first_ns + 4000 * S]
    return [
        UnitRequest(STATION, str(number), begin_ns, end_ns, config, (recording.file,))
        for number, (begin_ns, end_ns) in enumerate(itertools.pairwise(times))
    ]


def joined(results: list[UnitResult]) -> dict[str, list[bytes]]:
    """The events of all units; none may be reported twice."""
    found: dict[str, list[bytes]] = {}
    for result in results:
        assert not found.keys() & result.revisions.keys()
        found |= result.revisions
    return found


def awkward_cuts(recording: Recording) -> list[int]:
    """At an onset, a second after one, in the short gap, in the long one, and at the border of a record."""
    onsets = sorted(ns_from_iso(event.partition(b'"onset":"')[2][:30].partition(b'"')[0].decode())
                    for (event, *_) in recording.events.values())  # fmt: skip
    ends = [packet.endtime_ns for packet in MiniSeedSource([recording.path]).packets() if packet is not None]
    first_ns = recording.first_ns
    return sorted([onsets[4], onsets[9] + S, first_ns + 310 * S, first_ns + 530 * S, ends[len(ends) * 3 // 4]])


def test_the_events_of_units_are_those_of_one_run(recording: Recording, models: Models, config: StationConfig) -> None:
    requests = requests_of(recording, config, awkward_cuts(recording))
    results = [analyse(request, models, Path) for request in requests]
    assert len(recording.events) > 20
    assert joined(results) == recording.events
    assert [result.seam_in for result in results[1:]] == [result.seam_out for result in results[:-1]]
    assert results[-1].seam_out is None
    assert sum(result.records for result in results) == len(recording.records)


def test_the_memory_at_a_seam_differs_with_other_samples_before_it(
    recording: Recording, models: Models, config: StationConfig, tmp_path: Path
) -> None:
    """A unit that has read another file before its begin must not pass for the continuation of the run."""
    other = tmp_path / "other.mseed"
    missing = [record for number, record in enumerate(recording.records) if number != len(recording.records) * 3 // 4]
    other.write_bytes(b"".join(missing))
    cut_ns = recording.first_ns + 620 * S
    first, second = requests_of(recording, config, [cut_ns])
    seam = analyse(first, models, Path).seam_out
    assert analyse(second, models, Path).seam_in == seam
    assert analyse(replace(second, files=(replace(recording.file, url=str(other)),)), models, Path).seam_in != seam


def test_records_of_an_overlapping_copy_are_counted_and_change_no_event(
    recording: Recording, models: Models, config: StationConfig, tmp_path: Path
) -> None:
    (request,) = requests_of(recording, config, [])
    copy = tmp_path / "copy.mseed"
    copy.write_bytes(b"".join(recording.records[100:150]))
    result = analyse(replace(request, files=(recording.file, replace(recording.file, url=str(copy)))), models, Path)
    assert result.left_out == {REPEATED: 50}
    assert result.revisions == recording.events


@pytest.fixture(scope="module")
def jittery(make_recording: Callable[[list[tuple[int, bytes]]], Recording]) -> Recording:
    """The start of each record is off by up to a quarter of a sample: the clock of the track is that of its first."""
    records = records_of(STATION, 900.0, ())
    return make_recording([(ns, later(record, (n * 7) % 25)) for n, (ns, record) in enumerate(records)])


def test_a_unit_that_cannot_begin_alone_is_continued_from_the_one_before(
    jittery: Recording, models: Models, config: StationConfig
) -> None:
    first, second = requests_of(jittery, config, [jittery.first_ns + 420 * S])
    before = analyse(replace(first, wants_carry=True), models, Path)
    alone = analyse(second, models, Path)
    assert alone.seam_in != before.seam_out, "the clock of a track depends on its first packet"
    assert before.carry is not None
    continued = analyse(replace(second, carry=before.carry), models, Path)
    assert joined([before, continued]) == jittery.events


def test_files_that_end_before_the_events_are_closed(
    recording: Recording, models: Models, config: StationConfig
) -> None:
    (request,) = requests_of(recording, config, [])
    last_ns = recording.first_ns + round(END_S) * S
    assert analyse(replace(request, files_end_ns=last_ns), models, Path).needs_more


def test_a_second_copy_of_the_data_changes_nothing(
    recording: Recording, models: Models, config: StationConfig, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mseed"
    copy.write_bytes(recording.path.read_bytes())
    (request,) = requests_of(recording, config, [])
    twice = replace(request, files=(recording.file, replace(recording.file, url=str(copy))))
    assert joined([analyse(twice, models, Path)]) == recording.events

"""Faults of the virtual digitizer: their form on the command line, and their effect on records and packets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.paths import RECORDING

from seisedge.runtime.commands.replay import command
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.miniseed import BadRecord, Decoder, record_length
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._fault import Fault, Link, Piece, fault_from_spec, known_faults, register_fault
from seisedge.runtime.replay._recording import Entry, Recording
from seisedge.runtime.replay.link_faults import Cut
from seisedge.runtime.replay.record_faults import Gap, Poison

DECODER = Decoder()


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """Three minutes of one station."""
    path = tmp_path_factory.mktemp("cut") / "cut.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * 300])
    return Recording([path], 512).stations[0].entries


def spoiled(spec: str, entries: list[Entry]) -> list[Entry]:
    return fault_from_spec(spec).records(list(entries))


def decoded(entries: list[Entry]) -> list[Packet]:
    return [p for e in entries if isinstance(p := DECODER.packet(e.record, 0), Packet)]


def test_a_spec() -> None:
    assert fault_from_spec("cut") == Cut()
    assert fault_from_spec("cut:every=7,seed=3") == Cut(every=7, seed=3)
    assert fault_from_spec("gap:at=1.5,length=10") == Gap(at=1.5, length=10.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cutt", "fault 'cutt' is unknown; did you mean 'cut'?"),
        ("wibble", "fault 'wibble' is unknown; known: clock, cut, "),
        ("", "fault '' is unknown"),
        ("cut:evry=3", "fault 'cut' has no key 'evry'; did you mean 'every'?"),
        ("empty:at=3", "fault 'empty' has no key 'at'; known: none"),
        ("cut:every", "fault 'cut': 'every' must be every=VALUE"),
        ("cut:every=1", "fault 'cut': every=1 must be a whole number of at least 2"),
        ("cut:every=2.5", "fault 'cut': every=2.5 must be a whole number"),
        ("gap:at=nan", "fault 'gap': at=nan must be a number of at least 0"),
        ("clock:by=soon", "fault 'clock': by=soon must be a number"),
    ],
)
def test_invalid_specs(spec: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        fault_from_spec(spec)
    assert message in str(caught.value)


def test_help_lists_every_fault_and_its_keys() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    for name, fault in known_faults().items():
        assert name in text
        assert (fault.__doc__ or "").strip() in text
    assert "cut:every=50,seed=0" in text


def test_a_second_fault_of_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="fault 'cut' is already registered"):
        register_fault("cut")(Fault)


@pytest.mark.parametrize("name", [name for name, fault in known_faults().items() if fault.on != "link"])
def test_the_same_seed_gives_the_same_records(name: str, entries: list[Entry]) -> None:
    assert spoiled(name, entries) == spoiled(name, entries) != entries


def test_seeds_differ(entries: list[Entry]) -> None:
    assert spoiled("poison:seed=1", entries) != spoiled("poison:seed=2", entries)


@pytest.mark.parametrize("name", ["poison", "truncated", "forged-length", "rate-0"])
def test_unusable_extra_records(name: str, entries: list[Entry]) -> None:
    found = spoiled(f"{name}:every=5", entries)
    extra = [e for e in found if e not in entries]
    assert [e for e in found if e in entries] == entries
    assert 15 < len(extra) < 45
    if name == "forged-length":  # the decoder uses the bytes, the cutter the stated length
        assert {record_length(e.record, 0) for e in extra} == {65_536}
    else:
        assert all(isinstance(DECODER.packet(e.record, 0), BadRecord) for e in extra)


def test_duplicate_and_reorder_keep_every_record(entries: list[Entry]) -> None:
    assert {e.record for e in spoiled("duplicate", entries)} == {e.record for e in entries}
    moved = spoiled("reorder:every=5", entries)
    assert sorted(e.record for e in moved) == sorted(e.record for e in entries)
    last: dict[str, int] = {}
    behind = 0
    for e in moved:
        behind += e.starttime_ns < last.get(str(e.source_id), 0)
        last[str(e.source_id)] = e.starttime_ns
    assert behind > 10


def test_gap_and_dead(entries: list[Entry]) -> None:
    begin_ns = entries[0].starttime_ns
    for e in spoiled("gap:at=60,length=10", entries):
        assert e.release_ns < begin_ns + 61 * 10**9 or e.starttime_ns > begin_ns + 69 * 10**9
    dead = spoiled("dead:channel=EH1,at=30", entries)
    assert max(e.starttime_ns for e in dead if e.source_id.channel == "EH1") < begin_ns + 30 * 10**9
    assert [e for e in dead if e.source_id.channel != "EH1"] == [e for e in entries if e.source_id.channel != "EH1"]


def test_clock(entries: list[Entry]) -> None:
    found = decoded(spoiled("clock:by=3600,at=60,length=30", entries))
    plain = decoded(entries)
    shifts = {round((p.starttime_ns - q.starttime_ns) / 1e9) for p, q in zip(found, plain, strict=True)}
    assert shifts == {0, 3600}
    assert all(np.array_equal(p.samples, q.samples) for p, q in zip(found, plain, strict=True))


def test_overlap(entries: list[Entry]) -> None:
    for differ in (0, 7):
        found = decoded(spoiled(f"overlap:every=5,differ={differ}", entries))
        extra = [
            (p, q) for p, q in itertools.pairwise(found) if q.source_id == p.source_id and q.endtime_ns == p.endtime_ns
        ]
        assert len(extra) > 15
        for p, q in extra:
            np.testing.assert_array_equal(p.samples[-len(q.samples) :] + differ, q.samples)


def test_rate_change(entries: list[Entry]) -> None:
    found = [p for p in decoded(spoiled("rate-change:at=90", entries)) if p.source_id.channel == "EHZ"]
    plain = [p for p in decoded(entries) if p.source_id.channel == "EHZ"]
    slow = [p for p in found if p.sampling_rate_hz == 50]
    assert len(slow) > 5 and {p.sampling_rate_hz for p in found} == {50.0, 100.0}
    for one, other in itertools.pairwise(slow):
        assert one.endtime_ns == other.starttime_ns
    trace = np.concatenate([p.samples for p in plain])
    first = round((slow[0].starttime_ns - plain[0].starttime_ns) / 1e7)
    np.testing.assert_array_equal(np.concatenate([p.samples for p in slow]), trace[first::2])


def test_late_and_empty(entries: list[Entry]) -> None:
    found = spoiled("late:channel=EH2,by=20", entries)
    assert sorted(e.record for e in found) == sorted(e.record for e in entries)
    assert [e.release_ns for e in found] == sorted(e.release_ns for e in found)
    assert spoiled("empty", entries) == []


def pieces(spec: str, number: int = 1, count: int = 200) -> list[Piece]:
    def plain() -> Iterator[Piece]:
        for k in range(count):
            yield Piece(k, b"%03d" % k * 30)

    found = []
    for piece in fault_from_spec(spec).pieces(plain(), Link(number, b"END")):
        found.append(piece)
        if piece.last:
            break
    return found


def test_cut_and_end() -> None:
    cut = pieces("cut:every=50")
    assert 25 <= len(cut) <= 76
    assert cut[-1].last and 0 < len(cut[-1].data) < 90
    assert pieces("cut:every=50") == cut != pieces("cut:every=50", number=2)
    assert [p.data for p in pieces("end:every=10")][-2:] == [b"009" * 30, b"END"]


def test_slow_stall_and_garbage() -> None:
    slow = pieces("slow:chunk=7", count=3)
    assert b"".join(p.data for p in slow) == b"000" * 30 + b"001" * 30 + b"002" * 30
    assert all(p.alone and len(p.data) <= 7 for p in slow)
    assert len(pieces("stall:after=5")) == 5 and len(pieces("stall:after=5", number=2)) == 200
    found = pieces("garbage:every=10,length=5")
    assert 205 < len(found) < 240


def test_connections() -> None:
    assert [fault_from_spec("refused:first=2").answers(n) for n in (1, 2, 3)] == ["reset", "reset", "serve"]
    assert [fault_from_spec("half-open").answers(n) for n in (1, 2)] == ["silence", "serve"]
    assert fault_from_spec("sequence-wrap:after=60").first_sequence(1) == 0xFFFFC4


def test_faults_are_applied_in_order(entries: list[Entry]) -> None:
    found = spoiled("overlap:every=3", Poison(every=2).records(list(entries)))
    assert len(found) > 1.5 * len(entries)


def test_faults_of_links_and_of_miniseed_are_refused_for_udp(tmp_path: Path) -> None:
    one = tmp_path / "one.mseed"
    data = RECORDING.read_bytes()
    one.write_bytes(b"".join(data[k : k + 512] for k in range(0, 5120, 512) if data[k + 8 : k + 12] == b"B918"))
    for spec in ("cut", "rate-0"):
        result = CliRunner().invoke(command, [str(one), "--shake-udp", "127.0.0.1", "--fault", spec])
        assert isinstance(result.exception, InputError)
        assert f"'{spec}' needs miniSEED records or a connection; --shake-udp has neither" in str(result.exception)


@pytest.mark.parametrize("fault", ["dead:channel=QQQ", "late:channel="])
def test_an_unknown_channel_is_refused(fault: str) -> None:
    with pytest.raises(InputError, match=r"channel=.* is not in the recording; its channels are EH1, EH2, EHZ"):
        Digitizer(RECORDING, faults=(fault,))

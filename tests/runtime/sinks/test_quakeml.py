"""obspy validates the documents against the schema and reads them back."""

import io
from pathlib import Path

import msgspec
import pytest
from obspy import read_events
from obspy.core.event import Catalog
from obspy.core.util.base import ENTRY_POINTS
from obspy.io.quakeml.core import _validate

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Pick
from seisedge.runtime.sinks import Refused
from seisedge.runtime.sinks.quakeml import QuakeMLSink, quakeml_from_event


def _read(event: Event) -> Catalog:
    body = quakeml_from_event(event)
    assert _validate(io.BytesIO(body), verbose=True)
    return read_events(io.BytesIO(body), format="QUAKEML")


def test_an_earthquake(events: list[Event]) -> None:
    final = events[-1]
    (read,) = _read(final)
    assert read.event_type == "earthquake" and read.event_type_certainty == "suspected"
    assert read.origins == [] and read.magnitudes == []
    (pick,) = read.picks
    assert str(pick.time) == final.onset and pick.phase_hint == "P" and pick.evaluation_mode == "automatic"
    assert pick.waveform_id.network_code == "XX" and pick.waveform_id.station_code == "STA"
    (size,) = read.station_magnitudes
    assert final.magnitude is not None and final.magnitude.interval_90 is not None
    low, high = final.magnitude.interval_90
    assert low is not None and high is not None and final.magnitude.value is not None
    assert size.mag == final.magnitude.value and size.station_magnitude_type == "ML"
    assert size.mag - size.mag_errors.lower_uncertainty == pytest.approx(low, abs=0.01)
    assert size.mag + size.mag_errors.upper_uncertainty == pytest.approx(high, abs=0.01)
    assert size.mag_errors.confidence_level == 90
    assert read.creation_info.version == "2" and read.creation_info.author.startswith("seisedge ")
    assert any("tectonic with probability 0.9000" in comment.text for comment in read.comments)


def test_the_picks_of_the_onset_detector(revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    picks = [
        Pick(phase="P", time="2020-09-13T12:27:41.025000Z", uncertainty_s=0.06, probability=0.9, channel="HHZ"),
        Pick(phase="S", time="2020-09-13T12:27:44.5Z", uncertainty_s=0.2, probability=0.7, channel="HHN"),
    ]
    (read,) = _read(revision(picks=picks, distance_km=28.6, distance_uncertainty_km=4.6))
    found = [(p.phase_hint, str(p.time), p.time_errors.uncertainty, p.waveform_id.channel_code) for p in read.picks]
    assert found == [
        ("P", "2020-09-13T12:27:41.025000Z", 0.06, "HHZ"),
        ("S", "2020-09-13T12:27:44.500000Z", 0.2, "HHN"),
    ]
    assert len({p.resource_id for p in read.picks}) == 2
    assert "distance from S - P 28.6 km, uncertainty 4.6 km" in [comment.text for comment in read.comments]


def test_the_waveform_id_has_location_and_channel(events: list[Event]) -> None:
    pick = Pick(phase="S", time="2020-09-13T12:27:44.5Z", uncertainty_s=0.2, probability=0.7, channel="HHN")
    for event, codes in (
        (events[-1], ("00", "HHZ")),  # of the classic trigger: the vertical
        (msgspec.structs.replace(events[-1], picks=[pick]), ("00", "HHN")),
    ):
        body = quakeml_from_event(event, "local", {}, lambda _station, code: ("00", code or "HHZ"))
        assert _validate(io.BytesIO(body), verbose=True)
        (read,) = read_events(io.BytesIO(body), format="QUAKEML")
        found = [(x.waveform_id.location_code, x.waveform_id.channel_code) for x in read.picks]
        assert found == [codes]
        (size,) = read.station_magnitudes
        assert (size.waveform_id.location_code, size.waveform_id.channel_code) == ("00", "HHZ")


def test_types(revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    kind = revision().event_type
    for label, expected in (("non-tectonic", "other event"), ("noise", "not reported")):
        (read,) = _read(revision(event_type=msgspec.structs.replace(kind, label=label)))
        assert read.event_type == expected and len(read.picks) == 1
    (read,) = _read(revision(event_type=None, magnitude=None))
    assert read.event_type == "not reported" and read.station_magnitudes == [] and len(read.picks) == 1


def test_retracted(revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    (read,) = _read(revision(status="retracted"))
    assert read.event_type == "not existing" and read.picks[0].evaluation_status == "rejected"


def test_no_station_magnitude_without_a_value(revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    size = msgspec.structs.replace(revision().magnitude, value=None, expected=None, interval_90=None, provisional=True)
    (read,) = _read(revision(magnitude=size))
    assert read.station_magnitudes == []
    assert any("provisional" in comment.text for comment in read.comments)


def test_a_type_that_an_older_seisedge_left_in_the_journal(revision) -> None:  # type: ignore[no-untyped-def]
    sentence = "as catalogued: ML, Md and SCSN, mixed"
    (read,) = _read(revision(magnitude=msgspec.structs.replace(revision().magnitude, type=sentence)))
    assert [size.station_magnitude_type for size in read.station_magnitudes] == ["M"]
    assert f"magnitude type: {sentence}" in [comment.text for comment in read.comments]


def test_one_document_per_event_with_the_newest_revision(tmp_path: Path, events: list[Event]) -> None:
    sink = QuakeMLSink(tmp_path / "quakeml", "example.org")
    for event in [*events, events[-1]]:
        sink.write(event)
    sink.close()
    (path,) = [p for p in (tmp_path / "quakeml").rglob("*") if p.is_file()]
    assert path.relative_to(tmp_path / "quakeml") == Path("2020-09-13", f"{events[0].id}.xml")
    (read,) = read_events(str(path))
    assert read.creation_info.version == "2"
    assert str(read.resource_id).startswith("smi:example.org/seisedge/XX.STA-")


@pytest.mark.parametrize("change", [{"id": "../XX.STA-1"}, {"id": "XX.STA\0"}, {"id": "x" * 300}, {"onset": "2020/09"}])
def test_a_damaged_id_names_no_file(tmp_path: Path, revision, change: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    sink = QuakeMLSink(tmp_path / "quakeml")
    with pytest.raises(Refused, match="no file can be named after the event"):
        sink.write(revision(**change))
    assert list((tmp_path / "quakeml").iterdir()) == []


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="QuakeML cannot be written to this folder"):
        QuakeMLSink(tmp_path / "file")


def test_seiscomp_can_import_the_picks(revision, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # of conftest
    """obspy has the stylesheet of SeisComP and its schema: picks keep their codes, and the result is valid."""
    picks = [
        Pick(phase="P", time="2020-09-13T12:27:41.025000Z", uncertainty_s=0.06, probability=0.9, channel="HHZ"),
        Pick(phase="S", time="2020-09-13T12:27:44.5Z", uncertainty_s=0.2, probability=0.7, channel="HHN"),
    ]
    event, out = revision(picks=picks), tmp_path / "scml.xml"
    catalogue = read_events(
        io.BytesIO(quakeml_from_event(event, "example.org", channel_of=lambda _, code: ("00", code)))
    )
    form = "SCML" if "SCML" in ENTRY_POINTS["event_write"] else "SC3ML"
    catalogue.write(str(out), form, validate=True)
    text = out.read_text(encoding="utf-8")
    for channel, phase in (("HHZ", "P"), ("HHN", "S")):
        codes = f'networkCode="XX" stationCode="STA" locationCode="00" channelCode="{channel}"'
        assert f"<waveformID {codes}/>" in text and f"<phaseHint>{phase}</phaseHint>" in text
    assert text.count("<agencyID>XX</agencyID>") == 3  # of the event and of the picks
    assert f'publicID="smi:example.org/seisedge/{event.id}/pick"' in text


def test_old_documents_are_removed(revision, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]  # of conftest
    """By the time of the events and the clock, whichever is earlier; files of others stay."""
    now_s = 1_795_953_600.0  # 2026-11-29T12:00
    sink = QuakeMLSink(tmp_path, keep_days=2.0, time_s=lambda: now_s)

    def write(day: str, number: int) -> set[str]:
        sink.write(revision(id=f"XX.STA-{number}", onset=f"{day}T12:00:00.000000Z"))
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    write("2026-11-25", 1)
    (tmp_path / "2026-11-25/notes.txt").touch()
    (tmp_path / "2026-11-2").mkdir()
    assert len(write("2026-11-27", 2)) == 3
    assert write("2026-11-29", 3) == {"2026-11-25/notes.txt", "2026-11-27/XX.STA-2.xml", "2026-11-29/XX.STA-3.xml"}
    after = write("2046-07-15", 4)  # the GPS of the digitizer is wrong
    assert len(after) == 4 and "2026-11-27/XX.STA-2.xml" in after
    assert "2026-11-27/XX.STA-2.xml" in write("2026-11-29", 8)  # the GPS works again
    sink = QuakeMLSink(tmp_path, keep_days=2.0, time_s=lambda: now_s + 1e9)  # the clock of the machine is wrong
    assert "2026-11-27/XX.STA-2.xml" in write("2026-11-29", 5)
    assert "2026-11-27/XX.STA-2.xml" not in write("2026-11-30", 6)
    sink = QuakeMLSink(tmp_path, time_s=lambda: now_s + 1e9)
    assert "2026-11-29/XX.STA-3.xml" in write("2036-11-30", 7)
    (tmp_path / "2000-01-01").mkdir()
    (tmp_path / "2000-01-01/a.xml").mkdir()  # cannot be removed
    QuakeMLSink(tmp_path, keep_days=1.0).write(revision(onset="2026-11-29T12:00:00.000000Z"))
    assert "old documents cannot be removed" in caplog.text

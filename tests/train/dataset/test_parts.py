"""Parts of a build: travel times, stations, quiet intervals, picks in CSV."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.demo import CATALOGUE, STATIONS
from seisedge.runtime.errors import InputError
from seisedge.runtime.machine import install_command
from seisedge.runtime.records.packet import SourceId
from seisedge.train.dataset.catalogue import events_from, label_of, read_catalogue
from seisedge.train.dataset.quiet import candidates, loudest_ratio, quiet_spans
from seisedge.train.dataset.stations import Stations
from seisedge.train.dataset.traveltimes import distance_km, travel_times_from


def test_straight_rays() -> None:
    p, s = travel_times_from("6").times_s(30.0, 40.0)
    assert p == pytest.approx(50 / 6)
    assert s == pytest.approx(50 / 6 * 1.73)


def test_a_layered_earth_agrees_with_taup() -> None:
    taup = pytest.importorskip("obspy.taup", reason="obspy is not installed")
    times = travel_times_from("iasp91")
    model = taup.TauPyModel("iasp91")
    for distance, depth in ((7.3, 4.1), (0.4, 2.7), (44.4, 0.0), (151.7, 12.3), (199.0, 33.0), (812.0, 8.0)):
        direct = model.get_travel_times(depth, distance / 111.19493, phase_list=["p", "P", "Pn", "Pg"])
        assert times.times_s(distance, depth)[0] == pytest.approx(min(a.time for a in direct), abs=0.05)
    assert times.times_s(10.0, -1.0) == times.times_s(10.0, 0.0)


@pytest.mark.parametrize("name", ["obspy", "obspy.taup"])
def test_without_obspy_the_error_gives_the_remedy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "c.xml").write_text("<quakeml/>")
    with pytest.raises(InputError, match=r"needs obspy; run pip install .*\[train\].*, or give"):
        travel_times_from("iasp91") if name == "obspy.taup" else events_from(tmp_path / "c.xml")


def test_the_commands_import_only_the_packages_they_need(datasets: Path) -> None:
    script = (
        "import sys, importlib.util\nfrom click.testing import CliRunner\nfrom seisedge.cli import main\n"
        "heavy = {'torch', 'obspy', 'pandas', 'seisbench', 'matplotlib', 'scipy'}\n"
        "assert CliRunner().invoke(main, ['dataset', 'build', '--help']).exit_code == 0\n"
        "print(sorted((heavy | {'h5py'}) & set(sys.modules)))\n"
        f"assert CliRunner().invoke(main, ['dataset', 'info', {str(datasets)!r}]).exit_code == 0\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'h5py' else real(name, *more)\n"
        "del sys.modules['seisedge.train.commands.dataset']\n"
        "result = CliRunner().invoke(main, ['dataset', 'info', 'x'])\n"
        "print(result.exit_code, result.output.strip())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[]", "[]", f"1 Error: 'seisedge dataset' needs h5py; {install_command('train')}"
    ]  # fmt: skip


def test_distance() -> None:
    assert distance_km(0, 0, 0, 1) == pytest.approx(111.195, abs=0.01)
    assert distance_km(35.55733, -117.38667, 35.5865, -117.4622) == pytest.approx(7.57, abs=0.03)


def test_station_files_give_positions_and_gains() -> None:
    stations = Stations.read([STATIONS])
    time_ns = ns_from_iso("2019-07-07")
    site = stations.site("PB.B918", time_ns)
    assert site is not None
    assert (site.latitude_deg, site.longitude_deg) == (35.9357, -117.6017)
    assert stations.gain(SourceId("PB", "B918", "", "EH1"), time_ns, 100.0) == 7.81398e8
    assert stations.gain(SourceId("PB", "B918", "00", "HHZ"), time_ns, 100.0) == (
        "no StationXML or station file has a gain for the channel"
    )
    assert stations.site("PB.B999", time_ns) is None


def test_picks_of_a_table(tmp_path: Path) -> None:
    picks = tmp_path / "picks.csv"
    picks.write_text(
        "event_id,station,phase,time,status\n"
        "ci38473831,PB.B921,P,2019-07-07T08:38:28.9Z,manual\n"
        "ci38473831,PB.B921,Pg,2019-07-07T08:38:28.7Z,automatic\n"
        "ci38473831,PB.B921,S,2019-07-07T08:38:30Z,\n"
    )
    event = next(e for e in events_from(CATALOGUE, picks) if e.id == "ci38473831")
    pick = event.pick("P", "PB.B921")
    assert pick is not None
    assert (pick.time_ns, pick.status) == (ns_from_iso("2019-07-07T08:38:28.7"), "automatic")
    assert event.pick("P", "PB.B918") is None
    assert (event.magnitude, event.depth_km, event.type) == (3.16, -0.8, "earthquake")


def test_picks_of_a_table_that_are_no_labels_are_counted(tmp_path: Path) -> None:
    picks = tmp_path / "picks.csv"
    rows = [
        f"ci38473831,PB.B921,{phase},2019-07-07T08:38:{second}Z"
        for phase, second in (("sP", 26), ("Pn", 27), ("SKS", 28), ("SKS", 29), ("eS", 30))
    ]
    picks.write_text("\n".join(["event_id,station,phase,time", *rows]), encoding="utf-8")
    event = next(e for e in events_from(CATALOGUE, picks) if e.id == "ci38473831")
    assert [(p.phase, p.time_ns % (60 * NS_PER_S) // NS_PER_S) for p in event.picks] == [("P", 27), ("S", 30)]
    assert event.picks_ignored == ("phase sP is not a label", *("phase SKS is not a label",) * 2)


@pytest.mark.parametrize("phase", ["P", "p", "Pn", "PN", "Pg", "PG", "Pb", "P*", "iP", "eP", "IP", "ePg", " P "])
def test_phases_of_the_crust_are_labels(phase: str) -> None:
    assert label_of(phase) == "P"
    assert label_of(phase.replace("P", "S").replace("p", "s")) == "S"


@pytest.mark.parametrize(
    "phase",
    ["pP", "sP", "pS", "sS", "PP", "SS", "PS", "SP", "PcP", "ScS", "PKP", "PKIKP", "SKS", "Pdiff", "Sdif", "P'P'",
     "pPn", "sPg", "PnPn", "Lg", "Rg", "T", "A", "IAML", "", "?", "P1x", "noise", "\x1bP", "P\nS"],
)  # fmt: skip
def test_all_other_phases_are_none(phase: str) -> None:
    assert label_of(phase) is None


QUAKEML = (
    '<?xml version="1.0" encoding="UTF-8"?><q:quakeml xmlns:q="http://quakeml.org/xmlns/quakeml/1.2" '
    'xmlns="http://quakeml.org/xmlns/bed/1.2"><eventParameters publicID="smi:x/c"><event publicID="smi:x/e/1">'
    "<type>earthquake</type>{}</event></eventParameters></q:quakeml>"
)
ORIGIN = (
    '<origin publicID="smi:x/o/1"><time><value>2019-07-07T08:17:28.0</value></time><latitude><value>{}</value>'
    "</latitude><longitude><value>-117.60</value></longitude><depth><value>{}</value></depth></origin>"
)


def quakeml(path: Path, *picks: tuple[str, int | None], latitude: str = "35.9", depth: str = "5000") -> Path:
    """A catalogue of one event with picks of PB.B921: phase and second."""
    parts = [ORIGIN.format(latitude, depth)]
    for k, (phase, second) in enumerate(picks):
        time = f"<time><value>2019-07-07T08:17:{second}</value></time>" if second is not None else ""
        parts.append(
            f'<pick publicID="smi:x/p/{k}">{time}<waveformID networkCode="PB" stationCode="B921"/>'
            f"<phaseHint>{phase}</phaseHint></pick>"
        )
    path.write_text(QUAKEML.format("".join(parts)), encoding="utf-8")
    return path


def test_depth_phases_and_picks_without_a_time_are_ignored(tmp_path: Path) -> None:
    pytest.importorskip("obspy", reason="obspy is not installed")
    path = quakeml(tmp_path / "c.xml", ("P", 29), ("sP", 31), ("SKS", 32), ("S", None), ("S", 33), ("Sg", 34))
    (event,) = events_from(path)
    times = {phase: pick.time_ns for phase in "PS" if (pick := event.pick(phase, "PB.B921"))}
    assert times == {"P": ns_from_iso("2019-07-07T08:17:29"), "S": ns_from_iso("2019-07-07T08:17:33")}
    assert sorted(event.picks_ignored) == ["S without a time", "phase SKS is not a label", "phase sP is not a label"]


def test_an_event_without_a_place_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("obspy", reason="obspy is not installed")
    path = quakeml(tmp_path / "c.xml", latitude="95")
    with pytest.raises(InputError, match="the catalogue has no events"):
        events_from(path)
    assert "event 1 skipped: no origin" in caplog.text


def test_numbers_of_a_catalogue_that_are_not_finite_are_missing(tmp_path: Path) -> None:
    pytest.importorskip("obspy", reason="obspy is not installed")
    (event,) = events_from(quakeml(tmp_path / "c.xml", depth="inf"))
    assert event.depth_km is None and event.latitude_deg == 35.9
    with pytest.raises(InputError, match="the catalogue has no events that can be used: 1 × no origin with time"):
        events_from(quakeml(tmp_path / "c.xml", latitude="nan"))


def test_implausible_values_of_a_table_are_missing_and_counted(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    head = "time,latitude,longitude,type,magnitude,depth_km\n"
    table.write_text(
        head + "2019-07-07,35,-117,earthquake,-999,1e20\n"
        "2019-07-08,35,-117,earthquake,nan,nan\n"
        "2019-07-09,35,-117,earthquake,2.5,-0.8\n"
        "2019-07-10,-999,-117,earthquake,2.5,3\n"
        "2019-07-11,35,nan,earthquake,2.5,3\n"
        "1970-01-01,35,-117,earthquake,2.5,3\n",
        encoding="utf-8",
    )
    found = read_catalogue(table)
    assert [(e.magnitude, e.depth_km) for e in found.events] == [(None, None), (None, None), (2.5, -0.8)]
    assert found.left_out == {"no origin with time, latitude and longitude": 3}
    assert [(one.column, one.value) for one in found.implausible] == [
        ("source_depth_km", "1e+20"),
        ("source_magnitude", "-999"),
        ("source_latitude_deg", "-999"),
        ("source_origin_time", "1970-01-01T00:00:00.000000Z"),
    ]
    assert found.choices["no magnitude"] == 2
    assert found.choices["no depth: it stays missing, and travel times are computed for 0 km"] == 2
    table.write_text(head + "2019-07-07,35,-117,earthquake,small,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: magnitude must be a number; got 'small'"):
        read_catalogue(table)


def test_a_catalogue_has_a_size_and_a_depth(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    path.write_text("<a>" * 1_000_000, encoding="utf-8")
    with pytest.raises(InputError, match="the catalogue is nested more than 64 levels deep"):
        events_from(path)
    path.write_bytes(b"\xff\xfe" + ("<a>" * 100).encode("utf-16-le"))
    with pytest.raises(InputError, match="the catalogue is nested more than 64 levels deep"):
        events_from(path)
    for name, fault in (
        ("c.xml", "is larger than 64 MiB"),
        ("c.csv", "is larger than 64 MiB"),
        ("c.nordic", "is larger"),
    ):
        with (tmp_path / name).open("wb") as file:
            file.truncate(64 * 2**20 + 1)
        with pytest.raises(InputError, match=fault):
            events_from(tmp_path / name)


def test_a_catalogue_with_odd_entries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    core = pytest.importorskip("obspy.core.event", reason="obspy is not installed")
    obspy = pytest.importorskip("obspy")
    names = ("smi:local/query?eventid=ci1", "smi:local/event/2/", "smi:local/event/3")
    origin = {"time": obspy.UTCDateTime("2020-01-01"), "latitude": 45.0, "longitude": 7.0}
    core.Catalog(
        [
            core.Event(resource_id=core.ResourceIdentifier(names[0]), origins=[core.Origin(**origin)]),
            core.Event(
                resource_id=core.ResourceIdentifier(names[1]),
                origins=[core.Origin(**(origin | {"time": obspy.UTCDateTime("2019-01-01")}))],
                event_type="not reported",
            ),
            core.Event(resource_id=core.ResourceIdentifier(names[2])),
        ]
    ).write(str(tmp_path / "c.xml"), format="QUAKEML")
    events = events_from(tmp_path / "c.xml", untyped="earthquake")
    assert [(e.id, e.type) for e in events] == [("2", "not reported"), ("ci1", "earthquake")]
    assert "event 3 skipped: no origin" in caplog.text


def entries(*parts: dict[str, Any]) -> bytes:
    """QuakeML of events. parts: id, magnitudes as (type, value, preferred), type, depth in m, day of the month - 1."""
    core = pytest.importorskip("obspy.core.event", reason="obspy is not installed")
    obspy = pytest.importorskip("obspy")
    made = []
    for k, part in enumerate(parts):
        where = {"latitude": 45.0, "longitude": 7.0, "depth": part.get("depth", 5000.0)}
        event = core.Event(
            resource_id=core.ResourceIdentifier(part.get("id", f"smi:local/event/{k}")),
            origins=[core.Origin(time=obspy.UTCDateTime(2020, 1, 1 + part.get("day", k)), **where)],
            event_type=part.get("type", "earthquake"),
        )
        for name, value, preferred in part.get("magnitudes", ()):
            event.magnitudes.append(core.Magnitude(mag=value, magnitude_type=name))
            if preferred:
                event.preferred_magnitude_id = event.magnitudes[-1].resource_id
        made.append(event)
    file = io.BytesIO()
    core.Catalog(made).write(file, format="QUAKEML")
    return file.getvalue()


def test_the_magnitude_is_chosen_by_an_order_of_types(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    several = [("mb", 3.1, False), ("ML", 2.6, False), ("Mw", 2.8, False)]
    path.write_bytes(
        entries(
            {"magnitudes": several},
            {"magnitudes": [("mb", 3.1, False), ("ml", 2.7, True)]},
            {"magnitudes": [("mB", 4.0, False)]},
            {},
        )
    )
    found = read_catalogue(path)
    assert [(e.magnitude_type, e.magnitude) for e in found.events] == [
        ("mb", 3.1),
        ("ml", 2.7),
        ("mB", 4.0),
        ("", None),
    ]
    assert found.choices["no preferred magnitude: the first of several is used (mb)"] == 1
    found = read_catalogue(path, magnitude_types=("ML", "mb"))
    assert [e.magnitude for e in found.events] == [2.6, 2.7, None, None]
    assert found.choices["no magnitude of the types ML, mb"] == 1
    assert found.choices["no magnitude"] == 2


def test_events_without_a_type(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    path.write_bytes(entries({"type": None}, {"type": "not reported"}, {"type": "quarry blast"}))
    with pytest.raises(InputError, match=r"1 events have no type, the first is 0; give --untyped earthquake .*skip"):
        read_catalogue(path)
    found = read_catalogue(path, untyped="skip")
    assert [e.type for e in found.events] == ["not reported", "quarry blast"]
    assert found.left_out == {"no type (--untyped skip)": 1}
    found = read_catalogue(path, untyped="earthquake")
    assert [e.type for e in found.events] == ["earthquake", "not reported", "quarry blast"]
    assert found.choices["no type: taken as 'earthquake' (--untyped)"] == 1
    assert found.choices["type 'not reported': not used for training"] == 1


def test_ids_that_end_alike_and_events_listed_twice(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    us, nc = "smi:us.anss.org/event/77", "quakeml:nc.anss.org/event/77"
    path.write_bytes(entries({"id": us}, {"id": nc}, {"id": us[:-1] + "8"}, {"id": us[:-1] + "9"}))
    twice = path.read_bytes().replace(b"event/79", b"event/78").replace(b"2020-01-04", b"2020-01-03")
    path.write_bytes(twice)
    found = read_catalogue(path)
    assert [e.id for e in found.events] == ["us.anss.org_event_77", "nc.anss.org_event_77", "78"]
    assert found.left_out == {"listed twice, with the same id and origin": 1}
    path.write_bytes(twice.replace(b"2020-01-03", b"2020-01-09", 1))
    with pytest.raises(InputError, match="event id 78 occurs twice, with different origins"):
        read_catalogue(path)


def test_a_missing_depth_stays_missing(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    path.write_bytes(entries({"depth": None}, {"depth": 0.0}, {"depth": 9_999_000.0}))
    assert [e.depth_km for e in read_catalogue(path).events] == [None, 0.0, None]


def test_quiet_spans_are_recorded_and_not_busy() -> None:
    assert quiet_spans([(0, 100), (200, 300)], [(90, 210), (-5, 5), (40, 50), (45, 60)]) == [
        (5, 40),
        (60, 90),
        (210, 300),
    ]
    assert quiet_spans([(0, 10)], [(0, 10)]) == []


def test_candidates_are_adjacent_and_in_a_fixed_order() -> None:
    spans = [(0, 100 * NS_PER_S), (500 * NS_PER_S, 530 * NS_PER_S)]
    starts = list(candidates(spans, 30.0, "XX.A"))
    assert sorted(starts) == [0, 30 * NS_PER_S, 60 * NS_PER_S, 500 * NS_PER_S]
    assert starts == list(candidates(spans, 30.0, "XX.A"))


def test_a_small_event_in_noise_is_detected() -> None:
    x = np.random.default_rng(0).normal(0, 100, (3, 8000))
    assert loudest_ratio(x, 100.0) < 2
    x[:, 4000:4200] *= 6
    assert loudest_ratio(x, 100.0) > 3

"""Triaxial sensors, with the axes U, V and W, from records to events."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import T0_NS, burst, classic_config, described, events_of, fake_models, packets_of, stationxml

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.config import ChannelConfig, ModelsConfig, StationConfig, TimelineConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.orientation import zne_from_uvw
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station


def _run(packets: list[Packet], models: Models, config: StationConfig) -> tuple[list[Event], Station]:
    station = Station("XX.STA", config, models, "triggered")
    drafts: list[Draft] = []
    for p in packets:
        station.add(p)
        drafts += station.step()
    drafts += station.finish()
    return events_of(drafts), station


def _uvw(traces: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"HH{c}": x for c, x in zip("UVW", zne_from_uvw().T @ np.array(traces), strict=True)}


def test_a_sample_is_rotated_with_the_orientation_at_its_own_time(tmp_path: Path) -> None:
    """The result does not depend on whether a stretch across the border of an epoch is read whole or in pieces."""
    border = iso_from_ns(T0_NS + 60 * 10**9 + 7_000_000)
    channels = [
        *(described(f"HH{c}", end=border, sensitivity=1e9) for c in "UVW"),
        *(described(f"HH{c}", start=border, sensitivity=g) for c, g in zip("UVW", (2e9, 3e9, 1e9), strict=True)),
    ]
    metadata = StationXml.read(stationxml(tmp_path / "meta.xml", "XX.STA", channels))
    station = Station("XX.STA", classic_config(), fake_models(), "triggered", metadata=metadata)
    for p in packets_of(_uvw([burst(120, [59.5], seed=i) for i in range(3)])):
        station.add(p)
    timeline = station.timelines[0]
    begin, end = timeline.k_at(T0_NS + 10 * 10**9), timeline.k_at(T0_NS + 110 * 10**9)
    wave, valid = timeline.window(begin, end)
    cut = timeline.k_at(T0_NS + 60 * 10**9 + 7_000_000)
    for k0, k1 in [(begin, cut - 3), (cut - 3, cut + 1), (cut + 1, cut + 2), (cut + 2, end)]:
        part, there = timeline.window(k0, k1)
        assert np.array_equal(part, wave[:, k0 - begin : k1 - begin]) and there.all()
    assert valid.all()
    (u, v, w), _ = timeline.recorded(begin, end)
    assert np.allclose(wave[0, : cut - begin], ((u + v + w) / np.sqrt(3))[: cut - begin], rtol=1e-5, atol=1e-3)
    after = ((u + v * 2 / 3 + w * 2) / np.sqrt(3))[cut - begin :]
    assert np.allclose(wave[0, cut - begin :], after, rtol=1e-5, atol=1e-3)


def test_a_missing_axis_is_logged_and_there_are_no_events(caplog: pytest.LogCaptureFixture) -> None:
    traces = _uvw([burst(240, [120.0], seed=i) for i in range(3)])
    del traces["HHW"]
    config = classic_config(timeline=TimelineConfig(max_wait_s=20.0))
    drafts, _ = _run(packets_of(traces), fake_models(), config)
    assert drafts == []
    warnings = [r.getMessage() for r in caplog.records if "triaxial" in r.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("XX.STA: the triaxial sensor HH has had no W since 2020-09-13T12:26")


def test_an_axis_that_dies_in_an_event_leaves_its_later_answers_insufficient() -> None:
    traces = _uvw([burst(240, [120.0], seed=i) for i in range(3)])
    traces["HHV"] = traces["HHV"][:12_500]
    config = classic_config(timeline=TimelineConfig(max_wait_s=20.0))
    drafts, _ = _run(packets_of(traces), fake_models(), config)
    assert [(d.status, [q.code for q in d.quality]) for d in drafts] == [
        ("new", ["uncalibrated"]),
        ("update", ["uncalibrated"]),
        ("final", ["insufficient", "insufficient"]),
    ]


def test_the_timeline_waits_for_all_three_axes_whatever_the_station_file_states() -> None:
    traces = _uvw([burst(120, [40.0], seed=i) for i in range(3)])
    late = sorted(packets_of(traces), key=lambda p: p.endtime_ns + (10 * 10**9 if p.source_id.channel == "HHW" else 0))
    whole, _ = _run(packets_of(traces), fake_models(), classic_config())
    only_z, _ = _run(late, fake_models(), classic_config(timeline=TimelineConfig(components="Z")))
    assert len(whole) == 3 and [d.onset for d in only_z] == [d.onset for d in whole]


def _recorded() -> dict[str, np.ndarray]:
    """The first five minutes of PB.B918 that all of its channels have."""
    found: dict[str, list[Packet]] = {}
    with open_source([RECORDING]) as source:
        for p in source.packets():
            if p is not None and p.source_id.station == "B918":
                found.setdefault(p.source_id.channel, []).append(p)
                if len(found) == 3 and p.endtime_ns - found["EHZ"][0].starttime_ns > 300 * 10**9:
                    break
    begin_ns = max(packets[0].starttime_ns for packets in found.values())
    traces = {}
    for code, packets in found.items():
        samples = np.concatenate([p.samples for p in packets]).astype(np.float64)
        assert all(b.starttime_ns == a.endtime_ns for a, b in itertools.pairwise(packets))
        traces[code] = samples[round((begin_ns - packets[0].starttime_ns) / 1e7) :]
    shortest = min(len(x) for x in traces.values())
    return {code: traces[code][:shortest] for code in ("EHZ", "EH1", "EH2")}


def test_the_real_recording_by_a_triaxial_sensor() -> None:
    """Rotated by the inverse of the formula and recorded with three gains, it gives the same events."""
    zne = _recorded()
    gains = {"EHU": 1.0, "EHV": 1.25, "EHW": -0.8}
    turned = zne_from_uvw().T @ np.array(list(zne.values()))
    uvw = {code: gain * x for (code, gain), x in zip(gains.items(), turned, strict=True)}
    models = Models.load(ModelsConfig())
    plain = classic_config(channels={code: ChannelConfig(7.81398e8) for code in zne})
    triaxial = classic_config(
        channels={code: ChannelConfig(7.81398e8 * abs(g), 1 if g > 0 else -1) for code, g in gains.items()}
    )
    expected, _ = _run(packets_of(zne), models, plain)
    drafts, _ = _run(packets_of(uvw), models, triaxial)
    assert len(expected) > 10 and sum(d.magnitude is not None for d in expected) > 10
    assert [(d.id, d.revision, d.status) for d in drafts] == [(d.id, d.revision, d.status) for d in expected]
    for ours, theirs in zip(drafts, expected, strict=True):
        assert ours.quality == theirs.quality and ours.window == theirs.window
        assert (ours.event_type is None) == (theirs.event_type is None)
        if ours.event_type is not None and theirs.event_type is not None:
            assert ours.event_type.label == theirs.event_type.label
            assert ours.event_type.probabilities == pytest.approx(theirs.event_type.probabilities, abs=0.002)
        assert (ours.magnitude is None) == (theirs.magnitude is None)
        if ours.magnitude is not None and theirs.magnitude is not None:
            assert ours.magnitude.bin == theirs.magnitude.bin
            if theirs.magnitude.expected is not None:
                assert ours.magnitude.expected == pytest.approx(theirs.magnitude.expected, abs=0.01)

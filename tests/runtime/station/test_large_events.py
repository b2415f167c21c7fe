"""What the station says of an earthquake larger and more distant than any that its magnitude model was trained on."""

import csv
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.fakes import events_of, packets_of

from seisedge.runtime.config import ChannelConfig, ModelsConfig, StationConfig
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.station import event_estimator
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.station import Station

REGIONS = Path(__file__).parents[3] / "datasets/regions"


@cache
def _record(name: str) -> tuple[dict[str, str], np.ndarray]:
    with (REGIONS / "metadata.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["trace_name"] == name)
    with h5py.File(REGIONS / "waveforms.hdf5") as file:
        return row, np.asarray(file["data"][name])


def _last(name: str, factor: float | None = 1.0) -> Event:
    """The last revision of the event of a record. factor: of the stated sensitivity; None: none is stated."""
    row, waveform = _record(name)
    counts = {f"HH{c}": x.round().astype(np.int32) for c, x in zip("ZNE", waveform, strict=True)}
    sensitivity = (factor or 1.0) * float(row["trace_gain_counts_per_m_s"])
    channels = {} if factor is None else {code: ChannelConfig(sensitivity=sensitivity) for code in counts}
    station = Station("XX.S1", StationConfig(channels=channels), Models.load(ModelsConfig()), "triggered")
    drafts: list[Draft] = []
    for packet in packets_of(counts, 4.0, float(row["trace_sampling_rate_hz"])):
        station.add(packet)
        drafts += station.step()
    return max(events_of([*drafts, *station.finish()]), key=lambda e: (e.window is not None, e.revision))


@pytest.mark.parametrize(
    ("name", "factor", "least"),
    [
        ("byron_00039", 1.0, 0.9), ("byron_00040", 1.0, 0.9), ("byron_00046", 1.0, 0.9),
        ("byron_00039", 4.0, 0.5), ("byron_00040", 4.0, 0.5),
    ],
)  # fmt: skip
def test_mw_4_36_at_a_distance_is_above_3(name: str, factor: float, least: float) -> None:
    """The model alone calls all above 3 as recorded, and the first two 2.77 and 2.69 with a quarter of their motion."""
    event = _last(name, factor)
    assert event.magnitude is not None
    assert (event.magnitude.label, event.magnitude.value) == (">3.0", None)
    assert event.magnitude.probability > least and "out_of_range" in [q.code for q in event.quality]


def test_a_hundredth_of_its_motion_is_not() -> None:
    event = _last("byron_00046", 100.0)
    assert event.magnitude is not None and event.magnitude.value is not None
    assert 1.0 < event.magnitude.value < 2.5


def test_without_a_gain_amplitude_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without the rule, without which a quarter of the motion, with a gain, is inside the bins."""
    event = _last("byron_00039", None)
    monkeypatch.setattr(event_estimator, "_not_below_amplitude", lambda _chain, _window, _units, p: p)
    assert event.magnitude is not None and event.magnitude.provisional
    assert _last("byron_00039", None).magnitude == event.magnitude
    inside = _last("byron_00039", 4.0).magnitude
    assert inside is not None and inside.value is not None

"""Events of the station on continuous noise, with a type model and an onset detector of known behaviour."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.fakes import burst, fake_detector, packets_of
from tests.train.commands.test_evaluate import make_set
from tests.train.dataset.sets import write_set
from torch import Tensor

from seisedge.cli import main
from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.train.evaluation import false_events
from seisedge.train.evaluation.false_events import (
    KEPT,
    OPENED,
    RETRACTED,
    Counted,
    SubjectEngine,
    add_rates,
    count_events,
    kept_with,
)
from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.noise_packets import File, recordings_in
from seisedge.train.evaluation.subject import Floats, Subject, subject_from
from seisedge.train.models._base import Geometry

LABELS = ["tectonic", "non-tectonic", "noise"]
HOUR_S = 3600.0
START_NS = ns_from_iso("2026-01-01T00:00:00Z")  # of the first record of a data set


def until(first_s: float) -> Subject:
    """A type model that is 0.8 tectonic up to `first_s` after the onset, and 0.9 noise later."""

    def network(waveform: Tensor, valid: Tensor) -> Floats:
        late = valid[:, 0].sum(dim=1).numpy() > (5.0 + first_s) * 40 + 1
        return np.where(late[:, None], [[0.05, 0.05, 0.9]], [[0.8, 0.15, 0.05]])

    return Subject(
        name="until", path="until", sha256="", task="event_type", labels=LABELS, edges=[],
        geometry=Geometry(1600, 40.0, 5.0), pass_hz=15.0, answers_s=[3.0, 10.0], network=network, station_term={},
        data_sha256="", split="", split_rule="", sides=None,
    )  # fmt: skip


@pytest.mark.parametrize(("first_s", "counts"), [(30.0, (2, 0, 2)), (3.0, (2, 2, 0)), (0.0, (2, 0, 0))])
def test_events_of_noise_are_opened_retracted_or_kept(first_s: float, counts: tuple[int, int, int]) -> None:
    models = Models(SubjectEngine(until(first_s)), None, fake_detector())
    found = count_events(packets_of({"HHZ": burst(150.0, [40.0, 100.0])}), models, "triggered")
    assert (found.opened, found.retracted, len(found.kept)) == counts
    assert found.hours == pytest.approx(150 / HOUR_S)


def test_an_event_without_a_type_is_kept_by_each_threshold() -> None:
    models = Models(SubjectEngine(until(30.0)), None, fake_detector())
    kept = count_events(packets_of({"HHZ": burst(150.0, [40.0, 100.0])}), models, "triggered").kept
    kept[1] = msgspec.structs.replace(kept[1], event_type=None)
    assert [kept_with(limit, kept) for limit in (0.0, 0.5, 1e-9)] == [2, 2, 1]
    counts = [Counted(1.0, 2, 0, kept)]
    found = add_rates(Figures(20), "noise of x", "triggered", [File(Path("a.mseed"))], counts)
    assert found.labels == {"tectonic": 1, "unknown": 1}
    assert found.kept == 2 and found.below["0.001"] == 1


def noise_set(folder: Path) -> Path:
    """Two recordings of 2 x 100 s with a burst in each piece, and an earthquake, which is not noise."""
    rows, arrays = [], []
    for name, piece in (("a", 0), ("a", 1), ("b", 0), ("b", 1), ("quake", 0)):
        rows.append(
            {
                "trace_name": f"{name}_{piece}", "source_id": name, "trace_sampling_rate_hz": 100,
                "source_type": "earthquake" if name == "quake" else "noise", "station_network_code": "XX",
                "station_code": name.upper(), "trace_component_order": "Z",
                "trace_start_time": f"2026-01-01T00:{piece:02d}:{40 * piece:02d}Z",
                "trace_missing": "Z:0-1000" if (name, piece) == ("b", 1) else "",
            }
        )  # fmt: skip
        arrays.append(burst(100.0, [50.0], seed=piece)[None])
    return write_set(folder, rows, arrays)


def test_a_data_set_is_read_as_recordings_without_its_gaps_and_events(tmp_path: Path) -> None:
    first, second = recordings_in(noise_set(tmp_path / "set"))
    assert (first.site, second.site) == ("a", "b")
    packets = list(first.packets())
    assert sum(len(p.samples) for p in packets) == 20_000
    assert packets[0].starttime_ns == START_NS and packets[-1].endtime_ns - START_NS == 200 * 10**9
    assert np.concatenate([p.samples for p in packets]).tolist()[:10_000] == burst(100.0, [50.0]).tolist()
    assert sum(len(p.samples) for p in second.packets()) == 19_000


def test_the_rates_of_a_data_set_are_those_of_both_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = noise_set(tmp_path / "set")
    monkeypatch.setattr(Models, "load", classmethod(lambda cls, config: Models(None, None, fake_detector())))
    out = Figures(20)
    both = false_events.add_false_events(out, until(30.0), [folder])
    assert [(f.mode, f.sites, f.opened, f.retracted, f.kept) for f in both] == [
        ("triggered", 2, 4, 0, 4),
        ("continuous", 2, 4, 0, 4),
    ]
    assert both[0].labels == {"tectonic": 4}
    below = both[0].below
    assert list(below) == ["0.05", "0.02", "0.005", "0.001"]
    assert list(below.values()) == [4, 4, 4, 0]
    assert both[0].hours == pytest.approx(390 / HOUR_S, abs=0.001)


def test_figures_have_intervals_over_sites() -> None:
    out = Figures(200)
    files = [File(Path(f"{name}.mseed")) for name in "abc"]
    counts = [Counted(1.0, 6, 2), Counted(1.0, 0, 0), Counted(2.0, 2, 2)]
    add_rates(out, "noise of x", "triggered", files, counts)
    rows = {f.what: f for f in out.rows}
    assert (rows[OPENED].value, rows[RETRACTED].value, rows[KEPT].value) == (2.0, 1.0, 0.0)
    assert (rows[OPENED].high, rows[OPENED].n_events) == (6.0, 3)


def test_a_folder_without_noise_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains neither a miniSEED file"):
        recordings_in(tmp_path)
    with pytest.raises(InputError, match="has no record of type noise"):
        recordings_in(make_set(tmp_path / "set"))


def test_the_bundled_model_is_counted_on_miniseed(tmp_path: Path) -> None:
    """The rates reach the report; the bundled detector opens an event at a clear burst."""
    import obspy

    x = burst(120.0, [60.0])
    (tmp_path / "noise").mkdir()
    for name in "abc":
        trace = obspy.Trace(x, {"network": "XX", "station": name, "channel": "HHZ", "sampling_rate": 100.0})
        trace.write(str(tmp_path / "noise" / f"{name}.mseed"), format="MSEED")
    out = Figures(20)
    found = false_events.add_false_events(out, subject_from("event-type", torch.device("cpu")), [tmp_path / "noise"])
    assert [(f.opened, f.sites) for f in found] == [(3, 3), (3, 3)]
    assert {(f.what, f.value) for f in out.rows if f.what == OPENED} == {(OPENED, 30.0)}


@pytest.mark.parametrize("model", ["event-type", "onset"])
def test_a_folder_without_noise_is_refused_before_the_data_are_read(model: str, tmp_path: Path) -> None:
    """The data, which take longest, would be refused as well."""
    (tmp_path / "noise").mkdir()
    (tmp_path / "data").mkdir()
    arguments = ["evaluate", model, "--data", str(tmp_path / "data"), "--noise", str(tmp_path / "noise")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert re.search(r"--noise .*noise: contains n", str(result.exception) + result.output)

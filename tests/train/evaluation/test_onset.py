"""The evaluation of an onset detector, with a network of known behaviour on data of known onsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fakes import burst
from tests.train.commands.test_evaluate import ONSET, RATE, make_set
from torch import Tensor
from torch.nn import functional as F

from seisedge.runtime.card import ONSET_LABELS, OnsetScale
from seisedge.train.archive.archive import Archive, load_archive
from seisedge.train.evaluation import onset
from seisedge.train.evaluation.markdown import markdown_of
from seisedge.train.evaluation.onset import STA_LTA, noise_in
from seisedge.train.evaluation.plots import write_plots
from seisedge.train.evaluation.report import EvaluationReport, evaluate_detector
from seisedge.train.evaluation.subject import Floats, Subject
from seisedge.train.models._base import Geometry

CONTEXT_S = 12.0
LIMIT = 10.0  # ratio of a hop to the mean before it


def rises(waveform: Tensor, valid: Tensor) -> Floats:
    """P where the power of a hop is LIMIT times the mean power of the 5 s before; S never."""
    power = F.avg_pool1d((waveform[:, :1] * valid[:, :1]) ** 2, 4, 4)[:, 0]
    total = torch.cumsum(power, dim=1)
    ratio = power[:, 51:] / ((total[:, 50:-1] - total[:, :-51]) / 50 + 1e-9)
    p = torch.sigmoid(ratio[:, -10:] - LIMIT)
    rest = torch.full_like(p, 1 / 3)
    return torch.stack([p, torch.zeros_like(p), rest, rest, rest], dim=2).double().numpy()


def detector(p_threshold: float = 0.5) -> Subject:
    return Subject(
        name="rises", path="rises", sha256="", task="onset", labels=list(ONSET_LABELS), edges=[],
        geometry=Geometry(round((CONTEXT_S + 1) * RATE), float(RATE), CONTEXT_S), pass_hz=15.0, answers_s=[1.0],
        network=rises, station_term={}, data_sha256="", split="", split_rule="", sides=None,
        scale=OnsetScale(
            hop_s=0.1, delay_s=0.0, p_threshold=p_threshold, s_threshold=0.5, gate_ratio=0.0, tolerance_s=0.1
        ),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_thresholds() -> Iterator[None]:
    """The curve takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onset, "P_THRESHOLDS", (0.5,))
        patch.setattr(onset, "RATIOS", (2.0, 4.2))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = make_set(tmp_path_factory.mktemp("onset") / "mine", trace_p_arrival_sample=ONSET)
    return load_archive([folder], 40.0, 15.0, limit=10)


@pytest.fixture(scope="module")
def report(data: Archive) -> EvaluationReport:
    return evaluate_detector(detector(), data, ["mine"], draws=20)


def value(report: EvaluationReport, what: str, on: str, who: str = "model") -> float:
    return next(f.value for f in report.figures if (f.what, f.on, f.who) == (what, on, who))


def test_clear_onsets_are_found_by_detector_and_trigger_near_the_picks_and_noise_has_none(
    report: EvaluationReport,
) -> None:
    assert report.onset is not None and (report.n_records, report.n_events) == (10, 10)
    for who in ("model", STA_LTA):
        assert value(report, "P arrivals found", "events", who) == 1.0
        assert value(report, "P arrivals found", "events, signal to noise over 8", who) == 1.0
        assert value(report, "onsets per hour", "noise before the events", who) == 0.0
        assert value(report, "within 0.5 s", "picks of P", who) == 1.0
        assert abs(value(report, "median error, s", "picks of P", who)) < 0.2
    assert len(report.onset.errors["model, P"]) == 10
    assert "model, S" not in report.onset.errors


def test_the_curve_has_a_point_for_each_threshold_of_both_detectors(report: EvaluationReport) -> None:
    assert report.onset is not None
    points = {(p.who, p.threshold): p for p in report.onset.curve}
    assert points["model", 0.5].found == points[STA_LTA, 4.2].found == 1.0
    assert points[STA_LTA, 2.0].per_hour is not None and points[STA_LTA, 4.2].per_hour == 0.0


def test_a_detector_that_always_fires_is_counted_in_the_noise(data: Archive) -> None:
    def alternating(waveform: Tensor, valid: Tensor) -> Floats:
        out = rises(waveform, valid)
        out[:, ::2, 0], out[:, 1::2, 0] = 0.9, 0.1
        return out

    few = dataclasses.replace(data, records=data.records[:3])
    found = evaluate_detector(dataclasses.replace(detector(), network=alternating), few, ["mine"], draws=20)
    rate = value(found, "onsets per hour", "noise before the events")
    assert 1500 < rate <= 1800  # one in 2 s, the smallest separation of its events


def test_the_page_and_the_plots_show_both_detectors(report: EvaluationReport, tmp_path: Path) -> None:
    names = write_plots(report, tmp_path)
    assert names == ["detection.png", "onset-errors.png"]
    page = markdown_of(report, names)
    assert "| P arrivals found | 1.00 (1.00–1.00) | 1.00 (1.00–1.00) | 10 | 10 |" in page
    assert "| STA/LTA | 4.2 | 1.00 | 0.0 |" in page and "![detection.png](detection.png)" in page
    assert "\n## Picks of P\n" in page
    assert "at the default thresholds: model 0.5, STA/LTA 4.2" in page


def test_continuous_noise_is_read_as_at_the_station(tmp_path: Path) -> None:
    import obspy

    x = burst(120.0, [60.0])
    trace = obspy.Trace(x, {"network": "XX", "station": "S", "channel": "HHZ", "sampling_rate": 100.0})
    trace.write(str(tmp_path / "a.mseed"), format="MSEED")
    (noise,) = noise_in([tmp_path])
    assert noise.data.station == "XX.S" and noise.site == "a"
    assert noise.data.hours == pytest.approx(120 / 3600, rel=0.01)
    loudest = int(np.argmax(np.abs(noise.data.waveform[0]))) / 40.0
    assert noise.data.start_ns / 1e9 + loudest == pytest.approx(60.0, abs=0.2)  # obspy begins at 1970

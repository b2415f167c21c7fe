"""The same figures on every road: `seisedge train`, `seisedge evaluate` of the run and of the file, and the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import write_set

from seisedge.cli import main
from seisedge.export.graph import open_model
from seisedge.runtime.card import Metric
from seisedge.train.evaluation.card_metrics import headline, metrics_of
from seisedge.train.evaluation.report import EvaluationReport

N_EVENTS = 32
RATE, LENGTH, ONSET = 40, 3800, 1900
# no average over steps: the outputs then differ enough from record to record that rounding changes no rank
STEPS = (
    "--set", "optimisation.steps=8", "--set", "optimisation.batch=8", "--set", "optimisation.average=0",
    "--set", "arguments.width=8", "--set", "nuisance.answers_s=[3.0, 10.0]",
)  # fmt: skip


class Roads(NamedTuple):
    """What each road says: RUN's own metrics and tables, what training printed, reports of the run and of the model."""

    metrics: list[Metric]
    page: str
    printed: str
    run: EvaluationReport
    run_page: str
    file: EvaluationReport
    card: list[Metric]


def make_set(folder: Path) -> Path:
    """Two records per event: one in three components at XX.A with a gain, one vertical at XX.B without.

    Sources 'alps' and 'oslo'; half of the events blasts, every seventh too faint to be seen.
    """
    rng = np.random.default_rng(0)
    rows, arrays = [], []
    for i in range(2 * N_EVENTS):
        event, vertical = i // 2, i % 2 == 1
        faint = event % 7 == 0
        x = 100 * rng.standard_normal((1 if vertical else 3, LENGTH))
        decay = np.exp(-np.arange(LENGTH - ONSET) / 400)
        x[:, ONSET:] += (30 if faint else 3000) * rng.standard_normal((len(x), LENGTH - ONSET)) * decay
        rows.append(
            {
                "trace_name": f"t{i}",
                "source_id": f"e{event}",
                "station_network_code": "XX",
                "station_code": "B" if vertical else "A",
                "source_type": "quarry blast" if event % 2 else "earthquake",
                "source_magnitude": round(float(rng.uniform(-0.2, 3.2)), 1),
                "trace_component_order": "Z" if vertical else "ZNE",
                "trace_sampling_rate_hz": RATE,
                "trace_onset_sample": ONSET,
                "trace_onset_snr": 1.0 if faint else 20.0,
                "trace_onset_visible": not faint,
                "trace_noise_end_sample": 1850,
                "trace_gain_counts_per_m_s": "" if vertical else 1e9,
                "path_ep_distance_km": 20,
                "subset": "alps" if event % 4 < 2 else "oslo",
            }
        )
        arrays.append(np.round(x).astype(np.int32))
    return write_set(folder, rows, arrays)


def seisedge(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(
    scope="module", params=[pytest.param(task, marks=pytest.mark.long) for task in ("event-type", "magnitude")]
)
def roads(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Roads:
    folder = tmp_path_factory.mktemp(request.param)
    data, run, file = make_set(folder / "mine"), folder / "run", folder / "model.onnx"
    printed = seisedge("train", request.param, "--data", data, "-o", run, *STEPS)
    seisedge("export", run, "-o", file, "--data", data, "--windows", "8")
    seisedge("evaluate", run, "--data", data, "-o", folder / "of-run", "--no-curves", "--no-plots")
    seisedge("evaluate", file, "--data", data, "-o", folder / "of-file", "--no-curves", "--no-plots", "--draws", "20")

    def report(name: str) -> EvaluationReport:
        return msgspec.json.decode((folder / name / "report.json").read_bytes(), type=EvaluationReport)

    metrics = msgspec.json.decode((run / "metrics.json").read_bytes(), type=list[Metric])
    page = (folder / "of-run" / "report.md").read_text(encoding="utf-8")
    own = (run / "metrics.md").read_text(encoding="utf-8")
    return Roads(metrics, own, printed, report("of-run"), page, report("of-file"), open_model(file).card.metrics)


def by_name(metrics: list[Metric]) -> dict[tuple[str, str, str], Metric]:
    found = {(m.subset, m.name, m.baseline): m for m in metrics}
    assert len(found) == len(metrics)
    return found


def tables(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_training_and_evaluation_give_the_same_figures(roads: Roads) -> None:
    assert by_name(roads.metrics) == by_name(metrics_of(roads.run))
    assert len(tables(roads.run_page)) > 30
    assert tables(roads.page) == tables(roads.run_page)
    assert set(tables(roads.printed)) <= set(tables(roads.page))


def test_the_card_holds_the_headline_of_the_run(roads: Roads) -> None:
    assert roads.card == headline(roads.metrics)
    assert {m.baseline for m in roads.card} > {""}
    assert {m.name for m in roads.card if m.baseline} in ({"accuracy"}, {"sd", "within ±0.3"})
    every = by_name(roads.metrics)
    assert 20 < len(roads.card) < len(every) / 2


def test_the_file_gives_the_figures_of_its_card(roads: Roads) -> None:
    """Without the station terms of the run, which are not in a model file: nothing that needs those."""
    of_file, of_run = by_name(metrics_of(roads.file)), by_name(roads.metrics)
    assert of_file.keys() <= of_run.keys()
    fitted = {key for key in of_run if "fitted in training" in key[0]}
    assert not fitted & of_file.keys()
    assert bool(fitted) == (roads.run.task == "magnitude")
    n = 0
    for key in of_file.keys() - fitted:
        subset, name, baseline = key
        if fitted and ("gain known" not in subset or baseline.startswith("log ")):
            continue  # slices by magnitude and regressions on all training records use the fitted gains
        a, b = of_run[key], of_file[key]
        assert (a.n_events, a.n_records) == (b.n_events, b.n_records), key
        # an AUC counts pairs, and rounding may exchange a pair of nearly equal outputs
        assert a.value == pytest.approx(b.value, abs=0.03 if name.startswith("AUC") else 2e-3), key
        n += 1
    assert n > 80


def test_parts_are_named_by_the_data(roads: Roads) -> None:
    said = json.dumps([msgspec.to_builtins(m) for m in roads.metrics])
    for other in ("pnw", "ridgecrest", "esec"):
        assert other not in said
    parts = {m.subset.partition(", ")[2] for m in roads.card}
    if roads.run.task == "magnitude":
        assert {"source alps, gain known", "source oslo, gain known", "source alps, gain fitted in training"} <= parts
        assert {"gain known", "gain known or fitted in training"} <= parts
    else:
        assert {"signal visible, source alps", "signal visible, source oslo"} <= parts
        assert {"signal visible, recorded as vertical only", "faint records included"} <= parts
        names = {m.name for m in roads.card}
        assert {"recall, tectonic", "recall, blast", "recall, noise"} <= names
        assert "recall, mass movement" not in names  # the data hold none
    whole, vertical = (
        {m.subset.removesuffix(alone): m.n_records for m in roads.metrics if m.subset.endswith(alone)}
        for alone in ("", ", vertical only, of three-component records")
    )
    assert vertical
    assert all(0 < n < whole[subset] or "gain known" in subset for subset, n in vertical.items())

"""`seisedge evaluate` from end to end, on a small set whose right answer is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import write_set

from seisedge.cli import main
from seisedge.train.archive.archive import fingerprint
from seisedge.train.evaluation import curves, damage, markdown, plots
from seisedge.train.evaluation.report import own_order
from seisedge.train.evaluation.subject import subject_from

N_EVENTS = 20
RATE, LENGTH, ONSET = 40, 3800, 1900
STEPS = ("--set", "optimisation.steps=2", "--set", "optimisation.batch=8", "--set", "arguments.width=8")


def seisedge(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def make_set(folder: Path, seed: int = 0, prefix: str = "e", **more: Any) -> Path:
    """Noise, and from the onset on a burst; two records an event, half of the events blasts."""
    rng = np.random.default_rng(seed)
    rows, arrays = [], []
    for i in range(2 * N_EVENTS):
        x = 100 * rng.standard_normal((3, LENGTH))
        x[:, ONSET:] += 3000 * rng.standard_normal((3, LENGTH - ONSET)) * np.exp(-np.arange(LENGTH - ONSET) / 400)
        row = {
            "trace_name": f"{prefix}{i}",
            "source_id": f"{prefix}{i // 2}",
            "station_network_code": "XX",
            "station_code": f"S{i % 2}",
            "source_type": "quarry blast" if i // 2 % 2 else "earthquake",
            "source_magnitude": round(float(rng.uniform(0.5, 2.5)), 2),
            "trace_sampling_rate_hz": RATE,
            "trace_onset_sample": ONSET,
            "trace_onset_snr": 20,
            "trace_noise_end_sample": 1850,
            "trace_gain_counts_per_m_s": 1e9,
            "path_ep_distance_km": 20,
            "subset": "mine",
        }
        rows.append(row | more)
        arrays.append(np.round(x).astype(np.int32))
    return write_set(folder, rows, arrays)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and a run on it."""
    folder = tmp_path_factory.mktemp("evaluation")
    data, run = make_set(folder / "mine"), folder / "run"
    code, text = seisedge("train", "event-type", "--data", data, "-o", run, *STEPS)
    assert code == 0, text
    return data, run


@pytest.fixture(autouse=True)
def few_damages(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them take minutes; `test_damage.py` looks at each."""
    for module in (curves, plots, markdown):
        few = [ladder for ladder in damage.LADDERS if ladder.name in ("gap", "swapped-horizontals", "mixed-noise")]
        monkeypatch.setattr(module, "LADDERS", few)
    monkeypatch.setattr(curves, "SECONDS", (1.0, 5.0))


def sides(run: Path) -> dict[str, str]:
    return {row["event"]: row["split"] for row in json.loads((run / "split.json").read_text()).values()}


def test_a_run_is_judged_on_what_it_held_out(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained
    code, text = seisedge("evaluate", run, "--data", data, "-o", tmp_path / "out", "--draws", "20", "--json")
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["schema"] == "seisedge.evaluation/1"
    assert report["own_data"]
    held_out = [e for e, side in sides(run).items() if side == "test"]
    assert report["n_events"] == len(held_out)
    assert report["n_records"] == 2 * len(held_out)
    for curve in ("early answer", "damaged"):
        assert [f for f in report["figures"] if f.get("on") == curve]
    whos = {f.get("who", "model") for f in report["figures"]}
    assert whos == {"model", "commonest class", "P/S ratio + logistic regression"}
    pictures = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert pictures == {"confusion.png", "roc.png", "confidence.png", "early.png", "damage.png"}
    page = (tmp_path / "out" / "report.md").read_text()
    assert "## Damaged records" in page
    assert "mixed-noise" in page


def test_events_of_the_training_are_not_counted_elsewhere(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """The same events in another folder, at another station: one event on both sides."""
    _, run = trained
    other = make_set(tmp_path / "other", seed=1, station_code="S9")
    code, text = seisedge("evaluate", run, "--data", other, "-o", tmp_path / "out", "--no-curves", "--draws", "20")
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    n_trained = sum(side == "train" for side in sides(run).values())
    assert report["left_out"]["of an event in the run's training part"] == 2 * n_trained
    assert report["n_events"] == N_EVENTS - n_trained
    assert not report["own_data"]
    assert "the other four fifths" in report["simple"]


def test_nothing_left_is_one_sentence(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = trained
    one = next(e for e, side in sides(run).items() if side == "train")
    other = make_set(tmp_path / "other", seed=1, source_id=one)
    code, text = seisedge("evaluate", run, "--data", other, "-o", tmp_path / "out")
    assert code == 2
    assert "no record is left to evaluate on: 40 records of an event in the run's training part" in text
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes())
    code, text = seisedge("evaluate", tmp_path / "copy", "--data", other, "-o", tmp_path / "out")
    assert code == 2
    assert "without it nothing can be held out" in text


def test_a_prevalence_is_stated(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained
    shares = "tectonic=0.2,non-tectonic=0.1,noise=0.7"
    code, text = seisedge(
        "evaluate", run, "--data", data, "-o", tmp_path / "out", "--no-curves", "--no-plots", "--draws", "20",
        "--prevalence", shares,
    )  # fmt: skip
    assert code == 0, text
    assert "hold at the prevalence tectonic 0.2, non-tectonic 0.1, noise 0.7" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.onnx"], "nothing.onnx: no such model file"),
        (["event-typ"], "did you mean 'event-type'"),
        (["event-type", "--prevalence", "tectonic=0.5,noise=0.5"], "must name tectonic, non-tectonic, noise"),
        (["event-type", "--prevalence", "tectonic=half"], "must be LABEL=SHARE"),
        (["magnitude", "--prevalence", "tectonic=1"], "is a magnitude model"),
        (["event-type", "--data", "nowhere"], "no metadata.csv there"),
        (["event-type", "-o", __file__], "a file is there"),
    ],
)
def test_bad_input(arguments: list[str], message: str) -> None:
    code, text = seisedge("evaluate", *arguments)
    assert code == 2, text
    assert message in text


def test_a_model_file_on_foreign_data(tmp_path: Path) -> None:
    data = make_set(tmp_path / "mine", seed=4)
    code, text = seisedge("evaluate", "magnitude", "--data", data, "-o", tmp_path / "out", "--draws", "20")
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "not the model's own" in report["held_out"]
    assert report["n_events"] == N_EVENTS
    whos = {f.get("who", "model") for f in report["figures"]}
    assert {"median magnitude", "log amplitude + duration", "log peak velocity"} <= whos
    assert {path.name for path in (tmp_path / "out").glob("*.png")} >= {"predicted.png", "classes.png", "damage.png"}
    blind = make_set(tmp_path / "blind", trace_gain_counts_per_m_s="")
    code, text = seisedge("evaluate", "magnitude", "--data", blind, "-o", tmp_path / "out")
    assert code == 2
    assert "no record has a gain" in text


def test_a_models_own_data_are_not_slipped_in_among_others(tmp_path: Path, datasets: Path) -> None:
    other = make_set(tmp_path / "other", seed=4)
    code, text = seisedge("evaluate", "event-type", "--data", other, "--data", datasets, "-o", tmp_path / "out")
    assert code == 2
    assert f"{datasets}: these are the data that event-type was trained on" in text


def test_the_order_of_folders_does_not_matter(tmp_path: Path) -> None:
    first, second = make_set(tmp_path / "first", seed=4), make_set(tmp_path / "second", seed=5)
    subject = subject_from("event-type", torch.device("cpu"))
    mine = dataclasses.replace(subject, data_sha256=fingerprint([first, second]))
    assert own_order(mine, [second, first]) == [first, second]
    assert own_order(subject, [second, first]) == [second, first]


def test_short_records_are_one_sentence(tmp_path: Path) -> None:
    data = make_set(tmp_path / "mine", trace_onset_sample=3750, trace_noise_end_sample="")
    code, text = seisedge("evaluate", "event-type", "--data", data, "-o", tmp_path / "out")
    assert code == 2
    assert "no record to evaluate event-type on" in text

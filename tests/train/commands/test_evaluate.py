"""`seisedge evaluate` end to end, on a small data set with a known result."""

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
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, fingerprint, load_archive
from seisedge.train.dataset.event_hashes import event_hash, key_of_id
from seisedge.train.evaluation import curves, damage, markdown, plots
from seisedge.train.evaluation.report import own_order
from seisedge.train.evaluation.subject import subject_from
from seisedge.train.evaluation.unseen import TRAINED_ON, unseen_records
from seisedge.train.run_file import load_run, save_run

N_EVENTS = 20
RATE, LENGTH, ONSET = 40, 3800, 1900
STEPS = ("--set", "optimisation.steps=2", "--set", "optimisation.batch=8", "--set", "arguments.width=8")


def seisedge(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def make_set(folder: Path, seed: int = 0, prefix: str = "e", **more: Any) -> Path:
    """Noise with a burst from the onset on; two records for each event, half of the events are blasts."""
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
    """Fewer kinds of damage: all of them take minutes, and `test_damage.py` tests each."""
    for module in (curves, plots, markdown):
        few = [ladder for ladder in damage.LADDERS if ladder.name in ("gap", "swapped-horizontals", "mixed-noise")]
        monkeypatch.setattr(module, "LADDERS", few)
    monkeypatch.setattr(curves, "SECONDS", (1.0, 5.0))


def sides(run: Path) -> dict[str, str]:
    return {row["event"]: row["split"] for row in json.loads((run / "split.json").read_text()).values()}


def test_a_run_is_evaluated_on_its_held_out_events(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained  # without --data: the data that the run was trained on, whatever the current folder is
    code, text = seisedge("evaluate", run, "-o", tmp_path / "out", "--draws", "20", "--json")
    assert code == 0, text
    assert f"data: {data}, the training data of {run}" in text
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


def test_training_events_in_another_folder_are_not_evaluated(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """The same events in another folder, at another station: one event on both sides."""
    _, run = trained
    other = make_set(tmp_path / "other", seed=1, station_code="S9")
    code, text = seisedge("evaluate", run, "--data", other, "-o", tmp_path / "out", "--no-curves", "--draws", "20")
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    n_trained = sum(side == "train" for side in sides(run).values())
    assert report["left_out"]["of an event that the model was trained on"] == 2 * n_trained
    assert f"; {n_trained} events that the model was trained on are left out" in report["held_out"]
    assert report["n_events"] == N_EVENTS - n_trained
    assert not report["own_data"]
    assert "the other four fifths" in report["simple"]


def test_no_remaining_record_is_an_error(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = trained
    one = next(e for e, side in sides(run).items() if side == "train")
    other = make_set(tmp_path / "other", seed=1, source_id=one)
    code, text = seisedge("evaluate", run, "--data", other, "-o", tmp_path / "out")
    assert code == 2
    assert "no record is left to evaluate on: 40 records of an event that the model was trained on" in text
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes())
    code, text = seisedge("evaluate", tmp_path / "copy", "--data", other, "-o", tmp_path / "out")
    assert code == 2
    assert "without it nothing can be held out" in text


def test_prevalence_is_used_and_reported(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained
    shares = "tectonic=0.2,non-tectonic=0.1,noise=0.7"
    code, text = seisedge(
        "evaluate", run, "--data", data, "-o", tmp_path / "out", "--no-curves", "--no-plots", "--draws", "20",
        "--prevalence", shares,
    )  # fmt: skip
    assert code == 0, text
    assert "are for the prevalence tectonic 0.2, non-tectonic 0.1, noise 0.7" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.onnx"], "nothing.onnx: no such model file"),
        (["event-typ"], "did you mean 'event-type'"),
        (["event-type", "--prevalence", "tectonic=0.5,noise=0.5"], "must contain tectonic, non-tectonic, noise"),
        (["event-type", "--prevalence", "tectonic=half"], "must be LABEL=SHARE"),
        (["magnitude", "--prevalence", "tectonic=1"], "magnitude is a model for the task 'magnitude'"),
        (["magnitude", "--noise", "."], "--noise applies to onset detectors and event-type models; magnitude is for"),
        (["event-type", "--data", "nowhere"], "metadata.csv is missing"),
        (["magnitude", "-o", __file__], "is a file; -o must be a folder"),
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
    assert "(the data are not its training data). Training events are recognised by event id" in report["held_out"]
    assert report["n_events"] == N_EVENTS
    whos = {f.get("who", "model") for f in report["figures"]}
    assert {"median magnitude", "log amplitude + duration", "log peak velocity"} <= whos
    assert {path.name for path in (tmp_path / "out").glob("*.png")} >= {"predicted.png", "classes.png", "damage.png"}
    blind = make_set(tmp_path / "blind", trace_gain_counts_per_m_s="")
    code, text = seisedge("evaluate", "magnitude", "--data", blind, "-o", tmp_path / "blind-out")
    assert code == 2
    assert "no record has a gain" in text


def test_a_model_file_is_not_evaluated_on_its_training_events(tmp_path: Path, datasets: Path) -> None:
    """Its training data with other folders: the training events are left out, counted and reported."""
    other = make_set(tmp_path / "other", seed=4)
    code, text = seisedge(
        "evaluate", "magnitude", "--data", other, "--data", datasets, "-o", tmp_path / "out", "--no-curves",
        "--no-plots", "--draws", "20",
    )  # fmt: skip
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    subject = subject_from("magnitude", torch.device("cpu"))
    assert subject.event_hashes is not None
    assert "; 187 events that the model was trained on are left out" in report["held_out"]
    assert report["left_out"]["of an event that the model was trained on"] >= 613
    older = dataclasses.replace(subject, event_hashes=None, data_sha256=fingerprint([datasets]))
    with pytest.raises(InputError, match="contains the training data of magnitude"):
        own_order(older, [other, datasets])


@pytest.fixture(scope="module")
def archive_of_mine(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return load_archive([make_set(tmp_path_factory.mktemp("mine") / "set", source_magnitude_type="Mw")], 40.0, 15.0)


def test_training_events_are_found_by_their_ids(archive_of_mine: Archive) -> None:
    """For all spellings of the ids. If all events are training events, it is an error; if the card names none, all
    count.
    """
    subject = subject_from("magnitude", torch.device("cpu"))
    written = [f" {e.upper()} " for e in ("e0", "e3", "e17")]
    named = dataclasses.replace(subject, event_hashes=frozenset(event_hash(key_of_id(e)) for e in written))
    part = unseen_records(named, archive_of_mine)
    assert {r.event for r, counts in zip(archive_of_mine.records, part.counts, strict=True) if not counts} == {
        "e0",
        "e3",
        "e17",
    }
    assert part.left_out[TRAINED_ON] == 6
    assert "; 3 events that the model was trained on are left out" in part.why
    every = frozenset(event_hash(r.key) for r in archive_of_mine.records)
    with pytest.raises(InputError, match=f"no record is left to evaluate on: 40 records {TRAINED_ON}; give --data"):
        unseen_records(dataclasses.replace(subject, event_hashes=every), archive_of_mine)
    older = unseen_records(dataclasses.replace(subject, event_hashes=None), archive_of_mine)
    assert older.counts.all()
    assert "does not name the training events" in older.why
    unnamed = unseen_records(dataclasses.replace(named, n_unnamed_records=5), archive_of_mine)
    assert "except 5 training records without an id" in unnamed.why


def test_test_events_that_the_card_names_are_not_evaluated(archive_of_mine: Archive) -> None:
    """If split and training events of a card disagree, the training events are not evaluated."""
    mine = archive_of_mine
    held = next(r for r in mine.records if r.split == "test")
    subject = dataclasses.replace(
        subject_from("magnitude", torch.device("cpu")), data_sha256=mine.sha256, split_rule=mine.split_rule
    )
    before = unseen_records(dataclasses.replace(subject, event_hashes=frozenset()), mine)
    after = unseen_records(dataclasses.replace(subject, event_hashes=frozenset({event_hash(held.key)})), mine)
    assert before.own and before.counts.sum() == len(mine.indices(split="test"))
    assert before.counts.sum() - after.counts.sum() == after.left_out[TRAINED_ON] == 2


def test_training_events_of_an_older_run_come_from_its_split(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = trained
    (tmp_path / "split.json").write_bytes((run / "split.json").read_bytes())
    save_run(dataclasses.replace(load_run(run), provenance=None), tmp_path / "checkpoint.pt")
    older, newer = (subject_from(str(path), torch.device("cpu")) for path in (tmp_path, run))
    assert older.event_hashes == newer.event_hashes
    assert len(older.event_hashes or ()) == sum(side == "train" for side in sides(run).values())


def test_the_order_of_folders_does_not_matter(tmp_path: Path) -> None:
    first, second = make_set(tmp_path / "first", seed=4), make_set(tmp_path / "second", seed=5)
    subject = subject_from("event-type", torch.device("cpu"))
    mine = dataclasses.replace(subject, data_sha256=fingerprint([first, second]))
    assert own_order(mine, [second, first]) == [first, second]
    assert own_order(subject, [second, first]) == [second, first]


def test_records_that_are_too_short_are_an_error(tmp_path: Path) -> None:
    data = make_set(tmp_path / "mine", trace_onset_sample=3750, trace_noise_end_sample="")
    code, text = seisedge("evaluate", "event-type", "--data", data, "-o", tmp_path / "out")
    assert code == 2
    assert "no record is suitable to evaluate event-type" in text

"""With labels shuffled among events, every figure falls to chance."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation import event_type, magnitude
from seisedge.train.evaluation.answers import Answers, Predictor, windows_from
from seisedge.train.evaluation.event_type import PAIR, VISIBLE
from seisedge.train.evaluation.figure import Figure, Figures
from seisedge.train.evaluation.predict import FixedWindows
from seisedge.train.evaluation.subject import subject_from

CPU = torch.device("cpu")


def answers_of(name: str, archive: Archive) -> tuple[Predictor, Answers]:
    """The bundled model on the held-out events, 10 s after the onset."""
    predictor = Predictor(subject_from(name, CPU), archive, CPU)
    chosen = np.array([r.split == "test" for r in archive.records])
    return predictor, predictor(windows_from(predictor.subject, archive, chosen, 10.0), 10.0)


def at_chance(f: Figure, chance: float, sigmas: float = 3.0) -> bool:
    """True if within three standard errors; a 95 % interval is 3.92 standard errors wide."""
    assert f.low is not None
    assert f.high is not None
    return abs(f.value - chance) < sigmas * max(f.high - f.low, 0.02) / 3.92


def test_shuffled_types_give_chance(archive: Archive) -> None:
    predictor, a = answers_of("event-type", archive)
    labels, rng = predictor.subject.labels, np.random.default_rng(7)
    unit = np.char.add(a.facts["group"].astype(str), np.where(a.facts["noise"], " noise", ""))
    _, first, place = np.unique(unit, return_index=True, return_inverse=True)
    label = rng.permutation(a.label[first])[place]
    facts = a.facts | {"noise": label == labels.index("noise"), "visible": np.ones(len(label), bool)}
    facts["kind"] = np.array(["tectonic", "mass movement", "noise"])[label]
    facts["event"] = facts["group"] = unit
    w = a.windows
    shuffled = Answers(a.answer_s, FixedWindows(w.record, label, w.start, w.bound), a.probabilities, facts)
    out = Figures(300)
    event_type.add_figures(out, labels, shuffled, a.probabilities, "model", None)
    said = np.bincount(a.probabilities.argmax(1), minlength=3) / len(label)
    found = {f.what: f for f in out.rows if f.on == VISIBLE and f.level == "record"}
    assert at_chance(found["balanced accuracy"], 1 / 3)
    for k, name in enumerate(labels):
        share = float((label == k).mean())
        assert at_chance(found[f"AUC, {name}"], 0.5), name
        assert at_chance(found[f"sensitivity, {name}"], said[k]), name
        assert at_chance(found[f"specificity, {name}"], 1 - said[k]), name
        assert at_chance(found[f"precision, {name}"], share), name
    pair = {f.what: f for f in out.rows if f.on == PAIR}
    assert at_chance(pair["AUC"], 0.5)
    real = Figures(300)
    event_type.add_figures(real, labels, a, a.probabilities, "model", None)
    assert not at_chance(next(f for f in real.rows if f.what == "AUC" and f.on == PAIR), 0.5)  # true labels do not


def test_shuffled_magnitudes_have_errors_as_large_as_their_spread(archive: Archive) -> None:
    predictor, a = answers_of("magnitude", archive)
    known = a.facts["scaled"] & a.facts["visible"]
    events = np.unique(a.facts["event"][known])
    truth = {e: float(a.facts["magnitude"][a.facts["event"] == e][0]) for e in events}
    sds, spread = [], float(np.std(list(truth.values())))
    for seed in range(20):
        dealt = dict(zip(events, np.random.default_rng(seed).permutation(list(truth.values())), strict=True))
        new = np.array([dealt.get(e, np.nan) for e in a.facts["event"]])
        shuffled = dataclasses.replace(a, facts=a.facts | {"magnitude": new})
        out = Figures(20)
        magnitude.add_figures(out, predictor.subject.edges, shuffled, {})
        sds.append(next(f.value for f in out.rows if f.what == "sd" and f.level == magnitude.MEAN))
    assert np.mean(sds) > spread


@pytest.mark.long
def test_a_training_on_shuffled_labels_gives_chance_on_held_out_events(tmp_path: Path, datasets: Path) -> None:
    """With the commands, on the bundled set: labels of earthquakes and mass movements are shuffled among events."""
    data, run = tmp_path / "shuffled", tmp_path / "run"
    data.mkdir()
    shutil.copy(datasets / "waveforms.hdf5", data)
    with (datasets / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    classes = {row["source_id"]: row["source_class"] for row in rows}
    dealt = dict(zip(classes, np.random.default_rng(1).permutation(list(classes.values())), strict=True))
    for row in rows:
        row["source_class"], row["subset"], row["split"], row["fold"] = dealt[row["source_id"]], "mine", "", ""
        row["source_group"] = ""
    with (data / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    def seisedge(*arguments: str | Path) -> None:
        result = CliRunner().invoke(main, [str(x) for x in arguments])
        assert result.exit_code == 0, result.output

    seisedge("train", "event-type", "--data", data, "-o", run, "--limit", "900", "--set", "optimisation.steps=80",
             "--set", "optimisation.batch=32")  # fmt: skip
    seisedge("evaluate", run, "--data", data, "-o", tmp_path / "out", "--no-curves", "--no-plots", "--draws", "300")
    figures = json.loads((tmp_path / "out" / "report.json").read_text())["figures"]
    pair = [f for f in figures if f.get("on") == PAIR and f["what"] == "AUC" and f.get("who", "model") == "model"]
    assert len(pair) == 4
    for f in pair:
        assert f["n_events"] > 30
        assert at_chance(Figure(**f), 0.5), f

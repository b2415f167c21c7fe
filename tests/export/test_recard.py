"""The cards of the bundled models against their data, and the tool that writes a card anew."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import onnx
import pytest
from click.testing import CliRunner
from datasets.build_synthetic import build
from onnx import helper
from tests.export.conftest import bundled

from seisedge.export.graph import ModelFile, open_model
from seisedge.export.recard import archive_of, file_with, main, recarded
from seisedge.runtime.card import CARD_KEY, Metric, json_from_card
from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import Archive, Wanted, fingerprint, load_archive
from seisedge.train.dataset.event_hashes import event_hash, hashes_from_text
from seisedge.train.recipes.recipe import load_recipe

SENTENCE = "as catalogued: ML, Md and SCSN, mixed"


@pytest.fixture(scope="module")
def archive(datasets: Path) -> Archive:
    return load_archive([datasets], 40.0, 15.0)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic records from which the bundled magnitude model learned as well."""
    folder = tmp_path_factory.mktemp("made") / "synthetic"
    build(folder)
    return folder


def older(model: ModelFile, path: Path, data_sha256: str = "") -> Path:
    """The model file with a card of schema 1. data_sha256: replaces the fingerprint of its training data."""
    tree = json.loads(json_from_card(model.card))
    tree["training"]["data_sha256"] = data_sha256 or tree["training"]["data_sha256"]
    del tree["training"]["event_hashes"], tree["training"]["n_unnamed_records"]
    if tree["magnitude"] is not None:
        tree["magnitude"] = {"edges": tree["magnitude"]["edges"], "type": SENTENCE}
    graph = onnx.load_from_string(model.data)
    helper.set_model_props(graph, {CARD_KEY: json.dumps(tree | {"schema": 1})})
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return path


def test_the_card_of_magnitude_is_the_one_that_its_data_give(datasets: Path, synthetic: Path, tmp_path: Path) -> None:
    """Computed anew, from the card as it is and from one of schema 1: the same file, byte for byte."""
    model, recipe, folders = bundled("magnitude"), load_recipe("magnitude"), [datasets, synthetic]
    archive = load_archive(folders, 40.0, 15.0, wanted=Wanted(synthetic=True))  # of another processor: other last bits
    for file in (model, open_model(older(model, tmp_path / "older.onnx"))):
        card = recarded(file.card, recipe, archive, folders)
        assert card == model.card
        assert file_with(file, card) == model.data


def test_the_bundled_cards_name_the_training_events_and_no_other(model: ModelFile, archive: Archive) -> None:
    training = model.card.training
    assert training.event_hashes is not None
    hashes = hashes_from_text(training.event_hashes, "")
    assert len(hashes) == training.n_events
    assert training.n_unnamed_records == 0
    sides = {r.split for r in archive.records if event_hash(r.key) in hashes}
    assert sides == {"train"}
    assert len({event_hash(r.key) for r in archive.records}) == len({r.event for r in archive.records})


def test_the_command_keeps_the_graph_and_takes_metrics(datasets: Path, synthetic: Path, tmp_path: Path) -> None:
    model, out = bundled("magnitude"), tmp_path / "out.onnx"
    rows = [Metric(name="sd", value=0.5, n_events=3, n_records=9)]
    (tmp_path / "metrics.json").write_bytes(msgspec.json.encode(rows))
    made_here = fingerprint([datasets, synthetic])
    source = older(model, tmp_path / "older.onnx", made_here)
    result = CliRunner().invoke(
        main,
        [str(source), "--data", str(datasets), "--data", str(synthetic), "-o", str(out), "--licence", "CC0",
         "--metrics", str(tmp_path / "metrics.json")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    made = open_model(out)
    assert f"sha256 {made.sha256}" in result.output
    training = msgspec.structs.replace(model.card.training, licence="CC0", data_sha256=made_here)
    assert made.card == msgspec.structs.replace(model.card, metrics=rows, training=training)
    assert made.graph.graph.SerializeToString(deterministic=True) in model.data


def test_other_data_and_another_recipe_are_refused(archive: Archive, datasets: Path, tmp_path: Path) -> None:
    card = bundled("magnitude").card
    other = msgspec.structs.replace(card, training=msgspec.structs.replace(card.training, data_sha256="0"))
    recipe = load_recipe("magnitude")
    with pytest.raises(InputError, match="but model 'magnitude' was trained on 0; give --data with its training data"):
        archive_of(other, recipe, [datasets])
    with pytest.raises(FailedError, match="the card of 'magnitude' states 613 records of 187 events"):
        recarded(card, load_recipe("event-type"), archive, [datasets])

"""A model that a user trains on own data has a card that is true of those data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.train.commands.test_evaluate import make_set

from seisedge.cli import main
from seisedge.export.card import card_from_run
from seisedge.export.onnx import checked_graph
from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines import open_engine
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.event_hashes import event_hash, hashes_from_text
from seisedge.train.recipes.recipe import load_recipe, recipe_names
from seisedge.train.run_file import load_run

STEPS = ("--set", "optimisation.steps=2", "--set", "optimisation.batch=8", "--set", "arguments.width=8")
BUNDLED_ONLY = ("Ridgecrest", "Pacific Northwest", "SCSN", "Md", "pnw", "60 km", "27 events", "datasets/", "Apache")


def seisedge(*arguments: str | Path) -> None:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output


def trained(folder: Path, recipe: str, *more: str, **columns: Any) -> tuple[ModelCard, str, Path]:
    """Train and export, as a user does: the card, what `inspect` prints, the data."""
    data, run, file = make_set(folder / "set", **columns), folder / "run", folder / "m.onnx"
    seisedge("train", recipe, "--data", data, "-o", run, *STEPS, *more)
    seisedge("export", run, "--data", data, "-o", file)
    result = CliRunner().invoke(main, ["inspect", str(file)])
    return open_engine(file).card, result.output, data


@pytest.mark.long  # half a minute
def test_an_own_catalogue_of_mw_with_its_own_licence(tmp_path: Path) -> None:
    card, text, data = trained(
        tmp_path, "magnitude", "--set", "licence=CC-BY-NC-4.0", "--set", 'data.leave_out=["other"]',
        source_magnitude_type="mw", trace_licence="ODbL 1.0",
    )  # fmt: skip
    assert card.magnitude is not None
    assert (card.magnitude.type, card.magnitude.remark) == ("Mw", "")
    assert card.training.data == ["mine (ODbL 1.0)"]
    assert card.training.licence == "CC-BY-NC-4.0"
    assert card.training.left_out == ["other"]
    assert not [word for word in BUNDLED_ONLY if word in text]
    named = hashes_from_text(card.training.event_hashes or "", "")
    training = {r.key for r in load_archive([data], 40.0, 15.0).records if r.split == "train"}
    assert named == {event_hash(key) for key in training}
    assert len(named) == card.training.n_events
    run = load_run(tmp_path / "run")
    assert card_from_run(run, run.model(), checked_graph(run.model())).training == card.training


@pytest.mark.long
def test_data_that_state_nothing(tmp_path: Path) -> None:
    card, text, _ = trained(tmp_path, "magnitude")
    assert card.magnitude is not None
    assert (card.magnitude.type, card.magnitude.remark) == ("M", "the data do not state the magnitude type")
    assert card.training.data == ["mine (licence not stated)"]
    assert card.training.licence == "not stated"
    assert card.not_for[-1] == "regions other than those of the training data: mine (region not stated)"
    assert not [word for word in BUNDLED_ONLY if word in text]


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_states_no_limit_of_the_bundled_data(recipe: str) -> None:
    """Anybody may train it on other data; what the bundled data lack is in datasets/sources.toml."""
    chosen = load_recipe(recipe)
    assert not [word for word in BUNDLED_ONLY for limit in chosen.not_for if word in limit]
    assert chosen.licence == ""

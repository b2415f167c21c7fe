"""The tables of the studies: every row names a recipe of the right task, and faults in a table are errors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.train.study.sets import make_types

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.models import describe_model
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.study.columns import PLOTS
from seisedge.train.study.conduct import seconds_of
from seisedge.train.study.plan import Choice, items_of, lines_of
from seisedge.train.study.plots import DRAW
from seisedge.train.study.result import Cost, Result
from seisedge.train.study.table import ORDER, Row, load_study, study_from_toml, study_names
from seisedge.train.study.tabulate import share_of_recipe


def test_there_is_every_study_of_the_papers() -> None:
    assert tuple(study_names()) == ORDER
    listed = CliRunner().invoke(main, ["study", "--list"]).output
    assert all(f"\n{name} " in listed for name in ORDER)
    assert set(PLOTS) == set(DRAW)


@pytest.mark.parametrize("name", ORDER)
def test_rows_fit_their_recipes(name: str) -> None:
    study = load_study(name)
    for row in study.row:
        if row.recipe:
            recipe = load_recipe(row.recipe, row.set)
            task = describe_model(recipe.model, **recipe.arguments).task
            assert task == study.task.replace(" ", "_"), row.name
        else:
            assert row.feature or row.paper, f"{row.name} has neither a recipe nor figures"


def test_rows_that_are_one_training_share_it(tmp_path: Path) -> None:
    """Under other names, too: ImageNet weights have no effect on a network that is trained from scratch."""
    choice = Choice(data=[str(make_types(tmp_path / "made", 40, 1, trace_sampling_rate_hz=100))], smoke=True)
    keys = {}
    for name in ("baselines-a", "transfer", "imbalance-ratio"):
        for line in lines_of(load_study(name), choice, items_of(choice))[0]:
            keys[line.row.name] = line.keys
    assert keys["growing set, 1:1"] == keys["constant set, 1:1"] != keys["constant set, 2:1"]
    assert keys["ResNet18"] == keys["from scratch"]
    every = {keys[name][0] for name in ("from scratch", "full fine-tuning", "last layer only")}
    assert len(every) == 3


def test_the_estimate_is_that_of_two_trainings_on_the_cores_of_a_worker(tmp_path: Path) -> None:
    choice = Choice(data=[str(make_types(tmp_path / "made", 40, 1, trace_sampling_rate_hz=100))])
    (job,) = lines_of(load_study("misclassified"), choice, items_of(choice))[1].values()
    slow, free = (
        Cost(parameters=0, flops=0, latency_ms=0.0, step_s=step_s, machine="", device="cpu") for step_s in (1.0, 0.0)
    )  # fmt: skip
    of_network = [seconds_of(job, slow, 100, threads) - seconds_of(job, free, 100, threads) for threads in (1, 2)]
    trained = 2 * 15 * 4 * 32  # 15 epochs of 100 records
    assert trained < of_network[0] < 1.03 * trained  # with validations and evaluations
    assert of_network[1] == pytest.approx(of_network[0] / 2)
    o = msgspec.structs.replace(job.recipe.optimisation, consistency=1.0)  # two copies of each window that is trained
    twice = msgspec.structs.replace(job, recipe=msgspec.structs.replace(job.recipe, optimisation=o))
    of_copies = seconds_of(twice, slow, 100, 1) - seconds_of(twice, free, 100, 1)
    assert of_copies - of_network[0] == pytest.approx(trained)


def test_a_row_states_the_share_of_its_recipe_that_was_trained() -> None:
    """15 epochs of 596 records in batches of 32 are 285 steps."""
    row = Row(name="GA-Net", recipe="ganet-paper")
    result = Result(
        key="", recipe="ganet-paper", seed=1, smoke=False, steps=285, epochs=15, windows=285 * 32, seconds=1,
        device="cpu", date="", n_records=596, n_events=1, split_rule="",
    )  # fmt: skip
    few = msgspec.structs.replace(result, steps=40, epochs=1.05, windows=40 * 16)
    assert share_of_recipe(result, row) == ", its whole recipe"
    assert share_of_recipe(few, row) == ", 7 % of its recipe"
    assert share_of_recipe(few, msgspec.structs.replace(row, set={"optimisation.steps": 20})) == ", its whole recipe"
    early = msgspec.structs.replace(result, steps=133, epochs=7, stopped=True)
    assert share_of_recipe(early, row) == ", its whole recipe, which stopped early"
    for unknown in (msgspec.structs.replace(result, windows=0), msgspec.structs.replace(few, smoke=True)):
        assert not share_of_recipe(unknown, row)


def test_faults_of_a_table_are_errors() -> None:
    text = (
        'name = "x"\npaper = "B"\ntask = "event type"\nabout = "a"\nsource = "b"\ncolumns = ["accuracy"]\n'
        '[[row]]\nname = "one"\nrecipe = "ganet-paper"\npaper = { accuracy = 1.0 }\n'
    )
    assert study_from_toml(text.encode(), "x").row[0].paper == {"accuracy": 1.0}
    for change, message in (
        (('accuracy"]', 'acuracy"]'), "unknown column 'acuracy'"),
        (("{ accuracy", "{ auc"), "unknown figure of the paper without a column 'auc'"),
        (('name = "x"', 'name = "y"'), "name must be 'x'"),
        (("recipe =", "recipes ="), "unknown field `recipes`"),
        (("[[row]]", 'plots = ["bar"]\n[[row]]'), "unknown plot 'bar'; did you mean 'bars'?"),
        (("paper = {", 'start = "two"\npaper = {'), "unknown start 'two'"),
    ):
        with pytest.raises(InputError, match="study x: ") as error:
            study_from_toml(text.replace(*change).encode(), "x")
        assert message in str(error.value)

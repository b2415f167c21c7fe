"""Training of the onset detector: from a data set to a model file; resumed; calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.card import ONSET_LABELS
from seisedge.train.archive.archive import Archive, Wanted, load_archive
from seisedge.train.checkpoint import CheckpointFile
from seisedge.train.fit.calibration import platt_of
from seisedge.train.fit.loop import Row, Trained, train_model
from seisedge.train.fit.stage import Stage
from seisedge.train.recipes.recipe import Recipe, load_recipe
from seisedge.train.run_file import load_run

CPU = torch.device("cpu")
TINY = ["optimisation.steps=4", "optimisation.batch=2", "streams.blocks=2", "arguments={width=8, coarse=8}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten earthquakes with P and S, four untyped events, six recordings of noise."""
    arrays = make_arrays(20)
    t = np.arange(6000)
    for x in arrays[:14]:
        x += np.round(20_000 * np.sin(0.4 * t) * (t >= 2000) * np.exp(-np.maximum(t - 2000, 0) / 800)).astype(np.int32)
    shared = {"trace_component_order": "ZNE", "subset": "made", "trace_onset_snr": 20}
    rows = make_rows(10, trace_S_arrival_sample=2600, trace_noise_end_sample=1900, **shared)
    rows += make_rows(4, source_type="", trace_noise_end_sample=0, trace_S_arrival_sample="", **shared)
    rows += make_rows(6, source_type="noise", trace_noise_end_sample=6000, trace_S_arrival_sample="", **shared)
    for i, row in enumerate(rows):
        row |= {"trace_name": f"t{i}", "source_id": f"e{i}", "fold": i % 5, "split": "test" if i % 3 == 2 else "train"}
        row |= {"station_network_code": "XX", "station_code": f"S{i}"}
    return write_set(tmp_path_factory.mktemp("onsets") / "set", rows, arrays)


class Interrupted(Exception):
    """A power failure between two steps."""


def recipe_with(*settings: str) -> Recipe:
    values = {"optimisation.steps": 4, "optimisation.batch": 2, "streams.blocks": 2, "data.leave_out": []}
    return load_recipe("onset", values | {"arguments": {"width": 8, "coarse": 8}})


def train(archive: Archive, checkpoint: CheckpointFile | None = None, stop_at: int = 0) -> Trained:
    def on_row(row: Row, _: Stage) -> None:
        if row["step"] == stop_at:
            raise Interrupted

    return train_model(recipe_with(), archive, lambda r: r.split == "train", 1, CPU, on_row, checkpoint=checkpoint)


def test_a_resumed_training_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    archive = load_archive([folder], 40.0, 15.0, wanted=Wanted(untyped=True))
    assert {r.kind for r in archive.records} == {"tectonic", "untyped", "noise"}
    whole = train(archive)
    file = tmp_path / "state.pt"
    with pytest.raises(Interrupted):
        train(archive, CheckpointFile(file, every_s=0.0), stop_at=3)
    resumed = train(archive, CheckpointFile(file, every_s=0.0))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_from_a_data_set_to_a_model_file(folder: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "onset.onnx"
    settings = [part for setting in TINY for part in ("--set", setting)]
    arguments = ["train", "onset", "--data", str(folder), "-o", str(run), *settings]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    rows = (run / "log.csv").read_text().splitlines()
    assert rows[0].startswith("step,epoch,loss,score") and len(rows) == 5
    metrics = json.loads((run / "metrics.json").read_text())
    assert {m["name"] for m in metrics} >= {"P arrivals found"}
    model = load_run(run).model()
    assert model.labels == ONSET_LABELS
    assert CliRunner().invoke(main, ["export", str(run), "--data", str(folder), "-o", str(file)]).exit_code == 0
    shown = CliRunner().invoke(main, ["inspect", str(file), "--json"])
    card = json.loads(shown.output)
    card = card.get("card", card)
    p, s = (round(float(v), 4) for v in model.thresholds)  # type: ignore[union-attr]  # of a detector
    assert card["task"] == "onset"
    assert card["onset"] == {
        "hop_s": 0.1, "delay_s": 2.0, "p_threshold": p, "s_threshold": s, "tolerance_s": 0.2,
        "gate_ratio": load_run(run).recipe.detector.gate_ratio,
    }  # fmt: skip
    for command in (["quantize", str(file), "--precision", "fp16"], ["gate", str(file), str(file)]):
        result = CliRunner().invoke(main, [*command, "--data", str(folder)])
        assert result.exit_code == 2
        assert "an onset detector cannot be quantized or compared by the gate" in result.output


def test_a_recipe_without_streams_is_refused(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "bare.toml"
    recipe.write_text(
        'name = "bare"\nmodel = "onset_tcn"\n[data]\npass_hz = 15.0\ntectonic = {}\n[nuisance]\nanswers_s = [1.0]\n'
        "[optimisation]\nsteps = 1\n"
    )
    result = CliRunner().invoke(main, ["train", str(recipe), "--data", str(folder), "-o", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "recipe 'bare': an onset detector needs the table [streams]" in result.output


def test_calibrated_logits_have_the_frequencies_of_the_targets() -> None:
    """Targets of probability sigmoid(2 z - 1), where the network said sigmoid(z)."""
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).double()
    target = (torch.rand(len(z), generator=torch.Generator().manual_seed(1)) < torch.sigmoid(2 * z - 1)).float()
    weight = torch.ones(len(z))
    weight[:50_000] = 0.0
    target[:50_000] = 1.0  # without weight
    scale, offset = platt_of(z, target, weight)
    assert (scale, offset) == pytest.approx((2.0, -1.0), abs=0.05)
    assert platt_of(z, torch.zeros(len(z)), weight) == (1.0, 0.0)

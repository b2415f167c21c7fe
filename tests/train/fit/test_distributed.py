"""Two processes have the batch and the losses of one process, except for rounding."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.fit import stage
from seisedge.train.fit.distributed import World, distributed_objective
from seisedge.train.fit.run import run_training
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe
from seisedge.train.run_file import load_run


def test_a_batch_is_divided() -> None:
    assert [World(rank, 4).rows(32) for rank in range(4)] == [slice(8 * r, 8 * r + 8) for r in range(4)]
    with pytest.raises(InputError, match="batch 30 is not divisible by the number of processes \\(4\\)"):
        World(0, 4).rows(30)


def test_live_batch_norm_on_cpus_is_an_error() -> None:
    model = create_model("ganet_small").train()
    with pytest.raises(InputError, match=r"--set optimisation\.batch_norm=frozen"):
        distributed_objective(model, World(0, 2), torch.device("cpu"))


def losses(run: Path) -> list[float]:
    with (run / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_two_processes_follow_one_with_dropout(few: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps with averaged gradients, as DistributedDataParallel averages them: sampler, augmentation, dropout and
    loss use the rows of one batch. A mask of its own in each process makes the gradients differ by a tenth.
    """
    monkeypatch.setattr(stage, "distributed_objective", lambda objective, *_: objective)
    changes = {"optimisation.steps": 40, "optimisation.batch": 16, "optimisation.batch_norm": "frozen"}
    recipe = load_recipe("event-type", changes | {"arguments.width": 8, "arguments.dropout": 0.3})

    def made(world: World) -> Stage:
        settings = Settings(precision="fp32", world=world)
        cpu = torch.device("cpu")
        return Stage(recipe, few, lambda r: r.split == "train", 1, cpu, None, None, settings, lambda _: None)

    one, first, second = made(World()), made(World(0, 2)), made(World(1, 2))
    for step in range(10):
        losses = []
        for each in (one, first, second):
            torch.manual_seed(step)
            loss = each.objective(*each.batch())[0]
            each.optimiser.zero_grad()
            loss.backward()
            losses.append(float(loss.detach()))
        assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2, rel=1e-5)
        for p, q in zip(first.model.parameters(), second.model.parameters(), strict=True):
            if p.grad is not None and q.grad is not None:
                mean = (p.grad + q.grad) / 2
                p.grad, q.grad = mean, mean.clone()
        whole, shared = (torch.cat([p.grad.flatten() for p in each.model.parameters() if p.grad is not None])
                         for each in (one, first))  # fmt: skip
        assert float((whole - shared).norm() / whole.norm()) < 1e-4
        for each in (one, first, second):
            each.optimiser.step()


@pytest.mark.long
def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    rows, arrays = make_rows(40), make_arrays(40, length=3000)
    for i, row in enumerate(rows):
        kind = ("earthquake", "quarry blast", "noise")[i % 3]
        row |= {"source_type": kind, "trace_P_arrival_sample": "" if kind == "noise" else 1200}
    data = write_set(tmp_path / "mine", rows, arrays, block=True)
    changes = {
        "optimisation.steps": 5, "optimisation.batch": 8, "optimisation.batch_norm": "frozen",
        "arguments.width": 8, "arguments.dropout": 0.3, "data.split": "event",
    }  # fmt: skip
    recipe = load_recipe("event-type", changes)
    run_training(recipe, [data], tmp_path / "one", 1, torch.device("cpu"), draws=10, report=lambda _: None)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "seisedge.cli", "train", "event-type", "--data", str(data), "-o", str(tmp_path / "two")]
    command += [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stderr[-2000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(set(one)) == 5
    assert two == pytest.approx(one, rel=1e-4)
    a, b = load_run(tmp_path / "one").state, load_run(tmp_path / "two").state
    assert all(torch.allclose(a[key].float(), b[key].float(), atol=1e-4) for key in a if key != "temperature")

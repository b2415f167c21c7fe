"""A training run on disk: RUN/checkpoint.pt explains itself; log, metrics, split and versions lie beside it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pickle
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch

from seisedge.runtime.card import Metric
from seisedge.runtime.errors import InputError
from seisedge.train.calibrate import fit_temperature
from seisedge.train.data import Archive, load_archive
from seisedge.train.evaluate import Table, answers_of, magnitude_table, markdown, type_table
from seisedge.train.loop import Trained, train_model, write_log
from seisedge.train.mixture import with_sources
from seisedge.train.models import create_model
from seisedge.train.models._base import MagnitudeModel, Model
from seisedge.train.predict import windows_of
from seisedge.train.recipe import Recipe, json_from_recipe, recipe_from_json
from seisedge.train.task import candidates_of, short_of

FORMAT = 2  # of format 1 only the augmentation has changed, which nobody needs who uses a run
Report = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What a checkpoint holds."""

    recipe: Recipe
    seed: int
    state: dict[str, torch.Tensor]
    station_term: dict[str, float]
    data_sha256: str
    data_sources: list[str]
    n_events: int
    n_records: int
    split_rule: str
    metrics: list[Metric]
    date: str
    seisedge_version: str

    def model(self) -> Model:
        """The trained model, in evaluation mode."""
        model = create_model(self.recipe.model, **self.recipe.arguments)
        model.load_state_dict(self.state)
        return model.eval()


def save_run(run: Run, path: Path) -> None:
    """Write a checkpoint: only tensors, text and numbers, so that reading it runs nothing."""
    values: dict[str, Any] = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
    values["recipe"] = json_from_recipe(run.recipe)
    values["metrics"] = msgspec.json.encode(run.metrics).decode()
    torch.save({"format": FORMAT, **values}, path)


def load_run(path: Path) -> Run:
    """Read RUN or RUN/checkpoint.pt. Raises InputError."""
    file = path / "checkpoint.pt" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: no checkpoint.pt there; RUN is what 'seisedge train' wrote")
    try:
        values = torch.load(file, map_location="cpu", weights_only=True)
        written = values.pop("format")
        if written == 1:
            values["recipe"] = json.dumps(json.loads(values["recipe"]) | {"augmentation": []})
        elif written != FORMAT:
            raise InputError(f"{file}: written by another version of seisedge; train again")
        values["recipe"] = recipe_from_json(values["recipe"])
        values["metrics"] = msgspec.json.decode(values["metrics"], type=list[Metric])
        return Run(**values)
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise InputError(f"{file}: not a checkpoint of seisedge") from error


def table_of(recipe: Recipe, trained: Trained, archive: Archive, device: torch.device, draws: int) -> Table:
    """Metrics on the held-out events."""
    model = trained.model
    answers = list(answers_of(recipe, trained, archive, lambda r: r.split == "test", device))
    longest = max(recipe.nuisance.answers_s)
    fit = windows_of(recipe, model, archive, lambda r: r.split == "train", longest, faint=False)
    if isinstance(model, MagnitudeModel):
        return magnitude_table(model, answers, trained, archive, fit, draws)
    return type_table(model.labels, answers, fit.label, draws)


def run_training(
    recipe: Recipe,
    folders: list[Path],
    out: Path,
    seed: int,
    device: torch.device,
    *,
    limit: int | None = None,
    draws: int = 1000,
    say: Report = print,
) -> Run:
    """Train, calibrate on a fold left out, evaluate on the held-out events, write RUN. Raises InputError."""
    model = create_model(recipe.model, **recipe.arguments)
    archive = load_archive(
        folders, model.geometry.rate_hz, recipe.data.pass_hz, limit=limit, split=recipe.data.split, report=True
    )
    for reason, count in archive.left_out.items():
        say(f"{count} records left out: {reason}")
    recipe, weighing = with_sources(recipe, archive)
    for note in [*archive.notes, *short_of(archive, model.geometry), *weighing]:
        say(note)
    chosen = candidates_of(recipe, model, archive, lambda r: r.split == "train")
    used = sorted({int(i) for c in chosen for i in c.indices})
    events = {archive.records[i].event for i in used}
    parameters = sum(p.numel() for p in model.parameters())
    say(f"{recipe.name}: {recipe.model}, {parameters} parameters; {len(used)} records of {len(events)} events")
    out.mkdir(parents=True, exist_ok=True)

    def report(stage: str) -> Callable[[int, float], None]:
        return lambda step, loss: say(f"{stage}: step {step}/{recipe.optimisation.steps}, loss {loss:.4f}")

    part = train_model(
        recipe, archive, lambda r: r.split == "train" and r.fold != 0, seed, device, report("calibration")
    )
    temperature = fit_temperature(recipe, part, archive, lambda r: r.split == "train" and r.fold == 0, device)
    trained = train_model(recipe, archive, lambda r: r.split == "train", seed, device, report("training"))
    trained.model.temperature.fill_(temperature)
    say(f"temperature {temperature:.3f}")
    table = table_of(recipe, trained, archive, device, draws)
    date = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run = Run(
        recipe=recipe,
        seed=seed,
        state={k: v.cpu() for k, v in trained.model.state_dict().items()},
        station_term=trained.station_term,
        data_sha256=archive.sha256,
        data_sources=sorted({archive.records[i].source for i in used}),
        n_events=len(events),
        n_records=len(used),
        split_rule=archive.split_rule,
        metrics=table.rows,
        date=date,
        seisedge_version=version("seisedge"),
    )
    write_log(out / "log.csv", trained.log)
    (out / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(table.rows), indent=1))
    heading = f"{recipe.name}: {len(used)} training records, figures on events held out"
    (out / "metrics.md").write_text(markdown(table.rows, heading))
    sides = {r.name: {"event": r.event, "split": r.split, "fold": r.fold} for r in archive.records}
    (out / "split.json").write_text(json.dumps(sides, indent=0, sort_keys=True))
    versions = {name: version(name) for name in ("seisedge", "torch", "numpy", "h5py")}
    versions |= {"python": platform.python_version(), "device": str(device), "seed": str(seed)}
    (out / "versions.json").write_text(json.dumps(versions, indent=1, sort_keys=True))
    save_run(run, out / "checkpoint.pt")
    return run

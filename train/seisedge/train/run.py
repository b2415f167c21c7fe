"""A training run on disk: RUN/checkpoint.pt explains itself; log, metrics, split and versions lie beside it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pickle
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch

from seisedge.runtime.card import Metric
from seisedge.runtime.errors import InputError
from seisedge.train.augment import augmentations_from
from seisedge.train.augment.chain import check_augmentations
from seisedge.train.board import draw_curves, write_board
from seisedge.train.calibrate import fit_temperature
from seisedge.train.checkpoint import Keeper, write_whole
from seisedge.train.data import Archive, Record, load_archive
from seisedge.train.evaluate import Table, answers_of, magnitude_table, markdown, type_table
from seisedge.train.loop import Row, Settings, Trained, train_model, write_log
from seisedge.train.mixture import with_sources
from seisedge.train.models import create_model
from seisedge.train.models._base import MagnitudeModel, Model
from seisedge.train.predict import windows_of
from seisedge.train.progress import Progress
from seisedge.train.recipe import Recipe, json_from_recipe, recipe_from_json
from seisedge.train.request import STATE, WEIGHTS, Request, is_interrupted, read_request, weights_from, write_request
from seisedge.train.schedule import Course
from seisedge.train.task import Chosen, candidates_of, short_of

FORMAT = 3  # before it the front end was another; weights learned behind that one are of no use here
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
    pruning: str = ""  # what was removed, where the run was made by `seisedge prune`

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
    write_whole({"format": FORMAT, **values}, path)


def load_run(path: Path) -> Run:
    """Read RUN or RUN/checkpoint.pt. Raises InputError."""
    file = path / "checkpoint.pt" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: no checkpoint.pt there; RUN is what 'seisedge train' wrote")
    try:
        values = torch.load(file, map_location="cpu", weights_only=True)
        written = values.pop("format")
        if written != FORMAT:
            raise InputError(
                f"{file}: of a seisedge with another front end (format {written}, here {FORMAT}); train again"
            )
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


def run_training(  # noqa: PLR0913 - independent inputs, each used as it is
    recipe: Recipe,
    folders: list[Path],
    out: Path,
    seed: int,
    device: torch.device,
    *,
    limit: int | None = None,
    draws: int = 1000,
    say: Report = print,
    settings: Settings | None = None,
    weights: Path | None = None,
    checkpoint_s: float = 60.0,
) -> Run:
    """Train, calibrate on a fold left out, evaluate on the held-out events, write RUN. Raises InputError.

    weights: a run or file to begin from. checkpoint_s: seconds between states on disk, for `resume_training`.
    """
    if is_interrupted(out):
        raise InputError(
            f"{out}: holds a training that was interrupted; seisedge train --resume {out} goes on with it; "
            "to begin anew remove the folder or name another with -o"
        )
    request = Request(recipe, [str(f.resolve()) for f in folders], seed, limit, str(weights or ""))
    return _train(request, out, device, settings or Settings(), draws, say, checkpoint_s, weights)


def resume_training(
    out: Path,
    device: torch.device,
    *,
    draws: int = 1000,
    say: Report = print,
    settings: Settings | None = None,
    checkpoint_s: float = 60.0,
) -> Run:
    """Go on with RUN from its last whole state, to what it would have become. Raises InputError."""
    request = read_request(out)
    weights = out / STATE / WEIGHTS
    found = weights if weights.is_file() else None
    return _train(request, out, device, settings or Settings(), draws, say, checkpoint_s, found)


def _train(
    request: Request,
    out: Path,
    device: torch.device,
    settings: Settings,
    draws: int,
    say: Report,
    checkpoint_s: float,
    weights: Path | None,
) -> Run:
    recipe, seed, world = request.recipe, request.seed, settings.world
    model = create_model(recipe.model, **recipe.arguments)
    check_augmentations(augmentations_from(recipe.augmentation), model.task)
    if weights is not None:
        settings = dataclasses.replace(settings, weights=weights_from(weights))
    archive = load_archive(
        [Path(folder) for folder in request.data],
        model.geometry.rate_hz,
        recipe.data.pass_hz,
        limit=request.limit,
        split=recipe.data.split,
        report=world.first,
        synthetic=recipe.data.synthetic,
    )
    if request.data_sha256 not in ("", archive.sha256):
        raise InputError(f"--resume {out}: the data are not those it began with; train anew with another -o")
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
    if world.first:
        begin_folder(out, request, archive, device, settings.weights)
    world.wait()

    def stage(name: str, chosen: Chosen, held: Chosen | None, course: Course | None) -> Trained:
        keeper = Keeper(out / STATE / f"{name}.pt", checkpoint_s)
        return train_model(
            recipe, archive, chosen, seed, device, Progress(name),
            held=held, course=course, keeper=keeper, settings=settings, say=say,
        )  # fmt: skip

    part = stage("calibration", lambda r: r.split == "train" and r.fold != 0, in_fold_0, None)
    temperature = fit_temperature(recipe, part, archive, in_fold_0, device)
    trained = stage("training", lambda r: r.split == "train", None, part.course)
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
    if world.first:
        logs = {"calibration": part.log, "training": trained.log}
        write_results(run, table, out, logs, say)
    world.wait()
    return run


def in_fold_0(record: Record) -> bool:
    """Left out of the first training, and what it is calibrated and looked at with."""
    return record.split == "train" and record.fold == 0


def begin_folder(
    out: Path, request: Request, archive: Archive, device: torch.device, weights: dict[str, torch.Tensor] | None
) -> None:
    """What is known before the first step: the request, the split, the versions."""
    (out / STATE).mkdir(parents=True, exist_ok=True)
    if weights is not None:
        write_whole(dict(weights), out / STATE / WEIGHTS)
    write_request(msgspec.structs.replace(request, data_sha256=archive.sha256), out)
    sides = {r.name: {"event": r.event, "split": r.split, "fold": r.fold} for r in archive.records}
    (out / "split.json").write_text(json.dumps(sides, indent=0, sort_keys=True))
    versions = {name: version(name) for name in ("seisedge", "numpy", "h5py")}
    versions["torch"] = str(torch.__version__)  # with the build, "2.13.0+cu130"; the distribution says only "2.13.0"
    versions |= {"python": platform.python_version(), "device": str(device), "seed": str(request.seed)}
    (out / "versions.json").write_text(json.dumps(versions, indent=1, sort_keys=True))


def write_results(run: Run, table: Table, out: Path, logs: dict[str, list[Row]], say: Report) -> None:
    """Logs, metrics and checkpoint; then the state is no longer needed."""
    write_log(out / "log.csv", logs["training"])
    write_log(out / "log_calibration.csv", logs["calibration"])
    write_board(out / "tensorboard", logs, say)
    score = "accuracy" if run.model().task == "event_type" else "mean error"
    draw_curves(out / "loss.png", logs, f"{run.recipe.name}, seed {run.seed}", score, say)
    (out / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(table.rows), indent=1))
    heading = f"{run.recipe.name}: {run.n_records} training records, figures on events held out"
    (out / "metrics.md").write_text(markdown(table.rows, heading))
    save_run(run, out / "checkpoint.pt")
    shutil.rmtree(out / STATE)

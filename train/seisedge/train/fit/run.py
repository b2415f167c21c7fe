"""A training run: train, fit the temperature, evaluate, and write RUN with log, metrics, split and versions."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from seisedge.runtime.commands._overwrite import protect_folder
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import lock, write_atomically
from seisedge.runtime.paths import path_from_stored, stored_from_path, text_from_path
from seisedge.train.archive.archive import Archive, Record, load_archive
from seisedge.train.archive.mixture import require_contribution, with_sources
from seisedge.train.archive.provenance import Provenance, provenance_of, with_initial_weights
from seisedge.train.archive.sampler import Candidates
from seisedge.train.archive.spool import default_limit_bytes
from seisedge.train.archive.task import (
    RecordFilter,
    candidates_of,
    check_fits,
    notes_on_faint_records,
    notes_on_short_records,
    wanted_of,
    with_train_records,
)
from seisedge.train.augment import augmentations_from
from seisedge.train.augment.chain import check_augmentations
from seisedge.train.checkpoint import CheckpointFile, save_atomically
from seisedge.train.dataset.progress import Reporter
from seisedge.train.evaluation.card_metrics import metrics_of, write_metrics
from seisedge.train.evaluation.markdown import summary_of
from seisedge.train.evaluation.report import EvaluationReport, evaluate_archive, evaluate_detector
from seisedge.train.evaluation.subject import subject_of_training
from seisedge.train.evaluation.unseen import NothingToEvaluate
from seisedge.train.fit.board import draw_curves, write_board
from seisedge.train.fit.calibration import calibration_of
from seisedge.train.fit.distributed import World
from seisedge.train.fit.feed import mixer_of
from seisedge.train.fit.loop import Row, Settings, Trained, train_model, write_log
from seisedge.train.fit.model_weights import SUFFIX, provenance_of_model_file, recipe_for, weights_of_model_file
from seisedge.train.fit.objective import ONSET_SCORE
from seisedge.train.fit.progress import Progress
from seisedge.train.fit.request import FILE as REQUEST
from seisedge.train.fit.request import (
    STATE,
    WEIGHTS,
    Request,
    is_interrupted,
    is_started,
    read_request,
    weights_from,
    write_request,
)
from seisedge.train.fit.schedule import ScheduleDecisions
from seisedge.train.models import create_model
from seisedge.train.models._base import Model, OnsetModel
from seisedge.train.recipes.recipe import Recipe
from seisedge.train.run_file import Run, load_run, save_run

# What a finished run contains beside the files of `start_folder`; "evaluation" is the default of `seisedge evaluate`.
RESULTS = (
    "checkpoint.pt", "metrics.json", "metrics.md", "log.csv", "log_calibration.csv", "loss.png", "tensorboard",
    "evaluation",
)  # fmt: skip
SCORES = {"event_type": "accuracy", "magnitude": "mean error", "onset": ONSET_SCORE}


def evaluation_of(
    recipe: Recipe,
    trained: Trained,
    archive: Archive,
    provenance: Provenance | None,
    device: torch.device,
    draws: int,
    report: Reporter,
) -> EvaluationReport | None:
    """Figures on the held-out events; None if no record can be evaluated; `report` then receives the reason."""
    subject = subject_of_training(recipe, trained.model, trained.station_term, archive, provenance, device)
    try:
        if isinstance(trained.model, OnsetModel):
            return evaluate_detector(subject, archive, [], draws=draws)
        return evaluate_archive(subject, archive, [], device, draws=draws, curves=False)
    except NothingToEvaluate as error:
        report(f"not evaluated: {error}")
        return None


def run_training(  # noqa: PLR0913 - independent inputs, each used as it is
    recipe: Recipe,
    folders: list[Path],
    out: Path,
    seed: int,
    device: torch.device,
    *,
    limit: int | None = None,
    draws: int = 1000,
    report: Reporter = print,
    settings: Settings | None = None,
    weights: Path | None = None,
    checkpoint_s: float = 60.0,
    overwrite: bool = False,
) -> Run:
    """Train, fit the temperature on the calibration fold, evaluate on the held-out events, write RUN. Raises
    InputError.

    weights: a run or file with initial weights. checkpoint_s: seconds between states that `resume_training` can use.
    overwrite: replace a run in `out`, when the first step begins.
    """
    settings = settings or Settings()
    with locked_run(out, settings.world):
        if is_interrupted(out) and not overwrite:
            raise InputError(
                f"{out}: contains an interrupted training; resume it with seisedge train --resume {out}, give another "
                "folder with -o, or --overwrite to replace it"
            )
        if not is_started(out):
            protect_folder(out, overwrite, RESULTS)
        data, begun_with = [stored_from_path(f.resolve()) for f in folders], text_from_path(weights or "")
        if weights is not None and weights.suffix == SUFFIX:
            recipe = recipe_for(recipe, weights)
            report("batch norm is frozen: a model file contains it as a part of the convolutions")
        earlier = None if weights is None else provenance_in(weights)
        request = Request(recipe, data, seed, limit, begun_with, weights_provenance=earlier)
        return _train(request, out, device, settings, draws, report, checkpoint_s, weights)


def resume_training(
    out: Path,
    device: torch.device,
    *,
    draws: int = 1000,
    report: Reporter = print,
    settings: Settings | None = None,
    checkpoint_s: float = 60.0,
) -> Run:
    """Resume RUN from its last state; the result is that of an uninterrupted run. Raises InputError."""
    read_request(out)
    settings = settings or Settings()
    with locked_run(out, settings.world):
        request = read_request(out)  # of a training that may just have ended
        weights = out / STATE / WEIGHTS
        found = weights if weights.is_file() else None
        return _train(request, out, device, settings, draws, report, checkpoint_s, found)


@contextlib.contextmanager
def locked_run(out: Path, world: World) -> Iterator[None]:
    """Within the block no other training writes to `out`, which is created; removed again if none was started in it.

    Of several processes that train one model, the first one holds the lock. Raises InputError.
    """
    if not world.first:
        yield
        return
    if out.is_symlink() and not out.exists():
        raise InputError(f"{out}: is a link to a missing target; -o must be a folder")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; -o must be a folder for the run")
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            lock(descriptor)
        except BlockingIOError:
            raise InputError(
                f"{out}: another training writes to this folder; give another folder with -o, or wait until it ends"
            ) from None
        yield
    finally:
        os.close(descriptor)
        if not existed and not (out / REQUEST).is_file():  # it cannot be resumed
            shutil.rmtree(out, ignore_errors=True)


def memory_of_process(memory_gb: float | None, world: World) -> float | None:
    """The share of one process in the memory for the data; None if the memory of the machine is unknown."""
    limit_bytes = default_limit_bytes()
    total_gb = limit_bytes / 1e9 if memory_gb is None and limit_bytes is not None else memory_gb
    return None if total_gb is None else total_gb / world.size


def _train(
    request: Request,
    out: Path,
    device: torch.device,
    settings: Settings,
    draws: int,
    report: Reporter,
    checkpoint_s: float,
    weights: Path | None,
) -> Run:
    recipe, seed, world = request.recipe, request.seed, settings.world
    model = create_model(recipe.model, **recipe.arguments)
    check_fits(recipe, model)
    check_augmentations(augmentations_from(recipe.augmentation), model.task)
    if weights is not None:
        of_file = weights.suffix == SUFFIX
        initial = weights_of_model_file(weights, recipe) if of_file else weights_from(weights)
        settings = dataclasses.replace(settings, weights=initial)
    archive = load_archive(
        [path_from_stored(folder) for folder in request.data],
        model.geometry.rate_hz,
        recipe.data.pass_hz,
        limit=request.limit,
        split=recipe.data.split,
        show_progress=world.first,
        wanted=wanted_of(recipe, model),
        memory_gb=memory_of_process(settings.memory_gb, world),
    )
    if request.data_sha256 not in ("", archive.sha256):
        raise InputError(
            f"--resume {out}: the data have changed since the run was started; start a new run with another -o"
        )
    for reason, count in archive.left_out.items():
        report(f"{count} records left out: {reason}")
    notes, weighing = list(archive.notes), list[str]()
    if not isinstance(model, OnsetModel):
        recipe, weighing = with_sources(recipe, archive)
        notes += notes_on_faint_records(recipe, archive)
    for note in [*notes, *notes_on_short_records(archive, model.geometry), *weighing]:
        report(note)
    drawn_from = with_train_records(recipe, model, archive, seed)
    used = records_trained_on(recipe, model, drawn_from)
    if not isinstance(model, OnsetModel):
        require_contribution(recipe, archive, used)
    provenance = provenance_of(archive, used, [path_from_stored(folder) for folder in request.data], model.task)
    if request.weights:
        provenance = with_initial_weights(provenance, request.weights_provenance)
    real = real_records(archive, used)
    events = {archive.records[i].event for i in real}
    parameters = sum(p.numel() for p in model.parameters())
    made = f", and {len(used) - len(real)} synthetic records" if len(real) < len(used) else ""
    report(f"{recipe.name}: {recipe.model}, {parameters} parameters; {len(real)} records of {len(events)} events{made}")
    if world.first:
        start_folder(out, request, archive, device, settings)
    world.wait()

    def stage(
        name: str, chosen: RecordFilter, held_out: RecordFilter | None, decisions: ScheduleDecisions | None
    ) -> Trained:
        checkpoint = CheckpointFile(out / STATE / f"{name}.pt", checkpoint_s)
        return train_model(
            recipe, drawn_from, chosen, seed, device, Progress(name),
            held_out=held_out, decisions=decisions, checkpoint=checkpoint, settings=settings, report=report,
        )  # fmt: skip

    with removed_without_state(out) if world.first and not request.data_sha256 else contextlib.nullcontext():
        part = stage("calibration", lambda r: r.split == "train" and r.fold != 0, in_fold_0, None)
    calibration = calibration_of(recipe, part, drawn_from, in_fold_0, device, report)
    trained = stage("training", lambda r: r.split == "train", None, part.decisions)
    trained.model.load_state_dict(calibration, strict=False)
    evaluation = evaluation_of(recipe, trained, archive, provenance, device, draws, report)
    date = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run = Run(
        recipe=recipe,
        seed=seed,
        state={k: v.cpu() for k, v in trained.model.state_dict().items()},
        station_term=trained.station_term,
        data_sha256=archive.sha256,
        data_sources=sorted({archive.records[i].source for i in used}),
        n_events=len(events),
        n_records=len(real),
        split_rule=archive.split_rule,
        metrics=metrics_of(evaluation),
        date=date,
        seisedge_version=version("seisedge"),
        provenance=provenance,
    )
    if world.first and evaluation is not None:
        report("\n".join(summary_of(evaluation)))
    if world.first:
        logs = {"calibration": part.log, "training": trained.log}
        write_results(run, evaluation, out, logs, report)
    world.wait()
    return run


def provenance_in(weights: Path) -> Provenance | None:
    """Training data of the run `weights`; None if it is no run, or a run that does not state them."""
    if weights.suffix == SUFFIX:
        return provenance_of_model_file(weights)
    try:
        return load_run(weights).provenance
    except InputError:  # a file of tensors; if it is not that either, `weights_from` raises
        return None


def records_trained_on(recipe: Recipe, model: Model, archive: Archive) -> list[int]:
    """Indices of the training records that the recipe can draw. Raises InputError if there are too few."""
    if isinstance(model, OnsetModel):
        return mixer_of(recipe, model, archive, _in_training, 0).used
    return records_used(candidates_of(recipe, model, archive, _in_training))


def _in_training(record: Record) -> bool:
    return record.split == "train"


def records_used(chosen: Sequence[Candidates]) -> list[int]:
    """Indices of the records that are candidates for a label, each once."""
    return sorted({int(i) for c in chosen for i in c.indices})


def real_records(archive: Archive, used: list[int]) -> list[int]:
    """The indices of `used` without those of synthetic records; all if none is real."""
    return [i for i in used if not archive.records[i].synthetic] or used


def in_fold_0(record: Record) -> bool:
    """True for the calibration fold: held out of the first training, used for validation and for the temperature."""
    return record.split == "train" and record.fold == 0


def start_folder(out: Path, request: Request, archive: Archive, device: torch.device, settings: Settings) -> None:
    """Check the split, and write the files known before the first step: request, split, versions, initial weights."""
    if settings.check_split is not None:
        settings.check_split({r.name: r.split for r in archive.records})
    if not request.data_sha256:  # a new training, not one that is resumed
        remove_results(out)
    (out / STATE).mkdir(parents=True, exist_ok=True)
    if settings.weights is not None:
        save_atomically(dict(settings.weights), out / STATE / WEIGHTS)
    write_request(msgspec.structs.replace(request, data_sha256=archive.sha256), out)
    sides = {r.name: {"event": r.event, "split": r.split, "fold": r.fold} for r in archive.records}
    write_atomically(out / "split.json", json.dumps(sides, indent=0, sort_keys=True).encode())
    versions = {name: version(name) for name in ("seisedge", "numpy", "h5py")}
    # With the build, "2.13.0+cu130"; the package metadata have only "2.13.0"
    versions["torch"] = str(torch.__version__)
    versions |= {"python": platform.python_version(), "device": str(device), "seed": str(request.seed)}
    write_atomically(out / "versions.json", json.dumps(versions, indent=1, sort_keys=True).encode())


@contextlib.contextmanager
def removed_without_state(out: Path) -> Iterator[None]:
    """If the block fails before a state is saved, remove the files of `start_folder`: there is nothing to resume."""
    try:
        yield
    except BaseException:
        if not is_interrupted(out):
            remove_results(out)
            for name in (REQUEST, "split.json", "versions.json"):
                (out / name).unlink(missing_ok=True)
        raise


def remove_results(out: Path) -> None:
    """Remove the results and the state of an earlier training in `out`, with what was made from its checkpoint."""
    for path in [*(out / name for name in (*RESULTS, STATE)), *out.glob("*.onnx")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_results(
    run: Run, evaluation: EvaluationReport | None, out: Path, logs: dict[str, list[Row]], report: Reporter
) -> None:
    """Write logs, metrics and checkpoint, and remove the state for resuming."""
    write_log(out / "log.csv", logs["training"])
    write_log(out / "log_calibration.csv", logs["calibration"])
    write_board(out / "tensorboard", logs, report)
    score = SCORES[run.model().task]
    draw_curves(out / "loss.png", logs, f"{run.recipe.name}, seed {run.seed}", score, report)
    write_metrics(run.recipe.name, run.metrics, evaluation, out)
    save_run(run, out / "checkpoint.pt")
    shutil.rmtree(out / STATE)

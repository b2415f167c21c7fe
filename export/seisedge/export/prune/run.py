"""From a run to a narrower run: choose, rebuild, fine-tune, evaluate, compare with the parent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from seisedge.export.exported import export_run
from seisedge.export.gate import Floats, Parent, Rule, compare, require_resolution
from seisedge.export.gate_windows import HeldOut, gate_windows
from seisedge.export.prune.select import LARGEST_EFFECT, Choice, Target, block_effects, choose, importance_of
from seisedge.export.prune.surgery import Surgery, surgery_on
from seisedge.runtime.card import Comparison, ModelCard
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import folder_written_whole, write_atomically
from seisedge.runtime.paths import stored_from_path
from seisedge.train.archive.archive import Archive, Record, load_archive
from seisedge.train.archive.mixture import with_sources
from seisedge.train.archive.task import wanted_of
from seisedge.train.evaluation.card_metrics import metrics_of, write_metrics
from seisedge.train.evaluation.report import EvaluationReport
from seisedge.train.fit.loop import Row, Trained, train_model, write_log
from seisedge.train.fit.objective import Objective
from seisedge.train.fit.progress import Progress
from seisedge.train.fit.request import Request, write_request
from seisedge.train.fit.run import evaluation_of
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.models.ensemble import Ensemble
from seisedge.train.recipes.recipe import Recipe
from seisedge.train.run_file import Run, save_run

BATCH = 64  # windows, for importance and effects
IMPORTANCE_BATCHES = 8
EFFECT_BATCHES = 4
AVERAGE = 0.99  # of the weights; fine-tuning is short
GAPS = {"name": "gap", "share": 0.3, "length_s": [0.2, 3.0]}
CPU = torch.device("cpu")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class PruneSpec:
    """What to prune and how.

    ratio: share of the network's multiply-adds to remove, at least. steps: of fine-tuning; None: half of the recipe's.
    teachers: further runs on the same labels; fine-tuning learns from the mean probabilities of the run and of these.
    windows: held-out windows of the gate. allow_drop: prune also where the gate could not accept the result. draws: of
    the bootstrap of the run's figures.
    """

    ratio: float
    steps: int | None = None
    seed: int = 1
    teachers: tuple[Run, ...] = ()
    windows: int = 2_400
    largest_effect: float = LARGEST_EFFECT
    accept_points: float | None = None
    allow_drop: bool = False
    draws: int = 1_000

    @property
    def rule(self) -> Rule:
        """What the gate requires of the child."""
        return Rule(pruned=True, accept_points=self.accept_points)


@dataclass(frozen=True)
class Pruned:
    """The narrower run, the gate's comparison, and costs counted on the exported graphs, of parent and child."""

    run: Run
    comparison: Comparison
    network_macs: tuple[int, int]
    macs: tuple[int, int]  # with the front end
    flops: tuple[int, int]
    log: list[Row]
    report: EvaluationReport | None  # figures on the held-out events


def teacher_of(run: Run, others: Sequence[Run]) -> Model:
    """The run's model, or the mean of it and the others. Raises InputError if the others do not fit."""
    model = run.model()
    models = [other.model() for other in others]
    for other, one in zip(others, models, strict=True):
        if (one.task, one.labels, one.geometry, one.unit) != (model.task, model.labels, model.geometry, model.unit):
            raise InputError(
                f"--teacher: the run of recipe '{other.recipe.name}' of {other.date} has other labels, or another "
                f"window or unit, than the run that is pruned; give runs of the model '{run.recipe.model}'"
            )
    return Ensemble([model, *models]).eval() if models else model


@torch.no_grad()
def torch_answers(model: Model, windows: HeldOut) -> Floats:
    """Probabilities (windows, labels)."""
    out = [
        model.eval()(torch.from_numpy(windows.waveform[i : i + BATCH]), torch.from_numpy(windows.valid[i : i + BATCH]))
        for i in range(0, len(windows), BATCH)
    ]
    return np.asarray(torch.cat(out).double().numpy())


def load_training_data(run: Run, folders: list[Path], limit: int | None = None) -> Archive:
    """The data that the run was trained on. Raises InputError where they are other data."""
    model, data = run.model(), run.recipe.data
    archive = load_archive(
        folders, model.geometry.rate_hz, data.pass_hz, limit=limit, split=data.split,
        wanted=wanted_of(run.recipe, model),
    )  # fmt: skip
    if archive.sha256 != run.data_sha256:
        raise InputError(
            f"{', '.join(map(str, folders))}: not the data that the run was trained on, so fine-tuning could use "
            "events that the run held out; give the same folders with --data"
        )
    return archive


def prune_run(run: Run, archive: Archive, spec: PruneSpec, say: Say) -> Pruned:
    """Remove at least `spec.ratio` of the network's multiply-adds. Raises InputError.

    Raises FailedError before anything is trained where the held-out events are too few for the gate.
    """
    parent = export_run(run)
    held = gate_windows(parent.card, archive, spec.windows, station_term=run.station_term)
    if not spec.allow_drop:
        require_resolution(held, spec.rule)
    recipe, _ = with_sources(run.recipe, archive)
    choice, surgery = select(run, recipe, archive, spec, say)
    arguments = dict(run.recipe.arguments) | {"shape": choice.shape}
    child = create_model(recipe.model, **arguments)
    surgery.copy(child, choice.keep, choice.dropped)
    settings = Settings(
        weights=child.state_dict(), station_term=run.station_term, teacher=teacher_of(run, spec.teachers)
    )
    tuned = train_model(
        tuning_recipe(recipe, arguments, spec.steps), archive, in_training, spec.seed, CPU, Progress("fine-tuning"),
        settings=settings,
    )  # fmt: skip
    trained = Trained(tuned.model, run.station_term)
    report = evaluation_of(recipe, trained, archive, run.provenance, CPU, spec.draws, say)
    narrow = dataclasses.replace(
        run,
        recipe=msgspec.structs.replace(run.recipe, arguments=arguments),
        state=tuned.model.state_dict(),
        metrics=metrics_of(report),
        pruning=f"{1 - choice.macs_after / choice.macs_before:.0%} of the network's multiply-adds removed from the run "
        f"of {run.date}, {tuned.log[-1]['step']:.0f} steps of fine-tuning, seed {spec.seed}"
        + (f", taught by the mean of {1 + len(spec.teachers)} runs" if spec.teachers else ""),
    )
    before = Parent(parent.card, "", held, torch_answers(parent.model, held))
    comparison = compare(before, torch_answers(tuned.model, held), spec.rule)
    cards = (parent.card, export_run(narrow).card)
    return Pruned(
        narrow,
        comparison,
        (_network_macs(cards[0]), _network_macs(cards[1])),
        (cards[0].macs, cards[1].macs),
        (cards[0].flops, cards[1].flops),
        tuned.log,
        report,
    )


def _network_macs(card: ModelCard) -> int:
    return card.macs - (card.front_end_macs or 0)


def in_training(record: Record) -> bool:
    """Is the record on the training side?"""
    return record.split == "train"


def select(run: Run, recipe: Recipe, archive: Archive, spec: PruneSpec, say: Say) -> tuple[Choice, Surgery]:
    """Which blocks and channels stay, by training windows without augmentation; and the surgery on the run's model."""
    tuning = tuning_recipe(recipe, recipe.arguments, 1).optimisation
    optimisation = msgspec.structs.replace(tuning, batch=BATCH, consistency=0.0)  # the copies would be equal
    plain = msgspec.structs.replace(recipe, augmentation=[], optimisation=optimisation)
    stage = Stage(
        plain, archive, in_training, spec.seed, CPU, None, None, Settings(station_term=run.station_term), lambda _: None
    )
    stage.model.load_state_dict(run.state)
    model = stage.model.eval()
    surgery = surgery_on(model, recipe.model)
    x, valid = windows_for_effects(stage)
    effects = block_effects(model, surgery, x, valid)
    importance = importance_of(model, surgery.groups(), lambda: losses_on(stage))
    target = Target(recipe.model, dict(recipe.arguments), spec.ratio, spec.largest_effect)
    choice = choose(surgery, target, importance, effects, say)
    say(f"shape {json.dumps(choice.shape)}")
    return choice, surgery


def windows_for_effects(stage: Stage) -> tuple[Tensor, Tensor]:
    """Training windows (n, 3, n_samples), in the model's unit."""
    xs, valids = [], []
    objective = stage.objective
    assert isinstance(objective, Objective)
    for _ in range(EFFECT_BATCHES):
        x, valid, _, record, _ = stage.batch()
        xs.append(objective.in_unit(x, record).detach())
        valids.append(valid)
    return torch.cat(xs), torch.cat(valids)


def losses_on(stage: Stage) -> Iterator[Tensor]:
    """Mean label loss of one batch of training windows after another."""
    for _ in range(IMPORTANCE_BATCHES):
        yield stage.objective(*stage.batch())[0]


def tuning_recipe(recipe: Recipe, arguments: dict[str, object], steps: int | None) -> Recipe:
    """Fine-tuning by the training loop: half the rate and half the length, gaps and no other augmentation. A recipe
    with `consistency` keeps its own augmentations, without which both copies would be equal.

    Station terms stay as they are. steps: None: half of the recipe's limits.
    """
    o = recipe.optimisation
    optimisation = msgspec.structs.replace(
        o,
        steps=_half(o.steps) if steps is None else steps,
        epochs=_half(o.epochs) if steps is None else 0,
        rate=o.rate / 2,
        schedule="cosine",
        patience=0,
        label_smoothing=0.0,
        balance="equal",
        transfer="full",
        average=AVERAGE,
        magnitude_shift=0.0,
        station_rate=0.0,
    )
    augmentation = recipe.augmentation if o.consistency else [GAPS]
    return msgspec.structs.replace(recipe, arguments=arguments, augmentation=augmentation, optimisation=optimisation)


def _half(limit: int) -> int:
    """Half of a limit; 0, which is none, stays 0, and 1 stays 1."""
    return (limit + 1) // 2


def write_pruned(pruned: Pruned, parent: Path, folders: Sequence[Path], out: Path) -> None:
    """The child as an ordinary run folder; its split is the parent's. folders: the data it was fine-tuned on."""
    run = pruned.run
    with folder_written_whole(out) as part:
        for name in ("split.json", "versions.json"):
            source = parent / name
            if source.is_file():
                write_atomically(part / name, source.read_bytes())
        data = [stored_from_path(folder.resolve()) for folder in folders]
        write_request(Request(run.recipe, data, run.seed, data_sha256=run.data_sha256), part)
        write_log(part / "log.csv", pruned.log)
        write_metrics(run.recipe.name, run.metrics, pruned.report, part)
        write_atomically(part / "gate.json", msgspec.json.format(msgspec.json.encode(pruned.comparison), indent=1))
        save_run(run, part / "checkpoint.pt")

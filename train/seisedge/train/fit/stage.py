"""The objects of a running training, and their state for a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.text import shortened
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.task import RecordFilter
from seisedge.train.dataset.progress import Reporter
from seisedge.train.fit.distributed import (
    SINGLE_PROCESS,
    World,
    distributed_objective,
    share_dropout,
    synchronise_batch_norm,
)
from seisedge.train.fit.feed import Batch, Place, feed_of
from seisedge.train.fit.optimisers import optimiser_from
from seisedge.train.fit.precision import autocast, keep_float32, wants_bf16
from seisedge.train.fit.schedule import Schedule, ScheduleDecisions
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """How to run a training. precision, compiled, the memories and world change the result only by rounding.

    precision: one of `precision.PRECISIONS`. compiled: use torch.compile. device_memory_gb: memory for the data; None:
    half of the free memory. memory_gb: of this machine for the data of all processes, see `load_archive`. weights:
    initial weights. station_term: initial station terms (log10) by station. teacher: a model whose probabilities are
    learned in addition to the labels; its temperature is taken over. check_split: called before anything is written,
    with the side of each record ('train' or 'test') by its name; an exception that it raises ends the run.
    """

    precision: str = "auto"
    compiled: bool = False
    device_memory_gb: float | None = None
    memory_gb: float | None = None
    world: World = SINGLE_PROCESS
    weights: Weights | None = None
    station_term: Mapping[str, float] = field(default_factory=dict)
    teacher: Model | None = None
    check_split: Callable[[Mapping[str, str]], None] | None = None


NAMED = 64  # records in a message


@dataclass(frozen=True)
class LastStep:
    """The last step of a training, not yet known to be finite. values: (2,), loss and norm of the gradient.

    record: (batch,), indices.
    """

    step: int
    values: Tensor
    record: Tensor


class Stage:
    """A training on the records for which `chosen` is true. held_out: records on which the loss is measured meanwhile.

    decisions: rates and stop of an earlier training, which this one repeats. Raises InputError.
    """

    def __init__(  # noqa: PLR0913 - independent inputs, each used as it is
        self,
        recipe: Recipe,
        archive: Archive,
        chosen: RecordFilter,
        seed: int,
        device: torch.device,
        held_out: RecordFilter | None,
        decisions: ScheduleDecisions | None,
        settings: Settings,
        report: Reporter,
    ) -> None:
        torch.manual_seed(seed)
        o = recipe.optimisation
        self.archive = archive
        self.recipe, self.device, self.settings, self.world = recipe, device, settings, settings.world
        self.rows = self.world.rows(o.batch)
        model = create_model(recipe.model, **recipe.arguments)
        notes = load_weights(model, settings.weights, o.transfer)
        if settings.teacher is not None:
            model.temperature.copy_(settings.teacher.temperature)
        share_dropout(model, self.world)
        model.to(device)
        self.model = model
        self.average = copy.deepcopy(model).eval()
        set_modes(model, recipe)

        place = Place(device, settings.device_memory_gb, self.world, self.rows)
        self.feed = feed_of(recipe, model, archive, chosen, seed, place)
        self.stations = self.feed.stations
        notes += self.feed.notes
        self.objective = self.feed.objective(settings.teacher).to(device)
        self.objective.set_terms(settings.station_term)
        self.bf16 = wants_bf16(settings.precision, device)
        if self.bf16:
            keep_float32(model, device)
        synchronise_batch_norm(model, self.world, device)
        self.shared = distributed_objective(self.objective, self.world, device)
        self.call: nn.Module = torch.compile(self.shared) if settings.compiled else self.shared  # type: ignore[assignment]  # compile returns a callable with the same signature
        self.optimiser = optimiser_from(o.optimiser, self._groups(), o.rate, o.weight_decay)
        self.base_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.schedule = Schedule(o, max(-(-self.feed.n_records // o.batch), 1), decisions)
        self.validation = None if held_out is None else self.feed.validation(held_out)
        if self.schedule.needs_validation and self.validation is None:
            raise InputError(
                f"recipe '{recipe.name}' stops or lowers its rate by the loss on held-out records, but no record is "
                f"held "
                "out; set optimisation.patience = 0 and a schedule other than plateau"
            )
        self.step, self.log = 0, list[dict[str, float]]()
        self.sums = torch.zeros(2, device=device)  # of loss and score since the last row of the log
        self.since, self.seconds = 0, 0.0
        self.last: LastStep | None = None
        if self.world.first:
            for note in notes:
                report(note)

    def _groups(self) -> list[dict[str, Any]]:
        o = self.recipe.optimisation
        free = [p for p in self.model.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in free if p.ndim > 1], "weight_decay": o.weight_decay},
            {"params": [p for p in free if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if self.objective.terms is not None:
            groups.append({"params": [self.objective.terms], "weight_decay": 0.0, "lr": o.station_rate})
        return [group for group in groups if group["params"]]

    def batch(self) -> Batch:
        """The rows of the next batch that this process computes, as arguments of the objective."""
        return self.feed.batch()

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and score of a batch."""
        with autocast(self.bf16, self.device):
            loss, score = self.call(*batch)
        return loss, score

    def require_finite(self) -> None:
        """Raises FailedError, which names the records of the batch, if the last step was not finite.

        Such a step makes all weights NaN, so this is called before weights are logged, stored or returned.
        """
        last, self.last = self.last, None
        if last is None or bool(torch.isfinite(last.values).all()):
            return
        loss, norm = last.values.tolist()
        records = [self.archive.records[int(i)] for i in dict.fromkeys(last.record.tolist())]
        known = [f"{r.name} ({'no gain' if r.gain is None else f'gain {r.gain:g}'})" for r in records]
        rest = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
        raise FailedError(
            f"step {last.step}: the loss is {loss:g} and its gradient {norm:g}, so the training was stopped and no "
            f"weights were written; lower optimisation.rate, or check the samples, gains and magnitudes of the records "
            f"of this batch: {', '.join(map(shortened, known[:NAMED]))}{rest}"
        )

    def terms(self) -> dict[str, float]:
        """Station terms (log10) of the stations in the training records."""
        if self.objective.terms is None:
            return {}
        values = self.objective.terms.detach().cpu()
        return {s: float(values[i]) for i, s in enumerate(self.objective.stations) if s in self.stations}

    def state(self) -> dict[str, Any]:
        """The complete state at this step; a training restored from it continues as if it had not been interrupted.

        Raises FailedError if the last step was not finite.
        """
        self.require_finite()
        values = {
            "step": self.step,
            "objective": self.objective.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state(),
            "torch": torch.get_rng_state(),
            "log": self.log,
            "sums": self.sums.clone(),
            "since": self.since,
            "seconds": self.seconds,
            **self.feed.state(),
        }
        if self.device.type == "cuda":
            values["cuda"] = torch.cuda.get_rng_state(self.device)
        return values

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.objective.load_state_dict(state["objective"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.restore(state["schedule"])
        self.feed.restore(state)
        torch.set_rng_state(state["torch"])
        if "cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)
        self.step, self.log = state["step"], list(state["log"])
        self.sums.copy_(state["sums"])
        self.since, self.seconds = state["since"], state["seconds"]


def set_modes(model: Model, recipe: Recipe) -> None:
    """Set the model to training mode and freeze the parts that the recipe freezes."""
    model.train()
    o = recipe.optimisation
    if o.transfer in ("last-layer", "late-layers"):
        model.eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        trained = [model.last_layer()] if o.transfer == "last-layer" else model.late_layers()
        for parameter in (p for layer in trained for p in layer.parameters()):
            parameter.requires_grad_(True)
    elif o.batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def load_weights(model: Model, weights: Weights | None, transfer: str) -> list[str]:
    """Copy weights of another run into a new model, in place. Returns messages for the user. Raises InputError.

    Tensors whose shape differs (for example another number of labels) keep their initial values; the temperature is
    never copied.
    """
    if weights is None:
        if transfer in ("last-layer", "late-layers"):
            raise InputError(
                f"transfer '{transfer}' needs initial weights; give --from event-type, --from RUN or --weights FILE"
            )
        return []
    if transfer == "scratch":
        raise InputError(
            "transfer 'scratch' uses no initial weights, but --from or --weights was given; remove one of the two"
        )
    own = model.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape and k != "temperature"}
    if not any(own[k].dtype.is_floating_point and own[k].ndim > 1 for k in fits):
        raise InputError(
            "--from: no tensor matches this recipe's model by name and shape; both must have the same architecture"
        )
    model.load_state_dict(own | fits)
    anew = [k for k in own if k not in fits and k != "temperature"]
    return [f"{len(fits)} initial tensors loaded" + (f"; not loaded: {', '.join(anew)}" if anew else "")]

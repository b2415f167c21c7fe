"""Where a training gets its batches from, by task: windows of records, or streams mixed from them."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter, show_marks
from seisedge.train.archive.noise_pool import NoisePool
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.streams import StreamMixer
from seisedge.train.archive.task import RecordFilter, candidates_of, notes_on_horizontals, sampler_of
from seisedge.train.augment import Chain, Chance, augmentations_from
from seisedge.train.evaluation.detector import noise_onsets
from seisedge.train.fit.distributed import World
from seisedge.train.fit.objective import BatchObjective, Objective, OnsetObjective, RecordFacts
from seisedge.train.fit.validation import StreamValidation, Validation, WindowValidation
from seisedge.train.models._base import Model, OnsetModel, PictureModel
from seisedge.train.recipes.recipe import Recipe

Batch = tuple[Tensor, ...]


class Feed(Protocol):
    """Batches of one training, and what measures them.

    notes: messages for the user. stations, n_records: of the training records.
    """

    notes: list[str]
    stations: set[str]
    n_records: int

    def objective(self, teacher: Model | None) -> BatchObjective:
        """The loss; its arguments are those of a batch."""

    def validation(self, held_out: RecordFilter) -> Validation | None:
        """The loss on held-out records; None if there are none."""

    def batch(self) -> Batch:
        """The rows of the next batch that this process computes."""

    def records_of(self, batch: Batch) -> Tensor:
        """Indices of the records in the newest batch, for messages."""

    def after_step(self, step: int, steps: int, average: nn.Module) -> None:
        """Called after each of the `steps` of the training, with the averaged model."""

    def state(self) -> dict[str, Any]:
        """The state of the random numbers."""

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a training runs: the device, the memory for data on it, and this process among all."""

    device: torch.device
    memory_gb: float | None
    world: World
    rows: slice


class WindowFeed:
    """Windows of records with an onset or of noise, with augmentations."""

    def __init__(
        self, recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter, seed: int, place: Place
    ) -> None:
        if recipe.optimisation.consistency and isinstance(model, PictureModel):
            raise InputError(
                f"optimisation.consistency needs a model with waveforms as input; model '{recipe.model}' uses "
                "pictures; remove the key"
            )
        self.recipe, self.model, self.archive, self.rows, self.device = recipe, model, archive, place.rows, place.device
        candidates = candidates_of(recipe, model, archive, chosen)
        used = {int(i) for c in candidates for i in c.indices}
        self.is_event = torch.tensor([not c.noise for c in candidates], device=place.device)  # by label
        self.stations, self.n_records = {archive.records[i].station for i in used}, len(used)
        self.counts = [float(len(c.indices)) for c in candidates]
        drawn = self.counts if recipe.optimisation.balance == "records" else [1.0] * len(self.counts)
        self.sampler = sampler_of(recipe, model, archive, chosen, seed, drawn)
        budget = place.memory_gb
        self.cutter = WindowCutter(
            archive, model.geometry, place.device, None if budget is None else round(budget * 1e9)
        )
        self.notes = [*self.cutter.notes, *notes_on_horizontals(self.sampler)]
        pool = NoisePool(archive, chosen, self.cutter)
        g, source = model.geometry, pool if len(pool) else None
        lead = round(g.onset_s * g.rate_hz)
        self.chance = Chance(seed, place.device, g.rate_hz, lead, source, place.world.rank, place.world.size)
        self.chain = Chain(augmentations_from(recipe.augmentation), model.task, self.chance)
        if source is None and any(a.name in ("noise", "mixed-noise") for a in self.chain.waveforms):
            self.notes.append(
                "no record contains noise as long as the window: the augmentations 'noise' and 'mixed-noise' have no "
                "effect"
            )
        if isinstance(model, PictureModel):
            model.distort = self.chain.picture
        elif self.chain.pictures:
            name = self.chain.pictures[0].name
            raise InputError(
                f"augmentation '{name}' needs a model with a picture as input; model '{recipe.model}' uses waveforms"
            )

    def objective(self, teacher: Model | None) -> Objective:
        """The loss of labels or magnitudes."""
        return Objective(self.recipe, self.model, RecordFacts(self.archive), torch.tensor(self.counts), teacher)

    def validation(self, held_out: RecordFilter) -> Validation | None:
        """Fixed windows of the held-out records."""
        found = WindowValidation(self.recipe, self.model, self.archive, held_out, self.cutter)
        return found if len(found) else None

    def batch(self) -> Batch:
        """x, valid, label, record and magnitude shift, as arguments of `Objective.forward`. With `consistency` twice
        the windows: all first copies, then all second ones.
        """
        draw = self.sampler.draw(self.recipe.optimisation.batch)
        draw = Draw(**{f.name: getattr(draw, f.name)[self.rows] for f in dataclasses.fields(draw)})
        label, record = (torch.from_numpy(v).to(self.device) for v in (draw.label, draw.record))
        self.chance.event = self.is_event[label]
        cut, o = self.cutter.cut(draw), self.recipe.optimisation
        copies = [self.chain.waveform(*cut) for _ in range(o.copies)]
        x, valid = (torch.cat(column) for column in zip(*copies, strict=True))
        show_marks(self.model, self.cutter, draw)
        shift = self.chance.uniform(len(label), low=-o.magnitude_shift, high=o.magnitude_shift)
        return x, valid, *(column.repeat(len(copies)) for column in (label, record, shift))

    def records_of(self, batch: Batch) -> Tensor:
        """One for each row."""
        return batch[3]

    def after_step(self, step: int, steps: int, average: nn.Module) -> None:
        """Nothing."""

    def state(self) -> dict[str, Any]:
        """Of the sampler and the augmentations."""
        return {"sampler": self.sampler.rng.bit_generator.state, "chance": self.chance.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.sampler.rng.bit_generator.state = state["sampler"]
        self.chance.restore(state["chance"])


class StreamFeed:
    """Streams mixed from records. A batch of a recipe counts streams."""

    def __init__(
        self, recipe: Recipe, model: OnsetModel, archive: Archive, chosen: RecordFilter, seed: int, place: Place
    ) -> None:
        if recipe.optimisation.consistency:
            raise InputError("optimisation.consistency: an onset detector is trained on streams; remove the key")
        self.recipe, self.model, self.archive, self.chosen = recipe, model, archive, chosen
        self.rows, self.device, self.notes = place.rows, place.device, list[str]()
        self.mixer = mixer_of(recipe, model, archive, chosen, seed)
        used = self.mixer.used
        self.stations, self.n_records = {archive.records[i].station for i in used}, len(used)

    def objective(self, teacher: Model | None) -> OnsetObjective:
        """The loss of arrivals and classes. Raises InputError for a teacher."""
        if teacher is not None:
            raise InputError("an onset detector is not trained with a teacher")
        return OnsetObjective(self.recipe, self.model)

    def validation(self, held_out: RecordFilter) -> Validation | None:
        """Fixed streams mixed from the held-out records; None if they contain no noise or no events."""
        try:
            mixer = mixer_of(self.recipe, self.model, self.archive, held_out, 0)
        except InputError:
            return None
        return StreamValidation(mixer, self.model, self.device)

    def batch(self) -> Batch:
        """x, valid and the truth, as arguments of `OnsetObjective.forward`."""
        return tuple(v[self.rows].to(self.device) for v in self.mixer.batch(self.recipe.optimisation.batch))

    def records_of(self, batch: Batch) -> Tensor:
        """All that the streams of the batch were mixed from."""
        return torch.tensor(sorted(self.mixer.drawn))

    def after_step(self, step: int, steps: int, average: nn.Module) -> None:
        """After the shares `hard_at` of the training: search the noise for onsets, the hard negatives."""
        if step in [round(share * steps) for share in self.recipe.detector.hard_at] and isinstance(average, OnsetModel):
            self.mixer.hard = noise_onsets(average, self.archive, self.chosen)

    def state(self) -> dict[str, Any]:
        """Of the mixer."""
        return {"mixer": self.mixer.rng.bit_generator.state, "hard": torch.tensor(self.mixer.hard).reshape(-1, 2)}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.mixer.rng.bit_generator.state = state["mixer"]
        self.mixer.hard = [(int(i), int(hop)) for i, hop in state["hard"].tolist()]


def mixer_of(recipe: Recipe, model: OnsetModel, archive: Archive, chosen: RecordFilter, seed: int) -> StreamMixer:
    """The mixer of a recipe for a model. Raises InputError."""
    if recipe.streams is None:
        raise InputError(f"recipe '{recipe.name}': an onset detector needs the table [streams]")
    return StreamMixer(archive, chosen, recipe.streams, context_hops_of(model), model.delay_hops, seed)


def context_hops_of(model: OnsetModel) -> int:
    """Hops before a block in the input of the model."""
    return model.geometry.n_samples // model.hop_n - model.block_hops


def feed_of(recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter, seed: int, place: Place) -> Feed:
    """The feed of a model's task. Raises InputError."""
    if isinstance(model, OnsetModel):
        return StreamFeed(recipe, model, archive, chosen, seed, place)
    return WindowFeed(recipe, model, archive, chosen, seed, place)

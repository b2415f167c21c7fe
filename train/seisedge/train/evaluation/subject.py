"""The subject of an evaluation: a training run, or a model file for a station."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisedge.runtime.card import OnsetScale, Training
from seisedge.runtime.engines import open_engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import model_path
from seisedge.runtime.paths import text_from_path
from seisedge.train.archive.archive import Archive, Wanted
from seisedge.train.archive.provenance import Provenance
from seisedge.train.archive.task import selection_of
from seisedge.train.dataset.event_hashes import event_hash, hashes_from_text, key_of_id
from seisedge.train.models._base import Geometry, MagnitudeModel, Model, OnsetModel
from seisedge.train.recipes.recipe import Recipe, load_recipe, recipe_names
from seisedge.train.run_file import load_run

Floats = npt.NDArray[np.float64]


EVERYTHING = Wanted()


class Network(Protocol):
    """waveform and valid, float32 (batch, 3, n), in the unit of the model → probabilities (batch, n_labels)."""

    def __call__(self, waveform: Tensor, valid: Tensor) -> Floats: ...


@dataclass(frozen=True)
class Subject:
    """A model with everything needed for its evaluation.

    answers_s: seconds after the onset at which it is trained to answer. edges: bin edges of a magnitude model.
    station_term: log10 of gain / nominal gain of stations with unknown gain; empty for a model file.
    data_sha256: of the training data. split: name of the split rule; split_rule: the rule in words.
    sides: event → 'train' or 'test', as stored in a run; None for a model file.
    event_hashes: of the training events (see `dataset.event_hashes`); None if not stated.
    n_unnamed_records: training records without an event id, which event_hashes cannot contain.
    model: the torch model; None for a model file. scale: of an onset detector. min_coverage: see the card.
    selection: which records the recipe reads; for a model file, all of them but the sources that its recipe leaves out,
        since they may share samples with training data. A card without these: by the bundled recipe that it names.
    """

    name: str
    path: str
    sha256: str
    task: Literal["event_type", "magnitude", "onset"]
    labels: list[str]
    edges: list[float | None]
    geometry: Geometry
    pass_hz: float
    answers_s: list[float]
    network: Network
    station_term: dict[str, float]
    data_sha256: str
    split: str
    split_rule: str
    sides: dict[str, str] | None
    event_hashes: frozenset[bytes] | None = None
    n_unnamed_records: int = 0
    model: Model | None = None
    scale: OnsetScale | None = None
    min_coverage: float = 0.0
    selection: Wanted = EVERYTHING


def subject_from(name: str, device: torch.device) -> Subject:
    """The subject for a RUN (folder or checkpoint.pt), a model file, or the name of a bundled model. Raises
    InputError.
    """
    path = Path(name)
    if path.is_dir() or path.suffix == ".pt":
        return _of_run(path, device)
    return _of_file(model_path(name), name)


def _of_run(path: Path, device: torch.device) -> Subject:
    run = load_run(path)
    model = run.model().to(device)
    file = path / "checkpoint.pt" if path.is_dir() else path
    sides, stated = _sides(file.parent / "split.json"), run.provenance
    if stated is not None:
        hashes = hashes_from_text(stated.event_hashes, str(path))
    else:  # an older run: all events of its training side
        hashes = frozenset(event_hash(key_of_id(event)) for event, side in sides.items() if side == "train")

    subject = subject_of_model(run.recipe, model, run.station_term, device)
    return dataclasses.replace(
        subject,
        path=text_from_path(path),
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        data_sha256=run.data_sha256,
        split_rule=run.split_rule,
        sides=sides,
        event_hashes=hashes,
        n_unnamed_records=stated.n_unnamed_records if stated is not None else 0,
    )


def subject_of_training(
    recipe: Recipe,
    model: Model,
    station_term: dict[str, float],
    archive: Archive,
    provenance: Provenance | None,
    device: torch.device,
) -> Subject:
    """The subject for a model that was just trained on the archive and is not written yet."""
    subject = subject_of_model(recipe, model, station_term, device)
    return dataclasses.replace(
        subject,
        data_sha256=archive.sha256,
        split_rule=archive.split_rule,
        sides={r.event: r.split for r in archive.records},
        event_hashes=None if provenance is None else hashes_from_text(provenance.event_hashes, recipe.name),
        n_unnamed_records=0 if provenance is None else provenance.n_unnamed_records,
    )


def subject_of_model(recipe: Recipe, model: Model, station_term: dict[str, float], device: torch.device) -> Subject:
    """The subject for a torch model, without information on its training data."""

    @torch.no_grad()
    def network(waveform: Tensor, valid: Tensor) -> Floats:
        return np.asarray(model.eval()(waveform.to(device), valid.to(device)).double().cpu().numpy())

    return Subject(
        name=recipe.name,
        path=recipe.name,
        sha256="",
        task=model.task,
        labels=model.labels,
        edges=model.edges if isinstance(model, MagnitudeModel) else [],
        geometry=model.geometry,
        pass_hz=recipe.data.pass_hz,
        answers_s=list(recipe.nuisance.answers_s),
        network=network,
        station_term=station_term,
        data_sha256="",
        split=recipe.data.split,
        split_rule="",
        sides=None,
        model=model,
        scale=scale_of(model, recipe.detector.gate_ratio) if isinstance(model, OnsetModel) else None,
        min_coverage=recipe.min_coverage,
        selection=selection_of(recipe),
    )


def scale_of(model: OnsetModel, gate_ratio: float) -> OnsetScale:
    """How a station uses a detector that is not exported yet."""
    hop_s = model.hop_n / model.geometry.rate_hz
    p_threshold, s_threshold = model.thresholds.tolist()
    return OnsetScale(
        hop_s=hop_s,
        delay_s=model.delay_hops * hop_s,
        p_threshold=p_threshold,
        s_threshold=s_threshold,
        gate_ratio=gate_ratio,
        tolerance_s=hop_s,
    )


def _sides(path: Path) -> dict[str, str]:
    """Read split.json of a run: event → side. Raises InputError."""
    try:
        if not path.is_file():  # also a FIFO, which might never end
            raise FileNotFoundError(path)
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {str(row["event"]): str(row["split"]) for row in rows.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}); it states the training events of the run, and "
            "without it nothing can be held out; restore it next to checkpoint.pt"
        ) from None


def _of_file(path: Path, given: str) -> Subject:
    engine = open_engine(path)
    card = engine.card
    named = card.training.event_hashes

    def network(waveform: Tensor, valid: Tensor) -> Floats:
        return engine.infer(waveform.cpu().numpy(), valid.cpu().numpy())[0].astype(np.float64)

    return Subject(
        name=card.name,
        path=text_from_path(given),
        sha256=engine.sha256,
        task=card.task,
        labels=card.labels,
        edges=card.magnitude.edges if card.magnitude is not None else [],
        geometry=Geometry(card.n_samples, card.sampling_rate_hz, card.onset_s),
        pass_hz=card.band_hz[1],
        answers_s=card.answers_s,
        network=network,
        station_term={},
        data_sha256=card.training.data_sha256,
        split="",
        split_rule=card.training.split,
        sides=None,
        event_hashes=None if named is None else hashes_from_text(named, given),
        n_unnamed_records=card.training.n_unnamed_records,
        scale=card.onset,
        min_coverage=card.min_coverage,
        selection=Wanted(leave_out=_left_out_of(card.training)),
    )


def _left_out_of(training: Training) -> list[str]:
    if training.left_out is not None:
        return training.left_out
    return load_recipe(training.recipe).data.leave_out if training.recipe in recipe_names() else []

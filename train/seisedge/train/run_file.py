"""RUN/checkpoint.pt: what a training run leaves, in one file that explains itself."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from seisedge.runtime.card import Metric
from seisedge.runtime.errors import InputError
from seisedge.train.archive.provenance import Provenance
from seisedge.train.checkpoint import save_atomically
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe, json_from_recipe, recipe_from_json

FORMAT = 3  # before it the front end was another; weights learned behind that one are of no use here


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
    provenance: Provenance | None = None  # None: written by a seisedge that did not store it

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
    values["provenance"] = msgspec.json.encode(run.provenance).decode()
    save_atomically({"format": FORMAT, **values}, path)


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
        values["provenance"] = msgspec.json.decode(values.get("provenance", "null"), type=Provenance | None)
        return Run(**values)
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise InputError(f"{file}: not a checkpoint of seisedge") from error

"""RUN/checkpoint.pt: the result of a training run in one self-contained file."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from seisedge.runtime.card import Metric
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.text import quoted, reason_of, shortened
from seisedge.train.archive.provenance import Provenance
from seisedge.train.checkpoint import save_atomically, tensors_from
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe, json_from_recipe, recipe_from_json

FORMAT = 3  # earlier formats used another front end, whose weights do not fit the present one


@dataclass(frozen=True)
class Run:
    """Contents of a checkpoint."""

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
    pruning: str = ""  # what was removed, if the run was written by `seisedge prune`
    provenance: Provenance | None = None  # None: the version of seisedge that wrote it did not store it

    def model(self) -> Model:
        """The trained model, in evaluation mode."""
        model = create_model(self.recipe.model, **self.recipe.arguments)
        model.load_state_dict(self.state)
        return model.eval()


def save_run(run: Run, path: Path) -> None:
    """Write a checkpoint. It contains only tensors, text and numbers, so loading it executes no code.

    Raises FailedError for weights that are not finite.
    """
    if fault := not_finite(run):
        raise FailedError(f"{path}: not written: {fault}; train again with a lower optimisation.rate")
    values: dict[str, Any] = {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
    values["recipe"] = json_from_recipe(run.recipe)
    values["metrics"] = msgspec.json.encode(run.metrics).decode()
    values["provenance"] = msgspec.json.encode(run.provenance).decode()
    save_atomically({"format": FORMAT, **values}, path)


def not_finite(run: Run) -> str:
    """Which weights or station terms of a run are not finite, as a clause; '' if all are."""
    bad = [name for name, value in run.state.items() if not bool(torch.isfinite(value).all())]
    bad += [f"station term of {station}" for station, term in run.station_term.items() if not math.isfinite(term)]
    return f"{len(bad)} tensors are not finite, the first is {shortened(bad[0])}" if bad else ""


def load_run(path: Path) -> Run:
    """Read RUN or RUN/checkpoint.pt. Raises InputError, also for weights that are not finite."""
    file = path / "checkpoint.pt" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: checkpoint.pt is missing; RUN must be a folder that 'seisedge train' has written")
    values = tensors_from(file, "a checkpoint of seisedge")
    try:
        written = values.pop("format")
        if written != FORMAT:
            raise InputError(
                f"{file}: format {quoted(written)}, written by a version of seisedge with another front end; this "
                f"version needs format {FORMAT}; train again"
            )
        values["recipe"] = recipe_from_json(values["recipe"])
        values["metrics"] = msgspec.json.decode(values["metrics"], type=list[Metric])
        values["provenance"] = msgspec.json.decode(values.get("provenance", "null"), type=Provenance | None)
        run = msgspec.convert(values, Run, strict=True)
        run.model()
    except InputError as error:
        raise InputError(f"{file}: not a checkpoint of seisedge: {error}") from error
    except KeyError as error:
        raise InputError(f"{file}: not a checkpoint of seisedge: {error} is missing") from error
    except (RuntimeError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{file}: not a checkpoint of seisedge: {reason_of(error)}") from error
    if fault := not_finite(run):
        raise InputError(f"{file}: {fault}; this model gives no answer; train again")
    return run

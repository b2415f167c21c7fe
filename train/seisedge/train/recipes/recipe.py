"""Recipes: a TOML file states a training run whole; unknown keys are refused."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.suggestion import suggestion
from seisedge.train.augment import augmentations_from
from seisedge.train.dataset.holdout import check_rule


class DataSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records. `sources`: subset → weight within its class; a source not named is not used.

    distance_only: earthquakes that teach a magnitude model distance; no magnitude is needed.
    tectonic, non_tectonic, noise: keys of `non_tectonic` are 'blast/SOURCE' or 'mass movement/SOURCE'; a source '*'
        stands for all that are not named.
    split: a rule of `holdout`; '' keeps the data's own column, else by event.
    synthetic: train also on records marked `trace_synthetic`; they are never held out.
    """

    pass_hz: float
    tectonic: dict[str, float]
    non_tectonic: dict[str, float] = {}
    noise: dict[str, float] = {}
    distance_only: dict[str, float] = {}
    visible_only: bool = True
    split: str = ""
    synthetic: bool = False


class Nuisances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As `sampler.NuisanceSpec`."""

    answers_s: list[float]
    jitter_s: float = 2.0
    continuous_share: float = 0.3
    event_inside_s: float = 2.5
    vertical_share: float = 0.5
    subset_share: float = 0.15


Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it learns. At least one of `steps` and `epochs`; the nearer limit holds. The weights kept are an exponential
    moving average.

    schedule: of the rate: 'cosine' after a warm-up, 'step' (times rate_factor every rate_epochs), 'plateau' (the same,
        after so many epochs without gain on records left out), or 'constant'.
    patience: epochs without gain after which it stops; 0: never.
    loss: 'cross-entropy', 'weighted' (rare labels more), 'focal' (focal_gamma), or 'ordinal' (bins of a magnitude).
    label_smoothing: of all but the ordinal one.
    balance: how often each kind of event is drawn: 'equal', or 'records', as often as the data have it.
    batch_norm: 'frozen' takes the statistics it has, as several processes on CPUs must.
    transfer: what is trained of weights from elsewhere: 'full', or 'last-layer'; 'scratch' takes none.
    magnitude_shift: amplitude and label of a record move together by up to it.
    distance_weight: of the distance beside the magnitude.
    station_weight, station_rate: strength of the pull of station terms to zero, and their learning rate.
    """

    steps: Natural = 0
    epochs: Natural = 0
    batch: Positive = 64
    optimiser: Literal["adam", "adamw", "ranger"] = "adamw"
    rate: Annotated[float, msgspec.Meta(gt=0)] = 2e-3
    weight_decay: float = 0.02
    schedule: Literal["cosine", "step", "plateau", "constant"] = "cosine"
    rate_factor: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    rate_epochs: Positive = 10
    patience: Natural = 0
    loss: Literal["cross-entropy", "weighted", "focal", "ordinal"] = "cross-entropy"
    focal_gamma: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    balance: Literal["equal", "records"] = "equal"
    batch_norm: Literal["live", "frozen"] = "live"
    transfer: Literal["full", "last-layer", "scratch"] = "full"
    average: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.998
    magnitude_shift: float = 0.0
    distance_weight: float = 1.0
    station_weight: float = 0.002
    station_rate: float = 5e-2


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run. `not_for` and `licence` end up in the card.

    not_for: limits that hold whatever the data are; those of a data set are in its `sources.toml`.
    licence: of the trained weights; '' where whoever trains does not state one.
    augmentation: tables of `augment`, used in their order.
    """

    name: str
    model: str
    data: DataSpec
    nuisance: Nuisances
    optimisation: Optimisation
    augmentation: list[dict[str, Any]] = []
    arguments: dict[str, Any] = {}
    min_coverage: float = 0.6
    not_for: list[str] = []
    licence: str = ""
    about: str = ""


def recipe_names() -> list[str]:
    """Recipes that come with seisedge."""
    folder = resources.files("seisedge.train") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """A bundled recipe by name, or a file ending in .toml; `overrides`: 'optimisation.steps' → value.

    Raises InputError.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: no such recipe file")
        data = path.read_bytes()
    elif name in recipe_names():
        data = (resources.files("seisedge.train") / "recipes" / f"{name}.toml").read_bytes()
    else:
        raise InputError(f"no recipe named '{name}'; {suggestion(name, recipe_names())}")
    try:
        tree = msgspec.toml.decode(data)
        for key, value in (overrides or {}).items():
            branch = tree
            *stem, leaf = key.split(".")
            for part in stem:
                branch = branch.setdefault(part, {})
                if not isinstance(branch, dict):
                    raise InputError(f"recipe {name}: '{key}' is no key of a recipe")
            branch[leaf] = value
        recipe = msgspec.convert(tree, Recipe)
    except msgspec.MsgspecError as error:
        raise InputError(f"recipe {name}: {_with_suggestion(str(error))}") from error
    if recipe.data.split:
        check_rule(recipe.data.split)
    if not recipe.optimisation.steps and not recipe.optimisation.epochs:
        raise InputError(f"recipe {name}: optimisation needs steps or epochs, as in steps = 700")
    try:
        augmentations_from(recipe.augmentation)
    except InputError as error:
        raise InputError(f"recipe {name}: {error}") from error
    return recipe


def _with_suggestion(message: str) -> str:
    """msgspec's sentence; for an unknown key with the nearest known one."""
    found = re.search(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?", message)
    if found is None:
        return message
    key, where = found.group(1), found.group(2) or ""
    kinds = {"data": DataSpec, "nuisance": Nuisances, "optimisation": Optimisation}
    known = list(kinds.get(where, Recipe).__struct_fields__)
    return f"{where + '.' if where else ''}{key}: unknown key; {suggestion(key, known)}"


def json_from_recipe(recipe: Recipe) -> str:
    """The recipe as kept in a checkpoint."""
    return msgspec.json.encode(recipe, order="sorted").decode()


def recipe_from_json(text: str) -> Recipe:
    """Inverse of `json_from_recipe`."""
    return msgspec.json.decode(text, type=Recipe)

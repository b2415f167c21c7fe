"""Recipes: a TOML file with all parameters of a training run; unknown keys are errors.

`base = "ganet-paper"` takes all values that the file does not have from that bundled recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from seisedge.runtime.card import MAX_ANSWERS, MAX_NAME, MAX_WINDOW_S
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import quoted, reason_of, shortened
from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml
from seisedge.train.augment import augmentations_from
from seisedge.train.dataset.holdout import check_rule
from seisedge.train.recipes.stream_spec import StreamSpec

Bounds = Mapping[str, tuple[float, float, str]]  # key → lowest value, highest value, reason
SHARE = (0.0, 1.0, "it is a share")
MAX_SOURCES = 1000
KINDS_NOT_TECTONIC = ("blast", "mass movement")


def check_bounds(table: msgspec.Struct, bounds: Bounds) -> None:
    """Raises ValueError for the first key of `table` whose value is outside its bounds or not finite."""
    for key, (low, high, why) in bounds.items():
        value = getattr(table, key)
        if not low <= value <= high:  # False for nan
            raise ValueError(f"{key} must be from {low:g} to {high:g}, since {why}; got {quoted(value)}")


def check_weights(table: msgspec.Struct, keys: tuple[str, ...]) -> None:
    """Raises ValueError for a source whose weight is negative or not finite, and if all weights of a key are 0."""
    for key in keys:
        weights: dict[str, float] = getattr(table, key)
        if len(weights) > MAX_SOURCES:
            raise ValueError(f"{key} must have at most {MAX_SOURCES} sources; got {len(weights)}")
        for source, weight in weights.items():
            if not 0 <= weight <= 1e6:
                raise ValueError(
                    f"{key}.{shortened(source)} must be from 0 to 1e6, since it is a weight; got {quoted(weight)}"
                )
        if weights and not any(weights.values()):
            raise ValueError(
                f"{key}: all weights are 0, so that nothing can be drawn; remove the key, or weigh a source"
            )


class DataSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records are used.

    pass_hz: upper edge of the pass band; records with a lower Nyquist frequency are not used.
    tectonic, non_tectonic, noise: source (column `subset`) → weight within its class; sources not named are not used.
        Keys of `non_tectonic` are 'blast/SOURCE' or 'mass movement/SOURCE'. A source '*' matches all not named.
    distance_only: sources of earthquakes from which a magnitude model learns distance; they need no magnitude.
    visible_only: train only on events whose signal is visible.
    split: a rule of `holdout`; '' uses the column `split` of the data, or the rule `event` if it is missing.
    mix: name of a data folder → share of each class that is drawn from it; the other folders share the rest equally. A
        folder with the share 0 is not trained on.
    synthetic: train also on records marked `trace_synthetic`; they are never held out.
    leave_out: sources that are not read at all.
    max_magnitude, max_distance_km: events above are not read, and events without that value neither. A distance is the
        hypocentral one if the depth is known. after_s_s: an event is read only if its record contains the S arrival
        and this many seconds after it.
    unlabelled: kind of the events whose type the data do not state, for catalogues of earthquakes; '': not read.
    train_records: label → number of its training records, drawn with the seed; a label that is not named has all. With
        the same seed a larger number adds records to those of a smaller one.
    """

    pass_hz: float
    tectonic: dict[str, float]
    non_tectonic: dict[str, float] = {}
    noise: dict[str, float] = {}
    distance_only: dict[str, float] = {}
    visible_only: bool = True
    split: str = ""
    synthetic: bool = False
    mix: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}
    leave_out: list[str] = []
    max_magnitude: float | None = None
    max_distance_km: float | None = None
    after_s_s: float | None = None
    unlabelled: Literal["", "tectonic"] = ""
    train_records: dict[Literal["tectonic", "non-tectonic", "noise"], Annotated[int, msgspec.Meta(ge=1)]] = {}

    def __post_init__(self) -> None:
        bounds: Bounds = {
            "pass_hz": (0.1, 1000, "it is the upper edge of the pass band in Hz"),
            "max_magnitude": (-5, 10, "it is a magnitude"),
            "max_distance_km": (0, 20_040, "it is a distance on the Earth"),
            "after_s_s": (0, MAX_WINDOW_S, "it is a part of a record in s"),
        }
        check_bounds(self, {key: value for key, value in bounds.items() if getattr(self, key) is not None})
        check_weights(self, ("tectonic", "non_tectonic", "noise", "distance_only"))
        for key in self.non_tectonic:
            if key.partition("/")[0] not in KINDS_NOT_TECTONIC or not key.partition("/")[2]:
                raise ValueError(
                    f"the keys of non_tectonic must be 'blast/SOURCE' or 'mass movement/SOURCE'; got {quoted(key)}"
                )


class Nuisances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `sampler.NuisanceSpec`."""

    answers_s: list[float]
    jitter_s: float = 2.0
    continuous_share: float = 0.3
    event_inside_s: float = 2.5
    vertical_share: float = 0.5
    subset_share: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < len(self.answers_s) <= MAX_ANSWERS or list(self.answers_s) != sorted(set(self.answers_s)):
            raise ValueError(f"answers_s must ascend, with 1 to {MAX_ANSWERS} answers; got {quoted(self.answers_s)}")
        if not all(0 < answer_s <= MAX_WINDOW_S for answer_s in self.answers_s):
            raise ValueError(
                f"answers_s must be above 0 s and at most {MAX_WINDOW_S:g} s, the longest window of a model; "
                f"got {quoted(self.answers_s)}"
            )
        bounds: Bounds = {
            "jitter_s": (0, 60, "it is the largest error of a trigger in s"),
            "continuous_share": SHARE,
            "event_inside_s": (0, MAX_WINDOW_S, "it is a part of the window in s"),
            "vertical_share": SHARE,
            "subset_share": SHARE,
        }
        check_bounds(self, bounds)


Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
MAX_BATCH = 4096  # of an exported graph, see `export.onnx`


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of the training. At least one of `steps` and `epochs` is needed; the smaller limit applies. The
    weights of the result are an exponential moving average.

    rate: learning rate.
    schedule: of the learning rate: 'cosine' after a warm-up; 'step': times rate_factor every rate_epochs; 'plateau':
        times rate_factor after rate_epochs epochs without improvement on held-out records; 'constant'.
    patience: epochs without improvement after which the training stops; 0: never.
    loss: 'cross-entropy', 'weighted' (rare labels count more), 'focal' (focal_gamma), or 'ordinal' (magnitude bins).
    label_smoothing: used by all losses except 'ordinal'.
    balance: how often each label is drawn: 'equal', or 'records', in proportion to its records.
    batch_norm: 'frozen' keeps its present statistics; needed for several processes on CPUs.
    transfer: use of initial weights (--from): 'full' trains all layers, 'late-layers' the last block and
        what follows, 'last-layer' only the last one; 'scratch'
        allows no initial weights.
    average: decay of the moving average of weights in each step.
    magnitude_shift: largest random change of log10 amplitude and magnitude label together.
    consistency: weight of the divergence between the probabilities of two copies of each window, each augmented by
        itself; 0: one copy. Two copies double the time of a step.
    distance_weight: weight of the distance loss relative to the magnitude loss.
    station_weight, station_rate: weight of the penalty on squared station terms, and their learning rate.
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
    transfer: Literal["full", "late-layers", "last-layer", "scratch"] = "full"
    average: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.998
    magnitude_shift: float = 0.0
    consistency: float = 0.0
    distance_weight: float = 1.0
    station_weight: float = 0.002
    station_rate: float = 5e-2

    def __post_init__(self) -> None:
        rate = (0.0, 10.0, "the weights would not converge")
        weight = (0.0, 1e4, "it is the weight of a loss")
        bounds: Bounds = {
            "steps": (0, 1e8, "a training must end"),
            "epochs": (0, 1e6, "a training must end"),
            "batch": (1, MAX_BATCH, "the windows of a batch are in memory at once"),
            "rate": rate,
            "weight_decay": rate,
            "rate_epochs": (1, 1e6, "a training must end"),
            "patience": (0, 1e6, "a training must end"),
            "focal_gamma": (0, 20, "the loss of all windows would be 0"),
            "magnitude_shift": (0, 3, "it is a change of log10 amplitude"),
            "consistency": weight,
            "distance_weight": weight,
            "station_weight": weight,
            "station_rate": rate,
        }
        check_bounds(self, bounds)

    @property
    def copies(self) -> int:
        """Copies of each window in a batch."""
        return 2 if self.consistency else 1


class DetectorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the thresholds of an onset detector are chosen on held-out training data, and how its losses are weighed.

    matched: smallest share of the onsets in a swarm that must lie near a listed arrival. noise_per_hour,
    quiet_per_hour: largest number of onsets per hour on noisy sites, and on the noise before events. Without a value:
    those of the STA/LTA trigger of the station on the same data. s_precision: smallest share of the S picks that must
    be right.
    gate_ratio: STA/LTA ratio below which the station does not run the network; 0: it always runs it.
    p_weight, s_weight, class_weight: of the three parts of the loss. onset_weight: of the hops with an onset, relative
    to the others; the calibration removes its effect on the probabilities.
    hard_at: shares of the training after which noise is searched for onsets, from which later streams are drawn.
    """

    matched: float | None = None
    noise_per_hour: float | None = None
    quiet_per_hour: float | None = None
    s_precision: float = 0.6
    gate_ratio: float = 0.0
    p_weight: float = 10.0
    s_weight: float = 10.0
    class_weight: float = 0.5
    onset_weight: float = 4.0
    hard_at: tuple[float, ...] = (0.25, 0.5, 0.75)


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of one training run. The card shows `not_for` and `licence`.

    group: heading of `train --list` above the recipe; '': no heading. row: position below that heading.
    not_for: limits that hold for all training data; limits of a data set are in its `sources.toml`.
    licence: of the trained weights; '': not stated.
    augmentation: tables for `augment`, applied in this order.
    arguments: of the model.
    min_coverage: smallest share of valid samples in a window for which the station accepts an answer.
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
    group: str = ""
    row: int = 0
    streams: StreamSpec | None = None  # of an onset detector
    detector: DetectorSpec = DetectorSpec()

    def __post_init__(self) -> None:
        check_bounds(self, {"min_coverage": SHARE})
        check_name(self.name)


def check_name(name: str) -> None:
    """Raises ValueError unless `name` can be the name of a file in a folder: it names runs and model files."""
    if not 0 < len(name.encode(errors="replace")) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"name must have 1 to {MAX_NAME} printable characters; got {quoted(name)}")
    if "/" in name or "\\" in name or name.startswith(".") or name != name.strip():
        raise ValueError(
            f"name must contain no / or \\, must not begin with a dot and must not begin or end with a space, since it "
            f"names files; got {quoted(name)}"
        )


def recipe_names() -> list[str]:
    """Names of the bundled recipes."""
    folder = resources.files("seisedge.train") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


OWN_KEYS = ("name", "about", "group", "row")  # not inherited


def _bundled_tables(name: str) -> dict[str, Any]:
    """The tables of a bundled recipe. Raises ValueError."""
    return _with_base(tables_from_toml((resources.files("seisedge.train") / "recipes" / f"{name}.toml").read_bytes()))


def _with_base(own: dict[str, Any]) -> dict[str, Any]:
    """The tables with those of the bundled recipe `base`, if that key is present: the values of `own` take precedence.
    The values of a table are combined, those of tables within it are not. Raises ValueError.
    """
    if "base" not in own:
        return own
    base = own.pop("base")
    if not isinstance(base, str) or base not in recipe_names():
        hint = suggestion(str(base), recipe_names())
        raise ValueError(f"base must be the name of a bundled recipe; got {quoted(base)}; {hint}")
    tables = {key: value for key, value in _bundled_tables(base).items() if key not in OWN_KEYS}
    for key, value in own.items():
        inherited = tables.get(key)
        tables[key] = inherited | value if isinstance(value, dict) and isinstance(inherited, dict) else value
    return tables


def _tables_of(name: str) -> dict[str, Any]:
    """The tables of a bundled recipe, or of a file ending in .toml. Raises InputError, and ValueError of the format."""
    if not name.endswith(".toml"):
        if name not in recipe_names():
            raise InputError(f"no recipe named '{name}'; {suggestion(name, recipe_names())}")
        return _bundled_tables(name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such file; RECIPE must be a TOML file or the name of a bundled recipe")
    try:
        data = read_up_to(path, MAX_BYTES)
    except OSError as error:
        raise InputError(f"{name}: the recipe cannot be read: {error.strerror}") from error
    return _with_base(tables_from_toml(data))


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """A bundled recipe by name, or a file ending in .toml; `overrides`: 'optimisation.steps' → value.

    Raises InputError.
    """
    try:
        tree = _tables_of(name)
        for key, value in (overrides or {}).items():
            branch = tree
            *stem, leaf = key.split(".")
            for part in stem:
                branch = branch.setdefault(part, {})
                if not isinstance(branch, dict):
                    raise InputError(f"recipe {name}: '{key}' is not a key of a recipe")
            branch[leaf] = value
        recipe = msgspec.convert(tree, Recipe)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:  # OverflowError: a long integer
        raise InputError(f"recipe {name}: {_with_suggestion(reason_of(error))}") from error
    if recipe.data.split:
        check_rule(recipe.data.split)
    if not recipe.optimisation.steps and not recipe.optimisation.epochs:
        raise InputError(f"recipe {name}: [optimisation] needs steps or epochs, for example steps = 700")
    try:
        augmentations_from(recipe.augmentation)
    except InputError as error:
        raise InputError(f"recipe {name}: {error}") from error
    return recipe


def _with_suggestion(message: str) -> str:
    """The message of msgspec; for an unknown key, a message that suggests the most similar known key."""
    found = re.search(r"unknown field `([^`]+)`(?: - at `\$\.?([^`]*)`)?", message)
    if found is None:
        return message
    key, where = found.group(1), found.group(2) or ""
    kinds = {
        "data": DataSpec, "nuisance": Nuisances, "optimisation": Optimisation, "streams": StreamSpec,
        "detector": DetectorSpec,
    }  # fmt: skip
    known = list(kinds.get(where, Recipe).__struct_fields__)
    return f"{where + '.' if where else ''}{key}: unknown key; {suggestion(key, known)}"


def json_from_recipe(recipe: Recipe) -> str:
    """The recipe in the form stored in a checkpoint."""
    return msgspec.json.encode(recipe, order="sorted").decode()


def recipe_from_json(text: str) -> Recipe:
    """Inverse of `json_from_recipe`."""
    return msgspec.json.decode(text, type=Recipe)

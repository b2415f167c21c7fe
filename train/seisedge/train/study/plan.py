"""What a study trains: its rows with their recipes, data and seeds, checked before anything starts."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.timeline.resample import reaches_band
from seisedge.train.dataset.columns import onset_of, text
from seisedge.train.dataset.flags import flag
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND
from seisedge.train.fit.imagenet import require_imagenet
from seisedge.train.models import describe_model
from seisedge.train.recipes.recipe import Recipe, json_from_recipe, load_recipe
from seisedge.train.study.features import what_feature_needs
from seisedge.train.study.rows import Item, read_items
from seisedge.train.study.selection import Few, selected
from seisedge.train.study.table import Row, Selection, Study

SMOKE: dict[str, Any] = {"optimisation.steps": 2, "optimisation.epochs": 0, "optimisation.batch": 4}
LEAST_EVENTS = 15  # of each class: a fifth of them, three, are held out; fewer give no interval
LEAST_EVENTS_SMOKE = 5
SMOKE_LIMIT = 8  # largest of the numbers of records of a row
LEAST_RECORDS = 2  # of a label


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How a study is run. data: folders. scale: share of the numbers of records that rows demand. weights: a file of
    initial weights for rows that start from those of another training; empty: trained here. settings: keys of recipes.
    """

    data: list[str]
    smoke: bool = False
    seeds: int = 1
    shuffle_labels: bool = False
    scale: float = 1.0
    settings: dict[str, Any] = {}
    weights: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training: `recipe` on `selection` of the data with `seed`. key: name of its folder. start: key of the
    training whose weights it starts from, or ''. weights: a file with initial weights, or ''.
    """

    key: str
    recipe: Recipe
    selection: Selection
    seed: int
    choice: Choice
    leaks: bool = False
    start: str = ""
    weights: str = ""
    keep_weights: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table, and the keys of its trainings, one for each seed. network: see `network_of`. missing: why it
    is not run, or ''.
    """

    row: Row
    network: str = ""
    keys: list[str] = []
    missing: str = ""
    notes: list[str] = []


def lines_of(study: Study, choice: Choice, items: Sequence[Item]) -> tuple[list[Line], dict[str, Job]]:
    """The lines of the table, and all trainings by key, those that others start from first. Raises InputError."""
    jobs: dict[str, Job] = {}
    lines: list[Line] = []
    of_name: dict[str, list[str]] = {}
    for row in _expanded(study, items):
        if not row.recipe:
            lines.append(Line(row=row, missing=what_feature_needs(row, items) if row.feature else ""))
            continue
        recipe = recipe_of(row, choice)
        if row.start and choice.weights:
            require_imagenet(Path(choice.weights), recipe)
        missing = "" if row.data.synthetic_events else what_is_missing(row, recipe, items, choice)
        absent = columns_without_values(row, recipe, items)
        if absent and not choice.smoke:
            missing = missing or f"needs the column {absent[0]}, of which the data have no value"
        keys = []
        for k in range(choice.seeds):
            start = of_name[row.start][k] if row.start and not choice.weights else ""
            job = Job(
                key="", recipe=recipe, selection=_scaled(row.data, choice), seed=k + 1, choice=choice, leaks=row.leaks,
                start=start, weights=choice.weights if row.start else "", keep_weights=row.helper,
            )  # fmt: skip
            job = msgspec.structs.replace(job, key=key_of(job))
            keys.append(job.key)
            if not missing and not (row.helper and choice.weights):
                jobs[job.key] = job
        of_name[row.name] = keys
        if not row.helper:
            notes = [f"the data have no value of {column}" for column in absent]
            lines.append(
                Line(
                    row=row, network=network_of(recipe), keys=[] if missing else keys, missing=missing, notes=notes
                )
            )  # fmt: skip
    return lines, jobs


def recipe_of(row: Row, choice: Choice) -> Recipe:
    """The recipe of a row with the changes of --set, the row, and --smoke, in this order. Raises InputError."""
    overrides = choice.settings | row.set | (SMOKE if choice.smoke else {})
    if row.data.test_source or row.data.test_per_bin:
        overrides["data.split"] = ""  # the column split of the selection
    recipe = load_recipe(row.recipe, overrides)
    limits = recipe.data.train_records
    if limits and (choice.scale < 1 or choice.smoke):
        scale = min(choice.scale, SMOKE_LIMIT / max(limits.values())) if choice.smoke else choice.scale
        for name, n in limits.items():
            overrides[f"data.train_records.{name}"] = max(round(n * scale), LEAST_RECORDS)
        recipe = load_recipe(row.recipe, overrides)
    return recipe


def network_of(recipe: Recipe) -> str:
    """Model and arguments of a recipe: what decides the cost of an answer."""
    return f"{recipe.model} {json.dumps(recipe.arguments, sort_keys=True)}"


def _scaled(selection: Selection, choice: Choice) -> Selection:
    """The selection with the numbers of records of --scale and --smoke."""
    per_bin, events = selection.test_per_bin, selection.synthetic_events
    return msgspec.structs.replace(
        selection,
        test_per_bin=max(round(per_bin * choice.scale), 1) if per_bin else 0,
        synthetic_events=min(events, 30) if choice.smoke else events,
    )


def key_of(job: Job) -> str:
    """Name of the folder of a training: its model, a hash of everything that decides the result, and the seed, so that
    rows that are the same training share one, also if their recipes have different names.
    """
    o = job.recipe.optimisation
    if o.transfer == "scratch" and not job.start and not job.weights:
        o = msgspec.structs.replace(o, transfer="full")  # without initial weights it has no effect
    recipe = json_from_recipe(
        msgspec.structs.replace(job.recipe, name="row", about="", group="", row=0, optimisation=o)
    )
    choice = {"data": job.choice.data, "smoke": job.choice.smoke, "shuffle": job.choice.shuffle_labels}
    parts = [recipe, msgspec.json.encode(job.selection).decode(), job.seed, choice, job.start, job.weights]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9-]+", "-", job.recipe.model)
    return f"{name}-{digest}-seed{job.seed}"


def _expanded(study: Study, items: Sequence[Item]) -> list[Row]:
    """The rows of a study; a row for `each_source` is repeated for each source with events of all classes."""
    out: list[Row] = []
    for row in study.row:
        if not row.each_source:
            out.append(row)
            continue
        found = sources_with_all_classes(items)
        if not found:
            raise InputError(
                f"study {study.name}: needs a source (column subset, or one --data folder for each) with three "
                "tectonic and three non-tectonic events, which is held out; the data have none"
            )
        for source in found:
            data = msgspec.structs.replace(row.data, test_source=source)
            out.append(msgspec.structs.replace(row, name=f"{row.name} {source}", data=data))
    return out


def sources_with_all_classes(items: Sequence[Item]) -> list[str]:
    """Sources with tectonic and non-tectonic events, three of each at least; sorted."""
    events: dict[str, Counter[str]] = {}
    for source, kind, _ in {(i.get("subset"), LABEL_OF_KIND.get(i.kind, ""), i.event) for i in items}:
        events.setdefault(source, Counter())[kind] += 1
    return sorted(s for s, n in events.items() if min(n["tectonic"], n["non-tectonic"]) >= 3)


def usable(recipe: Recipe, item: Item) -> bool:
    """True if the recipe can use the record for training or evaluation, as far as its metadata tell."""
    if not reaches_band(float(item.row["trace_sampling_rate_hz"]), recipe.data.pass_hz):
        return False
    if item.kind not in LABEL_OF_KIND or item.kind == "noise":
        return False
    named = {f"tectonic/{source}" for source in recipe.data.tectonic} | set(recipe.data.non_tectonic)
    return f"{item.kind}/{item.get('subset')}" in named or f"{item.kind}/*" in named


def used_items(recipe: Recipe, items: Sequence[Item]) -> list[Item]:
    """The records that a recipe uses: those of the sources it names, or of all sources if the data have none of them
    (as `archive.mixture` does); of these, the ones with an onset and a visible signal, and with a magnitude that it
    can use if it needs one.
    """
    whole = [i for i in items if reaches_band(float(i.row["trace_sampling_rate_hz"]), recipe.data.pass_hz)]
    whole = [i for i in whole if LABEL_OF_KIND.get(i.kind, "noise") != "noise" and onset_of(i.row) is not None]
    if recipe.data.visible_only:
        whole = [i for i in whole if flag(i.row, "trace_visible", True)]
    if task_of(recipe) == "magnitude":
        largest = math.inf if recipe.data.max_magnitude is None else recipe.data.max_magnitude
        whole = [i for i in whole if i.magnitude is not None and i.magnitude <= largest]
    return [i for i in whole if usable(recipe, i)] or whole


def columns_without_values(row: Row, recipe: Recipe, items: Sequence[Item]) -> list[str]:
    """The columns of `columns_of_data` that no used record has a value of."""
    used = used_items(recipe, items)
    return [column for column in row.columns_of_data if not any(text(i.row, column) for i in used)]


def what_is_missing(row: Row, recipe: Recipe, items: Sequence[Item], choice: Choice) -> str:
    """Why a row cannot be trained on the data, as the end of a sentence; '' if it can."""
    used = used_items(recipe, items)
    magnitude = task_of(recipe) == "magnitude"
    if magnitude and all(i.magnitude is None for i in items):
        return "needs magnitudes (column source_magnitude), of which the data have no value"
    least = LEAST_EVENTS_SMOKE if choice.smoke else LEAST_EVENTS
    for name in ("with a magnitude",) if magnitude else ("tectonic", "non-tectonic"):
        n = len({i.event for i in used if magnitude or LABEL_OF_KIND[i.kind] == name})
        if n < least:
            upto = "" if recipe.data.max_magnitude is None else f" up to {recipe.data.max_magnitude:g}"
            what = f"{name}{upto}" if magnitude else f"of the class {name}"
            given = f"an onset and a Nyquist frequency above {recipe.data.pass_hz:g} Hz"
            return f"needs {least} events {what} in records with {given}; the data have {n}"
    if row.data.test_per_bin and not choice.smoke:
        try:
            selected(used, _scaled(row.data, choice), False, None)
        except InputError as error:
            return str(error)
    for name, wanted in recipe.data.train_records.items():
        have = [i for i in used if LABEL_OF_KIND[i.kind] == name]
        train = (
            sum(i.get("split") != "test" for i in have) if any(i.get("split") for i in have) else int(0.8 * len(have))
        )
        if train < wanted and not choice.smoke:
            return (
                f"needs {wanted} training records of the class {name}; the data have about {train}; "
                f"--scale {math.floor(100 * train / wanted * choice.scale) / 100:g} would fit"
            )
    return ""


def task_of(recipe: Recipe) -> str:
    """The task of the model of a recipe."""
    return _task_of(recipe.model, json.dumps(recipe.arguments, sort_keys=True))


@functools.cache
def _task_of(model: str, arguments: str) -> str:
    return describe_model(model, **json.loads(arguments)).task


def few_of(choice: Choice) -> Few | None:
    """The part of the data that --smoke uses."""
    return Few() if choice.smoke else None


def folders_of(choice: Choice) -> list[Path]:
    """The data folders."""
    return [Path(folder) for folder in choice.data]


def items_of(choice: Choice) -> list[Item]:
    """All records of the data. Raises InputError."""
    return read_items(folders_of(choice), unlabelled=str(choice.settings.get("data.unlabelled", "")))

"""Fine-tuning against training from nothing, on events of a region of which the first model has seen no event.

    python -m benchmarks.finetune --data datasets --data MORE --region pnw [--training-events 12 0]
    python -m benchmarks.finetune --data MORE --region france

Cross-validation: the events of the region are divided into folds, and each event is evaluated once, by models that were
trained on the other folds. The first model of `france` is the bundled one, which has seen no event there. That of
`pnw` is trained here, by the recipe event-type on all other data: sources of the region, and events inside its box, are
left out. The recipe event-type-few then trains it on events of the region; `from nothing` trains the same network with
the rate of event-type and twice as many steps. All settings were fixed before the first evaluation. Classes:
tectonic and non-tectonic. Intervals: bootstrap over events.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.inference.infer import model_path
from seisedge.train.archive.archive import Archive, Record, Wanted, load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.mixture import with_sources
from seisedge.train.bootstrap import Estimate, estimate
from seisedge.train.evaluation import metrics as m
from seisedge.train.evaluation.predict import training_windows
from seisedge.train.fit.loop import Settings, train_model
from seisedge.train.fit.model_weights import recipe_for, weights_of_model_file
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe, load_recipe

CPU = torch.device("cpu")
ANSWER_S = 30.0
ARMS = ("first model, unchanged", "fine-tuned", "from nothing")
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Region:
    """sources: whose records are all in the region. box: south, west, north, east in degrees, of other sources. folds:
    0: each event is a fold. bundled: the first model is the bundled one.
    """

    sources: tuple[str, ...]
    box: tuple[float, float, float, float] | None
    folds: int
    bundled: bool

    def contains(self, record: Record) -> bool:
        if record.source in self.sources:
            return True
        latitude, longitude = record.latitude_deg, record.longitude_deg
        if self.box is None or latitude is None or longitude is None:
            return False
        south, west, north, east = self.box
        return south <= latitude <= north and west <= longitude <= east


REGIONS = {
    "france": Region(("france",), None, 0, bundled=True),
    "pnw": Region(("pnw",), (42.0, -126.0, 50.0, -116.0), 3, bundled=False),
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--region", choices=REGIONS, required=True)
    parser.add_argument(
        "--training-events", type=int, nargs="+", default=[0], help="events of the region in each training; 0: all"
    )
    parser.add_argument("--base-steps", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    region = REGIONS[options.region]
    archive = load_archive(options.data, 40.0, 15.0, split="whole", wanted=Wanted(leave_out=("poland", "dprk")))
    records = [dataclasses.replace(r, split="train", fold=1) for r in archive.records]
    archive = dataclasses.replace(archive, records=records)
    few, weights = first_model(region, archive, options.base_steps)
    scratch = changed(few, transfer="full", batch_norm="live", rate=2e-3, steps=2 * few.optimisation.steps)
    arms = dict(zip(ARMS, ((changed(few, rate=1e-12, steps=1), weights), (few, weights), (scratch, None)), strict=True))
    inside = {i for i, r in enumerate(records) if region.contains(r) and r.kind != "noise" and r.visible}
    for count in options.training_events:
        scores: dict[str, dict[int, float]] = {name: {} for name in arms}
        sizes = set()
        for k, held_out in enumerate(folds_of({records[i].group for i in inside}, region.folds)):
            chosen = training_events([records[i] for i in inside], held_out, count)
            sizes.add(len(chosen))
            own = only(archive, functools.partial(is_in, region=region, events=chosen))
            for name, (recipe, start) in arms.items():
                fitted, _ = with_sources(recipe, own)
                settings = Settings(precision="fp32", weights=start)
                model = train_model(fitted, own, lambda _: True, 1 + k, CPU, settings=settings).model
                scores[name] |= answers(fitted, model, archive, inside, held_out)
        print(f"trained on {min(sizes)} to {max(sizes)} events of {options.region}")
        print_table(records, scores)


def first_model(region: Region, archive: Archive, steps: int) -> tuple[Recipe, Weights]:
    """The recipe event-type-few for the first model, with two classes, and the weights of that model."""
    few = load_recipe("event-type-few", {"data.noise": {}, "data.split": "event"})
    if region.bundled:
        path = model_path("event-type")
        few = recipe_for(few, path)
        weights = {
            k: v[:2] if k.startswith("trunk.classify.") else v for k, v in weights_of_model_file(path, few).items()
        }
        return msgspec.structs.replace(few, arguments=few.arguments | {"n_classes": 2}), weights
    base = load_recipe(
        "event-type",
        {
            "data.noise": {}, "data.split": "event", "arguments.n_classes": 2, "optimisation.steps": steps,
            "data.tectonic": {"*": 1.0}, "data.non_tectonic": {"blast/*": 0.5, "mass movement/*": 0.5},
        },
    )  # fmt: skip
    others = only(archive, lambda r: not region.contains(r))
    made = train_model(with_sources(base, others)[0], others, lambda _: True, 1, CPU)
    weights = {k: v for k, v in made.model.state_dict().items() if k != "temperature"}
    return msgspec.structs.replace(few, arguments=few.arguments | base.arguments), weights


def changed(recipe: Recipe, **optimisation: Any) -> Recipe:
    return msgspec.structs.replace(recipe, optimisation=msgspec.structs.replace(recipe.optimisation, **optimisation))


def is_in(record: Record, region: Region, events: set[str]) -> bool:
    return region.contains(record) and record.group in events


def only(archive: Archive, wanted: Callable[[Record], bool]) -> Archive:
    """The archive with the wanted records."""
    rows = [i for i, r in enumerate(archive.records) if wanted(r)]
    records = [archive.records[i] for i in rows]
    sources = list(dict.fromkeys(r.source for r in records))
    return dataclasses.replace(
        archive, records=records, waveform=archive.waveform[rows], valid=archive.valid[rows], sources=sources,
        folder_of=dict.fromkeys(sources, "data"),
    )  # fmt: skip


def folds_of(events: set[str], count: int) -> list[set[str]]:
    """The events in `count` folds, by a hash of their names; 0: one event in each."""
    ordered = sorted(events, key=lambda event: hashlib.sha256(event.encode()).hexdigest())
    count = count or len(ordered)
    return [set(ordered[k::count]) for k in range(count)]


def training_events(records: list[Record], held_out: set[str], count: int) -> set[str]:
    """The events of the other folds, or `count` of them, half of each class, by a hash of their names; 0: all."""
    kinds = {r.group: r.kind == "tectonic" for r in records if r.group not in held_out}
    ordered = sorted(kinds, key=lambda event: hashlib.sha256(f"training {event}".encode()).hexdigest())
    if not count:
        return set(ordered)
    return {e for wanted in (True, False) for e in [e for e in ordered if kinds[e] == wanted][: count // 2]}


@torch.no_grad()
def answers(recipe: Recipe, model: Model, archive: Archive, inside: set[int], events: set[str]) -> dict[int, float]:
    """Record → probability of tectonic, for the records of the events."""
    names = {archive.records[i].name for i in inside}
    windows = training_windows(recipe, model, archive, lambda r: r.name in names and r.group in events, ANSWER_S)
    x, valid = WindowCutter(archive, model.geometry, CPU).cut(windows.draw(model.geometry, ANSWER_S, False))
    p = model.eval()(x, valid)[:, 0].numpy()
    return {int(i): float(v) for i, v in zip(windows.record, p, strict=True)}


def print_table(records: list[Record], scores: dict[str, dict[int, float]]) -> None:
    rows = sorted(next(iter(scores.values())))
    kind = np.array([records[i].kind for i in rows])
    group = np.array([records[i].group for i in rows])
    counts = ", ".join(f"{k} {(kind == k).sum()} ({len(set(group[kind == k]))})" for k in sorted(set(kind)))
    print(
        f"{len(rows)} records ({len(set(group))} events), each evaluated once, {ANSWER_S:g} s after the onset: {counts}"
    )
    columns = ["AUC", "recall tectonic", *(f"recall {k}" for k in sorted(set(kind) - {"tectonic"}))]
    print(f"| model | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for name, found in scores.items():
        score = np.array([found[i] for i in rows])
        hit = (score > 0.5) == (kind == "tectonic")
        figures = [estimate(group, functools.partial(m.auc, score=score, positive=kind == "tectonic"))]
        for k in ("tectonic", *sorted(set(kind) - {"tectonic"})):
            figures.append(estimate(group, functools.partial(recall, hit=hit, of=kind == k)))
        print(f"| {name} | {' | '.join(map(text_of, figures))} |")


def recall(w: npt.NDArray[np.float64], hit: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> Any:
    """Share of hits for each row of weights (draws, records)."""
    total = (w * of).sum(1)
    return np.where(total > 0, (w * hit * of).sum(1) / np.maximum(total, 1e-9), np.nan)


def text_of(figure: Estimate) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


if __name__ == "__main__":
    main()

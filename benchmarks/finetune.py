"""Fine-tuning of the bundled event-type model against training from nothing, on events of a region that it never saw.

    python -m benchmarks.finetune DIR --sources france

Cross-validation: each event of the region is left out once. The recipe event-type-few is trained on the other events,
from the bundled model and from nothing, with settings that were fixed before; the event that was left out is evaluated
once. Classes: tectonic and non-tectonic, by the ratio of their two probabilities. Interval: bootstrap over events.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path

import msgspec
import numpy as np
import torch

from seisedge.runtime.inference.infer import model_path
from seisedge.train.archive.archive import Record, Wanted, load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.mixture import with_sources
from seisedge.train.bootstrap import estimate
from seisedge.train.evaluation import metrics as m
from seisedge.train.evaluation.predict import training_windows
from seisedge.train.fit.loop import Settings, train_model
from seisedge.train.fit.model_weights import recipe_for, weights_of_model_file
from seisedge.train.recipes.recipe import load_recipe

CPU = torch.device("cpu")
ANSWER_S = 30.0


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sources", nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plain = load_recipe(
        "event-type-few", {"data.noise": {}, "optimisation.steps": options.steps, "data.split": "event"}
    )
    path = model_path("event-type")
    tuned = recipe_for(plain, path)
    two = {"n_classes": 2}
    tuned = msgspec.structs.replace(tuned, arguments=tuned.arguments | two)
    scratch = msgspec.structs.replace(
        tuned,
        optimisation=msgspec.structs.replace(tuned.optimisation, transfer="full", batch_norm="live", rate=2e-3),
    )
    archive = load_archive([options.folder], 40.0, 15.0, split="whole", wanted=Wanted(subsets=options.sources))
    records = [dataclasses.replace(r, split="train", fold=1) for r in archive.records]
    archive = dataclasses.replace(archive, records=records)
    weights = weights_of_model_file(path, recipe_for(plain, path))
    arms = {"bundled model": tuned, "fine-tuned": tuned, "from nothing": scratch}
    scores: dict[str, dict[int, float]] = {name: {} for name in arms}
    events = sorted({r.group for r in records})
    for k, event in enumerate(events):
        for name, recipe in arms.items():
            chosen, _ = with_sources(recipe, archive)
            if name == "bundled model":
                chosen = msgspec.structs.replace(
                    chosen, optimisation=msgspec.structs.replace(chosen.optimisation, rate=1e-12, steps=1)
                )
            settings = Settings(precision="fp32", weights=None if name == "from nothing" else first_two(weights))
            others = functools.partial(is_of, event=event, wanted=False)
            made = train_model(chosen, archive, others, 1 + k, CPU, settings=settings)
            for i, p in answers(chosen, made.model, archive, event).items():
                scores[name][i] = p
    print(f"{len(records)} records of {len(events)} events, each event left out and evaluated once, {ANSWER_S:g} s")
    print("| model | AUC tectonic | balanced accuracy | records | events |\n| --- | --- | --- | --- | --- |")
    for name, found in scores.items():
        rows = sorted(found)
        score = np.array([found[i] for i in rows])
        tectonic = np.array([records[i].kind == "tectonic" for i in rows])
        group = np.array([records[i].group for i in rows])
        hit = ((score > 0.5) == tectonic).astype(float)

        def balanced(w: np.ndarray, hit: np.ndarray = hit, t: np.ndarray = tectonic) -> np.ndarray:
            parts = [(w * hit * k).sum(1) / np.maximum((w * k).sum(1), 1e-9) for k in (t, ~t)]
            return np.where((w * t).sum(1) * (w * ~t).sum(1) > 0, sum(parts) / 2, np.nan)

        auc = estimate(group, functools.partial(m.auc, score=score, positive=tectonic))
        acc = estimate(group, balanced)
        print(
            f"| {name} | {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}) | {acc.value:.2f} ({acc.low:.2f} to "
            f"{acc.high:.2f}) | {len(rows)} | {auc.n_groups} |"
        )


def is_of(record: Record, event: str, wanted: bool) -> bool:
    """True if a record is of an event, or if it is not, as `wanted`."""
    return (record.group == event) == wanted


def first_two(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a model of three classes without its class noise."""
    return {k: v[:2] if k.startswith("trunk.classify.") else v for k, v in weights.items()}


@torch.no_grad()
def answers(recipe, model, archive, event: str) -> dict[int, float]:  # type: ignore[no-untyped-def]
    """Record → probability of tectonic, for the records of an event."""
    windows = training_windows(recipe, model, archive, functools.partial(is_of, event=event, wanted=True), ANSWER_S)
    x, valid = WindowCutter(archive, model.geometry, CPU).cut(windows.draw(model.geometry, ANSWER_S, False))
    p = model.eval()(x, valid)[:, 0].numpy()
    return {int(i): float(v) for i, v in zip(windows.record, p, strict=True)}


if __name__ == "__main__":
    main()

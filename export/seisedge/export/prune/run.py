"""From a run to a narrower run: choose, rebuild, fine-tune, evaluate, compare with the parent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from seisedge.export.card import card_from_run
from seisedge.export.gate import Floats, compare
from seisedge.export.heldout import HeldOut, heldout_windows, refuse_synthetic
from seisedge.export.onnx import checked_graph
from seisedge.export.prune.select import LARGEST_EFFECT, block_effects, choose, importance_of, surgery_on
from seisedge.export.prune.tune import Batches, losses_on, tune
from seisedge.runtime.card import Comparison
from seisedge.runtime.errors import InputError
from seisedge.train.data import Archive, load_archive
from seisedge.train.evaluate import markdown
from seisedge.train.loop import Trained
from seisedge.train.mixture import with_sources
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.run import Run, save_run, table_of

WINDOWS = 64  # a batch for importance and effects
LOOKS = 8  # batches

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pruned:
    """The child, what the gate says of it, and what it cost and gained on the exported graphs."""

    run: Run
    comparison: Comparison
    macs: tuple[int, int]  # of the network: parent, child
    whole_macs: tuple[int, int]  # with the front end
    flops: tuple[int, int]
    log: list[dict[str, float]]


@torch.no_grad()
def torch_answers(model: Model, windows: HeldOut) -> Floats:
    """Probabilities (windows, labels)."""
    out = [
        model.eval()(torch.from_numpy(windows.waveform[i : i + 64]), torch.from_numpy(windows.valid[i : i + 64]))
        for i in range(0, len(windows), 64)
    ]
    return np.asarray(torch.cat(out).double().numpy())


def load_training_data(run: Run, folders: list[Path], limit: int | None = None) -> Archive:
    """The run's own data. Raises InputError where they are others, or synthetic."""
    refuse_synthetic(folders)
    g = run.model().geometry
    archive = load_archive(folders, g.rate_hz, run.recipe.data.pass_hz, limit=limit, split=run.recipe.data.split)
    if archive.sha256 != run.data_sha256:
        raise InputError(
            f"{', '.join(map(str, folders))}: not the data that the run was trained on; what it held out would be "
            "seen in fine-tuning"
        )
    return archive


def prune_run(  # noqa: PLR0913 - independent inputs, each used as it is
    run: Run,
    archive: Archive,
    ratio: float,
    steps: int,
    seed: int,
    windows: int,
    say: Say,
    draws: int = 1000,
    largest_effect: float = LARGEST_EFFECT,
) -> Pruned:
    """Remove at least `ratio` of the network's multiply-adds. Raises InputError."""
    torch.manual_seed(seed)
    parent = run.model()
    surgery = surgery_on(parent)
    recipe, _ = with_sources(run.recipe, archive)
    batches = Batches(dataclasses.replace(run, recipe=recipe), parent, archive, lambda r: r.split == "train", seed)
    look = batches.draw(4 * WINDOWS)
    effects = block_effects(parent, surgery, look.x, look.valid)
    importance = importance_of(parent, surgery.groups(), lambda: losses_on(parent, batches, WINDOWS, LOOKS))
    arguments = dict(run.recipe.arguments)
    choice = choose(surgery, run.recipe.model, arguments, ratio, importance, effects, say, largest_effect)
    say(f"shape {json.dumps(choice.shape)}")
    child = create_model(run.recipe.model, **(arguments | {"shape": choice.shape}))
    surgery.copy(child, choice.keep, choice.dropped)
    o = run.recipe.optimisation
    tuned, log = tune(
        child, parent, batches, steps, o.batch, o.rate / 2,
        lambda step, apart: say(f"fine-tuning: step {step}/{steps}, apart from the parent by {apart:.4f} nats"),
    )  # fmt: skip
    trained = Trained(tuned, run.station_term)
    table = table_of(recipe, trained, archive, torch.device("cpu"), draws)
    share = 1 - choice.macs_after / choice.macs_before
    made = dataclasses.replace(
        run,
        recipe=msgspec.structs.replace(run.recipe, arguments=arguments | {"shape": choice.shape}),
        state=tuned.state_dict(),
        metrics=table.rows,
        pruning=f"{share:.0%} of the network's multiply-adds removed from the run of {run.date}, {steps} steps of "
        f"fine-tuning, seed {seed}",
    )
    cards = []
    for source, model in ((run, parent), (made, tuned)):
        cards.append(card_from_run(source, model, checked_graph(model)))
    held = heldout_windows(cards[0], archive, windows, station_term=run.station_term)
    comparison = compare(torch_answers(parent, held), torch_answers(tuned, held), held, cards[0], "", pruned=True)
    fronts = [card.front_end_macs or 0 for card in cards]
    return Pruned(
        made,
        comparison,
        (cards[0].macs - fronts[0], cards[1].macs - fronts[1]),
        (cards[0].macs, cards[1].macs),
        (cards[0].flops, cards[1].flops),
        log,
    )


def write_pruned(pruned: Pruned, parent: Path, out: Path) -> None:
    """The child as an ordinary run folder; what the split was is the parent's."""
    out.mkdir(parents=True, exist_ok=True)
    run = pruned.run
    for name in ("split.json", "versions.json"):
        source = parent / name
        if source.is_file():
            (out / name).write_bytes(source.read_bytes())
    rows = "".join(f"{row['step']:.0f},{row['apart']:.6f}\n" for row in pruned.log)
    (out / "log.csv").write_text("step,apart_from_parent_nats\n" + rows)
    (out / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(run.metrics), indent=1))
    (out / "metrics.md").write_text(markdown(run.metrics, f"{run.recipe.name}, pruned: figures on events held out"))
    (out / "gate.json").write_bytes(msgspec.json.format(msgspec.json.encode(pruned.comparison), indent=1))
    save_run(run, out / "checkpoint.pt")

"""Leave one region out: train an event-type recipe without a source, and measure it on that source.

    python -m benchmarks.regions --data datasets --data datasets/regions --without france,byron --without alpine

Each --without names the sources that one training leaves out, both as events and as noise. The training also leaves
out fold 0 of the others, the held-out home records. `--model FILE` measures a model file instead, on records of events
that its card does not name. Records of split `test` are never used. The rows are the recall of tectonic, of
non-tectonic and of noise by argmax, and the area under the ROC curve between earthquakes and blasts where a source has
both; visible records, with 95 % intervals over events.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.inference.estimate import NOISE
from seisedge.train.archive.archive import Archive, Record, load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.mixture import with_sources
from seisedge.train.archive.task import RecordFilter
from seisedge.train.bootstrap import Estimate, estimate
from seisedge.train.dataset.event_hashes import event_hash
from seisedge.train.evaluation.predict import FixedWindows, windows_of
from seisedge.train.evaluation.subject import subject_from
from seisedge.train.fit.loop import train_model
from seisedge.train.models import create_model
from seisedge.train.models._base import Geometry
from seisedge.train.recipes.recipe import Recipe, load_recipe

DRAWS = 500
LEAST_BLASTS = 3  # records of each kind, for an area under the curve
BATCH = 128
Floats = npt.NDArray[np.float64]
Network = Callable[[torch.Tensor, torch.Tensor], Floats]


@dataclass(frozen=True)
class Judge:
    """A model to be measured: its network (waveform, valid → probabilities), window, labels and answer lengths."""

    network: Network
    geometry: Geometry
    labels: Sequence[str]
    answers_s: Sequence[float]


def trained_judge(recipe: Recipe, archive: Archive, chosen: RecordFilter, seed: int) -> Judge:
    """A model trained on the chosen records; the sources and folders are weighed as by `seisedge train`."""
    recipe, _ = with_sources(recipe, archive)
    model = train_model(recipe, archive, chosen, seed, torch.device("cpu")).model.eval()

    @torch.no_grad()
    def network(x: torch.Tensor, valid: torch.Tensor) -> Floats:
        return np.asarray(model(x, valid).double().numpy())

    return Judge(network, model.geometry, model.labels, recipe.nuisance.answers_s)


def probabilities(judge: Judge, archive: Archive, windows: FixedWindows, answer_s: float) -> Floats:
    """(windows, labels), on all components that a record has."""
    cutter = WindowCutter(archive, judge.geometry, torch.device("cpu"))
    out = [np.zeros((0, len(judge.labels)))]
    for first in range(0, len(windows.record), BATCH):
        part = windows.part(np.arange(first, min(first + BATCH, len(windows.record))))
        out.append(judge.network(*cutter.cut(part.draw(judge.geometry, answer_s, vertical=False))))
    return np.concatenate(out)


def area(tectonic: npt.NDArray[np.bool_], score: Floats) -> Callable[[Floats], Floats]:
    """Statistic: probability that an earthquake has a larger score than a blast; weights (k, records)."""
    larger = (score[tectonic][:, None] > score[~tectonic]) + 0.5 * (score[tectonic][:, None] == score[~tectonic])

    def statistic(weight: Floats) -> Floats:
        a, b = weight[:, tectonic], weight[:, ~tectonic]
        pairs = a.sum(1) * b.sum(1)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.einsum("ki,ij,kj->k", a, larger, b) / pairs)

    return statistic


def share(right: npt.NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    """Statistic: weighted share of `right`."""
    return lambda weight: np.asarray((weight * right).sum(1) / weight.sum(1))


def rows_of(judge: Judge, archive: Archive, held: RecordFilter) -> Iterator[tuple[str, str, float, Estimate]]:
    """Source, figure, answer length and value."""
    records = archive.records
    take = np.array([held(r) and (r.visible or r.kind == NOISE) for r in records])
    for answer_s in judge.answers_s:
        w = windows_of("event_type", judge.labels, judge.geometry, archive, take, answer_s)
        p = probabilities(judge, archive, w, answer_s)
        label = np.array(judge.labels)[w.label]
        source = np.array([records[i].source for i in w.record])
        kind = np.array([records[i].kind for i in w.record])
        group = np.array([records[i].group for i in w.record])
        for name in sorted(set(source)):
            here = source == name
            for what in judge.labels:
                part = here & (label == what)
                if part.any():
                    right = np.array(judge.labels)[p[part].argmax(1)] == what
                    yield name, what, answer_s, estimate(group[part], share(right), DRAWS)
            part = here & (label != NOISE) & np.isin(kind, ("tectonic", "blast"))
            tectonic = kind[part] == "tectonic"
            if min(tectonic.sum(), (~tectonic).sum()) >= LEAST_BLASTS:
                score = p[part][:, 0] / (p[part][:, 0] + p[part][:, 1])
                yield name, "AUC earthquake, blast", answer_s, estimate(group[part], area(tectonic, score), DRAWS)


def lines_of(rows: Iterator[tuple[str, str, float, Estimate]], what: str) -> Iterator[str]:
    """A table in Markdown: one line for each source and figure, a column for each answer length."""
    cells: dict[tuple[str, str], dict[float, Estimate]] = {}
    for source, figure, answer_s, value in rows:
        cells.setdefault((source, figure), {})[answer_s] = value
    answers = sorted({a for row in cells.values() for a in row})
    yield f"\n### {what}\n"
    yield "| source | figure | " + " | ".join(f"{a:g} s" for a in answers) + " | records | events |"
    yield "| --- " * (len(answers) + 4) + "|"
    for (source, figure), row in cells.items():
        values = [_text(row[a]) if a in row else "" for a in answers]
        most = max(row.values(), key=lambda e: e.n_records)
        yield f"| {source} | {figure} | {' | '.join(values)} | {most.n_records} | {most.n_groups} |"


def _text(e: Estimate) -> str:
    sure = e.n_groups >= 3 and np.isfinite(e.low)
    return f"{e.value:.2f} ({e.low:.2f} to {e.high:.2f})" if sure else f"{e.value:.2f}"


def unseen_by(model: str) -> tuple[Judge, RecordFilter]:
    """A model file, and a filter for the training records of the data whose event its card does not name."""
    subject = subject_from(model, torch.device("cpu"))
    judge = Judge(
        lambda x, valid: np.asarray(subject.network(x, valid), dtype=np.float64),
        subject.geometry, subject.labels, subject.answers_s,
    )  # fmt: skip
    hashes = subject.event_hashes or frozenset()
    return judge, lambda r: r.split == "train" and not (r.key and event_hash(r.key) in hashes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[], metavar="SOURCE,…")
    parser.add_argument("--recipe", default="event-type")
    parser.add_argument("--model", default="", help="a model file, or the name of a bundled one")
    parser.add_argument("--mix", action="append", default=[], metavar="NAME=SHARE", help="as of seisedge train")
    parser.add_argument("--steps", type=int, default=0, help="default: those of the recipe")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides: dict[str, Any] = {"optimisation.steps": arguments.steps} if arguments.steps else {}
    if arguments.mix:
        shares = (text.rpartition("=") for text in arguments.mix)
        overrides["data.mix"] = {name: float(share) for name, _, share in shares}
    recipe = load_recipe(arguments.recipe, overrides)
    geometry = create_model(recipe.model, **recipe.arguments).geometry
    archive = load_archive(arguments.data, geometry.rate_hz, recipe.data.pass_hz)

    def measured(judge: Judge, held: RecordFilter, what: str) -> None:
        print("\n".join(lines_of(rows_of(judge, archive, held), what)), flush=True)

    if arguments.model:
        measured(*unseen_by(arguments.model), arguments.model)
    for text in arguments.without:
        left_out = set(text.split(","))

        def chosen(r: Record, left_out: set[str] = left_out) -> bool:
            return r.split == "train" and r.fold != 0 and r.source not in left_out

        def held(r: Record, chosen: RecordFilter = chosen) -> bool:
            return r.split == "train" and not chosen(r)

        judge = trained_judge(recipe, archive, chosen, arguments.seed)
        measured(judge, held, f"without {text}")


if __name__ == "__main__":
    main()

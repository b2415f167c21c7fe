"""Figures on events never trained on: counts, intervals over events, and the simple things beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisedge.runtime.card import Metric
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.task import Chosen
from seisedge.train.evaluation import metrics
from seisedge.train.evaluation.baselines import design, event_weight, fit_predict, measure
from seisedge.train.evaluation.bootstrap import Floats, estimate
from seisedge.train.evaluation.predict import (
    Windows,
    facts,
    gains_of,
    magnitude_from_bins,
    predict,
    probabilities_of,
    windows_of,
)
from seisedge.train.fit.loop import Trained
from seisedge.train.models._base import MagnitudeModel
from seisedge.train.recipes.recipe import Recipe

Bool = npt.NDArray[np.bool_]
Facts = dict[str, npt.NDArray[Any]]
MIN_RECORDS = 3  # a figure on fewer is not given


@dataclass
class Answers:
    """Probabilities of one answer length on a set of windows, and the facts of the windows."""

    answer_s: float
    vertical: bool
    windows: Windows
    raw: Tensor
    probabilities: Floats
    facts: Facts = field(default_factory=dict)


def answers_of(
    recipe: Recipe, trained: Trained, archive: Archive, chosen: Chosen, device: torch.device
) -> Iterator[Answers]:
    """At each answer length of the recipe: as recorded, and with the vertical alone."""
    model = trained.model
    cutter = WindowCutter(archive, model.geometry, device)
    for answer_s in recipe.nuisance.answers_s:
        windows = windows_of(recipe, model, archive, chosen, answer_s)
        for vertical in (False, True):
            draw = windows.draw(model.geometry, answer_s, vertical)
            raw = predict(model, archive, cutter, draw, trained.station_term)
            p = probabilities_of(model, raw)
            yield Answers(answer_s, vertical, windows, raw, p, facts(archive, windows))


class Table:
    """Collects metrics; a figure on too few records is left out."""

    def __init__(self, draws: int = 1000) -> None:
        self.rows: list[Metric] = []
        self.draws = draws

    def add(
        self,
        name: str,
        subset: str,
        which: Bool,
        group: npt.NDArray[Any],
        statistic: Callable[[Bool, Floats], Floats],
        baseline: str = "",
    ) -> None:
        """`statistic` takes the selection, and weights (k, n) of the selected records, and gives (k,)."""
        if int(which.sum()) < MIN_RECORDS:
            return
        e = estimate(group[which], lambda w: statistic(which, w), draws=self.draws)
        if not np.isfinite(e.value):
            return
        self.rows.append(
            Metric(
                name=name,
                value=round(e.value, 4),
                low=round(e.low, 4) if np.isfinite(e.low) else None,
                high=round(e.high, 4) if np.isfinite(e.high) else None,
                n_events=e.n_groups,
                n_records=e.n_records,
                subset=subset,
                baseline=baseline,
            )
        )


def mean_of(values: Floats) -> Callable[[Bool, Floats], Floats]:
    """Statistic: weighted mean."""
    return lambda which, w: metrics.mean(w, values[which])


def sd_of(values: Floats) -> Callable[[Bool, Floats], Floats]:
    """Statistic: weighted standard deviation."""
    return lambda which, w: metrics.sd(w, values[which])


def calibration_of(p: Floats, hit: Floats) -> Callable[[Bool, Floats], Floats]:
    """Statistic: expected calibration error over bins of the largest probability."""
    return lambda which, w: metrics.calibration_error(w, p[which].max(1), hit[which])


def type_table(labels: list[str], answers: list[Answers], train_label: npt.NDArray[np.int64], draws: int) -> Table:
    """Of an event type model. train_label: labels of the training windows, for the commonest class."""
    table = Table(draws)
    commonest = int(np.bincount(train_label, minlength=len(labels)).argmax())
    for a in answers:
        f, label = a.facts, a.windows.label
        hit = (a.probabilities.argmax(1) == label).astype(np.float64)
        at = f"{a.answer_s:g} s" + (", vertical only" if a.vertical else "")
        noise = label == 2
        seen = f["visible"] | noise
        group = f["group"]
        if not a.vertical:
            table.add("accuracy", f"{at}, signal visible", seen, group, mean_of(hit))
            table.add("accuracy", f"{at}, all", np.ones(len(label), bool), group, mean_of(hit))
            guess = (label == commonest).astype(np.float64)
            table.add("accuracy", f"{at}, signal visible", seen, group, mean_of(guess), "commonest class")
        kinds = {"tectonic": label == 0, "blasts": (label == 1) & (f["kind"] == "blast")}
        kinds |= {"mass movements": (label == 1) & (f["kind"] == "mass movement"), "noise": noise}
        for kind, which in kinds.items():
            if a.vertical and kind == "blasts":
                continue  # the same as above: they are vertical anyway
            subset = which & f["three"] if a.vertical else which
            note = " of three-component records" if a.vertical else ""
            table.add("recall", f"{at}, {kind}{note}, signal visible", subset & seen, group, mean_of(hit))
            if not a.vertical and not noise[which].all():
                table.add("recall", f"{at}, {kind}, all", subset, group, mean_of(hit))
        if a.vertical:
            continue
        within = (f["source"] == "pnw") & seen
        table.add("accuracy", f"{at}, within pnw, signal visible", within, group, mean_of(hit))
        table.add("accuracy", f"{at}, recorded as vertical only", seen & ~f["three"].astype(bool), group, mean_of(hit))
        surprise = -np.log(np.clip(a.probabilities[np.arange(len(label)), label], 1e-9, 1))
        table.add("log loss", f"{at}, signal visible", seen, group, mean_of(surprise))
        table.add("calibration error", f"{at}, signal visible", seen, group, calibration_of(a.probabilities, hit))
        for kind, k in (("tectonic", 0), ("blasts", 1)):
            events = event_hits(a, kinds[kind] & seen, k)
            everything = np.ones(len(events), bool)
            table.add("event recall", f"{at}, {kind}", everything, np.arange(len(events)), mean_of(events))
    return table


def event_hits(a: Answers, which: Bool, label: int) -> Floats:
    """1 an event whose mean log probability over its records is largest at `label`."""
    events = a.facts["event"][which]
    logs = np.log(np.clip(a.probabilities[which], 1e-9, 1))
    return np.array([float(logs[events == e].mean(0).argmax() == label) for e in np.unique(events)])


def magnitude_table(
    model: MagnitudeModel, answers: list[Answers], trained: Trained, archive: Archive, fit: Windows, draws: int
) -> Table:
    """Of a magnitude model. fit: training windows for the baselines."""
    table = Table(draws)
    train = facts(archive, fit)
    median = float(np.median(train["magnitude"]))
    train_gain = gains_of(archive, fit.record, trained.station_term).double().numpy()
    for a in answers:
        f, group = a.facts, a.facts["group"]
        known = np.array([g is not None for g in f["gain"]])
        fitted = np.array([s in trained.station_term for s in f["station"]])
        subsets = {
            "ridgecrest, gain known": (f["source"] == "ridgecrest") & known & f["visible"],
            "pnw, gain known": (f["source"] == "pnw") & known & f["visible"],
            "pnw, station term of training": (f["source"] == "pnw") & ~known & fitted & f["visible"],
            "all": f["visible"] & (known | fitted),
        }
        ours = magnitude_from_bins(a.probabilities, model.edges)
        guesses = {"": ours, "median magnitude": np.full(len(ours), median)}
        if not a.vertical:
            gain = gains_of(archive, a.windows.record, trained.station_term).double().numpy()
            m = measure(archive, a.windows.record, gain, a.answer_s)
            t = measure(archive, fit.record, train_gain, a.answer_s)
            weight = event_weight(train["event"])
            for name, distance, duration in (
                ("log amplitude + duration", False, True),
                ("log amplitude + log distance", True, False),
            ):
                x, y = design(t, distance, duration), design(m, distance, duration)
                guesses[name] = fit_predict(x, train["magnitude"], weight, y)
                near = train["source"] == "ridgecrest"
                if near.sum() > 10:
                    local = fit_predict(x[near], train["magnitude"][near], weight[near], y)
                    guesses[f"{name}, fitted on ridgecrest"] = local
        at = f"{a.answer_s:g} s" + (", vertical only" if a.vertical else "")
        for subset, which in subsets.items():
            for baseline, guess in guesses.items():
                if ("fitted on ridgecrest" in baseline) != (subset.startswith("ridgecrest") and "fitted" in baseline):
                    continue
                error = guess - f["magnitude"]
                good = which & np.isfinite(error)
                where = f"{at}, {subset}"
                table.add("sd", where, good, group, sd_of(error), baseline)
                table.add("bias", where, good, group, mean_of(error), baseline)
                for limit in (0.2, 0.3):
                    inside = (np.abs(error) <= limit).astype(np.float64)
                    table.add(f"within ±{limit}", where, good, group, mean_of(inside), baseline)
        if not a.vertical:
            every = subsets["all"]
            index = model.bin_of(f["magnitude"])
            hit = (a.probabilities.argmax(1) == index).astype(np.float64)
            table.add("bin accuracy", f"{at}, all", every, group, mean_of(hit))
            cumulative = a.probabilities.cumsum(1)
            low, high = (cumulative < 0.05).sum(1), (cumulative < 0.95).sum(1)
            covered = ((index >= low) & (index <= high)).astype(np.float64)
            table.add("90 % interval covers", f"{at}, all", every, group, mean_of(covered))
    return table


def markdown(rows: list[Metric], heading: str) -> str:
    """The metrics as a table."""
    lines = [f"# {heading}", "", "| on | what | model or baseline | value | 95 % interval | records | events |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for m in rows:
        span = f"{m.low:.3g} to {m.high:.3g}" if m.low is not None and m.high is not None else ""
        who = m.baseline or "model"
        lines.append(f"| {m.subset} | {m.name} | {who} | {m.value:.3g} | {span} | {m.n_records} | {m.n_events} |")
    return "\n".join(lines) + "\n"

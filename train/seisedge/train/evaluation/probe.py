"""Tests whether nuisance parameters reveal the class: `seisedge dataset check DIR --recipe RECIPE`.

Windows are drawn as in training. Classifiers that use only one nuisance parameter are fitted on one half and tested on
the other. For a parameter with few values the classifier is a table: the most frequent class for each value, which no
other classifier can beat. For the band edge it is a logistic regression on the power above 15.5 Hz that reaches the
network (after its filterbank, if it has one), which is the only place where the sampling rate could be visible.

Components, mask length, both together, and band edge must not beat the prior. Source and rate do with these data, and
this is reported. They are no input of a network, but a network may recognise a region.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seisedge.train.archive.archive import Archive, load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.mixture import with_sources
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.task import sampler_of, wanted_of
from seisedge.train.evaluation.baselines import fit_logistic
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.models.filterbank import EDGE_HZ, Filterbank
from seisedge.train.models.frontend import TypeFrontEnd
from seisedge.train.recipes.recipe import Recipe, load_recipe

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """Accuracy of a probe on the test half, accuracy of the prior, and standard error of the difference."""

    sees: str
    accuracy: float
    prior: float
    error: float

    @property
    def beats_prior(self) -> bool:
        """More than three standard errors above the prior."""
        return self.accuracy > self.prior + 3 * self.error


def table_accuracy(cell: Ints, label: Ints) -> float:
    """Accuracy on the second half of the most frequent class of each cell in the first half."""
    half = len(label) // 2
    n_labels = int(label.max()) + 1
    overall = np.bincount(label[:half], minlength=n_labels)
    votes = np.zeros((int(cell.max()) + 1, n_labels))
    np.add.at(votes, (cell[:half], label[:half]), 1)
    guess = np.where(votes.sum(1) > 0, votes.argmax(1), overall.argmax())
    return float((guess[cell[half:]] == label[half:]).mean())


def logistic_accuracy(x: Floats, label: Ints) -> float:
    """Accuracy on the second half of a multinomial logistic regression fitted on the first; columns standardised."""
    half = len(label) // 2
    z = (x - x[:half].mean(0)) / np.maximum(x[:half].std(0), 1e-9)
    z = np.concatenate([np.ones((len(z), 1)), z], axis=1)
    beta = fit_logistic(z[:half], label[:half], int(label.max()) + 1, np.ones(half), ridge=1e-6)
    return float(((z[half:] @ beta).argmax(1) == label[half:]).mean())


def edge_power(model: Model, x: torch.Tensor, valid: torch.Tensor) -> Floats:
    """(batch, 2): log10 share of the power of a component above EDGE_HZ, and above 17 Hz, in the
    output of the front end. Shares below 0.001 count as 0.001; a network cannot learn from less.
    """
    if not isinstance(model.front, TypeFrontEnd):
        raise TypeError("the probe is for event type models")
    with torch.no_grad():
        z, mask = model.front(x, valid)
        z = (z * mask)[torch.arange(len(z)), valid.amax(-1).argmax(1)][:, None]  # a component with samples
        spectrum = torch.fft.rfft(z * torch.hann_window(z.shape[-1]))
        f = torch.fft.rfftfreq(z.shape[-1], 1 / model.geometry.rate_hz)
        bank = getattr(model, "bank", None)

        def power(least_hz: float) -> torch.Tensor:
            part: torch.Tensor = torch.fft.irfft(spectrum * (f > least_hz), n=z.shape[-1])
            if not isinstance(bank, Filterbank):
                return part.square().sum((1, 2))
            through: torch.Tensor = bank.power(part).sum((1, 2, 3))
            return through

        total = power(-1.0).clamp(min=1e-12)
        shares = [(power(edge) / total).clamp(min=1e-3) for edge in (EDGE_HZ, 17.0)]
        return torch.stack(shares, dim=1).log10().double().numpy()


def labelled(model: Model, archive: Archive, draw: Draw) -> tuple[Draw, Ints]:
    """The windows with a label, and their labels; for a magnitude model the third of the magnitudes it is in."""
    if model.task == "event_type":
        return draw, draw.label
    magnitude = np.array([np.nan if (m := archive.records[i].magnitude) is None else m for i in draw.record])
    known = np.isfinite(magnitude)
    borders = np.quantile(magnitude[known], (1 / 3, 2 / 3))
    part = Draw(**{f.name: getattr(draw, f.name)[known] for f in dataclasses.fields(draw)})
    return part, np.searchsorted(borders, magnitude[known]).astype(np.int64)


def probe(recipe: Recipe, archive: Archive, draws: int = 6000, edge_draws: int = 1500, seed: int = 5) -> list[Finding]:
    """All findings for the windows drawn by the sampler of a recipe."""
    model = create_model(recipe.model, **recipe.arguments)
    sampler = sampler_of(recipe, model, archive, lambda r: r.split == "train", seed)
    draw, label = labelled(model, archive, sampler.draw(draws))
    draws = len(label)
    has_edge = isinstance(model.front, TypeFrontEnd)
    cutter = WindowCutter(archive, model.geometry, torch.device("cpu"))
    lengths, edges = [], []
    for first in range(0, draws, 250):
        part = Draw(**{f.name: getattr(draw, f.name)[first : first + 250] for f in dataclasses.fields(draw)})
        x, valid = cutter.cut(part)
        lengths.append((valid.sum(-1) / model.geometry.rate_hz).numpy())
        if has_edge and first < edge_draws:
            edges.append(edge_power(model, x, valid))
    arrived = np.concatenate(lengths)  # (draws, 3): seconds of valid samples per component
    keep = draw.keep @ np.array([1, 2, 4])
    seconds = np.round(arrived.max(1) / 2.0).astype(np.int64)
    source = np.unique([archive.records[i].source for i in draw.record], return_inverse=True)[1]
    rate = np.unique([archive.records[i].rate_hz for i in draw.record], return_inverse=True)[1]
    prior, error = _prior(label)
    found = [
        Finding("components", table_accuracy(keep, label), prior, error),
        Finding("mask length", table_accuracy(seconds, label), prior, error),
        Finding("components and mask length", table_accuracy(keep * 1000 + seconds, label), prior, error),
    ]
    if edges:
        edge, edge_label = np.concatenate(edges), label[: sum(map(len, edges))]
        found.append(Finding("band edge", logistic_accuracy(edge, edge_label), *_prior(edge_label)))
    found.append(Finding("source (not given)", table_accuracy(source, label), prior, error))
    vertical = ~draw.keep[:, 1:].any(1)
    if vertical.sum() > 100:
        part_prior = float((label[vertical] == np.bincount(label[vertical]).argmax()).mean())
        found.append(
            Finding(
                "source, vertical only (not given)",
                table_accuracy(source[vertical], label[vertical]),
                part_prior,
                error,
            )
        )
    found.append(Finding("rate (not given)", table_accuracy(rate, label), prior, error))
    return found


def _prior(label: Ints) -> tuple[float, float]:
    """Accuracy of the most frequent label of the first half on the second half, and the error of a difference to it."""
    half = len(label) // 2
    prior = float((label[half:] == np.bincount(label[:half]).argmax()).mean())
    return prior, float(np.sqrt(prior * (1 - prior) / half) * np.sqrt(2))


def probe_folders(name: str, folders: Sequence[Path]) -> list[Finding]:
    """All findings for the windows that a recipe draws from folders. Raises InputError."""
    recipe = load_recipe(name)
    model = create_model(recipe.model, **recipe.arguments)
    archive = load_archive(
        folders, model.geometry.rate_hz, recipe.data.pass_hz, split=recipe.data.split, wanted=wanted_of(recipe, model)
    )
    recipe, _ = with_sources(recipe, archive)
    return probe(recipe, archive)


def text_from_findings(name: str, findings: Sequence[Finding]) -> str:
    """The findings as text."""
    what = "the label (for magnitudes: low, middle or high)"
    lines = [f"Accuracy of {what} guessed from nuisance parameters, on test windows of recipe {name}"]
    for f in findings:
        verdict = "beats the prior" if f.beats_prior else "no better than the prior"
        lines.append(f"  {f.sees:34} {f.accuracy:4.0%}, prior {f.prior:.0%} ± {f.error:.1%}: {verdict}")
    return "\n".join(lines)

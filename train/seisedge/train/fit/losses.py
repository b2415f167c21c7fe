"""Losses of a classifier. Each takes logits (batch, labels) and true labels (batch,) and returns losses (batch,)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from seisedge.runtime.errors import InputError

Criterion = Callable[[Tensor, Tensor], Tensor]

ORDERED = ("ordinal",)  # losses that need ordered labels, as magnitude bins are


def cross_entropy(smoothing: float) -> Criterion:
    """smoothing: share of the target spread over all labels."""
    return lambda logits, label: F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)


def weighted_cross_entropy(weight: Tensor, smoothing: float) -> Criterion:
    """weight: (labels,); the loss of a window is multiplied by the weight of its true label."""

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        plain = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
        return plain * weight.to(logits.device)[label]

    return loss


def focal(gamma: float, smoothing: float) -> Criterion:
    """Cross-entropy times (1 - p)^gamma, p of the true label (Lin et al. 2017, https://arxiv.org/abs/1708.02002)."""

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        plain = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
        p = torch.softmax(logits, -1).gather(1, label[:, None])[:, 0]
        return (1 - p).clamp(min=0).pow(gamma) * plain

    return loss


def ordinal(logits: Tensor, label: Tensor) -> Tensor:
    """Mean over the edges between labels of the log loss of "is the label above this edge?"; a distant label costs more
    than a near one.

    The logarithmic form of the ranked probability score (Epstein 1969, A scoring system for probability forecasts of
    ranked categories).
    """
    log_p = torch.log_softmax(logits, -1)
    below = torch.logcumsumexp(log_p, -1)[:, :-1]  # log P(label <= edge)
    above = torch.logcumsumexp(log_p.flip(-1), -1).flip(-1)[:, 1:]
    edge = torch.arange(logits.shape[-1] - 1, device=logits.device)
    return -torch.where(label[:, None] > edge, above, below).mean(-1)


def criterion_from(name: str, ordered: bool, weight: Tensor | None, smoothing: float, gamma: float) -> Criterion:
    """The loss with the name used in a recipe. ordered: whether the labels have an order. Raises InputError."""
    if name in ORDERED and not ordered:
        raise InputError(
            f"optimisation.loss '{name}' needs ordered labels (magnitude bins); event types have no order; "
            f"use cross-entropy, weighted or focal"
        )
    if name == "weighted":
        if weight is None:
            raise InputError("optimisation.loss 'weighted' needs one weight for each label")
        return weighted_cross_entropy(weight, smoothing)
    if name == "focal":
        return focal(gamma, smoothing)
    return ordinal if name == "ordinal" else cross_entropy(smoothing)


def balanced_weight(counts: Tensor) -> Tensor:
    """(labels,): proportional to 1 / count, with mean 1 over the counted windows; counts: (labels,)."""
    seen = counts.clamp(min=1)
    weight = torch.where(counts > 0, 1.0 / seen, 0.0)
    total: Tensor = weight * counts.sum() / (weight * counts).sum()
    return total

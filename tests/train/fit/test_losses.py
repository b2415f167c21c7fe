"""Losses on cases computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from seisedge.runtime.errors import InputError
from seisedge.train.fit.losses import balanced_weight, criterion_from

LOGITS = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
LABEL = torch.tensor([0, 1])


def loss(name: str, weight: torch.Tensor | None = None, smoothing: float = 0.0, gamma: float = 2.0) -> list[float]:
    values: list[float] = criterion_from(name, True, weight, smoothing, gamma)(LOGITS, LABEL).tolist()
    return values


def test_losses_computed_by_hand() -> None:
    assert loss("cross-entropy") == pytest.approx([-math.log(0.7), -math.log(0.1)])
    assert loss("weighted", torch.tensor([1.0, 3.0, 1.0])) == pytest.approx([-math.log(0.7), -3 * math.log(0.1)])
    assert loss("focal") == pytest.approx([-(0.3**2) * math.log(0.7), -(0.9**2) * math.log(0.1)])
    assert loss("focal", gamma=0.0) == pytest.approx(loss("cross-entropy"))
    edges = [(-math.log(0.7) - math.log(0.9)) / 2, (-math.log(0.9) - math.log(0.2)) / 2]
    assert loss("ordinal") == pytest.approx(edges)
    uniform = -sum(math.log(p) for p in (0.7, 0.2, 0.1)) / 3
    assert loss("cross-entropy", smoothing=0.1)[0] == pytest.approx(0.9 * -math.log(0.7) + 0.1 * uniform)


def test_ordinal_loss_grows_with_the_distance_of_labels_and_cross_entropy_does_not() -> None:
    logits = torch.full((2, 10), -5.0)
    logits[0, 4], logits[1, 9] = 5.0, 5.0
    label = torch.tensor([3, 3])
    near, far = criterion_from("ordinal", True, None, 0, 0)(logits, label)
    assert float(far) > 4 * float(near)
    near, far = criterion_from("cross-entropy", True, None, 0, 0)(logits, label)
    assert float(far) == pytest.approx(float(near))


def test_ordinal_has_a_gradient_for_a_distant_answer() -> None:
    logits = torch.zeros(1, 32)
    logits[0, 31] = 60.0
    logits.requires_grad_(True)
    criterion_from("ordinal", True, None, 0, 0)(logits, torch.tensor([0])).sum().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert float(logits.grad[0, 31]) > 0.5


def test_weights_are_inverse_to_counts_with_mean_one() -> None:
    weight = balanced_weight(torch.tensor([100.0, 25.0, 0.0]))
    assert float(weight[1] / weight[0]) == pytest.approx(4)
    assert float((weight * torch.tensor([100.0, 25.0, 0.0])).sum()) == pytest.approx(125)
    assert float(weight[2]) == 0


def test_ordinal_loss_on_event_types_is_an_error() -> None:
    with pytest.raises(InputError, match="needs ordered labels"):
        criterion_from("ordinal", False, None, 0, 0)

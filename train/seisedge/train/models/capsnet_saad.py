"""CapsNet [1] of paper B: O. M. Saad, M. S. Soliman, Y. Chen, A. A. Amin and H. E. Abdelhafiez (2022), Discriminating
earthquakes from quarry blasts using capsule neural network, IEEE Geosci. Remote Sens. Lett. 19, 8029605; after Sabour,
Frosst and Hinton 2017, Dynamic routing between capsules, https://arxiv.org/abs/1710.09829.

A capsule is a vector: its direction describes what it detects, its length is the probability that this is present. With
the input capsules u_i, the matrices W_ij and the coupling c_ij = softmax_j(b_ij):

    û_ij = W_ij u_i,   s_j = Σ_i c_ij û_ij,   v_j = squash(s_j) = s_j |s_j| / (1 + |s_j|²),   b_ij ← b_ij + û_ij · v_j

b starts at 0, and the last three steps are repeated: agreement of û_ij with v_j raises the coupling.

| layer | kernel | stride | filters | samples |
|---|---|---|---|---|
| convolution 1 to 3, each with ReLU | 9 | 4 | 16, 24, 32 | 2500, 625, 157 |
| primary capsules: convolution, squash | 9 | 4 | 4 types of 8 | 40 |
| class capsules, 3 iterations of routing | | | n_classes of 8 | |

The output here is log |s_j|², the logit of the length |v_j|, so that the losses of the other networks can be used; the
cited papers use a margin loss and a decoder. The widths are not open: these have 40.7 K parameters, and paper B states
40.32 K.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import StandardisedModel, convolution

WIDTHS = (16, 24, 32)
TYPES, SIZE, POSITIONS, ITERATIONS = 4, 8, 40, 3
TINY = 1e-9


def squash(s: Tensor) -> Tensor:
    """(…, size): the same direction, length |s|² / (1 + |s|²)."""
    square = s.square().sum(-1, keepdim=True)
    return s * ((square + TINY).sqrt() / (1 + square))


class ClassCapsules(nn.Module):
    """Routing by agreement from TYPES · POSITIONS capsules to one for each class."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.matrices = nn.Parameter(torch.empty(TYPES * POSITIONS, n_classes, SIZE, SIZE))
        nn.init.normal_(self.matrices, std=0.1)

    def forward(self, u: Tensor) -> Tensor:
        """u: (batch, inputs, SIZE) → log |s|² (batch, n_classes)."""
        votes = (self.matrices * u[:, :, None, None]).sum(-1)  # (batch, inputs, n_classes, SIZE)
        agreement = votes.new_zeros(votes.shape[:-1])
        for k in range(ITERATIONS):
            s = (torch.softmax(agreement, dim=-1)[..., None] * votes).sum(1)  # (batch, n_classes, SIZE)
            if k < ITERATIONS - 1:
                agreement = agreement + (votes * squash(s)[:, None]).sum(-1)
        return (s.square().sum(-1) + TINY).log()


class CapsuleNetwork(nn.Module):
    """Convolutions, primary capsules, class capsules."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*(convolution(a, b, 9, 4) for a, b in itertools.pairwise((3, *WIDTHS))))
        self.primary = nn.Conv1d(WIDTHS[-1], TYPES * SIZE, 9, 4, 4)
        self.classes = ClassCapsules(n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 10000) → (batch, n_classes)."""
        u = self.primary(self.stem(x)).unflatten(1, (TYPES, SIZE))  # (batch, TYPES, SIZE, POSITIONS)
        out: Tensor = self.classes(squash(u.transpose(2, 3).flatten(1, 2)))
        return out


class CapsNet(StandardisedModel):
    """A StandardisedModel whose last layer is that of the class capsules."""

    network: CapsuleNetwork

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes, CapsuleNetwork(n_classes))

    def last_layer(self) -> nn.Module:
        """The class capsules."""
        return self.network.classes


@register_model
def capsnet_saad(n_classes: int = 3) -> EventTypeModel:
    """CapsNet of Saad et al. (2022) on the waveform."""
    return CapsNet(n_classes)

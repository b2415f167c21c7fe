"""Statistics over valid samples only, so that the number of masked samples does not bias the input of a network."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

LOW = -1e4  # below any activation


def valid_mean(x: Tensor, mask: Tensor) -> Tensor:
    """x (batch, channels, n), zeros where mask (batch, 1, n) is 0 → (batch, channels, 1); 0 if no sample is valid."""
    return x.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1.0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """As `valid_mean`, but x may have any finite value where the mask is 0."""
    return valid_mean(x * mask, mask)


def fill_invalid_low(x: Tensor, mask: Tensor) -> Tensor:
    """x (batch, channels, n), zeros where mask (batch, 1, n) is 0 → x with values below any activation there."""
    return x + (mask - 1.0) * -LOW


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """The largest value; x and mask as for `masked_mean`."""
    largest = fill_invalid_low(x * mask, mask).amax(-1, keepdim=True)
    return largest * mask.amax(-1, keepdim=True)


def pool_mask(mask: Tensor, stride: int) -> Tensor:
    """The mask (batch, channels, n) at a stride: valid if any of the samples is; length ceil(n / stride)."""
    if stride == 1:
        return mask
    return F.max_pool1d(mask, stride, stride, ceil_mode=mask.shape[-1] % stride != 0)

"""Mixed precision: the network in bfloat16 by autocast, the front end always in float32."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn

from seisedge.runtime.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")
FLOAT32_PARTS = ("front", "bank", "p_over_s")  # attributes of a model that hold detrending, scaling and log power


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether to use bfloat16. auto: only on GPUs with hardware bfloat16; on most CPUs it is slower. Raises
    InputError.
    """
    if precision == "bf16":
        if device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise InputError(
                f"--precision bf16: {torch.cuda.get_device_name(device)} does not support bfloat16; use fp32"
            )
        return True
    return precision == "auto" and device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def autocast(bf16: bool, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context in which the objective is computed."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()


def keep_float32(model: nn.Module, device: torch.device) -> None:
    """Exclude the front end of a model from autocast, in place. Only for a model that is trained, not exported."""
    for name in FLOAT32_PARTS:
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            _wrap(part, device)


def _wrap(part: nn.Module, device: torch.device) -> None:
    inside = part.forward

    def forward(*arguments: Any) -> Any:
        with torch.autocast(device.type, enabled=False):
            return inside(*arguments)

    part.forward = forward

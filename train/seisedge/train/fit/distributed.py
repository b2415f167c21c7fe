"""Several processes that train one model: `torchrun --nproc-per-node 2 -m seisedge.cli train …`.

Each takes its rows of the same drawn batch, with the same random numbers, and the gradients are averaged: the batch
of a recipe is the batch of all processes together, and the losses are those of one process, to rounding. Batch norm
over the whole batch (SyncBatchNorm) there is on GPUs only; on CPUs a process would normalise by its own rows, so there
it must be frozen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seisedge.runtime.errors import InputError


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Writes and speaks for all."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """Which of the rows of a batch are this process's. Raises InputError where it does not divide."""
        if batch % self.size:
            raise InputError(
                f"optimisation.batch {batch} does not divide among {self.size} processes; choose a multiple of them"
            )
        own = batch // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def mean(self, value: Tensor) -> Tensor:
        """Over all processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value

    def from_first(self, value: float) -> float:
        """What the first process has, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return float(box[0])

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()


SINGLE_PROCESS = World()


def join_world(device: torch.device) -> tuple[World, torch.device]:
    """Join what torchrun started, if it did: this process's place and its device."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return SINGLE_PROCESS, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size()), device


def leave_world(world: World) -> None:
    """At the end of the program."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def has_live_batch_norm(module: nn.Module) -> bool:
    """Any batch norm that takes its statistics from the batch."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return any(m.training for m in norms)


def distributed_objective(objective: nn.Module, world: World, device: torch.device) -> nn.Module:
    """The objective with averaged gradients. Raises InputError for live batch norm on CPUs."""
    if world.size == 1:
        return objective
    if device.type == "cpu" and has_live_batch_norm(objective):
        raise InputError(
            "several processes on CPUs would each normalise by their own rows: freeze batch norm "
            "(--set optimisation.batch_norm=frozen), train in one process, or on GPUs"
        )
    gpu = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(objective, device_ids=gpu)


def synchronise_batch_norm(model: nn.Module, world: World, device: torch.device) -> None:
    """Batch norm over all processes' rows, in place, on GPUs."""
    if world.size > 1 and device.type == "cuda":
        for name, child in list(model.named_children()):
            whole = nn.SyncBatchNorm.convert_sync_batchnorm(child)  # type: ignore[no-untyped-call]  # torch has none
            setattr(model, name, whole)

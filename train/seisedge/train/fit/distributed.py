"""Several processes that train one model: `torchrun --nproc-per-node 2 -m seisedge.cli train …`.

All processes draw the same batch with the same random numbers, each computes its share of the rows, and the gradients
are averaged. Dropout draws one mask for the whole batch. The batch size of a recipe is the total over all processes,
and the losses equal those of one process except for rounding: about 1e-7 a step, which grows from step to step. Batch
norm over the whole batch (SyncBatchNorm) exists on GPUs only. On CPUs each process would normalise by its own rows, so
batch norm must be frozen there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seisedge.runtime.errors import InputError, SeisedgeError


@dataclass(frozen=True)
class World:
    """Rank of this process and number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """True for the one process that writes files and prints."""
        return self.rank == 0

    def rows(self, batch: int) -> slice:
        """The rows of a batch that this process computes. Raises InputError if the batch is not divisible by
        the size.
        """
        if batch % self.size:
            raise InputError(
                f"optimisation.batch {batch} is not divisible by the number of processes ({self.size}); use a multiple "
                f"of it"
            )
        own = batch // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def mean(self, value: Tensor) -> Tensor:
        """Mean of `value` over all processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value

    def from_first(self, value: float) -> float:
        """The value of the first process, in all processes."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return float(box[0])

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            dist.barrier()


SINGLE_PROCESS = World()


def join_world(device: torch.device) -> tuple[World, torch.device]:
    """Join the process group if torchrun started this process. Returns the world and the device to use."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return SINGLE_PROCESS, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size()), device


@contextlib.contextmanager
def reported_to_launcher(world: World) -> Iterator[None]:
    """Give an error to torchrun, which repeats it at the end of its own report."""
    try:
        yield
    except SeisedgeError as error:
        if world.size > 1:
            from torch.distributed.elastic.multiprocessing.errors import get_error_handler

            get_error_handler().record_exception(error)
        raise


def leave_world(world: World) -> None:
    """Leave the process group; call it at the end of the program."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def has_live_batch_norm(module: nn.Module) -> bool:
    """True if any batch norm takes its statistics from the batch."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return any(m.training for m in norms)


def distributed_objective(objective: nn.Module, world: World, device: torch.device) -> nn.Module:
    """The objective with gradients averaged over processes. Raises InputError for live batch norm on CPUs."""
    if world.size == 1:
        return objective
    if device.type == "cpu" and has_live_batch_norm(objective):
        raise InputError(
            "several processes on CPUs cannot share batch norm statistics: freeze batch norm "
            "(--set optimisation.batch_norm=frozen), train in one process, or train on GPUs"
        )
    gpu = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(objective, device_ids=gpu)


class SharedDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch, of which this process uses its rows.

    With the generators of all processes in the same state, the masks are those of one process (on CPUs).
    """

    def __init__(self, p: float, world: World) -> None:
        super().__init__(p)
        self.world = world

    def forward(self, x: Tensor) -> Tensor:
        """x: (rows of this process, ...)."""
        if not self.training or self.p == 0:
            return x
        whole = torch.empty((len(x) * self.world.size, *x.shape[1:]), dtype=x.dtype, device=x.device)
        keep = whole.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * keep[self.world.rows(len(whole))]


def share_dropout(model: nn.Module, world: World) -> None:
    """With several processes, replace dropout in place by SharedDropout."""
    if world.size == 1:
        return
    for name, child in list(model.named_children()):
        if type(child) is nn.Dropout:
            setattr(model, name, SharedDropout(child.p, world))
        else:
            share_dropout(child, world)


def synchronise_batch_norm(model: nn.Module, world: World, device: torch.device) -> None:
    """On GPUs, replace batch norm in place by SyncBatchNorm, which uses the rows of all processes."""
    if world.size > 1 and device.type == "cuda":
        for name, child in list(model.named_children()):
            whole = nn.SyncBatchNorm.convert_sync_batchnorm(child)  # type: ignore[no-untyped-call]  # torch does not annotate it
            setattr(model, name, whole)

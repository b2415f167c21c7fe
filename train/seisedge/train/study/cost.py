"""What a model costs: parameters, FLOPs and latency of one answer, and the time of a training step."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seisedge.runtime.machine import processor
from seisedge.train.models import create_model
from seisedge.train.models._base import MagnitudeModel, Model
from seisedge.train.recipes.recipe import Recipe
from seisedge.train.study.result import Cost

RUNS, LEAST_RUNS = 15, 3
ENOUGH_S = 0.5  # time spent on the runs of one model
LONG_S = 1.0
STEP_WINDOWS = 2  # in a measured training step on a CPU; on a GPU the batch of the recipe


def cost_of(recipe: Recipe, device: torch.device) -> Cost:
    """Measure the model of a recipe. A model whose picture shows catalogued times is measured without them."""
    arguments = recipe.arguments | ({"marks": "none"} if "marks" in recipe.arguments else {})
    model = create_model(recipe.model, **arguments).eval()
    with _one_thread():
        flops, latency_ms = _of_answer(model)
    parameters = sum(p.numel() for p in model.parameters())
    step_s = _step_s(model, recipe, device)
    return Cost(parameters, flops, round(latency_ms, 3), step_s, processor(), str(device))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _input(model: Model, windows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (windows, 3, model.geometry.n_samples)
    return (1000 * torch.randn(shape, generator=generator)).to(device), torch.ones(shape, device=device)


@torch.no_grad()
def _of_answer(model: Model) -> tuple[int, float]:
    """FLOPs and median latency in ms of one window: the processor time of its only thread."""
    x, valid = _input(model, 1, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model(x, valid)
    times: list[float] = []
    while len(times) < LEAST_RUNS or (len(times) < RUNS and sum(times) < ENOUGH_S):
        began = time.thread_time()  # other processes on the machine do not change it
        model(x, valid)
        times.append(time.thread_time() - began)
    return int(counter.get_total_flops()), 1000 * statistics.median(times)


def _step_s(model: Model, recipe: Recipe, device: torch.device) -> float:
    """Seconds of a training step for each window; on a CPU, processor time, which other processes do not change."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    windows = STEP_WINDOWS if device.type == "cpu" else recipe.optimisation.batch
    model = model.to(device).train()
    x, valid = _input(model, windows, device)
    spent = 0.0
    for _ in range(2):
        if spent > LONG_S:
            break  # the first one, a warm-up, tells enough
        began = clock()
        loss = _output(model, x, valid).float().square().mean()
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent = clock() - began
    return spent / windows


def _output(model: Model, x: Tensor, valid: Tensor) -> Tensor:
    if not isinstance(model, MagnitudeModel):
        return model.raw(x, valid)
    unknown = torch.zeros(len(x), device=x.device)
    return torch.stack(model.losses(x, valid, unknown + 1.0, unknown, unknown)[:1])

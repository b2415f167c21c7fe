"""Steps of `benchmarks/gpu.py` that need torch: peak rates, training as a share of them, inference."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from benchmarks.training import BATCH, records
from seisedge.train.fit.loop import train_step
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe

BATCHES = (1, 32, 512)
BACKWARD = 2  # times the operations of the forward pass


def per_call_s(work: Callable[[], object], device: torch.device, calls: int) -> float:
    """Mean seconds of a call after three; waits for the device."""
    for _ in range(3):
        work()
    wait(device)
    began = time.perf_counter()
    for _ in range(calls):
        work()
    wait(device)
    return (time.perf_counter() - began) / calls


def wait(device: torch.device) -> None:
    """Until all work on the device is complete."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak(device: torch.device, dry: bool) -> dict[str, float]:
    """Rates of a matrix product in TFLOP/s by precision, and of a copy in GB/s."""
    side, calls = (256, 3) if dry else (8192, 20)
    rates = {}
    for name, kind, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        rates[name] = 2 * side**3 / per_call_s(lambda a=a, b=b: a @ b, device, calls) / 1e12  # type: ignore[misc]
    source = torch.empty(2**20 if dry else 2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rates["copy"] = 2 * source.numel() / per_call_s(lambda: target.copy_(source), device, calls) / 1e9
    return rates


def flops_of(name: str, samples: int) -> int:
    """Operations of one window through a recipe's network, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    chosen = load_recipe(name)
    model = create_model(chosen.model, **chosen.arguments).eval()
    x = torch.randn(1, 3, samples)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.raw(x, torch.ones_like(x))
    return int(counter.get_total_flops())


def training(device: torch.device, dry: bool) -> None:
    """Windows per second at growing batches, and the share of the peak."""
    rates, samples = peak(device, dry), 1800
    flops = flops_of("event-type", samples)
    print(f"event-type: {flops / 1e6:.2f} MFLOP of products per window, {1 + BACKWARD} times that per training window")
    archive = records()
    for batch in (BATCH,) if dry else (BATCH, 256, 1024):
        changed = load_recipe("event-type", {"optimisation.batch": batch, "optimisation.steps": 100})
        stage = Stage(changed, archive, lambda r: r.split == "train", 1, device, None, None, Settings(), print)
        rate = batch / per_call_s(lambda stage=stage: train_step(stage), device, 1 if dry else 20)  # type: ignore[misc]
        share = rate * flops * (1 + BACKWARD) / rates["tf32"] / 1e12
        print(f"batch {batch:5}: {rate:12,.0f} windows/s, {share:.2%} of the measured peak (tf32)")


def inference(device: torch.device, dry: bool) -> None:
    """The networks of the shipped models by torch, and the shipped files by the engines that run here."""
    for name, samples in (("event-type", 1800), ("magnitude", 1400)):
        chosen = load_recipe(name)
        model = create_model(chosen.model, **chosen.arguments).eval().to(device)
        for batch in BATCHES[:1] if dry else BATCHES:
            x = torch.randn(batch, 3, samples, device=device)
            valid = torch.ones_like(x)
            with torch.no_grad():
                seconds = per_call_s(lambda m=model, x=x, v=valid: m.raw(x, v), device, 2 if dry else 100)  # type: ignore[misc]
            print(f"torch, {name}, batch {batch:4}: {seconds * 1e3:8.3f} ms, {batch / seconds:12,.0f} windows/s")
    engines(dry)


def engines(dry: bool) -> None:
    """Every engine for the shipped files; one that cannot run here says why."""
    import numpy as np

    from seisedge.runtime.engines import open_engine
    from seisedge.runtime.errors import SeisedgeError
    from seisedge.runtime.inference.infer import bundled_model

    for name in ("onnxruntime", "tensorrt", "tensorrt-rtx"):
        for task in ("event_type", "magnitude"):
            try:
                engine = open_engine(bundled_model(task), name, allow_fallback=False)
            except SeisedgeError as error:
                print(f"{name}, {task}: does not run here: {error}")
                continue
            x = np.zeros((1, 3, engine.card.n_samples), np.float32)
            seconds = per_call_s(lambda e=engine, x=x: e.infer(x, x), torch.device("cpu"), 2 if dry else 200)  # type: ignore[misc]
            print(f"{engine.name}, {task}, batch 1: {seconds * 1e3:8.3f} ms")


def main() -> None:
    """One step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["peak", "training", "inference"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dry", action="store_true")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.step == "peak":
        for name, rate in peak(device, arguments.dry).items():
            print(f"{name:10} {rate:10.2f} {'GB/s' if name == 'copy' else 'TFLOP/s'}")
    elif arguments.step == "training":
        training(device, arguments.dry)
    else:
        inference(device, arguments.dry)


if __name__ == "__main__":
    main()

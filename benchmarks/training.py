"""Training windows per second, compared with SeisBench's `generate` and a DataLoader, same records and network.

Same network (event-type), window (45 s at 40 Hz), batch, optimiser and kinds of augmentation: white noise, rotated
horizontals, a dead channel, a gap, each with the library's own module. SeisBench's data set is written at 40 Hz before
and is in its memory cache, so its time includes neither disk nor resampling. Each variant runs in a separate process,
in turn, three rounds, medians. `batches` only makes batches, `training` also trains the network. Processor time is that
of all processes of a variant. Memory is the peak of the main process; each worker needs about the same again.

Run from the repository: `python -m benchmarks.training [--device cuda]`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seisedge.runtime import machine
from seisedge.train.archive.archive import Archive, find_dataset, load_archive
from seisedge.train.fit.feed import WindowFeed
from seisedge.train.fit.loop import train_step
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import Recipe, load_recipe

BATCH = 64
WARM_UP, BATCHES = 3, 20
ROUNDS = 3
TABLES = [
    {"name": "white-noise", "share": 0.5, "snr_db": [30.0, 50.0]},
    {"name": "turn"},
    {"name": "dead-channel", "share": 0.25},
    {"name": "gap", "share": 0.2, "length_s": [0.2, 3.0]},
]
VARIANTS = {
    "seisedge": ("ours", 0),
    "SeisBench generate + DataLoader, no workers": ("theirs", 0),
    "SeisBench generate + DataLoader, 2 workers": ("theirs", 2),
}
NO_SEISBENCH = "SeisBench's rows are left out: pip install 'seisedge[bench]' brings it"


def recipe() -> Recipe:
    """event-type with the augmentations that both libraries have, windows about the onset only."""
    changes = {"augmentation": TABLES, "optimisation.batch": BATCH, "optimisation.steps": WARM_UP + BATCHES}
    return load_recipe("event-type", changes | {"nuisance.continuous_share": 0.0, "nuisance.vertical_share": 0.0})


def records() -> Archive:
    """The bundled records at the recipe's rate."""
    return load_archive([find_dataset(Path.cwd())], 40.0, 15.0)


def usable(archive: Archive) -> list[int]:
    """Three components, an event, and room before its onset."""
    return [
        i for i, r in enumerate(archive.records)
        if r.split == "train" and r.three and r.kind != "noise" and r.onset >= 200
    ]  # fmt: skip


def write_for_seisbench(folder: Path) -> None:
    """Those records as a SeisBench data set, resampled already."""
    from seisbench.data import WaveformDataWriter

    archive = records()
    with WaveformDataWriter(folder / "metadata.csv", folder / "waveforms.hdf5") as writer:
        writer.data_format = {"dimension_order": "CW", "component_order": "ZNE", "sampling_rate": 40.0}
        for i in usable(archive):
            r = archive.records[i]
            facts = {"trace_name": r.name, "trace_p_arrival_sample": r.onset, "source_type": r.kind}
            writer.add_trace(facts, archive.waveform[i, :, : r.n_samples])


def our_batches(device: torch.device) -> tuple[Stage, Callable[[], object]]:
    """The stage and what makes one batch of it."""
    stage = Stage(recipe(), records(), lambda r: r.split == "train", 1, device, None, None, Settings(), print)

    feed = stage.feed
    assert isinstance(feed, WindowFeed)

    def batch() -> object:
        return feed.chain.waveform(*feed.cutter.cut(feed.sampler.draw(BATCH)))

    return stage, batch


def their_batches(folder: Path, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Waveforms (batch, 3, 1800) and labels, without end."""
    import seisbench.generate as sbg
    from seisbench.data import WaveformDataset
    from torch.utils.data import DataLoader

    class Label:
        """tectonic 0, others 1."""

        def __call__(self, state: dict[str, Any]) -> None:
            _, facts = state["X"]
            state["y"] = np.int64(facts["source_type"] != "tectonic"), None

    def sometimes(augmentation: object, share: float) -> object:
        return sbg.OneOf([augmentation, sbg.NullAugmentation()], [share, 1 - share])

    data = WaveformDataset(folder, sampling_rate=40, component_order="ZNE", cache="full")
    data.preload_waveforms()
    generator = sbg.GenericGenerator(data)
    generator.add_augmentations(
        [
            sbg.WindowAroundSample(["trace_p_arrival_sample"], 200, windowlen=1800, selection="first", strategy="pad"),
            sbg.ChangeDtype(np.float32),
            sometimes(sbg.GaussianNoise((0.003, 0.03)), 0.5),
            sbg.RotateHorizontalComponents(),
            sometimes(sbg.ChannelDropout(), 0.25),
            sometimes(sbg.AddGap(), 0.2),
            Label(),
        ]
    )
    loader = DataLoader(
        generator, BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    while True:
        for item in loader:
            yield item["X"].float(), item["y"]


def their_step(device: torch.device) -> Callable[[Tensor, Tensor], None]:
    """The same network, loss and optimiser, plainly."""
    r = recipe()
    model = create_model(r.model, **r.arguments).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=r.optimisation.rate, weight_decay=r.optimisation.weight_decay)

    def step(x: Tensor, label: Tensor) -> None:
        x, label = x.to(device), label.to(device)
        loss = F.cross_entropy(model.raw(x, (x != 0).float()), label, label_smoothing=r.optimisation.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()

    return step


@dataclass(frozen=True)
class Rate:
    """Windows per second of wall-clock time, and of processor time of all processes."""

    wall: float
    cpu: float


def timed(work: Callable[[], object], device: torch.device, count: int) -> Rate:
    """Of `count` calls, after WARM_UP."""
    for _ in range(WARM_UP):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    began, cpu = time.perf_counter(), cpu_s()
    for _ in range(count):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    windows = BATCH * count
    return Rate(windows / (time.perf_counter() - began), windows / (cpu_s() - cpu))


def cpu_s() -> float:
    """Processor time of this process and its workers."""
    total = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def run_variant(kind: str, workers: int, folder: Path, device: torch.device, count: int) -> dict[str, float]:
    """Windows per second when making batches and when training; peak memory of this process, MiB."""
    torch.set_num_threads(1)
    if kind == "ours":
        stage, batch = our_batches(device)
        making, training = timed(batch, device, count), timed(lambda: train_step(stage), device, count)
    else:
        batches, step = their_batches(folder, workers), their_step(device)
        making = timed(lambda: next(batches), device, count)
        training = timed(lambda: step(*next(batches)), device, count)
    out = {"batches": making.wall, "batches_cpu": making.cpu, "training": training.wall, "training_cpu": training.cpu}
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device.type == "cuda":
        out["device_memory"] = torch.cuda.max_memory_allocated() / 2**20
    return out


def has_seisbench() -> bool:
    """True if SeisBench is installed."""
    try:
        version("seisbench")
    except PackageNotFoundError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each variant runs")
    parser.add_argument("--batches", type=int, default=BATCHES, help="batches that are timed in a round")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "WORKERS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, workers, folder = arguments.one
        print(
            json.dumps(run_variant(kind, int(workers), Path(folder), torch.device(arguments.device), arguments.batches))
        )
        return
    variants = VARIANTS if has_seisbench() else {"seisedge": VARIANTS["seisedge"]}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        if len(variants) > 1:
            write_for_seisbench(Path(folder))
        for _ in range(arguments.rounds):
            for name, (kind, workers) in variants.items():
                command = [sys.executable, "-m", "benchmarks.training", "--device", arguments.device]
                command += ["--batches", str(arguments.batches), "--one", kind, str(workers), folder]
                result = subprocess.run(command, capture_output=True, text=True, check=True)
                found[name].append(json.loads(result.stdout.splitlines()[-1]))
    names = ("seisedge", "torch", "numpy", *["seisbench"] * (len(variants) > 1))
    print(f"{machine.describe()}; {', '.join(f'{name} {version(name)}' for name in names)}")
    print(
        f"windows of 45 s at 40 Hz per second, batches of {BATCH}, on {arguments.device}, one torch thread per process;"
    )
    print(f"medians of {arguments.rounds} round(s) of {arguments.batches} batches, the variants in turn")
    keys = ("batches", "batches_cpu", "training", "training_cpu")
    print(f"{'':46}{'batches':>10}{'by CPU':>10}{'training':>10}{'by CPU':>10}{'peak MiB':>10}   speed ratio by CPU")
    medians = {name: {k: statistics.median(r[k] for r in rows) for k in rows[0]} for name, rows in found.items()}
    ours = medians["seisedge"]
    for name, row in medians.items():
        ratios = (f"{ours[k] / row[k]:.1f}x" for k in ("batches_cpu", "training_cpu"))
        ratio = "" if row is ours else f"   {' and '.join(ratios)}"
        print(f"{name:46}" + "".join(f"{row[k]:10,.0f}" for k in (*keys, "memory")) + ratio)
    if len(variants) == 1:
        print(NO_SEISBENCH)


if __name__ == "__main__":
    main()

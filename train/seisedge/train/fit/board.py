"""The log for TensorBoard, and as a picture of the loss; both only where what draws them is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

Rows = list[dict[str, float]]
Reporter = Callable[[str], None]


def write_board(folder: Path, logs: dict[str, Rows], report: Reporter) -> None:
    """Event files by name of the training; without the package `tensorboard` nothing, and it is said."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        report("no TensorBoard files: pip install 'seisedge[tensorboard]'; the same figures are in log.csv")
        return
    for name, rows in logs.items():
        with SummaryWriter(str(folder / name)) as writer:
            for row in rows:
                for key, value in row.items():
                    if key != "step" and math.isfinite(value):
                        writer.add_scalar(key, value, round(row["step"]))


def draw_curves(path: Path, logs: dict[str, Rows], title: str, score_name: str, report: Reporter) -> None:
    """Loss and score by epoch, trained on and left out; without matplotlib nothing, and it is said."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        report("no picture of the loss: pip install matplotlib")
        return
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, key, what in zip(axes, ("loss", "score"), ("loss", score_name), strict=True):
        for colour, (name, rows) in zip(("tab:blue", "tab:grey"), logs.items(), strict=False):
            axis.plot([r["epoch"] for r in rows], [r[key] for r in rows], color=colour, label=name)
            held = [(r["epoch"], r[f"held_{key}"]) for r in rows if math.isfinite(r[f"held_{key}"])]
            if held:
                axis.plot(*zip(*held, strict=True), "o-", ms=3, color="tab:red", label=f"{name}, records left out")
        axis.set(xlabel="epoch", ylabel=what)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)

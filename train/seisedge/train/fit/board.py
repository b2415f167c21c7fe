"""The training log as TensorBoard files and as a plot of the loss. Both are skipped if their package is missing."""

from __future__ import annotations

import io
import math
from pathlib import Path

from seisedge.runtime.files import write_atomically
from seisedge.runtime.machine import install_command
from seisedge.train.dataset.progress import Reporter

LEGEND = {"calibration": "first training, without the calibration fold", "training": "second training, all records"}
Rows = list[dict[str, float]]


def write_board(folder: Path, logs: dict[str, Rows], report: Reporter) -> None:
    """Write TensorBoard event files to folder/NAME for each log. Without the package `tensorboard`, only
    report that.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        report(
            f"no TensorBoard files: tensorboard is missing; {install_command('tensorboard')}; log.csv has the same "
            "values"
        )
        return
    for name, rows in logs.items():
        with SummaryWriter(str(folder / name)) as writer:
            for row in rows:
                for key, value in row.items():
                    if key != "step" and math.isfinite(value):
                        writer.add_scalar(key, value, round(row["step"]))


def draw_curves(path: Path, logs: dict[str, Rows], title: str, score_name: str, report: Reporter) -> None:
    """Plot loss and score by epoch, on training and held-out records. Without matplotlib, only report that."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        report(f"no plot of the loss: matplotlib is missing; {install_command('train')}")
        return
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, key, what in zip(axes, ("loss", "score"), ("loss", score_name), strict=True):
        for colour, (log, rows) in zip(("tab:blue", "tab:grey"), logs.items(), strict=False):
            name = LEGEND.get(log, log)
            axis.plot([r["epoch"] for r in rows], [r[key] for r in rows], color=colour, label=name)
            held = [(r["epoch"], r[f"held_{key}"]) for r in rows if math.isfinite(r[f"held_{key}"])]
            if held:
                axis.plot(*zip(*held, strict=True), "o-", ms=3, color="tab:red", label="calibration fold (held out)")
        axis.set(xlabel="epoch", ylabel=what)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120)
    write_atomically(path, picture.getvalue())

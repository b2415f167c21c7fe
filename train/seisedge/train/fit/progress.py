"""Progress of a training: one line that is overwritten on a terminal, successive lines otherwise."""

from __future__ import annotations

import math
import sys
from typing import TextIO

from seisedge.train.fit.stage import Stage

BAR = 20  # characters


def clock(seconds: float) -> str:
    """A duration in seconds as 0:07, 12:30 or 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def line_of(row: dict[str, float], name: str, steps: int, score_name: str, batch: int) -> str:
    """One row of the log as a line of text. The time left follows from the speed since the row before."""
    left = (steps - row["step"]) * batch / max(row["samples_s"], 1e-9)
    parts = [
        f"{name}: step {row['step']:.0f}/{steps} (epoch {row['epoch']:.1f})",
        f"loss {row['loss']:.4f}",
        f"{score_name} {row['score']:.3f}",
    ]
    if math.isfinite(row["held_loss"]):
        parts.append(f"held out: loss {row['held_loss']:.4f}, {score_name} {row['held_score']:.3f}")
    parts += [f"{row['samples_s']:.0f} samples/s", f"{clock(left)} left"]
    return ", ".join(parts)


class Progress:
    """Prints the progress of one training; call it with each row of the log."""

    def __init__(self, name: str, out: TextIO | None = None) -> None:
        self.name = name
        self.out = out if out is not None else sys.stdout

    def __call__(self, row: dict[str, float], stage: Stage) -> None:
        steps = stage.schedule.steps
        line = line_of(row, self.name, steps, stage.objective.score_name, stage.recipe.optimisation.batch)
        if self.out.isatty():
            done = round(BAR * row["step"] / steps)
            end = "\n" if row["step"] == steps or stage.schedule.decisions.stopped else ""
            self.out.write(f"\r\x1b[K[{'#' * done}{'.' * (BAR - done)}] {line}{end}")
        else:
            self.out.write(line + "\n")
        self.out.flush()

"""Options that several commands of the export share."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.export.gate import MIN_WINDOWS, POINTS
from seisedge.runtime.commands import FiniteRange
from seisedge.train.archive.default_data import folders_or_training_data

DATA_HELP = "Folder in SeisBench format with real records; may be repeated [default: the training data of the model]."

windows_option = click.option(
    "--windows",
    type=click.IntRange(MIN_WINDOWS),
    default=2_400,
    show_default=True,
    help="Held-out windows for the comparison.",
)


accept_option = click.option(
    "--accept-resolution",
    "accept_points",
    type=FiniteRange(POINTS, 100),
    metavar="POINTS",
    help=f"Accept a test of the score that resolves only POINTS, where the held-out events are too few for {POINTS:g}.",
)


def folders_of(data: tuple[str, ...], model: Path, data_sha256: str) -> list[Path]:
    """The given folders, by default those that `model` was trained on. Raises InputError."""
    return folders_or_training_data(data, model, data_sha256)

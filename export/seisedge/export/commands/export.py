"""`seisedge export`: from a run to the model file of a station."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from seisedge.export.commands._options import folders_of
from seisedge.export.exported import export_run
from seisedge.export.onnx import Array
from seisedge.export.stream_windows import stream_windows
from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.task import wanted_of
from seisedge.train.evaluation.predict import training_windows
from seisedge.train.fit.loop import UNKNOWN_GAIN
from seisedge.train.models._base import Model, OnsetModel
from seisedge.train.run_file import Run, load_run

EPILOG = """\b
Examples:
  seisedge export runs/event-type
  seisedge export runs/magnitude -o magnitude.onnx
"""


def real_windows(run: Run, model: Model, folders: list[Path], count: int) -> tuple[Array, Array]:
    """Stored windows for the parity check: waveform and valid (count, 3, n), spread over the answer lengths."""
    import torch

    wanted = wanted_of(run.recipe, model)
    archive = load_archive(folders, model.geometry.rate_hz, run.recipe.data.pass_hz, limit=8 * count, wanted=wanted)
    if isinstance(model, OnsetModel):
        return stream_windows(run, model, archive, count)
    cutter = WindowCutter(archive, model.geometry, torch.device("cpu"))
    waves, masks = [], []
    answers = run.recipe.nuisance.answers_s
    for answer_s in answers:
        windows = training_windows(run.recipe, model, archive, lambda _: True, answer_s)
        step = max(len(windows.record) * len(answers) // count, 1)
        x, valid = cutter.cut(
            windows.part(np.arange(len(windows.record)) % step == 0).draw(model.geometry, answer_s, False)
        )
        waves.append(x.numpy())
        masks.append(valid.numpy())
    wave, mask = np.concatenate(waves), np.concatenate(masks)
    if model.unit == "m/s":
        wave = wave / np.float32(UNKNOWN_GAIN)
    if not len(wave):
        raise InputError(
            "the data hold no window to compare torch and onnxruntime on; give other records with --data DIR"
        )
    return wave, mask


@click.command("export", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Model file [default: RUN/NAME.onnx].")
@overwrite_option
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="Folder with real records for the parity check [default: the training data of the run].",
)
@click.option(
    "--windows", default=64, show_default=True, type=click.IntRange(1), help="Number of windows for the parity check."
)
def command(run: Path, out: Path | None, overwrite: bool, data: tuple[str, ...], windows: int) -> None:
    """Write a training RUN as one .onnx file with its card, and compare it with torch on real windows."""
    loaded = load_run(run)
    folder = run if run.is_dir() else run.parent
    path = out or folder / f"{loaded.recipe.name}.onnx"
    protect_file(path, overwrite)
    exported = export_run(loaded)
    folders = folders_of(data, run, loaded.data_sha256)
    wave, mask = real_windows(loaded, exported.model, folders, windows)
    difference = exported.save(path, wave, mask)
    card = exported.card
    click.echo(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, {card.flops / 1e6:.1f} MFLOP an inference; "
        f"torch and onnxruntime agree within {difference:.1e} on {len(wave)} real windows"
    )
    if card.not_counted:
        click.echo(f"operators without a FLOP rule: {', '.join(card.not_counted)}")

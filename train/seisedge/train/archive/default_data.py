"""The data of commands that are given a run or a model file but no --data: the data that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB, read_up_to
from seisedge.runtime.paths import path_from_stored, text_from_path
from seisedge.train.archive.archive import find_dataset, fingerprint
from seisedge.train.dataset.benchmark import folders_from

FILE = "run.json"
# The folders in datasets/ of a clone that a bundled model is trained on; some need data that are not in a clone
BUNDLED = (
    (".",),  # earlier models
    (".", "onsets", "noise"),  # onset
)
PARTLY_IN_CLONE = ("event-type", "magnitude")


class _Stated(msgspec.Struct):
    """The part of RUN/run.json that names the data."""

    data: list[str]
    data_sha256: str = ""


def folders_or_training_data(
    data: Sequence[str | Path], model: Path, data_sha256: str, *, leaves_out_events: bool = False
) -> list[Path]:
    """The folders given with --data; without any, those that `model` was trained on.

    leaves_out_events: training events are recognised and left out, so that for a bundled model with training data that
    are not in a clone, datasets/ of the clone is used.

    model: a run folder, its checkpoint or a model file. data_sha256: fingerprint of its training data. The training
    data are the folders that run.json beside the model names, else those of the clone that a bundled model is
    trained on, if they have the fingerprint. Raises InputError if no folder is stated, or if the stated folders are
    missing or have changed.
    """
    if data:
        return folders_from(data)
    name = text_from_path(model)
    stated = _stated((model if model.is_dir() else model.parent) / FILE)
    if stated is None or stated.data_sha256 != data_sha256:
        return _of_clone(name, data_sha256, leaves_out_events and name in PARTLY_IN_CLONE)
    folders = [path_from_stored(folder) for folder in stated.data]
    listed = ", ".join(text_from_path(folder) for folder in folders)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"{name}: its training data, {text_from_path(folder)}, no longer exist; give --data DIR with their "
                "new place, or with other data"
            )
    if fingerprint(folders) != data_sha256:
        raise InputError(
            f"{name}: its training data, {listed}, have changed since the training; give --data "
            f"{' --data '.join(text_from_path(folder) for folder in folders)} to use them as they are now"
        )
    return folders


def _stated(file: Path) -> _Stated | None:
    """The content of run.json; None if there is no such file. Raises InputError."""
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(read_up_to(file, MIB), type=_Stated)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{text_from_path(file)}: cannot be read ({error}); give --data DIR") from error


def _of_clone(name: str, data_sha256: str, or_part: bool) -> list[Path]:
    """The folders of the clone that contains the current folder, if they have the fingerprint; else datasets/ if
    `or_part`. Raises InputError.
    """
    missing = InputError(f"{name}: the place of its training data is not known ({FILE} is missing); give --data DIR")
    try:
        root = find_dataset(Path.cwd())
    except InputError:
        raise missing from None
    for parts in BUNDLED:
        folders = [root / part for part in parts]
        if all((folder / "metadata.csv").is_file() for folder in folders) and fingerprint(folders) == data_sha256:
            return folders
    if or_part:
        return [root]
    raise missing

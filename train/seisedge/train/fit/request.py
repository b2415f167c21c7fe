"""The parameters of a run. RUN/run.json stores them from the start, so that the run can be resumed and repeated."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically
from seisedge.runtime.text import reason_of, shortened
from seisedge.train.archive.provenance import Provenance
from seisedge.train.checkpoint import tensors_from
from seisedge.train.recipes.recipe import Recipe

FILE = "run.json"
STATE = "state"  # folder with the data needed to resume a run; removed when the run is finished
WEIGHTS = "from.pt"  # file in that folder: the initial weights


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """data: absolute folders. weights: path of the initial weights, '' for none. data_sha256: '' until the data are
    read.

    weights_provenance: training data of the initial weights; None if the file does not state it.
    """

    recipe: Recipe
    data: list[str]
    seed: int
    limit: int | None = None
    weights: str = ""
    data_sha256: str = ""
    weights_provenance: Provenance | None = None


def write_request(request: Request, out: Path) -> None:
    """Write RUN/run.json."""
    out.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(request), indent=1)
    write_atomically(out / FILE, text)


def read_request(out: Path) -> Request:
    """Read the request of an unfinished run. Raises InputError."""
    file = out / FILE
    if not file.is_file():
        raise InputError(
            f"--resume {out}: {FILE} is missing; RUN must be a folder that 'seisedge train -o RUN' has started"
        )
    if not (out / STATE).is_dir():
        raise InputError(f"--resume {out}: this run is finished; next: seisedge export {shlex.quote(str(out))}")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Request)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: not the parameters of a training: {reason_of(error)}") from error


def is_interrupted(out: Path) -> bool:
    """True if a state exists from which the run can be resumed."""
    return any(file.name != WEIGHTS for file in (out / STATE).glob("*.pt"))


def is_started(out: Path) -> bool:
    """True if `out` contains a training that was started and is not finished, with or without a state."""
    return (out / FILE).is_file() and (out / STATE).is_dir()


def weights_from(path: Path, option: str = "--from") -> dict[str, Tensor]:
    """The weights in RUN, in its checkpoint, or in a file with a state_dict (torch.save). Raises InputError whose text
    names the option.
    """
    file = path / "checkpoint.pt" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{option} {path}: no such run or weights file")
    try:
        values = tensors_from(file, "a file of tensors")
    except InputError as error:
        raise InputError(f"{option} {error}") from error
    for key in ("state", "state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
            break
    if not isinstance(values, dict):
        raise InputError(f"{option} {path}: must contain a state_dict (tensors by name); got {type(values).__name__}")
    tensors = {k: v for k, v in values.items() if isinstance(v, Tensor)}
    if not tensors:
        raise InputError(f"{option} {path}: contains no tensors; must contain a state_dict (tensors by name)")
    bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise InputError(f"{option} {path}: the weights of '{shortened(bad[0])}' are not finite; give other weights")
    return tensors

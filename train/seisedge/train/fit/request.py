"""What was asked of a run, kept in RUN/run.json from the first moment, so that it can be resumed and repeated."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically
from seisedge.train.archive.provenance import Provenance
from seisedge.train.recipes.recipe import Recipe

FILE = "run.json"
STATE = "state"  # folder of what a run needs to be resumed; gone when it is done
WEIGHTS = "from.pt"  # in it: what the run began with


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """data: folders, absolute. weights: where they came from, '' for none. data_sha256: '' until the data are read.

    weights_provenance: of the run that the weights came from; None where they do not state it.
    """

    recipe: Recipe
    data: list[str]
    seed: int
    limit: int | None = None
    weights: str = ""
    data_sha256: str = ""
    weights_provenance: Provenance | None = None


def write_request(request: Request, out: Path) -> None:
    """RUN/run.json."""
    out.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(request), indent=1)
    write_atomically(out / FILE, text)


def read_request(out: Path) -> Request:
    """Of an unfinished run. Raises InputError."""
    file = out / FILE
    if not file.is_file():
        raise InputError(f"--resume {out}: no {FILE} there; RUN is a folder that 'seisedge train -o RUN' began")
    if not (out / STATE).is_dir():
        raise InputError(f"--resume {out}: this run is finished; next: seisedge export {out}")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Request)
    except msgspec.MsgspecError as error:
        raise InputError(f"{file}: {error}") from error


def is_interrupted(out: Path) -> bool:
    """Is there a state to go on from."""
    return any(file.name != WEIGHTS for file in (out / STATE).glob("*.pt"))


def weights_from(path: Path) -> dict[str, Tensor]:
    """Of RUN, of its checkpoint, or of a file of tensors by name (torch.save of a state_dict). Raises InputError."""
    file = path / "checkpoint.pt" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"--from {path}: no such run or file of weights")
    try:
        values = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"--from {path}: no weights that can be read safely ({type(error).__name__})") from error
    for key in ("state", "state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
            break
    if not isinstance(values, dict):
        raise InputError(f"--from {path}: must hold tensors by name, as a state_dict; got {type(values).__name__}")
    tensors = {k: v for k, v in values.items() if isinstance(v, Tensor)}
    if not tensors:
        raise InputError(f"--from {path}: holds no tensor by name, as a state_dict has")
    return tensors

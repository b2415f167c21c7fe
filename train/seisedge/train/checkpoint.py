"""The state of a training on disk. It is written atomically, so a killed run resumes from the last complete state."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any, Protocol

import torch

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import file_written_whole
from seisedge.runtime.text import reason_of

FORMAT = 1


LOAD_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError,
    pickle.UnpicklingError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class Stateful(Protocol):
    """An object whose state can be stored and restored."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


def save_atomically(values: dict[str, Any], path: Path) -> None:
    """Write `values` to `path` with torch.save, atomically, without a copy in memory. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_written_whole(path) as file:
        try:
            torch.save(values, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # of the file, for example that the disk is full
                raise error.__context__ from None
            raise


def tensors_from(path: Path, what: str) -> dict[str, Any]:
    """The dictionary in a file of torch.save, with tensors that are as large as the file says.

    what: a noun for the message, for example 'a state of this training'. Raises InputError.
    """
    if not path.is_file():  # also for a FIFO, which would never end
        raise InputError(f"{path}: no such file; it must be {what}")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        size = path.stat().st_size
        if not isinstance(values, dict):
            raise TypeError(f"it contains a {type(values).__name__}, not a dictionary")
        _check_tensors(values, size)
    except pickle.UnpicklingError as error:  # torch's own text advises to load such a file all the same
        raise InputError(
            f"{path}: not {what}: it is damaged, was not written by torch.save, or contains more than tensors, "
            "text and numbers (a whole model, for example, which could execute code: save its state_dict)"
        ) from error
    except LOAD_ERRORS as error:
        raise InputError(f"{path}: not {what}: {reason_of(error)}") from error
    return values


def _check_tensors(value: Any, size: int) -> None:
    """Raises ValueError for a tensor that is larger than the file: one number can stand for any number of elements."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            _check_tensors(item, size)
    elif isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise ValueError("it contains a tensor that is sparse, quantized or without values")
        if value.numel() * value.element_size() > size:
            raise ValueError(f"it contains a tensor of {value.numel()} elements, more than the file has")


class CheckpointFile:
    """One file with the state, overwritten every `every_s` seconds."""

    def __init__(self, path: Path, every_s: float = 60.0) -> None:
        self.path, self.every_s = path, every_s
        self.last = time.monotonic()

    def save(self, stateful: Stateful, now: bool = False) -> None:
        """Write the state if `every_s` seconds have passed since the last write, or if `now` is true."""
        if now or time.monotonic() - self.last >= self.every_s:
            save_atomically({"format": FORMAT, **stateful.state()}, self.path)
            self.last = time.monotonic()

    def restore(self, stateful: Stateful) -> bool:
        """Restore the last state. Returns False if there is no file. Raises InputError."""
        if not self.path.is_file():
            return False
        values = tensors_from(self.path, "a state of this training; remove it to start again")
        if values.pop("format", None) != FORMAT:
            raise InputError(f"{self.path}: written by another version of seisedge; train again")
        try:
            stateful.restore(values)
        except LOAD_ERRORS as error:
            raise InputError(
                f"{self.path}: not a state of this training ({reason_of(error)}); remove the file to start again"
            ) from error
        return True

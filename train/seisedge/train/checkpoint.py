"""The state of a training on disk. It is written atomically, so a killed run resumes from the last complete state."""

from __future__ import annotations

import io
import pickle
import time
from pathlib import Path
from typing import Any, Protocol

import torch

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically

FORMAT = 1


class Stateful(Protocol):
    """An object whose state can be stored and restored."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


def save_atomically(values: dict[str, Any], path: Path) -> None:
    """Write `values` to `path` with torch.save, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(values, buffer)
    write_atomically(path, buffer.getvalue())


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
        try:
            values = torch.load(self.path, map_location="cpu", weights_only=True)
            if values.pop("format") != FORMAT:
                raise InputError(f"{self.path}: written by another version of seisedge; train again")
            stateful.restore(values)
        except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, ValueError) as error:
            raise InputError(
                f"{self.path}: not a state of this training ({error}); remove the file to start again"
            ) from error
        return True

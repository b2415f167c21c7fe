"""The state of a training on disk: whole or not at all, so a run that is killed goes on from the last one."""

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
    """What has a state."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


def save_atomically(values: dict[str, Any], path: Path) -> None:
    """torch.save onto `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(values, buffer)
    write_atomically(path, buffer.getvalue())


class CheckpointFile:
    """One file, written again every so many seconds and when asked to."""

    def __init__(self, path: Path, every_s: float = 60.0) -> None:
        self.path, self.every_s = path, every_s
        self.last = time.monotonic()

    def save(self, stateful: Stateful, now: bool = False) -> None:
        """Write if it is time, or `now`."""
        if now or time.monotonic() - self.last >= self.every_s:
            save_atomically({"format": FORMAT, **stateful.state()}, self.path)
            self.last = time.monotonic()

    def restore(self, stateful: Stateful) -> bool:
        """Bring back what was last written; false where nothing was. Raises InputError."""
        if not self.path.is_file():
            return False
        try:
            values = torch.load(self.path, map_location="cpu", weights_only=True)
            if values.pop("format") != FORMAT:
                raise InputError(f"{self.path}: written by another version of seisedge; train again")
            stateful.restore(values)
        except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, ValueError) as error:
            raise InputError(f"{self.path}: no state of this training ({error})") from error
        return True

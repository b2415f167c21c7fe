"""The first opening of a model file on this machine: in a child process, within stated memory and time.

A graph can allocate any amount when it is opened (constants are computed then) or at its first inference. The child has
a limit on its memory; it opens the file and runs one window of noise and one without a valid sample. A file that passes
is opened in this process without a child from then on; its SHA-256 is kept in the cache of built engines. The models of
the package are not tried.
"""

from __future__ import annotations

import hashlib
import logging
from importlib.metadata import version
from pathlib import Path

import msgspec

from seisedge.runtime.engines._child import MEMORY_MIB, OPEN_LIMIT_S, Open, in_child
from seisedge.runtime.engines._model_file import read_model
from seisedge.runtime.engines._sidecar import write_whole
from seisedge.runtime.errors import CardError, EngineError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.paths import stored_from_path, text_from_path

logger = logging.getLogger(__name__)

PACKAGE_MODELS = Path(__file__).parents[1] / "models"
FILE_NAME = "opened-models.json"
MAX_KEPT = 100  # of the newest models that have passed
MAX_FILE_BYTES = 1 << 16


class Opened(msgspec.Struct, frozen=True):
    """Models that have passed, the newest last. by: the version of onnxruntime; another one tries them anew."""

    by: str
    sha256: list[str] = []


def try_first_open(path: Path, folder: Path) -> None:
    """Open a model file in a child process, unless it has passed before; `folder` keeps what has passed.

    Raises InputError where the file cannot be read, CardError where it cannot be used within the limits.
    """
    if path.resolve().parent == PACKAGE_MODELS.resolve():
        return
    sha256 = hashlib.sha256(read_model(path)[0]).hexdigest()
    kept = _kept(folder)
    if sha256 in kept.sha256:
        return
    try:
        in_child(Open(model=stored_from_path(path.resolve())), OPEN_LIMIT_S)
    except EngineError as error:
        reason = str(error).replace(f"{text_from_path(path.resolve())}: ", "")
        raise CardError(
            f"{path}: refused by a trial with {MEMORY_MIB} MiB of memory and {OPEN_LIMIT_S:.0f} s: {reason}"
        ) from None
    opened = Opened(kept.by, [*kept.sha256, sha256][-MAX_KEPT:])
    try:
        write_whole(folder / FILE_NAME, msgspec.json.encode(opened))
    except EngineError as error:  # a read-only system
        logger.info("%s; the model is tried again at the next start", error)


def _kept(folder: Path) -> Opened:
    by = version("onnxruntime")
    try:
        found = msgspec.json.decode(read_up_to(folder / FILE_NAME, MAX_FILE_BYTES), type=Opened)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Opened(by)  # all are tried again
    return found if found.by == by else Opened(by)

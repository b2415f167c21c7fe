"""The sidecar of an engine: from what, with what and for what it was built. Read before the engine.

An engine file is a program for one GPU and one version of the library. With another GPU or version the library may
refuse it, or crash the process. So an engine is loaded only if its sidecar matches, and first in a separate process.
The result of that trial is stored in a third file.

    event-type-1a2b3c4d.tensorrt-sm87.engine             the engine
    event-type-1a2b3c4d.tensorrt-sm87.engine.json        its sidecar
    event-type-1a2b3c4d.tensorrt-sm87.engine.tried.json  the result of its trial on this machine
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines._library import Here
from seisedge.runtime.errors import EngineError
from seisedge.runtime.files import write_atomically

SCHEMA = 1
NOT_BUILT = ""
ANY_CAPABILITY = "any"  # TensorRT-RTX, built for any GPU


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of an engine file."""

    library: str
    version: str
    compute_capability: str
    l4t: str | None  # of the machine that built it; None if that is not a Jetson
    driver: str | None  # of the machine that built it; None if built without a GPU
    model: str
    model_sha256: str
    engine_sha256: str
    precision: str
    min_batch: int
    best_batch: int
    max_batch: int
    n_samples: int
    workspace_mb: int
    build_s: float
    seisedge_version: str
    schema: int = SCHEMA


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the first loading of an engine on a machine. reason: why it is not used; '' if it is used."""

    engine_sha256: str  # NOT_BUILT if the build failed
    here: Here
    reason: str
    difference: float | None = None  # largest difference of a probability from onnxruntime, on real windows


def engine_name(model: Path, sha256: str, library: str, compute_capability: str) -> str:
    """File name of an engine."""
    return f"{model.stem}-{sha256[:8]}.{library}-{compute_capability}.engine"


def sidecar_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".json")


def trial_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".tried.json")


def make_folder(path: Path) -> None:
    """Create a folder. Raises EngineError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(f"{path}: cannot create this folder: {error.strerror or error}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all. Raises EngineError where the folder cannot be written."""
    make_folder(path.parent)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise EngineError(f"{path}: cannot be written: {error.strerror or error}") from error


def save_engine(engine: Path, data: bytes, sidecar: Sidecar) -> None:
    """Write the engine, then its sidecar: in between, the old sidecar does not match and the engine is not loaded."""
    write_whole(engine, data)
    write_whole(sidecar_path(engine), msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")


def read_sidecar(engine: Path) -> Sidecar:
    """The sidecar of an engine. Raises EngineError if it is missing, of a newer schema, or invalid."""
    path = sidecar_path(engine)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise EngineError(f"{engine}: its sidecar {path.name} is missing, so the engine cannot be checked") from None
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        sidecar = msgspec.json.decode(data, type=Sidecar)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: not a valid sidecar of an engine: {error}") from error
    if sidecar.schema > SCHEMA:
        raise EngineError(f"{path}: schema {sidecar.schema}, this seisedge reads up to {SCHEMA}")
    return sidecar


def check_engine(engine: Path, here: Here, model_sha256: str, card: ModelCard) -> Sidecar:
    """The sidecar of an engine that may be loaded here. Raises EngineError for the first difference."""
    sidecar = read_sidecar(engine)
    fits_any = sidecar.compute_capability == ANY_CAPABILITY
    wanted = {
        "library": (sidecar.library, here.library),
        "version of the library": (sidecar.version, here.version),
        "GPU": (here.compute_capability if fits_any else sidecar.compute_capability, here.compute_capability),
        "Jetson Linux": (sidecar.l4t, here.l4t if sidecar.l4t is not None else None),
        "model": (sidecar.model_sha256[:8], model_sha256[:8]),
        "precision": (sidecar.precision, card.precision),
        "window": (f"{sidecar.n_samples} samples", f"{card.n_samples} samples"),
    }
    for what, (built, found) in wanted.items():
        if built != found:
            raise EngineError(f"{engine}: another {what}: built for {built}; needed is {found}")
    if sidecar.model_sha256 != model_sha256:
        raise EngineError(f"{engine}: built from another model file")
    if not 1 <= sidecar.min_batch <= sidecar.best_batch <= sidecar.max_batch or sidecar.min_batch != 1:
        raise EngineError(
            f"{engine}: its sidecar states batches {sidecar.min_batch} to {sidecar.max_batch}; 1 is needed"
        )
    try:
        data = engine.read_bytes()
    except OSError as error:
        raise EngineError(f"{engine}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sidecar.engine_sha256:
        raise EngineError(f"{engine}: its checksum differs from its sidecar; the file is incomplete or was changed")
    return sidecar


def read_trial(engine: Path, engine_sha256: str, here: Here) -> Trial | None:
    """Stored result of the trial of this engine on this machine; None if there is none, or it is unreadable."""
    try:
        trial = msgspec.json.decode(trial_path(engine).read_bytes(), type=Trial)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # the engine is tried again
    return trial if (trial.engine_sha256, trial.here) == (engine_sha256, here) else None


def save_trial(engine: Path, trial: Trial) -> None:
    write_whole(trial_path(engine), msgspec.json.format(msgspec.json.encode(trial), indent=2) + b"\n")

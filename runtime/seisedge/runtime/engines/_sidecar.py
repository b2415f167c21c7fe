"""The sidecar of an engine: what it was built from, by what and for what. Read before the engine is.

An engine file is a program for one GPU and one version of the library; given another, the library may refuse it, or
end the process. So nothing is deserialised whose sidecar does not fit, and what fits is tried in a process of its own
first; what came of that stands in a third file.

    event-type-1a2b3c4d.tensorrt-sm87.engine             the engine
    event-type-1a2b3c4d.tensorrt-sm87.engine.json        its sidecar
    event-type-1a2b3c4d.tensorrt-sm87.engine.tried.json  how it did here
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
ANY_CAPABILITY = "any"  # TensorRT-RTX, built for no GPU in particular


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one engine file."""

    library: str
    version: str
    compute_capability: str
    l4t: str | None  # of the machine it was built on; None where that is no Jetson
    driver: str | None  # the same; None where it was built without a GPU
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
    """How an engine did when it was first loaded on a machine. reason: why it is not used; '' where it is."""

    engine_sha256: str  # NOT_BUILT where the build failed
    here: Here
    reason: str
    difference: float | None = None  # largest difference of a probability from onnxruntime's, on real windows


def engine_name(model: Path, sha256: str, library: str, compute_capability: str) -> str:
    """File name of an engine."""
    return f"{model.stem}-{sha256[:8]}.{library}-{compute_capability}.engine"


def sidecar_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".json")


def trial_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".tried.json")


def make_folder(path: Path) -> None:
    """Raises EngineError where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(f"{path}: cannot be made into a folder: {error.strerror or error}") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all. Raises EngineError where the folder cannot be written."""
    make_folder(path.parent)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise EngineError(f"{path}: cannot be written: {error.strerror or error}") from error


def save_engine(engine: Path, data: bytes, sidecar: Sidecar) -> None:
    """The engine first, its sidecar last: between the two, the old sidecar does not fit and nothing is loaded."""
    write_whole(engine, data)
    write_whole(sidecar_path(engine), msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")


def read_sidecar(engine: Path) -> Sidecar:
    """Raises EngineError where it is missing, newer, or not a sidecar."""
    path = sidecar_path(engine)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise EngineError(f"{engine}: it has no sidecar {path.name}, so nobody knows what it is for") from None
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        sidecar = msgspec.json.decode(data, type=Sidecar)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: not a sidecar of an engine: {error}") from error
    if sidecar.schema > SCHEMA:
        raise EngineError(f"{path}: schema {sidecar.schema}, this seisedge reads up to {SCHEMA}")
    return sidecar


def check_engine(engine: Path, here: Here, model_sha256: str, card: ModelCard) -> Sidecar:
    """The sidecar of an engine that may be loaded here. Raises EngineError with the first thing that does not fit."""
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
            raise EngineError(f"{engine}: another {what}: built for {built}, here is {found}")
    if sidecar.model_sha256 != model_sha256:
        raise EngineError(f"{engine}: built from another model file")
    if not 1 <= sidecar.min_batch <= sidecar.best_batch <= sidecar.max_batch or sidecar.min_batch != 1:
        raise EngineError(
            f"{engine}: its sidecar gives batches {sidecar.min_batch} to {sidecar.max_batch}; 1 is needed"
        )
    try:
        data = engine.read_bytes()
    except OSError as error:
        raise EngineError(f"{engine}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sidecar.engine_sha256:
        raise EngineError(f"{engine}: not the file that its sidecar tells of; half-written or changed")
    return sidecar


def read_trial(engine: Path, engine_sha256: str, here: Here) -> Trial | None:
    """What came of the trial of this very engine on this very machine; None where there was none."""
    try:
        trial = msgspec.json.decode(trial_path(engine).read_bytes(), type=Trial)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None  # then it is tried again
    return trial if (trial.engine_sha256, trial.here) == (engine_sha256, here) else None


def save_trial(engine: Path, trial: Trial) -> None:
    write_whole(trial_path(engine), msgspec.json.format(msgspec.json.encode(trial), indent=2) + b"\n")

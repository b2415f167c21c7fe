"""Find, check, build and try the engine of a model file on this machine.

    sidecar matches? → tried on this machine? → load
          no ↓                  no ↓
         build          try in a separate process

An engine built elsewhere that fails its trial is rebuilt here, once. The result of a failed build or trial is stored,
so that it is not repeated at each start of a station.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from seisedge.runtime.engines._base import TrialWindows
from seisedge.runtime.engines._build import Plan
from seisedge.runtime.engines._child import (
    BUILD_LIMIT_S,
    TRIAL_LIMIT_S,
    Build,
    Built,
    Tried,
    Try,
    in_child,
    save_windows,
)
from seisedge.runtime.engines._library import Here, examine, load_library
from seisedge.runtime.engines._sidecar import (
    ANY_CAPABILITY,
    NOT_BUILT,
    Sidecar,
    Trial,
    check_engine,
    engine_name,
    make_folder,
    read_trial,
    save_engine,
    save_trial,
    trial_path,
)
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import EngineError
from seisedge.runtime.paths import stored_from_path, text_from_path, text_of_message

logger = logging.getLogger(__name__)

MAX_DIFFERENCE = (
    0.05  # of probabilities from onnxruntime: above the rounding of int8, below the errors of a wrong engine
)


def default_folder() -> Path:
    """Folder of built engines: systemd's CacheDirectory=, else the user's cache."""
    given = os.environ.get("CACHE_DIRECTORY")
    if given:
        return Path(given.partition(":")[0])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "seisedge" / "engines"


def compile_engine(
    model: OnnxRuntimeEngine, plan: Plan, folder: Path, here: Here | None = None
) -> tuple[Path, Sidecar]:
    """Build an engine of a model file into `folder`, in a separate process. Raises EngineError.

    here: this machine, if the engine is for its GPU.
    """
    make_folder(folder)  # before a build of some minutes
    library = load_library(plan.library)
    timing = f"timing-{library.name}-{library.version}.cache" if not library.builds_for_others else None
    with tempfile.TemporaryDirectory(prefix="seisedge-") as work:
        out = Path(work) / "engine"
        job = Build(
            model=stored_from_path(model.path.resolve()),
            library=plan.library,
            compute_capability=plan.compute_capability,
            max_batch=plan.max_batch,
            workspace_mb=plan.workspace_mb,
            timing_cache=stored_from_path((folder / timing).resolve()) if timing is not None else None,
            out=stored_from_path(out),
        )
        built = in_child(job, BUILD_LIMIT_S)
        assert isinstance(built, Built)
        data = out.read_bytes()
    sidecar = Sidecar(
        library=library.name,
        version=library.version,
        compute_capability=built.compute_capability,
        l4t=here.l4t if here is not None else None,
        driver=here.driver if here is not None else None,
        model=text_from_path(model.path.name),
        model_sha256=model.sha256,
        engine_sha256=hashlib.sha256(data).hexdigest(),
        precision=model.card.precision,
        min_batch=1,
        best_batch=1,
        max_batch=plan.max_batch,
        n_samples=model.card.n_samples,
        workspace_mb=plan.workspace_mb,
        build_s=built.build_s,
        seisedge_version=version("seisedge"),
    )
    path = folder / engine_name(model.path, model.sha256, library.name, built.compute_capability)
    save_engine(path, data, sidecar)
    trial_path(path).unlink(missing_ok=True)
    return path, sidecar


def usable_engine(
    model: OnnxRuntimeEngine, library: str, folder: Path, trial_windows: TrialWindows | None = None
) -> Path:
    """An engine of a model file that has passed its trial on this machine. Raises EngineError with the reason.

    trial_windows: makes the windows of a trial; called only if there is one.
    """
    here = examine(library)
    found = _found(model, here, folder)
    if found is None:
        return _tried(model, *_built(model, here, folder), here, trial_windows)
    try:
        return _tried(model, *found, here, trial_windows)
    except EngineError as error:
        path, sidecar = found
        if read_trial(path, sidecar.engine_sha256, here) is not None and _was_built_here(sidecar, here):
            raise
        logger.warning("%s; rebuilding the engine", error)
        return _tried(model, *_built(model, here, folder), here, trial_windows)


def _found(model: OnnxRuntimeEngine, here: Here, folder: Path) -> tuple[Path, Sidecar] | None:
    """An engine whose sidecar matches; else None."""
    for capability in (here.compute_capability, ANY_CAPABILITY):
        path = folder / engine_name(model.path, model.sha256, here.library, capability)
        if not path.exists():
            continue
        try:
            return path, check_engine(path, here, model.sha256, model.card)
        except EngineError as error:
            logger.warning("%s; rebuilding the engine", error)
    return None


def _was_built_here(sidecar: Sidecar, here: Here) -> bool:
    return sidecar.driver == here.driver and sidecar.compute_capability == here.compute_capability


def _built(model: OnnxRuntimeEngine, here: Here, folder: Path) -> tuple[Path, Sidecar]:
    """Build an engine for this machine's GPU; a failure is stored. Raises EngineError."""
    path = folder / engine_name(model.path, model.sha256, here.library, here.compute_capability)
    earlier = read_trial(path, NOT_BUILT, here)
    if earlier is not None:
        raise _refusal(path, earlier)
    library = load_library(here.library)
    target = here.compute_capability if library.builds_for_others else None
    logger.warning(
        "%s: building an engine for %s (%s); this takes some minutes, once", model.path, here.gpu, here.library
    )
    try:
        return compile_engine(model, Plan(here.library, target), folder, here)
    except EngineError as error:
        _store(path, Trial(engine_sha256=NOT_BUILT, here=here, reason=str(error)))
        raise


def _tried(
    model: OnnxRuntimeEngine, engine: Path, sidecar: Sidecar, here: Here, trial_windows: TrialWindows | None
) -> Path:
    """The engine, after its trial. Raises EngineError if the trial failed, now or earlier."""
    trial = read_trial(engine, sidecar.engine_sha256, here)
    if trial is None:
        if trial_windows is None:
            raise EngineError(f"{engine}: not yet tried on this machine, and no windows were given to try it on")
        trial = _trial(model, engine, sidecar, here, trial_windows)
        _store(engine, trial)
    if trial.reason:
        raise _refusal(engine, trial)
    return engine


def _refusal(engine: Path, trial: Trial) -> EngineError:
    return EngineError(f"{trial.reason}; to try it again, delete {trial_path(engine)}")


def _store(engine: Path, trial: Trial) -> None:
    try:
        save_trial(engine, trial)
    except EngineError as error:  # engines may be part of a read-only system image
        logger.warning("%s; the engine is tried again at the next start", error)


def _trial(model: OnnxRuntimeEngine, engine: Path, sidecar: Sidecar, here: Here, trial_windows: TrialWindows) -> Trial:
    difference: float | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="seisedge-") as work:
            windows = Path(work) / "windows.npz"
            save_windows(windows, trial_windows(model.card))
            job = Try(
                model=stored_from_path(model.path.resolve()),
                library=here.library,
                engine=stored_from_path(engine.resolve()),
                windows=stored_from_path(windows),
            )
            answer = in_child(job, TRIAL_LIMIT_S)
        assert isinstance(answer, Tried)
        difference, reason = answer.difference, ""
        if difference > MAX_DIFFERENCE:
            reason = f"{text_from_path(engine)}: its probabilities are up to {difference:.2g} from onnxruntime's"
    except EngineError as error:
        reason = text_of_message(str(error))
    return Trial(engine_sha256=sidecar.engine_sha256, here=here, reason=reason, difference=difference)

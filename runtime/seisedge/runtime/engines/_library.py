"""The two libraries that build and run engines, and the properties of this machine on which an engine depends.

TensorRT is part of JetPack or of NVIDIA's packages; TensorRT-RTX (for RTX cards) is a wheel. Both have the same API.
seisedge uses only what TensorRT 10.3, 10.16, 11 and TensorRT-RTX 1.7 have in common.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from seisedge.runtime.errors import EngineError

logger = logging.getLogger(__name__)

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # name in options → module
HOW_TO_INSTALL = {
    "tensorrt": "it is part of JetPack and of NVIDIA's package index; create the virtual environment with "
    "--system-site-packages to use the system's",
    "tensorrt-rtx": "pip install 'seisedge[tensorrt-rtx]'",
}
TEGRA_RELEASE = Path("/etc/nv_tegra_release")


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded library of MODULES."""

    name: str
    module: ModuleType
    version: str

    @property
    def builds_for_others(self) -> bool:
        """True if it can build for a GPU that is not in this machine."""
        return hasattr(self.module, "ComputeCapability")

    @property
    def capabilities(self) -> list[str]:
        """Compute capabilities for which it can build on any machine, for example `sm86`."""
        if not self.builds_for_others:
            return []
        names = self.module.ComputeCapability.__members__
        return sorted((name.lower() for name in names if re.fullmatch(r"SM\d+", name)), key=lambda sm: int(sm[2:]))


@dataclass(frozen=True, slots=True)
class Here:
    """Properties of this machine on which an engine depends."""

    library: str
    version: str
    compute_capability: str  # for example `sm87`
    gpu: str
    driver: str  # newest CUDA version that the driver supports, for example `12.6`
    l4t: str | None  # release of Jetson Linux; None on other machines


def load_library(name: str) -> Library:
    """Load a library of MODULES. Raises EngineError if it is not installed or does not load."""
    try:
        module = importlib.import_module(MODULES[name])
    except ModuleNotFoundError as error:
        if error.name != MODULES[name]:
            raise EngineError(f"{name} does not load: {error}") from error
        raise EngineError(f"{name} is not installed; {HOW_TO_INSTALL[name]}") from None
    except (ImportError, OSError, AttributeError) as error:  # a dependency is missing or of another version
        raise EngineError(f"{name} does not load: {_first_line(error)}") from error
    version = getattr(module, "__version__", None)
    if version is None:  # a folder with that name, or type stubs without the library
        raise EngineError(f"{name} is not installed; {HOW_TO_INSTALL[name]}")
    return Library(name, module, str(version))


def examine(name: str) -> Here:
    """This machine, for engines of library `name`. Raises EngineError if they cannot run here."""
    library = load_library(name)
    from seisedge.runtime.engines._cuda import open_device

    device = open_device()
    return Here(name, library.version, device.compute_capability, device.name, device.driver, l4t_release())


def l4t_release(path: Path = TEGRA_RELEASE) -> str | None:
    """Release of Jetson Linux, for example `36.4.3`; None on other machines."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else text.strip().splitlines()[0] if text.strip() else None


class Log:
    """Messages of the library: all are logged, errors are kept as the reason of a failure."""

    def __init__(self, name: str) -> None:
        self.errors: list[str] = []
        self._name = name

    def add(self, severity: int, message: str) -> None:
        """severity: 0 internal error, 1 error, 2 warning, 3 information, 4 verbose."""
        if severity <= 1:
            self.errors.append(message)
        logger.debug("%s: %s", self._name, message)

    def reason(self) -> str:
        """The first error in one line, without positions in the library's source code."""
        if not self.errors:
            return "the library gave no reason"
        return re.sub(r"\s*\(?In \S+ at /_src/\S+\)?", "", _first_line(self.errors[0])).strip()


def make_logger(library: Library) -> tuple[Any, Log]:
    """An ILogger of the library, and the log that it writes to."""
    trt: Any = library.module
    log = Log(library.name)

    class Logger(trt.ILogger):  # type: ignore[misc]  # the class is known only after the library is loaded
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # not super(): required by pybind

        def log(self, severity: Any, msg: str) -> None:
            log.add(int(severity), msg)

    return Logger(), log


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Python's cyclic garbage collector runs before, and not inside. For calls that create a builder or a runtime.

    The library holds a lock while such a call logs. If the collector ran in the logger, and destroyed an earlier
    builder there, it would wait for that lock forever.
    """
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

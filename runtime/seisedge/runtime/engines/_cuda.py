"""CUDA as the TensorRT engine needs it, through pycuda, which is loaded when the first device is asked for.

The engine is written against `Cuda`; tests put one made of host memory in its place. Addresses are device addresses
as integers, all copies are asynchronous on one stream.
"""

from __future__ import annotations

import atexit
import functools
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import EngineError

Floats = npt.NDArray[np.float32]


class Mark(Protocol):
    """A CUDA event: a point in the stream with its time."""

    def record(self) -> None:
        """Put it into the stream."""

    def ms_since(self, earlier: Mark) -> float:
        """Milliseconds of device time between the two; both must have been passed."""


class Cuda(Protocol):
    """One device and one stream."""

    compute_capability: str
    name: str
    driver: str
    stream: int  # handle

    def allocate(self, n_bytes: int) -> int:
        """Device memory that lives as long as this object; its address."""

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        """Page-locked host memory, zeroed."""

    def mark(self) -> Mark: ...

    def to_device(self, address: int, host: Floats) -> None:
        """Start a copy; `host` is page-locked and contiguous, and stays as it is until `wait`."""

    def to_host(self, host: Floats, address: int) -> None: ...

    def wait(self) -> None:
        """Until all that was put into the stream is done."""


class PyCuda:
    """The first device, in its primary context, which TensorRT shares. To be used from the thread that made it."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        driver.init()
        if driver.Device.count() == 0:
            raise EngineError("no CUDA device: the driver sees none")
        device = driver.Device(0)
        major, minor = device.compute_capability()
        self.compute_capability = f"sm{major}{minor}"
        self.name = str(device.name())
        version = driver.get_driver_version()  # 12060 is 12.6
        self.driver = f"{version // 1000}.{version % 1000 // 10}"
        context = device.retain_primary_context()
        context.push()
        atexit.register(context.pop)  # pycuda aborts the process where one is left at its end
        self._stream = driver.Stream()
        self.stream = int(self._stream.handle)
        self._held: list[Any] = []  # pycuda frees what nobody holds

    def allocate(self, n_bytes: int) -> int:
        memory = self._driver.mem_alloc(n_bytes)
        self._held.append(memory)
        return int(memory)

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        array: Floats = self._driver.pagelocked_zeros(shape, np.float32)
        return array

    def mark(self) -> Mark:
        return PyCudaMark(self._driver.Event(), self._stream)

    def to_device(self, address: int, host: Floats) -> None:
        self._driver.memcpy_htod_async(address, host, self._stream)

    def to_host(self, host: Floats, address: int) -> None:
        self._driver.memcpy_dtoh_async(host, address, self._stream)

    def wait(self) -> None:
        self._stream.synchronize()


class PyCudaMark:
    """A pycuda event on its stream."""

    def __init__(self, event: Any, stream: Any) -> None:
        self.event = event
        self._stream = stream

    def record(self) -> None:
        self.event.record(self._stream)

    def ms_since(self, earlier: Mark) -> float:
        assert isinstance(earlier, PyCudaMark)
        return float(self.event.time_since(earlier.event))


@functools.lru_cache(maxsize=1)
def open_device() -> Cuda:
    """The device of this process. Raises EngineError where there is none, or no pycuda."""
    try:
        from pycuda import driver
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pycuda":
            raise EngineError(f"pycuda does not load: {error}") from error
        raise EngineError("pycuda is not installed; pip install pycuda builds it where CUDA's nvcc is") from None
    except ImportError as error:  # the driver's library is missing
        raise EngineError(f"pycuda does not load: {error}") from error
    try:
        return PyCuda(driver)
    except driver.Error as error:
        raise EngineError(f"no CUDA device can be used: {error}") from error

"""The part of CUDA that the TensorRT engine uses, through pycuda, which is loaded when the device is opened.

The engine uses the interface `Cuda`; tests replace it by one in host memory. Addresses are device addresses as
integers. All copies are asynchronous on one stream.
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
    """A CUDA event: a point in the stream, with its time."""

    def record(self) -> None:
        """Put the event into the stream."""

    def ms_since(self, earlier: Mark) -> float:
        """Milliseconds of device time between two completed events."""


class Cuda(Protocol):
    """One device and one stream."""

    compute_capability: str
    name: str
    driver: str
    stream: int  # handle

    def allocate(self, n_bytes: int) -> int:
        """Allocate device memory that lives as long as this object; returns its address."""

    def pinned(self, shape: tuple[int, ...]) -> Floats:
        """Page-locked host memory, filled with zeros."""

    def mark(self) -> Mark: ...

    def to_device(self, address: int, host: Floats) -> None:
        """Start a copy. `host` must be page-locked and contiguous, and unchanged until `wait`."""

    def to_host(self, host: Floats, address: int) -> None: ...

    def wait(self) -> None:
        """Wait until all work in the stream is complete."""


class PyCuda:
    """The first device, in its primary context, shared with TensorRT. Use only from the thread that created it."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        driver.init()
        if driver.Device.count() == 0:
            raise EngineError("the CUDA driver finds no device")
        device = driver.Device(0)
        major, minor = device.compute_capability()
        self.compute_capability = f"sm{major}{minor}"
        self.name = str(device.name())
        version = driver.get_driver_version()  # 12060 is 12.6
        self.driver = f"{version // 1000}.{version % 1000 // 10}"
        context = device.retain_primary_context()
        context.push()
        atexit.register(context.pop)  # pycuda aborts the process if a context is left at its end
        self._stream = driver.Stream()
        self.stream = int(self._stream.handle)
        self._held: list[Any] = []  # pycuda frees memory without a reference

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
    """The device of this process. Raises EngineError without a device or without pycuda."""
    try:
        from pycuda import driver
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pycuda":
            raise EngineError(f"pycuda does not load: {error}") from error
        raise EngineError("pycuda is not installed; 'pip install pycuda' builds it and needs CUDA's nvcc") from None
    except ImportError as error:  # the library of the driver is missing
        raise EngineError(f"pycuda does not load: {error}") from error
    try:
        return PyCuda(driver)
    except driver.Error as error:
        raise EngineError(f"no usable CUDA device: {error}") from error

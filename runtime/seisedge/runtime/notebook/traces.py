"""Traces: data in memory, from numpy arrays and from objects that look like those of obspy; obspy is not imported."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.errors import ArgumentError, ArgumentTypeError
from seisedge.runtime.notebook.times import time_from, time_of_obspy
from seisedge.runtime.records.channelcode import COMPONENT_OF_ORIENTATION
from seisedge.runtime.records.codes import location_from_text
from seisedge.runtime.records.miniseed import MAX_RATE_HZ, MAX_STARTTIME_NS, MIN_RATE_HZ, MIN_STARTTIME_NS
from seisedge.runtime.records.packet import SourceId

NO_NETWORK = "XX"  # the code for data of no network
ARRAY = "ARRAY"  # station code of a numpy array
ARRAY_SENSOR = "HH"  # band and instrument code of a numpy array: ground velocity
ARRAY_START_NS = 946_684_800 * NS_PER_S  # 2000-01-01, for a numpy array without a start time

HEADER = ("network", "station", "location", "channel", "sampling_rate", "starttime")


class Trace(NamedTuple):
    """One trace. samples: (n,), int32, float32 or float64; sound: (n,), False where a sample is missing, or None."""

    source_id: SourceId
    starttime_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    sound: npt.NDArray[np.bool_] | None

    @property
    def last_sample_ns(self) -> int:
        return self.starttime_ns + round((len(self.samples) - 1) * NS_PER_S / self.sampling_rate_hz)


class BadTrace(ValueError):
    """A trace that cannot be used, with the reason as a clause."""


class NoSamples(BadTrace):
    """It has no samples, or all of them are masked or not finite."""


@dataclass(frozen=True, slots=True)
class Array:
    """What a numpy array needs to be data: see `seisedge.api`."""

    sampling_rate_hz: float | None = None
    components: str | None = None
    starttime_ns: int | None = None

    @property
    def given(self) -> list[str]:
        """Names of the arguments that were given."""
        values = {
            "sampling_rate_hz": self.sampling_rate_hz,
            "components": self.components,
            "starttime": self.starttime_ns,
        }
        return [name for name, value in values.items() if value is not None]


def array_from(sampling_rate_hz: object, components: object, starttime: object) -> Array:
    """The arguments for a numpy array. Raises ArgumentTypeError, ArgumentError."""
    if sampling_rate_hz is not None and (
        isinstance(sampling_rate_hz, bool) or not isinstance(sampling_rate_hz, int | float | np.number)
    ):
        raise ArgumentTypeError(f"sampling_rate_hz must be a number; got {type(sampling_rate_hz).__name__}")
    if components is not None and not isinstance(components, str):
        raise ArgumentTypeError(f"components must be a text, for example 'ZNE'; got {type(components).__name__}")
    return Array(
        float(sampling_rate_hz) if sampling_rate_hz is not None else None,
        components,
        time_from(starttime, "starttime") if starttime is not None else None,
    )


def is_trace(data: object) -> bool:
    """True for an object with the samples and the header of an obspy Trace."""
    stats = getattr(data, "stats", None)
    return stats is not None and hasattr(data, "data") and all(hasattr(stats, name) for name in HEADER)


def traces_in(data: object) -> list[Any] | None:
    """The traces of an object like an obspy Stream or Trace, or of a list of traces; None for anything else."""
    if is_trace(data):
        return [data]
    traces = data if isinstance(data, list | tuple) else getattr(data, "traces", None)
    if isinstance(traces, list | tuple) and traces and all(map(is_trace, traces)):
        return list(traces)
    if isinstance(traces, list | tuple) and traces is not data and not traces:
        raise ArgumentError("the stream is empty; give one with at least one trace")
    return None


def traces_of_stream(found: Iterable[Any], bad: dict[str, list[str]]) -> Iterator[Trace]:
    """The usable traces. bad: receives the names of the others, by the reason why they are left out."""
    for trace in found:
        try:
            yield _trace(trace.stats, trace.data)
        except BadTrace as error:
            stats = trace.stats
            name = ".".join(str(getattr(stats, part, "")) for part in ("network", "station", "location", "channel"))
            bad.setdefault(str(error), []).append(name)


def _trace(stats: Any, data: Any) -> Trace:
    source_id = _source_id(str(stats.network), str(stats.station), str(stats.location), str(stats.channel))
    rate_hz, start_ns = _number(stats.sampling_rate), time_of_obspy(stats.starttime)
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise BadTrace(f"its sampling rate is {rate_hz:g} Hz; set trace.stats.sampling_rate")
    if start_ns is None or not MIN_STARTTIME_NS <= start_ns < MAX_STARTTIME_NS:
        raise BadTrace("its start time is not in the years 1970 to 2100; set trace.stats.starttime")
    samples, sound = _samples(data)
    return Trace(source_id, start_ns, rate_hz, samples, sound)


@functools.lru_cache
def _source_id(network: str, station: str, location: str, channel: str) -> SourceId:
    station, channel = station.strip(), channel.strip()
    if not station or not channel:
        raise BadTrace("its header has no station or no channel code; set trace.stats.station and trace.stats.channel")
    return SourceId(network.strip() or NO_NETWORK, station, location_from_text(location.strip()), channel)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _samples(data: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Samples (n,) and where they exist. Raises BadTrace."""
    mask, values = None, np.asarray(data)
    if isinstance(data, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(data), np.asarray(np.ma.getdata(data))
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise BadTrace(f"its samples are {values.dtype} of shape {values.shape}; expected numbers of shape (n,)")
    sound = ~mask if mask is not None and mask.any() else None
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.all():
            sound = finite if sound is None else sound & finite
    if not len(values) or (sound is not None and not sound.any()):
        raise NoSamples("it has no samples that are finite and not masked" if len(values) else "it has no samples")
    return _decoded(values), sound


def _decoded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The samples in a type of decoded records: int32, float32 or float64."""
    if values.dtype.kind == "f":
        kind = np.float32 if values.dtype.itemsize <= 4 else np.float64
        return values.astype(kind, copy=False)
    if values.dtype == np.int32:
        return values
    limits = np.iinfo(np.int32)
    if values.max() > limits.max or values.min() < limits.min:
        return values.astype(np.float64)
    return values.astype(np.int32)


def traces_of_array(data: npt.NDArray[Any], array: Array) -> list[Trace]:
    """The rows of an array, (n_components, n_samples) or (n_samples,), without those that are a gap as a whole.

    Raises ArgumentError, ArgumentTypeError.
    """
    rows = np.atleast_2d(np.ma.asarray(data) if isinstance(data, np.ma.MaskedArray) else np.asarray(data))
    if array.sampling_rate_hz is None:
        raise ArgumentError("a numpy array needs sampling_rate_hz, its sampling rate in Hz")
    if array.components is None:
        raise ArgumentError("a numpy array needs components, the names of its rows, for example 'ZNE' or 'Z'")
    if not MIN_RATE_HZ <= array.sampling_rate_hz <= MAX_RATE_HZ:
        raise ArgumentError(
            f"sampling_rate_hz must be {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g}; got {array.sampling_rate_hz:g}"
        )
    names = array.components
    if len(set(names)) < len(names) or not names or not set(names) <= set(COMPONENT_OF_ORIENTATION):
        raise ArgumentError(
            f"components must be different letters of {''.join(COMPONENT_OF_ORIENTATION)}, one for each row, "
            f"for example 'ZNE'; got {names!r}"
        )
    if rows.ndim != 2 or len(rows) != len(names):
        raise ArgumentError(
            f"the array must have shape ({len(names)}, n_samples), a row for each of the components {names!r}; "
            f"got {np.shape(data)}"
        )
    start_ns = array.starttime_ns if array.starttime_ns is not None else ARRAY_START_NS
    if not MIN_STARTTIME_NS <= start_ns < MAX_STARTTIME_NS:
        raise ArgumentError("starttime must be in the years 1970 to 2100")
    found: list[Trace] = []
    missing: NoSamples | None = None
    for name, row in zip(names, rows, strict=True):
        try:
            samples, sound = _samples(row)
        except NoSamples as error:
            missing = error
            continue  # a dead component is a gap
        except BadTrace as error:
            kind = ArgumentTypeError if rows.dtype.kind not in "iuf" else ArgumentError
            raise kind(f"row {name} of the array cannot be used: {error}") from None
        found.append(
            Trace(
                SourceId(NO_NETWORK, ARRAY, "", ARRAY_SENSOR + name), start_ns, array.sampling_rate_hz, samples, sound
            )
        )
    if missing is not None and not found:
        raise ArgumentError(f"no row of the array can be used: {missing}")
    return found

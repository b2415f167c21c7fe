"""The report of a benchmark: `report.json`, schema `seisedge.bench/1`.

It holds the raw samples of each round; `figures_of` and `cold_figures_of` compute every figure from them, so that a
reader can compute them again. Latencies are in milliseconds, from arrays in host memory to probabilities there.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import math
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from seisedge.runtime.bench.intervals import Interval, between_rounds, independent_samples, min_samples, percentile
from seisedge.runtime.bundle.envelope import MAX_ENVELOPE, envelope_from_bytes
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.text import reason_of

SCHEMA: Literal["seisedge.bench/1"] = "seisedge.bench/1"
PAYLOAD_TYPE = "application/vnd.seisedge.bench+json"
MAX_BYTES = 64 * 2**20
MAX_ROUND_SAMPLES = 1_000_000
SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
COLD = ("numpy", "import", "load", "first")
NS_PER_MS = 1e6


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Figure(_Part, frozen=True, kw_only=True):
    """value: geometric mean over the rounds. low, high: 95 % interval for a repetition of the whole measurement.

    None, with the reason, where the samples do not carry it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


class RowRound(_Part, frozen=True, kw_only=True):
    """The measurements of one row in one round. samples: base64 of zlib of little-endian uint64, nanoseconds."""

    samples: str
    seconds: float
    parts_ms: list[float]  # medians: host to device, inference, device to host
    preemptions: int
    processor_s: float

    @property
    def latencies_ns(self) -> list[int]:
        """The latencies in their order. Raises InputError."""
        return unpacked(self.samples)


class Roof(_Part, frozen=True, kw_only=True):
    """The median latency beside the rates that this machine reached in a matrix product and a copy.

    bound: what limits the floor: `compute`, `cache` (all bytes fit into the last cache) or `memory`.
    """

    gflops_per_s: float
    share_of_peak: float
    floor_ms: float
    bound: Literal["compute", "cache", "memory"]
    ratio: float  # of the median to the floor


class Row(_Part, frozen=True, kw_only=True):
    """One batch size at one pace. pace_ms: between the starts of inferences, 0 for back to back."""

    batch: int
    pace_ms: float
    rounds: list[RowRound]
    figures: dict[str, Figure]
    roof: Roof | None


class Round(_Part, frozen=True, kw_only=True):
    """One fresh process. page_cache: share of the model file in the page cache before it started."""

    began: str
    cold_ns: dict[str, int]
    resident_kib: int | None
    peak_kib: int
    page_cache: float | None
    conditions: dict[str, Any]


class Peak(_Part, frozen=True, kw_only=True):
    """Best rates of this machine with the same number of threads; copies count bytes read and written."""

    gflops: float
    cache_gb_s: float
    cache_bytes: int  # working set of the copy in the cache
    memory_gb_s: float
    memory_bytes: int  # working set of the copy in memory
    last_cache_bytes: int | None


class Energy(_Part, frozen=True, kw_only=True):
    """Energy of one inference, back to back at batch 1; None with the reason where it is unknown."""

    gross_mj: float | None
    above_idle_mj: float | None = None
    seconds: float = 0.0
    source: str = ""
    rails: list[str] = []
    reason: str = ""


class Setting(_Part, frozen=True, kw_only=True):
    """One model with one engine and number of threads."""

    model: str  # its sha256
    engine: str
    engine_name: str
    threads: int
    versions: dict[str, str]
    rounds: list[Round]
    stopped: str  # why no further round was made
    cold: dict[str, Figure]
    peak: Peak
    energy: Energy
    rows: list[Row]


class Accuracy(_Part, frozen=True, kw_only=True):
    """Of this very file on the reference windows, with an exact 95 % interval; None with the reason."""

    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    windows: int = 0
    reason: str = ""


class Model(_Part, frozen=True, kw_only=True):
    """The facts of a model file."""

    name: str
    task: str
    sha256: str
    file: str
    file_bytes: int
    weight_bytes: int
    io_bytes: int  # of one window: waveform, mask and probabilities
    precision: str
    parameters: int
    flops: int
    flops_by_operator: dict[str, int]
    accuracy: list[Accuracy]


class Machine(_Part, frozen=True, kw_only=True):
    """The machine, as far as it names itself."""

    description: str
    board: str | None
    processor: str
    cores: int
    memory_mib: float | None
    system: str
    power_mode: str | None


class Report(_Part, frozen=True, kw_only=True):
    """A benchmark of models."""

    schema: Literal["seisedge.bench/1"] = SCHEMA
    created: str
    seisedge: str
    command: list[str]
    machine: Machine
    method: dict[str, Any]
    windows: str  # their origin and number
    models: list[Model]
    settings: list[Setting]


def packed(latencies_ns: Sequence[int]) -> str:
    """The compact form of a series of latencies."""
    return base64.b64encode(zlib.compress(_little_endian(array("Q", latencies_ns)).tobytes(), 9)).decode()


def unpacked(text: str) -> list[int]:
    """The latencies of a compact form. Raises InputError."""
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(text.encode(), validate=True), 8 * MAX_ROUND_SAMPLES)
        values = array("Q")
        values.frombytes(data)
        if stream.unconsumed_tail or not stream.eof:
            raise ValueError("too long, or cut off")
    except (ValueError, binascii.Error, zlib.error) as error:
        raise InputError(f"the raw samples of a round cannot be read: {reason_of(error)}") from error
    return _little_endian(values).tolist()


def _little_endian(values: array[int]) -> array[int]:
    if array("H", [1]).tobytes() != b"\1\0":
        values = values[:]
        values.byteswap()
    return values


def figures_of(rounds: Sequence[Sequence[int]], batch: int) -> dict[str, Figure]:
    """The figures of a row, from the latencies of each round in nanoseconds."""
    values = [[ns / NS_PER_MS for ns in latencies] for latencies in rounds]
    ordered = [sorted(latencies) for latencies in values]
    means = [math.fsum(latencies) / len(latencies) for latencies in values]
    figures = {"mean": _figure(between_rounds(means), means)}
    for name, share in SHARES.items():
        reason = _too_few(values, share, name)
        if reason:
            figures[name] = Figure(value=None, reason=reason)
        else:
            each = [percentile(latencies, share) for latencies in ordered]
            figures[name] = _figure(between_rounds(each), each)
    figures["max"] = Figure(value=rounded(max(latencies[-1] for latencies in ordered)), reason="no interval: a maximum")
    spread = [percentile(x, 0.95) - percentile(x, 0.5) for x in ordered]
    figures["jitter"] = _figure(between_rounds(spread), spread)
    rates = [1e3 * batch / mean for mean in means]
    figures["windows_per_s"] = _figure(between_rounds(rates), rates)
    return figures


def cold_figures_of(rounds: Sequence[dict[str, int]]) -> dict[str, Figure]:
    """The parts of a cold start and their sum, from the times of each fresh process in nanoseconds."""
    figures = {}
    for name in (*COLD, "ready"):
        each = [(sum(cold[part] for part in COLD) if name == "ready" else cold[name]) / NS_PER_MS for cold in rounds]
        figures[name] = _figure(between_rounds(each), each)
    return figures


def _too_few(values: Sequence[Sequence[float]], share: float, name: str) -> str:
    """Why the samples do not carry a percentile; '' if they do."""
    least, needed = min(map(len, values)), min_samples(share)
    per_round = math.ceil(1 / (1 - share) - 1e-9)
    if least < per_round:
        return f"a round has {least} inferences; {name} needs {per_round} in each"
    independent = math.floor(independent_samples(values, share))
    if independent < needed:
        total = sum(map(len, values))
        return f"{total} inferences count as {independent} independent ones; {name} needs {needed}"
    return ""


def _figure(interval: Interval | None, each: Sequence[float]) -> Figure:
    if interval is None:
        reason = "one round has no interval" if len(each) < 2 else "no interval: a value is 0"
        return Figure(value=rounded(math.fsum(each) / len(each)), reason=reason)
    return Figure(value=rounded(interval.value), low=rounded(interval.low), high=rounded(interval.high))


def rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def report_from_bytes(data: bytes, place: str) -> Report:
    """Read a report, or one in a signed envelope (without verifying signatures). Raises InputError."""
    try:
        data = payload_of(data)
        head = msgspec.json.decode(data)
        found = head.get("schema") if isinstance(head, dict) else None
        if found != SCHEMA:
            raise ValueError(f"its schema is {found!r:.60}, expected '{SCHEMA}'" if found else "it has no 'schema'")
        return msgspec.json.decode(data, type=Report)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise InputError(f"{place}: not a report of 'seisedge bench': {reason_of(error)}") from error


def read_report(path: Path) -> Report:
    """Read a report file of `bench model`. Raises InputError."""
    return report_from_bytes(bytes_of(path), str(path))


def bytes_of(path: Path) -> bytes:
    """The bytes of a report file. Raises InputError."""
    try:
        return read_up_to(path, max(MAX_BYTES, MAX_ENVELOPE))
    except OSError as error:
        raise InputError(f"{path}: cannot read the report: {error.strerror}") from error


def payload_of(data: bytes) -> bytes:
    """A report, or the one in a signed envelope (signatures are not verified). Raises ValueError."""
    head = msgspec.json.decode(data)
    signed = isinstance(head, dict) and "payloadType" in head
    return envelope_from_bytes(data, PAYLOAD_TYPE).payload if signed else data


def check_figures(report: Report, place: str) -> None:
    """Compute every figure again from the raw samples. Raises InputError where one differs."""
    for setting, row in itertools.chain.from_iterable(((s, row) for row in s.rows) for s in report.settings):
        where = f"{place}: {setting.engine}, {setting.threads} thread(s), batch {row.batch}, pace {row.pace_ms:g} ms"
        latencies = [each.latencies_ns for each in row.rounds]
        if not latencies or not all(latencies):
            raise InputError(f"{where}: a round has no samples")
        check_stated(row.figures, figures_of(latencies, row.batch), where)
    for setting in report.settings:
        where = f"{place}: {setting.engine}, {setting.threads} thread(s), cold start"
        if not setting.rounds or any(set(each.cold_ns) != set(COLD) for each in setting.rounds):
            raise InputError(f"{where}: the times must be {', '.join(COLD)}")
        check_stated(setting.cold, cold_figures_of([each.cold_ns for each in setting.rounds]), where)


def check_stated(stated: dict[str, Figure], computed: dict[str, Figure], where: str) -> None:
    """Raises InputError where a stated figure differs from the computed one."""
    if stated.keys() != computed.keys():
        raise InputError(f"{where}: the figures must be {', '.join(computed)}; got {', '.join(stated)}")
    for name, figure in computed.items():
        for key in ("value", "low", "high"):
            a, b = getattr(stated[name], key), getattr(figure, key)
            if (a is None) != (b is None) or (a is not None and not math.isclose(a, b, rel_tol=1e-5)):
                earlier = "" if key == "value" else ", or an earlier build computed its intervals in another way"
                raise InputError(
                    f"{where}: {name} is {a} ({key}) in the report, and {b} computed from its raw samples; "
                    f"the report was edited or is damaged{earlier}"
                )

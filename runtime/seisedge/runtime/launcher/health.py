"""The health of a station: what its endpoint answers, in one word, and the verdict on a new version."""

from __future__ import annotations

import json
import tomllib
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seisedge.runtime.launcher.slots import FILES, manifest_of

TIMEOUT_S = 5.0
MAX_DOCUMENT = 2**20
DEFAULT_PORT = 8917  # of the first station without `metrics` in its file; the next one has the next port
DATA_S = 60.0  # an analysed packet is not older than this while data flow
WINDOW_S = 120.0
UP_S = 300.0  # from the restart to the first answer
FINAL_S = 20.0  # the last answer of a good version is not older

DATA, SILENT, BEHIND, DOWN = "data", "silent", "behind", "down"
Word = Literal["good", "bad", "undecided"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a station. word: `data` analysed, `silent`, `behind` a live stream, or `down`: no answer.

    slot: of the version that has answered; '' for another program. memory_mib: of its process; 0: unknown. detail: for
    people. data_age_s: None before the first packet. last_event: its id; '': none yet.
    """

    word: str
    slot: str = ""
    memory_mib: float = 0.0
    detail: str = ""
    status: str = ""
    data_age_s: float | None = None
    last_event: str = ""
    safe_mode: bool = False

    @property
    def reason(self) -> str:
        """The detail; in a short health window a station may have none yet."""
        return self.detail or "the station has given no reason yet"


def address_of(slot: Path, station: str, index: int) -> tuple[str, int]:
    """Host and port of the health endpoint of a station: those of its station file, else a default."""
    settings = tomllib.loads((slot / FILES / manifest_of(slot).stations[station]).read_text(encoding="utf-8"))
    return parsed_address(settings.get("metrics"), index)


def parsed_address(text: Any, index: int) -> tuple[str, int]:
    """Host and port of a setting `metrics`; the default of the station number `index` where it is missing."""
    if not isinstance(text, str):
        return "127.0.0.1", DEFAULT_PORT + index
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("", "0.0.0.0", "::") else host), int(port)


def read_health(address: tuple[str, int], station: str) -> Reading:
    """Ask the endpoint of a station."""
    host, port = address
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/healthz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AnyStatus())
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            tree = json.loads(answer.read(MAX_DOCUMENT))
        return reading_from(tree, station)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return Reading(DOWN, detail=f"no answer from {host}:{port}: {error}")


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """An outage is answered with the status 503, and has the same document."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response


def reading_from(tree: dict[str, Any], station: str) -> Reading:
    """The reading of a document of `/healthz`. Raises TypeError, AttributeError for another document."""
    found = tree.get("stations", {}).get(station, {})
    data_age_s, usable_age_s = found.get("data_age_s"), found.get("usable_age_s")
    if tree.get("dropping"):
        word = BEHIND
    elif data_age_s is not None and usable_age_s is not None and float(usable_age_s) <= DATA_S:
        word = DATA
    else:
        word = SILENT
    reasons = tree.get("reasons", [])
    return Reading(
        word,
        slot=str(tree.get("slot") or ""),
        memory_mib=float(tree.get("resident_mib") or 0.0),
        detail=str(reasons[0])[:300] if reasons else "",
        status=str(tree.get("status", "")),
        data_age_s=None if data_age_s is None else float(data_age_s),
        last_event=str(found.get("last_event") or ""),
        safe_mode=bool(tree.get("safe_mode")),
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """window_s: from the first answer of all stations to the verdict. up_s: from the start to that answer."""

    memory_mib: float
    window_s: float = WINDOW_S
    up_s: float = UP_S


@dataclass(slots=True)
class Window:
    """The observations of a health window. slot: of the version that is judged. before: word of each station.

    now_s of its methods: the monotonic clock.
    """

    slot: str
    before: Mapping[str, str]
    limits: Limits
    began_s: float
    up_s: float | None = None  # when all stations had answered
    answered_s: float | None = None  # when all stations last answered
    last: dict[str, Reading] | None = None

    def add(self, readings: dict[str, Reading], now_s: float) -> tuple[Word, str] | None:
        """Take one reading of each station; the verdict and its reason, or None while there is none."""
        self.last = readings
        for station, reading in readings.items():
            if reading.word == DOWN or reading.slot != self.slot:
                continue
            if reading.safe_mode:
                return "bad", f"{station}: it runs in safe mode: {reading.detail or 'no reason given'}"
            if reading.memory_mib > self.limits.memory_mib:
                return "bad", (
                    f"{station}: it takes {reading.memory_mib:.0f} MiB of memory, the hardware profile allows "
                    f"{self.limits.memory_mib:g} MiB"
                )
        if all(reading.word != DOWN and reading.slot == self.slot for reading in readings.values()):
            self.answered_s = now_s
            self.up_s = now_s if self.up_s is None else self.up_s
        if self.up_s is None:
            return self._never_up(readings) if now_s - self.began_s > self.limits.up_s else None
        return self._at_end(readings, now_s) if now_s - self.up_s >= self.limits.window_s else None

    def _never_up(self, readings: dict[str, Reading]) -> tuple[Word, str]:
        missing = [station for station, r in readings.items() if r.word == DOWN or r.slot != self.slot]
        detail = readings[missing[0]].detail or "another program answers"
        return "bad", f"{missing[0]}: it did not come up within {self.limits.up_s:g} s: {detail}"

    def _at_end(self, readings: dict[str, Reading], now_s: float) -> tuple[Word, str] | None:
        assert self.answered_s is not None
        if now_s - self.answered_s > FINAL_S:
            gone = [station for station, r in readings.items() if r.word == DOWN or r.slot != self.slot]
            return "bad", f"{(gone or list(readings))[0]}: it no longer answers"
        if now_s > self.answered_s:  # an answer is missing now: the next reading decides
            return None
        undecided = ""
        for station, reading in readings.items():
            before = self.before.get(station, "")
            if reading.word == DATA:
                continue
            if reading.word == BEHIND and before in (DATA, ""):
                return "bad", f"{station}: it falls behind the stream: {reading.reason}"
            if reading.word == SILENT and before in (DATA, BEHIND):
                return "bad", f"{station}: no data are analysed, the version before had data: {reading.reason}"
            was = "as before" if before else "with no version before to compare with"
            undecided = undecided or f"{station}: no data are analysed, {was}: {reading.reason}"
        return ("undecided", undecided) if undecided else ("good", "data are analysed at all stations")

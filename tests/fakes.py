"""Real implementations of small parts, for tests: an engine that computes a given function, and synthetic packets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ONSET_LABELS, MagnitudeScale, ModelCard, OnsetScale, Training
from seisedge.runtime.config import StationConfig, TriggerConfig, load_config
from seisedge.runtime.config.settings import TriggerKind
from seisedge.runtime.demo import STATIONS
from seisedge.runtime.engines._base import Array, Engine
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.sources import Source
from seisedge.runtime.station.draft import Draft

Rule = Callable[[Array, Array], Any]  # nested lists of the shape of the output

T0_NS = 1_600_000_000_000_000_000  # 2020-09-13T12:26:40Z
EDGES: list[float | None] = [None, *(round(0.1 * k, 1) for k in range(31)), None]
TYPES = ["tectonic", "non-tectonic", "noise"]
TECTONIC, NOISE = [0.9, 0.06, 0.04], [0.05, 0.05, 0.9]


def card(task: str = "event_type", **changes: Any) -> ModelCard:
    """A valid card, with changes."""
    magnitude = task == "magnitude"
    facts: dict[str, Any] = {
        "name": f"fake-{task}",
        "task": task,
        "labels": [f"bin {k}" for k in range(32)] if magnitude else TYPES,
        "magnitude": MagnitudeScale(edges=EDGES, type="ML") if magnitude else None,
        "components": "ZNE",
        "sampling_rate_hz": 40.0,
        "n_samples": 1400,
        "onset_s": 5.0,
        "unit": "m/s" if magnitude else "counts",
        "band_hz": (1.0, 15.0),
        "answers_s": [3.0, 10.0, 30.0],
        "modes": ["triggered"] if magnitude else ["triggered", "continuous"],
        "min_coverage": 0.6,
        "parameters": 10,
        "macs": 100,
        "flops": 200,
        "flops_by_operator": {"MatMul": 200},
        "not_counted": [],
        "temperature": 1.0,
        "training": Training(
            recipe="fake", seed=0, data=["none"], data_sha256="0", split="none", n_events=0, n_records=0, licence="-"
        ),
        "metrics": [],
        "not_for": ["anything"],
        "precision": "fp32",
        "pruning": "none",
        "seisedge_version": "0",
        "date": "2026-01-01",
    }
    return ModelCard(**facts | changes)


def onset_card(context_s: float = 12.0, **changes: Any) -> ModelCard:
    """A valid card of an onset detector: blocks of ten hops of 0.1 s."""
    scale: dict[str, Any] = {
        "hop_s": 0.1,
        "delay_s": 0.0,
        "p_threshold": 0.5,
        "s_threshold": 0.5,
        "gate_ratio": 0.0,
        "tolerance_s": 0.2,
    }
    own = {key: changes.pop(key) for key in list(changes) if key in scale}
    facts: dict[str, Any] = {
        "labels": ONSET_LABELS,
        "n_samples": round((context_s + 1.0) * 40),
        "onset_s": context_s,
        "answers_s": [1.0],
        "onset": OnsetScale(**scale | own),
    }
    return card("onset", **facts | {"modes": ["triggered", "continuous"]} | changes)


class RuleEngine(Engine):
    """An engine whose network is a Python function of (3, n) waveform and mask; stores its inputs."""

    name = "rule"

    def __init__(self, card: ModelCard, rule: Rule) -> None:
        self._card = card
        self._rule = rule
        self.shown: list[tuple[Array, Array]] = []
        super().__init__(Path("rule"))

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        return "0" * 64, self._card

    def _infer(self, waveform: Array, valid: Array) -> Array:
        self.shown.append((waveform[0].copy(), valid[0].copy()))
        return np.array([self._rule(w, v) for w, v in zip(waveform, valid, strict=True)], dtype=np.float32)


def classic_config(**settings: Any) -> StationConfig:
    """Settings of a station whose events are opened by the classic trigger, for tests with scripted models."""
    return StationConfig(**{"trigger": TriggerConfig(kind="sta-lta")} | settings)


def demo_configs(kind: TriggerKind = "onset") -> dict[str, StationConfig]:
    """The station files of the bundled recording, by station, with what opens their events."""
    configs = [load_config(path) for path in STATIONS.glob("*.toml")]
    trigger = TriggerConfig(kind=kind)
    return {str(c.station_id): msgspec.structs.replace(c, trigger=trigger) for c in configs}


def answer_of(valid: Array) -> float:
    """Seconds after the onset in a window of `card`."""
    held = np.flatnonzero(valid.any(axis=0))
    return float(held[-1] + 1) / 40.0 - 5.0 if len(held) else 0.0


def one_bin(k: int) -> list[float]:
    """Nearly all probability in bin k of 32."""
    return [0.9 if index == k else 0.1 / 31 for index in range(32)]


def fake_models(
    type_rule: Rule | None = None, magnitude_rule: Rule | None = None, onset: Engine | None = None
) -> Models:
    """Type and magnitude; by default everything is tectonic, M 1.0–1.1."""
    return Models(
        RuleEngine(card(), type_rule or (lambda _w, _v: TECTONIC)),
        RuleEngine(card("magnitude"), magnitude_rule or (lambda _w, _v: one_bin(11))),
        onset,
    )


def onset_rule(waveform: Array, valid: Array) -> list[list[float]]:
    """P where the vertical, S where a horizontal of 3 times the vertical, rises above 5 times its median amplitude."""
    change = np.diff(np.where(valid > 0, waveform, 0.0), axis=1, prepend=0.0)
    change[:, 1:] *= (valid[:, 1:] > 0) & (valid[:, :-1] > 0)
    change[:, 0] = 0.0
    amplitude = np.sqrt((change.reshape(3, -1, 4) ** 2).mean(axis=2))
    usual = np.array([np.median(row[row > 0]) if (row > 0).any() else 1.0 for row in amplitude])
    loud = amplitude > 5 * usual[:, None]
    p = loud[0] if valid[0, -40:].any() else loud[1] | loud[2]
    s = (loud & (amplitude > 3 * amplitude[0])).any(axis=0) if valid[0, -40:].any() else np.zeros_like(p)
    rows = []
    for hop in range(loud.shape[1] - 10, loud.shape[1]):
        onset = [float(x[hop] and not x[hop - 5 : hop].any()) for x in (p, s)]
        kinds = [0.1, 0.7, 0.2] if loud[:, hop].any() else [0.8, 0.1, 0.1]
        rows.append([0.02 + 0.88 * onset[0], 0.01 + 0.79 * onset[1], *kinds])
    return rows


def fake_detector(context_s: float = 12.0, **changes: Any) -> RuleEngine:
    """An onset detector by `onset_rule`; changes: of `onset_card`."""
    return RuleEngine(onset_card(context_s, **changes), onset_rule)


def packet(
    samples: npt.NDArray[Any],
    start_s: float = 0.0,
    channel: str = "HHZ",
    rate_hz: float = 100.0,
    flags: RecordFlag = RecordFlag.NONE,
    station: str = "STA",
) -> Packet:
    """A packet of XX.STA that starts `start_s` after T0."""
    source_id = SourceId("XX", station, "", channel)
    return Packet(source_id, T0_NS + round(start_s * 1e9), rate_hz, np.asarray(samples), flags, 0, "")


def burst(seconds: float, onsets_s: list[float], rate_hz: float = 100.0, seed: int = 0) -> npt.NDArray[np.int32]:
    """Noise of 20 counts with a decaying 6 Hz burst of 2,000 counts at each onset."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    x = rng.normal(0, 20, len(t))
    for onset in onsets_s:
        after = t - onset
        x += np.where(after >= 0, 2000 * np.exp(-np.clip(after, 0, None) / 1.5) * np.sin(2 * np.pi * 6 * after), 0)
    return x.round().astype(np.int32)


def packets_of(
    traces: dict[str, npt.NDArray[np.int32]], packet_s: float = 4.0, rate_hz: float = 100.0, start_s: float = 0.0
) -> list[Packet]:
    """Traces cut into packets, in order of end time, as a digitizer sends them."""
    step = round(packet_s * rate_hz)
    made = [
        packet(x[i : i + step], start_s + i / rate_hz, channel, rate_hz)
        for channel, x in traces.items()
        for i in range(0, len(x), step)
    ]
    return sorted(made, key=lambda p: (p.endtime_ns, str(p.source_id)))


def events_of(drafts: Iterable[Draft]) -> list[Event]:
    """The lines of events among drafts."""
    return [draft.line for draft in drafts if isinstance(draft.line, Event)]


def hops_of(drafts: Iterable[Draft]) -> list[Hop]:
    """The lines of hops among drafts."""
    return [draft.line for draft in drafts if isinstance(draft.line, Hop)]


class ListSource(Source):
    """Packets from a list; None in it is a tick."""

    def __init__(self, packets: list[Packet | None], *, live: bool = False) -> None:
        super().__init__("list:")
        self.live = live
        self._packets = packets

    def packets(self) -> Iterator[Packet | None]:
        yield from self._packets


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port of this machine that accepts connections and never sends anything."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        yield silent.getsockname()[1]


@contextlib.contextmanager
def unreachable_port() -> Iterator[int]:
    """A port where a connection is neither accepted nor refused, as behind a firewall: its queue is full."""
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def described(  # noqa: PLR0913 - one parameter for each attribute of the element
    channel: str,
    *,
    location: str = "",
    start: str | None = "2010-01-01T00:00:00",
    end: str | None = None,
    sensitivity: float | None = 1e9,
    input_units: str = "M/S",
    output_units: str = "COUNTS",
    azimuth: float | None = None,
    dip: float | None = None,
    rate: float | None = None,
) -> str:
    """A Channel element of StationXML."""
    times = "".join(f' {key}="{text}"' for key, text in (("startDate", start), ("endDate", end)) if text)
    angles = "".join(
        f"<{key}>{value}</{key}>"
        for key, value in (("Azimuth", azimuth), ("Dip", dip), ("SampleRate", rate))
        if value is not None
    )
    response = ""
    if sensitivity is not None:
        response = (
            f"<InstrumentSensitivity><Value>{sensitivity!r}</Value><Frequency>5</Frequency><InputUnits>"
            f"<Name>{input_units}</Name></InputUnits><OutputUnits><Name>{output_units}</Name></OutputUnits>"
            "</InstrumentSensitivity>"
        )
    return (
        f'<Channel code="{channel}" locationCode="{location}"{times}><Latitude>35</Latitude><Longitude>-117</Longitude>'
        f"<Elevation>0</Elevation><Depth>0</Depth>{angles}<Response>{response}</Response></Channel>"
    )


def stationxml(path: Path, station_id: str, channels: list[str]) -> Path:
    """A StationXML 1.1 file of one station, valid by its schema."""
    network, station = station_id.split(".")
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<FDSNStationXML xmlns="http://www.fdsn.org/xml/station/1" '
        'schemaVersion="1.1"><Source>tests</Source><Created>2026-01-01T00:00:00</Created>'
        f'<Network code="{network}"><Station code="{station}"><Latitude>35</Latitude><Longitude>-117</Longitude>'
        f"<Elevation>0</Elevation><Site><Name>-</Name></Site>{''.join(channels)}</Station></Network></FDSNStationXML>",
        encoding="utf-8",
    )
    return path

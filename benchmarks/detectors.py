"""The triggers of the station, ready to be compared: with or without the bundled type model, at any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.config import EventsConfig, Mode, ModelsConfig, StationConfig, TriggerConfig
from seisedge.runtime.demo.report import last_revisions
from seisedge.runtime.engines import Engine, open_engine
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models, bundled_model, model_path
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.station import Station
from seisedge.train.evaluation.detector_input import RememberingEngine, Stretch, onsets_in
from seisedge.train.evaluation.onset import p_times
from seisedge.train.evaluation.onsets import Detections, thinned
from seisedge.train.evaluation.subject import subject_from

Array = np.ndarray[Any, Any]
ON_RATIOS = (2.0, 2.4, 2.8, 3.2, 3.6, 4.2, 5.0, 6.0, 8.0, 11.0)  # of STA/LTA; 4.2 is the default
P_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PACKET_S = 4.0
T0_NS = ns_from_iso("2020-01-01T00:00:00Z")  # of records, whose own time does not matter
STA_LTA, ONSET = "sta-lta", "onset"
MODES: dict[str, tuple[Mode, ...]] = {STA_LTA: ("triggered",), ONSET: ("triggered", "continuous")}


class Always(Engine):
    """A type model that calls each window tectonic, so that each onset that opens an event is emitted."""

    name = "always"

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        super().__init__(Path("always"))

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        return "0" * 64, self._card

    def _infer(self, waveform: Array, valid: Array) -> Array:
        row = [float(label == "tectonic") for label in self._card.labels]
        return np.array([row] * len(waveform), dtype=np.float32)


class Kept(Sink):
    """Keeps the events in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self.events.append(line)


@dataclass(frozen=True)
class Detector:
    """A trigger of the station with a name, a threshold for the curve, its models, and `[events] noise_threshold`."""

    name: str
    trigger: TriggerConfig
    threshold: float
    models: Models
    noise_threshold: float | None = None

    @property
    def noise_limit(self) -> float:
        """`noise_threshold`, or its default for the trigger."""
        return EventsConfig(noise_threshold=self.noise_threshold).noise_limit(
            "onset" if self.name == ONSET else "sta-lta"
        )

    def events(
        self, data: Sequence[Path] | list[Packet], configs: dict[str, StationConfig], mode: Mode = "triggered"
    ) -> list[Event]:
        """The events of files, or of the packets of one station, without the retracted ones."""
        default, own = self._settings(StationConfig()), {key: self._settings(c) for key, c in configs.items()}
        if data and isinstance(data[0], Packet):
            return self._of_packets(data, default, mode)  # type: ignore[arg-type]
        kept = Kept()
        with open_source([str(path) for path in data]) as source:
            Loop(self.models, [kept], own, default=None if own else default, mode=mode).run(source)
        return last_revisions(kept.events)

    def _settings(self, config: StationConfig) -> StationConfig:
        events = msgspec.structs.replace(config.events, noise_threshold=self.noise_threshold)
        return msgspec.structs.replace(config, trigger=self.trigger, events=events)

    def _of_packets(self, packets: list[Packet], config: StationConfig, mode: Mode) -> list[Event]:
        station = Station(packets[0].source_id.station_id, config, self.models, mode)
        lines: list[Event | Hop] = []
        for packet in packets:
            station.add(packet)
            lines += [draft.line for draft in station.step()]
        lines += [draft.line for draft in station.finish()]
        return last_revisions(line for line in lines if isinstance(line, Event))


class Detectors:
    """The triggers of the station that are compared, with and without the bundled type model."""

    def __init__(self, model: str) -> None:
        """model: file or name of an onset detector, or 'none'."""
        onset = None if model == "none" else open_engine(model_path(model))
        subject = None if onset is None else subject_from(model, torch.device("cpu"))
        self._remembering = None if subject is None else RememberingEngine(subject)
        self.trained = frozenset[bytes]() if subject is None else subject.event_hashes or frozenset()
        card = open_engine(bundled_model("event_type")).card
        self.always = Models(Always(card), None, onset)
        bundled = Models.load(ModelsConfig(magnitude="none", onset="none"))
        self.typed = Models(bundled.event_type, None, onset)
        self.onset = onset

    def opened(self, name: str, threshold: float | None = None) -> Detector:
        """Each onset that opens an event. threshold: None for the default."""
        return self._detector(name, threshold, self.always)

    def kept(self, name: str) -> Detector:
        """Events that the type model does not retract."""
        return self._detector(name, None, self.typed)

    @property
    def names(self) -> list[str]:
        """The triggers that can be run."""
        return [STA_LTA] if self.onset is None else [STA_LTA, ONSET]

    def ladder(self, name: str) -> list[float]:
        """The thresholds of the curve, the default among them."""
        return sorted({*(ON_RATIOS if name == STA_LTA else P_THRESHOLDS), round(self.opened(name).threshold, 4)})

    def onsets(self, stretch: Stretch, name: str, threshold: float) -> Array:
        """P onsets (n,) in ns at a threshold, as far apart as events: by the opener of the station alone.

        The output of the network is computed once for all thresholds. The rules against artefacts are not applied.
        """
        engine = self._remembering if name == ONSET else None
        found = p_times(onsets_in(stretch.waveform, stretch.valid, engine, threshold))
        separation_s = EventsConfig().separation_s("onset" if name == ONSET else "sta-lta")
        return stretch.start_ns + thinned(Detections(found, np.ones(len(found))), 0.0, separation_s).time_ns

    def _detector(self, name: str, threshold: float | None, models: Models) -> Detector:
        if name == STA_LTA:
            ratio = TriggerConfig().on_ratio if threshold is None else threshold
            return Detector(name, TriggerConfig(kind="sta-lta", on_ratio=ratio), ratio, models)
        assert self.onset is not None and self.onset.card.onset is not None
        p = self.onset.card.onset.p_threshold if threshold is None else threshold
        return Detector(name, TriggerConfig(kind="onset", p_threshold=threshold), p, models)


def packets_of(waveform: Array, rate_hz: float, components: str) -> list[Packet]:
    """Packets of a record (3, n), in the order of time; whole numbers as a digitizer has them, if the record has."""
    scale = 1.0 if np.ptp(waveform) > 100 else 1e5 / max(float(np.abs(waveform).max()), 1e-30)
    x = np.round(waveform * scale).astype(np.int32)
    step = round(PACKET_S * rate_hz)
    return [
        Packet(
            SourceId("XX", "X", "", f"HH{code}"), T0_NS + round(first / rate_hz * NS_PER_S), rate_hz,
            x[row, first : first + step], RecordFlag.NONE, 0, "",
        )
        for first in range(0, x.shape[1], step)
        for row, code in enumerate("ZNE")
        if code in components
    ]  # fmt: skip

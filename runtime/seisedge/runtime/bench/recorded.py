"""Real windows for a model, cut from a recording at the onsets of the station's trigger."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.detection.opener import TRIGGER_GRID
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.engines._base import Pair
from seisedge.runtime.errors import DataError
from seisedge.runtime.inference.windows import cut_window, grid_of, start_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.sources import open_source
from seisedge.runtime.timeline.timeline import Timeline

WINDOW_LIMIT = 200
TRIAL_WINDOW_LIMIT = 8


def trial_windows(card: ModelCard) -> list[Pair]:
    """Windows of the bundled recording on which a new engine is compared with onnxruntime."""
    return windows_from([RECORDING], card, limit=TRIAL_WINDOW_LIMIT)


def windows_from(data: list[str | Path], card: ModelCard, limit: int = WINDOW_LIMIT) -> list[Pair]:
    """One waveform and mask, (1, 3, n) each, per onset and answer length of the model; at most `limit`.

    Raises DataError without an onset, and the errors of open_source.
    """
    stations: dict[str, tuple[Timeline, Trigger, Timeline]] = {}
    pairs: list[Pair] = []
    waiting: list[tuple[Timeline, int]] = []
    with open_source(data) as source:
        for packet in source.packets():
            if packet is None or packet.flags & RecordFlag.CALIBRATION:
                continue
            component = {"1": "N", "2": "E"}.get(packet.source_id.channel[-1], packet.source_id.channel[-1])
            if component not in "ZNE":
                continue
            key = packet.source_id.station_id
            if key not in stations:
                listen = Timeline(key, TRIGGER_GRID)
                model = listen if grid_of(card) == TRIGGER_GRID else Timeline(key, grid_of(card))
                stations[key] = listen, Trigger(listen, TriggerConfig()), model
            listen, trigger, model = stations[key]
            for timeline in {id(t): t for t in (listen, model)}.values():
                timeline.add(component, packet)
            waiting += [(model, onset.time_ns) for onset in trigger.scan()]
            full = [item for item in waiting if item[0].ready_k >= item[0].k_at(item[1] + ns_from_s(card.window_s))]
            waiting = [item for item in waiting if item not in full]
            for timeline, onset_ns in full:
                for answer_s in card.answers_s:
                    window = cut_window(timeline, card, start_of_window(card, onset_ns), onset_ns + ns_from_s(answer_s))
                    scale = np.float32(1.0 if card.unit == "counts" else 1e-9)
                    pairs.append(((window.waveform * scale)[None], window.valid.astype(np.float32)[None]))
            for timeline in (listen, model):
                timeline.seen()
            if len(pairs) >= limit:
                break
    if not pairs:
        raise DataError(
            f"{', '.join(map(str, data))}: the trigger finds no onset, so there is no window to measure with"
        )
    return pairs[:limit]

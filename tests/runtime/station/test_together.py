"""Windows of one step that are run together give the lines of windows that are run one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.fakes import NOISE, TECTONIC, RuleEngine, burst, classic_config, fake_models, packets_of

from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.demo.made_day import CLASSIC, Kept
from seisedge.runtime.engines import Engine
from seisedge.runtime.engines._base import Array
from seisedge.runtime.errors import EngineError
from seisedge.runtime.event import Event, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.station import Station


def _counted(engine: Engine, sizes: list[int], fails: bool = False) -> None:
    """Note the size of each batch of an engine. fails: a batch of several windows raises."""
    whole = engine.infer

    def infer(waveform: Array, valid: Array) -> Any:
        sizes.append(len(waveform))
        if fails and len(waveform) > 1:
            raise EngineError("a batch is too much")
        return whole(waveform, valid)

    engine.infer = infer  # type: ignore[method-assign]


def test_the_recording() -> None:
    found: list[list[bytes]] = []
    sizes: list[int] = []
    for together in (True, False):
        models, kept = Models.load(ModelsConfig()), Kept()
        for engine in models.window_engines:
            if not together:
                engine.batch_sizes = (1,)  # type: ignore[misc]
            _counted(engine, sizes if together else [])
        with open_source(RECORDING) as source:
            report = Loop(models, [kept], CLASSIC, mode="triggered").run(source)
        found.append([content_of(line) for line in kept.lines if isinstance(line, Event)])
    assert found[0] == found[1]
    assert sum(size for size in sizes if size > 1) > 0.8 * report.inferences
    assert sum(sizes) < 1.05 * report.inferences, "windows that nobody asks for"


def _noise_by_size(waveform: Array, _valid: Array) -> list[float]:
    """Noise by the sum of the amplitudes: one window in three."""
    return NOISE if int(np.abs(waveform[0]).sum()) % 3 == 0 else TECTONIC


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_events_that_turn_out_to_be_noise(seed: int, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their windows end where the next event begins, until they are noise: other windows than was expected."""
    rng = np.random.default_rng(seed)
    onsets = np.cumsum(rng.choice([3.0, 7.0, 16.0, 45.0], 14)) + 40.0
    traces = {f"HH{c}": burst(float(onsets[-1]) + 60.0, onsets.tolist(), seed=seed + i) for i, c in enumerate("ZNE")}
    lines: list[list[bytes]] = []
    inferences: list[int] = []
    sizes: list[int] = []
    for batch_sizes in ((4, 3, 1), (1,)):
        models = fake_models(_noise_by_size)
        monkeypatch.setattr(RuleEngine, "batch_sizes", batch_sizes)
        for engine in models.window_engines:
            _counted(engine, sizes if len(batch_sizes) > 1 else [], fails)
        station = Station("XX.STA", classic_config(), models, "triggered")
        for packet in packets_of(traces):
            station.add(packet)
        lines.append([content_of(draft.line) for draft in (*station.step(), *station.finish())])
        inferences.append(station.counters.inferences)
    assert lines[0] == lines[1] and len(lines[0]) > 10
    assert inferences[0] == inferences[1]
    assert max(sizes) == 4

"""Rows of `benchmarks/streams.py`: data on disk to events, in triggered and in continuous mode."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obspy
from obspy.signal.trigger import recursive_sta_lta, trigger_onset

from benchmarks.measure import Row, take_turns
from seisedge.runtime.config import Mode, ModelsConfig, StationConfig
from seisedge.runtime.demo.made_day import CLASSIC, ONSET, Kept
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.run_report import RunReport

NO_SEISBENCH = "left out: SeisBench PhaseNet annotate (pip install 'seisedge[bench]')"


def has_seisbench() -> bool:
    return importlib.util.find_spec("seisbench") is not None


def run_files(
    data: Path, models: Models, mode: Mode = "triggered", configs: dict[str, StationConfig] = ONSET
) -> RunReport:
    with open_source(data) as source:
        return Loop(models, [Kept()], configs, mode=mode).run(source)


def archive_rows(data: Path, models: Models) -> tuple[list[Row], str]:
    """Seconds of station data, from the file to events; and their contents."""
    reports: list[RunReport] = []

    def ours() -> float:
        reports.append(run_files(data, models))
        return _station_s(reports[-1])

    before = _blocks(models), _inference_s(models)
    ours()
    seconds = _station_s(reports[-1])
    blocks, inference_s = _blocks(models) - before[0], _inference_s(models) - before[1]
    triggers: list[int] = []

    def plain(component: str) -> float:
        """obspy: read, demean, band-pass, recursive STA/LTA on every trace of these components."""
        for trace in obspy.read(str(data)).select(component=component).merge():
            rate = trace.stats.sampling_rate
            trace.detrend("demean").filter("bandpass", freqmin=2, freqmax=20)
            trigger_onset(recursive_sta_lta(trace.data, int(0.5 * rate), int(10 * rate)), 4, 1.5)
        return seconds

    def classic() -> float:
        report = run_files(data, models, configs=CLASSIC)
        triggers.append(report.triggers)
        return _station_s(report)

    variants: dict[str, Callable[[], float]] = {
        "seisedge: read, onset detector, type, magnitude": ours,
        "seisedge with trigger.kind = 'sta-lta'": classic,
    }
    if has_seisbench():
        annotate = _phasenet()

        def phasenet() -> float:
            annotate(obspy.read(str(data)))
            return seconds

        variants["SeisBench PhaseNet annotate (random weights)"] = phasenet
    variants["obspy: read, filter, recursive STA/LTA (all three)"] = lambda: plain("*")
    variants["obspy: read, filter, recursive STA/LTA (Z only)"] = lambda: plain("Z")
    rows = take_turns(variants, warm_up=False)
    report, hours = reports[-1], seconds / 3600
    return rows, (
        f"{hours:.1f} station-hours; {report.triggers / hours:.1f} onsets/h and {report.inferences / hours:.0f} "
        f"inferences/h a station, run on {blocks / seconds:.0%} of the data; STA/LTA {triggers[-1] / hours:.1f} "
        f"triggers/h; inference takes {inference_s:.3f} s of the first row"
    )


def _blocks(models: Models) -> int:
    """Number of blocks on which the onset detector was run."""
    return sum(models.onset.inference_ms.counts) if models.onset is not None else 0


def _inference_s(models: Models) -> float:
    """Time of all inferences so far."""
    return sum(engine.inference_ms.total for engine in models.engines) / 1e3


def _station_s(report: RunReport) -> float:
    spans = [(s.last_ns - s.first_ns) / 1e9 for s in report.stations.values() if s.first_ns and s.last_ns]
    return sum(spans)


def _phasenet() -> Callable[[Any], Any]:
    """`annotate` on one thread, with SeisBench's defaults; the weights are random, which takes as long."""
    os.environ.setdefault("SEISBENCH_CACHE_ROOT", tempfile.mkdtemp(prefix="seisbench-"))
    import seisbench.models
    import torch

    torch.set_num_threads(1)
    model = seisbench.models.PhaseNet()
    model.eval()

    def annotate(stream: Any) -> Any:
        return model.annotate(_named_zne(stream))

    return annotate


def _named_zne(stream: Any) -> Any:
    for trace in stream:  # SeisBench needs Z, N and E
        trace.stats.channel = trace.stats.channel[:2] + {"1": "N", "2": "E"}.get(
            trace.stats.channel[2], trace.stats.channel[2]
        )
    return stream


def continuous_rows(data: Path) -> tuple[list[Row], str]:
    """Seconds of data of one station with a line per second, compared with triggered mode and with the model alone."""
    models = Models.load(ModelsConfig())
    engine = models.onset
    assert engine is not None
    reports: list[RunReport] = []

    def ours() -> float:
        reports.append(run_files(data, models, "continuous"))
        return _station_s(reports[-1])

    def triggered() -> float:
        return _station_s(run_files(data, models))

    ours()
    seconds = round(_station_s(reports[-1]))
    waveform = np.random.default_rng(0).normal(0, 100, (1, 3, engine.card.n_samples)).astype(np.float32)
    valid = np.ones_like(waveform)

    def plain() -> float:
        for _ in range(seconds):
            engine.infer(waveform, valid)
        return float(seconds)

    rows: dict[str, Callable[[], float]] = {
        "seisedge --mode continuous, from the file": ours,
        "seisedge --mode triggered, from the file": triggered,
        "the onset detector alone, block by block": plain,
    }
    if engine.run_lengths:
        length = engine.run_lengths[0]
        run = np.zeros((1, 3, engine.card.n_samples + (length - 1) * engine.card.block_n), dtype=np.float32)
        run[:] = np.random.default_rng(0).normal(0, 100, run.shape)

        def in_runs() -> float:
            for _ in range(seconds // length):
                engine.infer_run(run, np.ones_like(run))
            return float(seconds // length * length)

        rows[f"the onset detector alone, in runs of {length}"] = in_runs
    report, hours = reports[-1], _station_s(reports[-1]) / 3600
    what = f"{hours:.2f} station-hours, {report.events / hours:.1f} events/h, a line per second"
    return take_turns(rows, warm_up=False), what

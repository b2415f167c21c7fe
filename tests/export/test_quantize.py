"""int8: calibration windows choose the layers; held-out windows score the chosen model and decide nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from seisedge.export import quantize
from seisedge.export.gate import Parent, Rule, answers_of
from seisedge.export.graph import ModelFile
from seisedge.export.heldout import HeldOut, heldout_windows
from seisedge.export.quantize import Lower, int8_from
from seisedge.train.data import Archive

RULE = Rule(accept_points=100)


def silent(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def calibration(model: ModelFile, some_records: Archive) -> HeldOut:
    return heldout_windows(model.card, some_records, 24, "train")


def int8_of(model: ModelFile, calibration: HeldOut, held: HeldOut) -> Lower:
    return int8_from(
        model, calibration, held, Parent(model.card, model.sha256, answers_of(model.data, held)), RULE, silent
    )


def graph_in(file: bytes) -> bytes:
    """The model without its card."""
    graph = onnx.load_from_string(file)
    del graph.metadata_props[:]
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def test_held_out_windows_have_no_influence_on_the_layers(
    model: ModelFile, calibration: HeldOut, windows: HeldOut
) -> None:
    """Held-out windows of pure noise a thousand times louder: other answers, the same layers, the same graph."""
    rng = np.random.default_rng(1)
    size = np.abs(windows.waveform).max()
    noise = rng.normal(scale=1e3 * size, size=windows.waveform.shape).astype(np.float32)
    loud = dataclasses.replace(windows, waveform=noise, target=np.roll(windows.target, 7))
    first, second = int8_of(model, calibration, windows), int8_of(model, calibration, loud)
    assert graph_in(first.file) == graph_in(second.file)
    assert first.comparison.mean_dp != second.comparison.mean_dp


def test_held_out_windows_are_answered_once(
    model: ModelFile, calibration: HeldOut, windows: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(data: bytes, some: HeldOut) -> np.ndarray:
        asked.append(some)
        return answers_of(data, some)

    parent = Parent(model.card, model.sha256, answers_of(model.data, windows))
    monkeypatch.setattr(quantize, "answers_of", counted)
    made = int8_from(model, calibration, windows, parent, RULE, silent)
    known = {id(calibration), id(windows)}
    assert [id(some) for some in asked].count(id(windows)) == 1
    of_others = [some for some in asked if id(some) not in known]  # a part of the calibration windows, for sensitivity
    assert of_others and all(np.isin(some.event, calibration.event).all() for some in of_others)
    assert made.comparison.windows == len(windows)

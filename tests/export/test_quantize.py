"""int8: calibration windows choose the layers; held-out windows score the chosen model and decide nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest

from seisedge.export import quantize
from seisedge.export.gate import Parent, Rule, answers_of
from seisedge.export.gate_windows import HeldOut, gate_windows
from seisedge.export.graph import ModelFile
from seisedge.export.quantize import Lower, choose_layers, int8_from
from seisedge.train.archive.archive import Archive

RULE = Rule(accept_points=100)


def silent(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def calibration(model: ModelFile, some_records: Archive) -> HeldOut:
    return gate_windows(model.card, some_records, 24, "train")


def int8_of(model: ModelFile, calibration: HeldOut, held: HeldOut) -> Lower:
    return int8_from(model, calibration, Parent.from_file(model, held), RULE, silent)


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

    parent = Parent.from_file(model, windows)
    monkeypatch.setattr(quantize, "answers_of", counted)
    made = int8_from(model, calibration, parent, RULE, silent)
    known = {id(calibration), id(windows)}
    assert [id(some) for some in asked].count(id(windows)) == 1
    of_others = [some for some in asked if id(some) not in known]  # a part of the calibration windows, for sensitivity
    assert of_others and all(np.isin(some.event, calibration.event).all() for some in of_others)
    assert made.comparison.windows == len(windows)


class Layers:
    """A model of layers a, b, c …, where int8 in a layer changes the answers of calibration windows by a known amount.

    Answers: (200, 2); a layer lowers the first probability of each window, and swaps those of some windows.
    """

    def __init__(self, effects: dict[str, tuple[float, int]]) -> None:
        self.effects = effects
        self.names = list(effects)
        self.tried: list[list[str]] = []

    def graph(self, model: onnx.ModelProto, scales: object, places: list[int]) -> onnx.ModelProto:
        out = onnx.ModelProto()
        out.doc_string = ",".join(self.names[i] for i in places)
        return out

    def answers(self, data: bytes, windows: object) -> np.ndarray:
        p = np.tile([0.7, 0.3], (200, 1))
        if data == b"parent":
            return p
        names = [name for name in onnx.load_from_string(data).doc_string.split(",") if name]
        self.tried.append(names)
        flipped = sum(self.effects[name][1] for name in names)
        p[:flipped] = p[:flipped, ::-1]
        p[:, 0] -= sum(self.effects[name][0] for name in names)
        return p


class FakeModel:
    graph, data = onnx.ModelProto(), b"parent"


class FakeWindows:
    sha256 = "ab"

    def __len__(self) -> int:
        return 200

    def spread(self, count: int) -> FakeWindows:
        return self


def chosen(effects: dict[str, tuple[float, int]], monkeypatch: pytest.MonkeyPatch) -> tuple[Layers, list[str], int]:
    """The layers left in fp32, and how many are int8."""
    layers = Layers(effects)
    monkeypatch.setattr(quantize, "calibrate", lambda graph, windows: {})
    monkeypatch.setattr(quantize, "quantizable", lambda graph: list(range(len(effects))))
    monkeypatch.setattr(quantize, "layer_name", lambda graph, place: layers.names[place])
    monkeypatch.setattr(quantize, "quantize_layers", layers.graph)
    monkeypatch.setattr(quantize, "answers_of", layers.answers)
    graph, how = choose_layers(FakeModel(), FakeWindows(), silent)  # type: ignore[arg-type]  # what choose_layers reads
    assert sorted([*graph.doc_string.split(","), *how.kept]) == sorted(layers.names)
    assert (how.calibration_sha256, how.calibration_windows) == ("ab", 200)
    return layers, how.kept, how.layers


@pytest.mark.parametrize(
    ("effects", "kept"),
    [
        ({"a": (0.001, 0), "b": (0.002, 0), "c": (0.0015, 0)}, []),
        ({"a": (0.001, 0), "b": (0.02, 0), "c": (0.002, 0), "d": (0.0001, 0)}, ["b"]),
        ({"a": (0.03, 0), "b": (0.02, 0), "c": (0.01, 0), "d": (0.008, 0)}, ["a", "b", "c"]),
        ({"a": (0.03, 0), "b": (0.02, 0), "c": (0.018, 0), "d": (0.011, 0)}, []),  # not even d: the gate decides
        ({"d": (0.0005, 0), "c": (0.02, 0), "b": (0.03, 0), "a": (0.04, 0), "e": (0.0004, 0)}, ["a", "b", "c"]),
    ],
)
def test_the_most_sensitive_layers_stay_as_few_as_will_do(
    effects: dict[str, tuple[float, int]], kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer moves one of two probabilities, so the mean difference is half of its effect; 0.005 are permitted."""
    _, found, n_int8 = chosen(effects, monkeypatch)
    assert found == kept and n_int8 == len(effects) - len(kept)


@pytest.mark.parametrize(
    ("dp", "flips", "kept"), [(0.0099999, 0, []), (0.0100001, 0, ["a"]), (0.0, 1, []), (0.0, 2, ["a"])]
)
def test_half_of_the_gates_difference_is_permitted_on_calibration_windows(
    dp: float, flips: int, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.005 in the mean, half of dp; and one of 200 labels: a flip of (0.7, 0.3) is 0.4 / 200 in the mean."""
    _, found, _ = chosen({"a": (dp, flips), "b": (0.0, 0)}, monkeypatch)
    assert found == kept

"""Model files as an attacker would make them: each is refused in one sentence, within stated memory and time."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.fakes import card

from seisedge.runtime.card import CARD_KEY, MAX_CARD_BYTES, json_from_card
from seisedge.runtime.engines import _first_open, _model_file, open_engine
from seisedge.runtime.engines._child import MEMORY_MIB, Open, Ran, in_child
from seisedge.runtime.engines._first_open import FILE_NAME, MAX_KEPT, try_first_open
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import CardError, InputError
from seisedge.runtime.inference.infer import bundled_model

N = 1400
LOGITS = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
Nodes = list[onnx.NodeProto]
Maker = Callable[..., tuple[Nodes, list[onnx.TensorProto]]]
NO_PROBABILITIES = "its probabilities are not all between 0 and 1"
RELU = helper.make_node("Relu", ["a"], ["b"])
LONG = "[" * (MAX_CARD_BYTES + 1)


def constant(name: str, values: npt.ArrayLike) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def model(
    path: Path,
    more: Nodes | None = None,
    weights: list[onnx.TensorProto] | None = None,
    last: str = "softmax",
    card_text: str | None = None,
) -> Path:
    """A valid model of three labels; `more` takes `softmax`, and its result `last` becomes the output."""
    nodes = [
        helper.make_node("Where", ["is_valid", "waveform", "zero"], ["x"]),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "logits"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["softmax"]),
        *(more or []),
        helper.make_node("Identity", [last], ["probabilities"]),
    ]
    nodes.insert(0, helper.make_node("Greater", ["valid", "half"], ["is_valid"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, N]) for name in ("waveform", "valid")],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [
            constant("zero", np.float32(0)), constant("half", np.float32(0.5)), constant("one", np.array([1])),
            constant("logits", LOGITS), *(weights or []),
        ],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = made.metadata_props.add()
    entry.key, entry.value = CARD_KEY, json_from_card(card()) if card_text is None else card_text
    path.write_bytes(made.SerializeToString())
    return path


def sized(shape: list[int]) -> tuple[Nodes, list[onnx.TensorProto]]:
    """A constant of this shape, computed when the graph is opened or run."""
    return [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
        helper.make_node("Add", ["softmax", "total"], ["out"]),
    ], [constant("shape", np.array(shape))]


def expanded(times: int) -> tuple[Nodes, list[onnx.TensorProto]]:
    """A copy of the waveform that many times, with its values: no constant."""
    return [
        helper.make_node("Tile", ["x", "times"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["none"]),
        helper.make_node("Add", ["softmax", "none"], ["out"]),
    ], [constant("times", np.array([1, 1, times]))]


def multiplied(times: int) -> tuple[Nodes, list[onnx.TensorProto]]:
    """Little memory and much time: products of square matrices."""
    nodes = [
        helper.make_node("Add", ["square", "total_0"], ["square_0"]),
        helper.make_node("Mul", ["mean", "zero"], ["total_0"]),
    ]
    nodes.reverse()
    nodes += [helper.make_node("MatMul", [f"square_{k}", "square"], [f"square_{k + 1}"]) for k in range(times)]
    nodes += [
        helper.make_node("ReduceSum", [f"square_{times}"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["none"]),
        helper.make_node("Add", ["softmax", "none"], ["out"]),
    ]
    return nodes, [constant("square", np.zeros((1000, 1000), np.float32))]


def test_a_valid_model_passes_and_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(tmp_path / "m.onnx")
    engine = open_engine(path, folder=tmp_path / "cache")
    waveform = np.ones((2, 3, N), np.float32)
    assert np.allclose(engine.infer(waveform, waveform)[0], [[0.7, 0.2, 0.1]] * 2, atol=1e-6)
    assert engine.sha256 in (tmp_path / "cache" / FILE_NAME).read_text(encoding="utf-8")
    monkeypatch.setattr(_first_open, "in_child", None)
    open_engine(path, folder=tmp_path / "cache")
    for task in ("event_type", "magnitude"):
        open_engine(bundled_model(task), folder=tmp_path / "other")  # part of the package
    assert not (tmp_path / "other").exists()


def test_what_is_kept_is_bounded_and_belongs_to_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tried = model(tmp_path / "m.onnx"), []
    monkeypatch.setattr(_first_open, "in_child", lambda job, _limit_s: tried.append(job))
    kept = tmp_path / FILE_NAME
    for text in ("", "{", '{"by":"0","sha256":["x"]}', "[" * 10_000, '{"by":"' + "x" * 100_000 + '"}'):
        kept.write_text(text, encoding="utf-8")
        try_first_open(path, tmp_path)
    assert len(tried) == 5
    content = json.loads(kept.read_text(encoding="utf-8"))
    assert len(content["sha256"]) == 1
    kept.write_text(json.dumps(content | {"sha256": [str(k) for k in range(MAX_KEPT)]}), encoding="utf-8")
    try_first_open(path, tmp_path)
    again = json.loads(kept.read_text(encoding="utf-8"))["sha256"]
    assert len(again) == MAX_KEPT and again[-1] == content["sha256"][0] and again[0] == "1"


def test_a_read_only_cache_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    open_engine(model(tmp_path / "m.onnx"), folder=tmp_path / "file")


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (sized, [1 << 40]),
        (sized, [2_000_000_000]),
        (sized, [1 << 62, 1 << 62]),
        (expanded, 20_000),
        (expanded, 1 << 40),
    ],
    ids=["4 TB", "8 GB", "overflow", "8 GB of values", "18 PB of values"],
)
def test_a_graph_that_needs_too_much_memory(
    tmp_path: Path, make: Callable[..., tuple[Nodes, list[onnx.TensorProto]]], arguments: object
) -> None:
    nodes, weights = make(arguments)
    path = model(tmp_path / "m.onnx", nodes, weights, "out")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CardError) as caught:
        open_engine(path, folder=tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}: refused by a trial with {MEMORY_MIB} MiB of memory and 60 s: ")
    assert message.isprintable() and len(message) < 1000 and message.count(str(path)) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert not (tmp_path / FILE_NAME).exists()


def test_a_graph_that_needs_some_memory_passes(tmp_path: Path) -> None:
    nodes, weights = expanded(1000)
    path = model(tmp_path / "m.onnx", nodes, weights, "out")
    answer = in_child(Open(model=str(path)), 60)
    assert isinstance(answer, Ran) and 10 < answer.memory_mib < 60  # 17 MB, some of them twice


def test_a_graph_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, weights = multiplied(5000)
    path = model(tmp_path / "m.onnx", nodes, weights, "out")
    monkeypatch.setattr(_first_open, "OPEN_LIMIT_S", 2.0)
    with pytest.raises(CardError, match="refused by a trial with 256 MiB of memory and 2 s: "):
        open_engine(path, folder=tmp_path)


@pytest.mark.parametrize(
    ("nodes", "weights", "fault"),
    [
        (
            [helper.make_node("Slice", ["softmax", "none", "none", "first"], ["out"])],
            [constant("none", np.array([0])), constant("first", np.array([0]))],
            r"the probabilities must be \(1, 3\); got \(0, 3\)",
        ),
        (
            [helper.make_node("Concat", ["softmax", "softmax"], ["out"], axis=0)],
            [],
            r"the probabilities must be \(1, 3\); got \(2, 3\)",
        ),
        ([helper.make_node("Div", ["softmax", "zero"], ["out"])], [], NO_PROBABILITIES),
        (
            [
                helper.make_node("Log", ["nothing"], ["log"]),
                helper.make_node("Mul", ["log", "zero"], ["nan"]),
                helper.make_node("Add", ["softmax", "nan"], ["out"]),
            ],
            [],
            NO_PROBABILITIES,
        ),
        ([helper.make_node("Sub", ["softmax", "half"], ["out"])], [], NO_PROBABILITIES),
        (
            [helper.make_node("Reshape", ["x", "wrong"], ["out"])],
            [constant("wrong", np.array([-1, 3]))],
            r"the probabilities must be \(1, 3\); got \(1400, 3\)",
        ),
        (
            [
                helper.make_node("Reshape", ["x", "wrong"], ["y"]),
                helper.make_node("ReduceMean", ["y"], ["m"], keepdims=0),
                helper.make_node("Add", ["softmax", "m"], ["out"]),
            ],
            [constant("wrong", np.array([-1, 13]))],
            "the model failed on a window: ",
        ),
    ],
    ids=["no window", "two windows", "inf", "nan", "negative", "shape", "fails"],
)
def test_an_output_that_is_none(tmp_path: Path, nodes: Nodes, weights: list[onnx.TensorProto], fault: str) -> None:
    path = model(tmp_path / "m.onnx", nodes, weights, "out")
    with pytest.raises(CardError, match=fault) as caught:
        open_engine(path, folder=tmp_path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


def changed(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    made = onnx.load(model(path))
    change(made)
    path.write_bytes(made.SerializeToString())
    return path


def _sub_graph(made: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    made.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner))


def _external(made: onnx.ModelProto) -> None:
    weight = made.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def _external_constant(made: onnx.ModelProto) -> None:
    weight = constant("a", np.float32(0))
    weight.data_location = TensorProto.EXTERNAL
    made.graph.node.append(helper.make_node("Constant", [], ["a"], value=weight))


def _sparse(made: onnx.ModelProto) -> None:
    values, places = constant("v", np.ones(1, np.float32)), constant("p", np.zeros(1, np.int64))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [1 << 40]))


def _function(made: onnx.ModelProto) -> None:
    made.functions.append(helper.make_function("d", "f", [], [], [], []))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_sub_graph, "it contains a sub-graph"),
        (_external, "its weights are in another file"),
        (_external_constant, "its weights are in another file"),
        (_sparse, "it contains a sparse tensor"),
        (_function, "it contains functions"),
        (lambda made: made.graph.node.extend([RELU] * 10_001), "its graph has more than 10000 nodes"),
        (lambda made: made.graph.initializer.extend([TensorProto()] * 10_001), "its graph has more than 10000 tensors"),
        (lambda made: setattr(made.metadata_props[0], "value", LONG), "its card is larger than 8 MiB"),
    ],
)  # fmt: skip
def test_a_part_that_no_model_has(tmp_path: Path, change: Callable[[onnx.ModelProto], object], fault: str) -> None:
    path = changed(tmp_path / "m.onnx", change)
    with pytest.raises(CardError, match=rf"m\.onnx: not an ONNX model that can be used: {fault}"):
        OnnxRuntimeEngine(path)
    with pytest.raises(CardError, match=fault):
        open_engine(path, folder=tmp_path)


def test_a_model_file_has_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(tmp_path / "m.onnx")
    monkeypatch.setattr(_model_file, "MAX_MODEL_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match=r"m\.onnx: the model file cannot be read: it is larger than"):
        open_engine(path, folder=tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    whole = model(tmp_path / "m.onnx").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.onnx"
    for _ in range(300):
        data = bytearray(whole[: int(rng.integers(0, len(whole) + 1))])
        for place in rng.integers(0, max(len(data), 1), 3):
            data[place : place + 1] = bytes([int(rng.integers(0, 256))])
        path.write_bytes(data)
        try:
            _model_file.read_model(path)
        except CardError as error:
            assert str(error).isprintable()
    for junk in (b"", b"\xff" * 100, b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", os.urandom(1000), b"\x0b"):
        path.write_bytes(junk)
        with pytest.raises(CardError):
            OnnxRuntimeEngine(path)

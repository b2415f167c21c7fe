"""Files that are no model, or not a whole one, or whose card says another thing than their graph: one sentence each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from tests.export.conftest import bundled

from seisedge.cli import main
from seisedge.runtime.card import CARD_KEY

GOOD = bundled("event-type")


def with_card(text: str | None) -> bytes:
    """The bundled model with another card, or none."""
    graph = onnx.ModelProto()
    graph.CopyFrom(GOOD.graph)
    onnx.helper.set_model_props(graph, {} if text is None else {CARD_KEY: text})
    return bytes(graph.SerializeToString())


def changed(**facts: Any) -> bytes:
    """The bundled model, its card changed."""
    card = json.loads(next(p.value for p in GOOD.graph.metadata_props if p.key == CARD_KEY))
    return with_card(json.dumps(card | facts))


def renamed() -> bytes:
    """The bundled model with an input of another name."""
    graph = onnx.ModelProto()
    graph.CopyFrom(GOOD.graph)
    for node in graph.graph.node:
        node.input[:] = ["mask" if name == "valid" else name for name in node.input]
    next(v for v in graph.graph.input if v.name == "valid").name = "mask"
    return bytes(graph.SerializeToString())


def of_no_engine() -> bytes:
    """The bundled model with an operator that nobody has."""
    graph = onnx.ModelProto()
    graph.CopyFrom(GOOD.graph)
    graph.opset_import.append(onnx.helper.make_opsetid("org.nobody", 1))
    softmax = next(n for n in graph.graph.node if "probabilities" in n.output)
    softmax.op_type, softmax.domain = "Guess", "org.nobody"
    return bytes(graph.SerializeToString())


def with_weights_elsewhere() -> bytes:
    """The bundled model, the largest of its tensors in a file that is not there."""
    graph = onnx.ModelProto()
    graph.CopyFrom(GOOD.graph)
    tensor = max(graph.graph.initializer, key=lambda t: len(t.raw_data))
    onnx.external_data_helper.set_external_data(tensor, "weights.bin", 0, len(tensor.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return bytes(graph.SerializeToString())


def of_batch(size: int) -> bytes:
    """The bundled model with a fixed batch."""
    graph = onnx.ModelProto()
    graph.CopyFrom(GOOD.graph)
    for value in [*graph.graph.input, *graph.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = size
    return bytes(graph.SerializeToString())


def with_nodes(*nodes: onnx.NodeProto, **weights: list[int]) -> bytes:
    """The bundled model with nodes that compute `factor`, a multiple of its probabilities."""
    graph = onnx.ModelProto()
    graph.CopyFrom(GOOD.graph)
    last = next(n for n in graph.graph.node if "probabilities" in n.output)
    last.output[0] = "inner"
    graph.graph.initializer.extend(
        onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(value)], value) for name, value in weights.items()
    )
    graph.graph.node.extend([*nodes, onnx.helper.make_node("Add", ["inner", "extra"], ["probabilities"])])
    return bytes(graph.SerializeToString())


def with_a_constant_of_8_gb() -> bytes:
    return with_nodes(
        onnx.helper.make_node("ConstantOfShape", ["large_shape"], ["large"]),
        onnx.helper.make_node("ReduceSum", ["large"], ["extra"], keepdims=0),
        large_shape=[2 * 10**9],
    )


def with_an_endless_loop() -> bytes:
    """A Loop without a limit, whose condition stays true."""
    yes = onnx.helper.make_tensor_value_info("yes", onnx.TensorProto.BOOL, [])
    count = onnx.helper.make_tensor_value_info("count", onnx.TensorProto.INT64, [])
    go = onnx.helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, [])
    body = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["go"], ["yes"])], "body", [count, go], [yes])
    return with_nodes(onnx.helper.make_node("Loop", ["", "true"], ["extra"], body=body), true=[1])


CASES: dict[str, tuple[Callable[[], bytes], str]] = {  # content, what the sentence must name
    "empty": (lambda: b"", ""),
    "text": (lambda: b"hello, this is no model\n" * 40, "ONNX model"),
    "half": (lambda: GOOD.data[: len(GOOD.data) // 2], "ONNX model"),
    "less its last byte": (lambda: GOOD.data[:-1], "ONNX model"),
    "no card": (lambda: with_card(None), "no card in the file"),
    "newer card": (lambda: changed(schema=99), "the card has schema 99, this seisedge reads up to 2; upgrade"),
    "card that is no JSON": (lambda: with_card("{"), "the card cannot be read"),
    "card with another window": (lambda: changed(n_samples=3_000), "in the card"),
    "card with another label": (lambda: changed(labels=["tectonic", "noise"]), "in the card"),
    "card that contradicts itself": (
        lambda: changed(band_hz=[1.0, 25.0]),
        "band_hz must ascend and end at 19.375 Hz or below",
    ),
    "other inputs": (renamed, "the graph"),
    "an operator of nobody": (of_no_engine, "Guess"),
    "duplicate labels": (
        lambda: changed(labels=["noise", "noise", "noise"]),
        "labels must be 1 to 256 different names",
    ),
    "answers before the onset": (lambda: changed(answers_s=[-3.0, 10.0]), "answers_s must be above 0 s"),
    "a fixed batch": (lambda: of_batch(7), ""),
    "an endless loop": (with_an_endless_loop, "a sub-graph"),
    "weights in another file": (with_weights_elsewhere, "weights"),
}
COMMANDS = {
    "quantize": "quantize {bad} --precision fp16 --data {data}",
    "compile": "compile {bad} --target tensorrt-rtx:sm86",
    "evaluate": "evaluate {bad} --data {data} --no-curves --no-plots -o report",
    "bench model": "bench model {bad} --seconds 0.5",
    "gate, as the parent": "gate {bad} {good} --data {data}",
    "gate, as the child": "gate {good} {bad} --data {data}",
    "inspect": "inspect {bad}",
    "run": "run {data}/nowhere.mseed --model {bad}",
}


def refused(command: str, bad: str, folder: Path, datasets: Path) -> str:
    """What is printed, which must be one sentence that names the file, with exit status 2 and nothing written."""
    before = sorted(folder.rglob("*"))
    words = COMMANDS[command].format(bad=bad, good=GOOD.path, data=datasets).split()
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    assert lines[0].startswith(f"Error: {bad}: ")
    assert sorted(folder.rglob("*")) == before
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case: str, command: str, tmp_path: Path, datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, named = CASES[case]
    (tmp_path / "bad.onnx").write_bytes(content())
    assert named in refused(command, "bad.onnx", tmp_path, datasets)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_not_there_and_a_folder(
    command: str, tmp_path: Path, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no such" in refused(command, "none.onnx", tmp_path, datasets).lower()
    (tmp_path / "folder.onnx").mkdir()
    reason = "checkpoint.pt is missing" if command == "evaluate" else "cannot be read"  # it takes a run's folder, too
    assert reason in refused(command, "folder.onnx", tmp_path, datasets)


@pytest.mark.parametrize("command", ["quantize", "evaluate", "gate, as the parent", "gate, as the child"])
def test_a_constant_of_8_gb_is_refused_by_a_child_process(
    command: str, tmp_path: Path, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(with_a_constant_of_8_gb())
    assert "refused by a trial with 256 MiB of memory" in refused(command, "bad.onnx", tmp_path, datasets)


@pytest.mark.parametrize("command", ["quantize", "gate, as the parent", "gate, as the child"])
def test_a_fixed_batch_is_named(command: str, tmp_path: Path, datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(of_batch(7))
    assert "has a fixed batch of 7, it must be free" in refused(command, "bad.onnx", tmp_path, datasets)


@pytest.mark.parametrize("command", ["quantize", "evaluate", "gate, as the child"])
def test_a_fifo_is_not_waited_for(
    command: str, tmp_path: Path, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "bad.onnx")
    assert "it is not a regular file" in refused(command, "bad.onnx", tmp_path, datasets)


def test_of_several_models_the_bad_one_is_told_before_the_first_is_measured_or_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(GOOD.data[:-1])
    for command in ("bench model {} bad.onnx", "compile {} bad.onnx --target tensorrt-rtx:sm86"):
        result = CliRunner().invoke(main, command.format(GOOD.path).split())
        assert result.exit_code == 2
        assert result.output.startswith("Error: bad.onnx: not an ONNX model") and result.output.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]

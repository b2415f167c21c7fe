"""The parts of a model file, and files that are not one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import helper

from seisedge.export.flops import count_flops
from seisedge.export.graph import (
    ModelFile,
    bytes_of,
    front_end_nodes,
    layer_name,
    network_nodes,
    open_model,
    trained_layers,
)
from seisedge.runtime.card import CARD_KEY
from seisedge.runtime.errors import CardError, InputError


def test_front_end_network_and_head_share_no_node(model: ModelFile) -> None:
    graph = model.graph
    front, network = set(front_end_nodes(graph)), set(network_nodes(graph))
    assert not front & network
    assert max(front) < max(network)
    assert set(trained_layers(graph)) <= network
    rest = [graph.graph.node[i].op_type for i in range(len(graph.graph.node)) if i not in front | network]
    assert "Conv" not in rest and "Gemm" not in rest  # the head: softmax, or the cut of a distribution into bins


def test_every_multiply_add_is_in_one_part(model: ModelFile) -> None:
    parts = [count_flops(model.graph, part(model.graph)).macs for part in (front_end_nodes, network_nodes)]
    assert sum(parts) == model.card.macs
    # by hand: the line and what is between its points, every second sample, bands (slow, fast); magnitude: the envelope
    # 364 · 3 · 13 · 6 + 360 · 5 · 5 · 3 + 900 · 6 · 3 + 90 · 3 · (18 · 30 + 14 · 48)
    # 284 · 3 · 13 · 6 + 280 · 5 · 5 · 3 + 700 · 6 · 3 + 140 · 3 · (10 · 31 + 6 · 48) + 280 · 9 · 6
    assert parts[0] == {"event-type": 455_616, "magnitude": 366_336}[model.card.name]


def test_layers_are_named_by_their_weights(model: ModelFile) -> None:
    names = [layer_name(model.graph, i) for i in trained_layers(model.graph)]
    assert names[0] in ("stem.0", "trunk.stem.0")
    assert len(set(names)) == len(names)  # the perceptron of channel attention sees mean and maximum at once


def test_the_same_graph_and_card_are_the_same_bytes(model: ModelFile, tmp_path: Path) -> None:
    file = bytes_of(model.graph, model.card)
    path = tmp_path / "again.onnx"
    path.write_bytes(file)
    again = open_model(path)
    assert again.card == model.card
    assert bytes_of(again.graph, again.card) == file


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_file_is_one_sentence(model: ModelFile, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(model.data[: int(share * len(model.data))])
    with pytest.raises(
        CardError, match=r"cut\.onnx: (not an ONNX model that can be used|not a complete ONNX model|no card)"
    ) as caught:
        open_model(path)
    assert "\n" not in str(caught.value)


def test_a_card_that_contradicts_its_graph_is_refused(model: ModelFile, tmp_path: Path) -> None:
    card = msgspec.structs.replace(model.card, n_samples=model.card.n_samples * 2)
    path = tmp_path / "other.onnx"
    path.write_bytes(bytes_of(model.graph, card))
    with pytest.raises(CardError, match="in the card, "):
        open_model(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])
    foreign = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y]))
    path = tmp_path / "foreign.onnx"
    path.write_bytes(foreign.SerializeToString())
    with pytest.raises(CardError, match=CARD_KEY):
        open_model(path)
    with pytest.raises(InputError, match="the graph has no layer with trained weights"):
        network_nodes(foreign)
    with pytest.raises(InputError, match="cannot be read"):
        open_model(tmp_path / "absent.onnx")

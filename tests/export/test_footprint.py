"""Memory of a graph, by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.footprint import footprint_of


def graph_of(*nodes: onnx.NodeProto, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 100])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 100])
    initializers = [numpy_helper.from_array(w, name) for name, w in weights.items()]
    graph = helper.make_graph(list(nodes), "hand", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_a_chain_by_hand() -> None:
    # x 300 elements; c and y 800. At Conv x and c live: 1,100; then x is read for the last time; at Relu c and y: 1,600
    conv = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1], kernel_shape=[3])
    model = graph_of(conv, helper.make_node("Relu", ["c"], ["y"]), weights={"w": np.ones((8, 3, 3), np.float32)})
    size = footprint_of(model)
    assert size.weight_bytes == 8 * 3 * 3 * 4
    assert size.peak_activation_bytes == 1_600 * 4


def test_what_is_read_later_stays_alive() -> None:
    # a, 800, waits for the Add while b, 800, and y, 800, are there
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1], kernel_shape=[3]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    model = graph_of(*nodes, weights={"w": np.ones((8, 3, 3), np.float16).astype(np.float32)})
    assert footprint_of(model).peak_activation_bytes == 2_400 * 4


def test_a_view_is_no_new_memory() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1], kernel_shape=[3]),
        helper.make_node("Reshape", ["a", "shape"], ["v"]),
        helper.make_node("Relu", ["v"], ["y"]),
    ]
    weights = {"w": np.ones((8, 3, 3), np.float32), "shape": np.array([-1, 8, 100])}
    size = footprint_of(graph_of(*nodes, weights=weights))
    assert size.peak_activation_bytes == 1_600 * 4
    assert size.weight_bytes == 72 * 4 + 3 * 8

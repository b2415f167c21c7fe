"""FLOPs against counts worked by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.flops import count_flops
from seisedge.runtime.errors import FailedError


def network(*nodes: onnx.NodeProto, out: list[int | str], **weights: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "hand",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 100])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *out])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_a_convolution_by_hand() -> None:
    # 8 filters over 3 channels of 5 taps, stride 2, padding 2: 50 outputs a filter.
    # MACs 8 · 50 · 3 · 5 = 6,000; biases 8 · 50 = 400; ReLU 400. FLOP 12,000 + 400 + 400.
    conv = helper.make_node("Conv", ["x", "w", "b"], ["c"], strides=[2], pads=[2, 2], kernel_shape=[5])
    model = network(conv, helper.make_node("Relu", ["c"], ["y"]), out=[8, 50], w=np.ones((8, 3, 5)), b=np.ones(8))
    count = count_flops(model)
    assert count.macs == 6_000
    assert count.flops == 12_800
    assert count.by_operator == {"Conv": 12_400, "Relu": 400}
    assert count.not_counted == []


def test_depthwise_counts_one_channel_an_output() -> None:
    # 3 channels, 3 taps each, 100 outputs: 3 · 100 · 3 = 900 MACs
    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1], group=3, kernel_shape=[3])
    assert count_flops(network(conv, out=[3, 100], w=np.ones((3, 1, 3)))).macs == 900


def test_a_head_by_hand() -> None:
    # mean over time: 300 looked at; matrix 3 → 4 with bias: 12 MACs, 4 biases; softmax 3 · 4.
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "w", "b"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"]),
    ]
    model = network(*nodes, out=[4], w=np.ones((3, 4)), b=np.ones(4))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], dtype=np.int64), "axes"))
    count = count_flops(model)
    assert count.macs == 12
    assert count.flops == 300 + 24 + 4 + 12


def test_operators_without_a_rule_are_named() -> None:
    count = count_flops(
        network(helper.make_node("Erf", ["x"], ["e"]), helper.make_node("Mish", ["e"], ["y"]), out=[3, 100])
    )
    assert count.not_counted == ["Mish"]
    assert count.flops == 300


def test_a_graph_without_static_shapes_is_refused() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["y"]),
    ]
    with pytest.raises((FailedError, onnx.shape_inference.InferenceError)):
        count_flops(network(*nodes, out=["n"]))

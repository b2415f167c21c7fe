"""FLOPs against counts worked by hand, and against torch's own counter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn.functional import avg_pool1d, conv1d, linear
from torch.utils.flop_counter import FlopCounterMode

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


def torchs_macs(forward: Callable[[], object]) -> int:
    """By torch's own counter, two FLOP a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        forward()
    return int(counter.get_total_flops()) // 2


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


X = torch.ones(1, 3, 100)
# The same layer in ONNX and in torch; multiply-adds worked by hand. Both counters take every tap at every output, also
# where it lies on the padding: a 3-tap filter over 100 samples is 300, although two products are with zeros.
LAYERS = {  # multiply-adds, output, weights, (stride, padding, dilation, groups)
    "padded": (3 * 100 * 3 * 3, [3, 100], (3, 3, 3), (1, 1, 1, 1)),
    "strided": (8 * 50 * 3 * 5, [8, 50], (8, 3, 5), (2, 2, 1, 1)),
    "dilated": (8 * 92 * 3 * 3, [8, 92], (8, 3, 3), (1, 0, 4, 1)),
    "depthwise": (3 * 100 * 3, [3, 100], (3, 1, 3), (1, 1, 1, 3)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_convolutions_by_hand_and_by_torch(layer: str) -> None:
    macs, out, shape, (stride, padding, dilation, groups) = LAYERS[layer]
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[stride], pads=[padding] * 2, dilations=[dilation], group=groups
    )
    assert count_flops(network(node, out=[*out], w=np.ones(shape))).macs == macs
    weight = torch.ones(shape)
    assert torchs_macs(lambda: conv1d(X, weight, None, stride, padding, dilation, groups)) == macs


@pytest.mark.parametrize("bias", [False, True])
def test_linear_and_matrix_product_by_hand_and_by_torch(bias: bool) -> None:
    # 3 rows of 100 by a matrix 100 → 4: 3 · 100 · 4 = 1,200; the bias is an Add of 12 to us and nothing to torch.
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m" if bias else "y"])]
    nodes += [helper.make_node("Add", ["m", "b"], ["y"])] if bias else []
    count = count_flops(network(*nodes, out=[3, 4], w=np.ones((100, 4)), b=np.ones(4)))
    assert (count.macs, count.flops) == (1_200, 2_412 if bias else 2_400)
    shift = torch.ones(4) if bias else None
    assert torchs_macs(lambda: linear(X, torch.ones(4, 100), shift)) == 1_200
    assert torchs_macs(lambda: torch.bmm(X, torch.ones(1, 100, 4))) == 1_200


def test_what_torch_does_not_count() -> None:
    """Pooling, reductions and arithmetic: FLOPs to us, nothing to torch's counter."""
    assert torchs_macs(lambda: avg_pool1d(X, 5).relu().sum(-1).softmax(-1)) == 0
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[5], strides=[5]),
        helper.make_node("Relu", ["p"], ["r"]),
        helper.make_node("ReduceSum", ["r", "axes"], ["s"], keepdims=0),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    model = network(*nodes, out=[3])
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], dtype=np.int64), "axes"))
    count = count_flops(model)
    assert count.macs == 0
    assert count.by_operator == {"AveragePool": 60 * 5, "Relu": 60, "ReduceSum": 60, "Softmax": 9}


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

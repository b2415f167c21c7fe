"""int8: where Q and DQ stand, what their scales are, and that sensitive layers can stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.flops import count_flops
from seisedge.export.gate import answers_of
from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import ModelFile, front_end_nodes, layer_name, network_nodes
from seisedge.export.int8 import LEVELS, Scales, calibrate, quantizable, quantize_layers
from seisedge.runtime.engines.onnxruntime import session_from


@pytest.fixture(scope="module")
def scales(model: ModelFile, windows: HeldOut) -> Scales:
    return calibrate(model.graph, windows)


@pytest.fixture(scope="module")
def whole(model: ModelFile, scales: Scales) -> onnx.ModelProto:
    return quantize_layers(model.graph, scales, quantizable(model.graph))


def test_a_layer_by_hand() -> None:
    # weights of two channels, largest 2.54 and 0.127: scales 0.02 and 0.001; input scale 0.1
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, 3])
    w = numpy_helper.from_array(np.array([[[2.54]], [[-0.127]]], np.float32), "stem.0.weight")
    b = numpy_helper.from_array(np.array([0.5, 0.25], np.float32), "stem.0.bias")
    node = helper.make_node("Conv", ["x", "stem.0.weight", "stem.0.bias"], ["y"], kernel_shape=[1])
    graph = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [w, b]), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    made = quantize_layers(graph, {"x": 0.1}, [0])
    parts = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert parts["stem.0.weight_q"].ravel().tolist() == [127, -127]
    np.testing.assert_allclose(parts["stem.0.weight_scale"], [0.02, 0.001], rtol=1e-6)
    assert parts["stem.0.bias"].dtype == np.float32  # the bias is not quantized
    assert [n.op_type for n in made.graph.node] == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Conv"]
    out = session_from(made.SerializeToString()).run(None, {"x": np.array([[[0.14, 20.0, -3.0]]], np.float32)})[0]
    # 0.14 → 0.1, 20 → 127 · 0.1 = 12.7, -3 → -3
    np.testing.assert_allclose(out[0, 0], np.array([0.1, 12.7, -3.0]) * 2.54 + 0.5, rtol=1e-5)
    # Q 2 and DQ 1 an element of x, 3 each; weights are worked out once; Conv 6 MAC and 6 biases
    assert count_flops(made).flops == 3 * 2 + 3 + 2 * 6 + 6


def test_symmetric_per_channel_and_only_in_the_network(model: ModelFile, whole: onnx.ModelProto) -> None:
    front = {whole.graph.node[i].op_type for i in front_end_nodes(whole)}
    parts = {t.name: t for t in whole.graph.initializer}
    zeros = [
        numpy_helper.to_array(parts[n.input[2]]) for n in whole.graph.node if "quantizeLinear" in n.op_type.lower()
    ]
    assert all(not z.any() for z in zeros)
    names = {layer_name(model.graph, i) for i in quantizable(model.graph)}
    for name in names:
        weight = numpy_helper.to_array(parts[f"{name}.weight_q"])
        assert weight.dtype == np.int8 and np.abs(weight).reshape(len(weight), -1).max(1).min() == LEVELS
        assert len(numpy_helper.to_array(parts[f"{name}.weight_scale"])) == len(weight)
    assert "Conv" in front
    network = {whole.graph.node[i].op_type for i in network_nodes(whole)}
    assert "Softmax" not in network
    softmax = [n for n in whole.graph.node if n.op_type == "Softmax"]
    assert all("_dq" not in name for n in softmax for name in n.input)


def test_answers_stay_near(model: ModelFile, whole: onnx.ModelProto, windows: HeldOut) -> None:
    parent, child = answers_of(model.data, windows), answers_of(whole.SerializeToString(), windows)
    assert 0 < np.abs(parent - child).mean() < 0.03


def test_no_layer_is_the_parent(model: ModelFile, scales: Scales, windows: HeldOut) -> None:
    some = windows.spread(16)
    none = quantize_layers(model.graph, scales, [])
    assert np.array_equal(answers_of(none.SerializeToString(), some), answers_of(model.data, some))


def test_ranges_are_those_of_the_windows(model: ModelFile, scales: Scales, windows: HeldOut) -> None:
    name = model.graph.graph.node[quantizable(model.graph)[0]].input[0]
    probe = onnx.ModelProto()
    probe.CopyFrom(model.graph)
    probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    x = session_from(probe.SerializeToString()).run([name], {"waveform": windows.waveform, "valid": windows.valid})[0]
    assert 0.29 * np.abs(x).max() <= scales[name] * LEVELS <= np.abs(x).max() * 1.0001


def test_twice_the_same_bytes(model: ModelFile, whole: onnx.ModelProto, scales: Scales) -> None:
    again = quantize_layers(model.graph, scales, quantizable(model.graph))
    assert again.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)

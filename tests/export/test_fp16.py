"""fp16: where it stands, and that it answers as fp32 does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.flops import count_flops
from seisedge.export.fp16 import half_precision
from seisedge.export.gate import Parent, Rule, answers_of, compare
from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import ModelFile, front_end_nodes, trained_layers
from seisedge.runtime.errors import FailedError


@pytest.fixture(scope="module")
def halves(model: ModelFile) -> onnx.ModelProto:
    return half_precision(model.graph)


def test_weights_of_the_network_are_fp16_and_the_front_end_is_fp32(halves: onnx.ModelProto) -> None:
    kinds = {t.name: t.data_type for t in halves.graph.initializer}
    nodes = halves.graph.node
    for i in trained_layers(halves):
        assert kinds[nodes[i].input[1]] == TensorProto.FLOAT16
    front = {name for i in front_end_nodes(halves) for name in nodes[i].input}
    assert {kinds[name] for name in front & kinds.keys()} <= {TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL}
    values = {v.name: v.type.tensor_type.elem_type for v in [*halves.graph.input, *halves.graph.output]}
    assert set(values.values()) == {TensorProto.FLOAT}


def test_answers_agree_on_real_windows(model: ModelFile, halves: onnx.ModelProto, windows: HeldOut) -> None:
    parent, child = (answers_of(g.SerializeToString(), windows) for g in (model.graph, halves))
    assert 0 < np.abs(parent - child).max() < 0.05  # it is another precision, and close
    c = compare(Parent(model.card, model.sha256, windows, parent), child, Rule())
    assert c.mean_dp < 1e-3 and c.loss_points <= c.allowed_points


def test_what_is_masked_changes_no_bit(halves: onnx.ModelProto, windows: HeldOut) -> None:
    some = windows.spread(8)
    spoiled = HeldOut(
        np.where(some.valid > 0.5, some.waveform, np.nan).astype(np.float32),
        *(getattr(some, name) for name in list(HeldOut.__dataclass_fields__)[1:]),
    )
    file = halves.SerializeToString()
    assert np.array_equal(answers_of(file, some), answers_of(file, spoiled))


def test_casts_cost_nothing_and_the_rest_as_before(model: ModelFile, halves: onnx.ModelProto) -> None:
    assert count_flops(halves).macs == model.card.macs
    assert count_flops(halves).flops == model.card.flops


def test_twice_the_same_bytes(model: ModelFile, halves: onnx.ModelProto) -> None:
    again = half_precision(model.graph).SerializeToString(deterministic=True)
    assert again == halves.SerializeToString(deterministic=True)


def test_a_weight_beyond_fp16_is_refused() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 10])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, 10])
    weight = numpy_helper.from_array(np.full((2, 3, 1), 1e6, np.float32), "stem.0.weight")
    node = helper.make_node("Conv", ["x", "stem.0.weight"], ["y"], kernel_shape=[1])
    graph = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [weight]), opset_imports=[helper.make_opsetid("", 18)]
    )
    with pytest.raises(FailedError, match=r"stem\.0\.weight: 1e\+06 cannot be held in fp16"):
        half_precision(graph)

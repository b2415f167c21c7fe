"""fp16 for the network; front end, softmax and bins stay fp32. Casts stand in the graph, for any typed engine."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.graph import checked, network_nodes
from seisedge.runtime.errors import FailedError

LARGEST = float(np.finfo(np.float16).max)


def half_precision(model: onnx.ModelProto) -> onnx.ModelProto:  # noqa: C901 - one pass over the graph that rewrites inputs, casts and outputs of each node
    """The graph with the network in fp16. Raises FailedError where a constant cannot be held in it."""
    source = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    network = set(network_nodes(source))
    kind = {v.name: v.type.tensor_type.elem_type for v in [*source.graph.value_info, *source.graph.input]}
    constants = {t.name: t for t in source.graph.initializer}
    kind |= {name: t.data_type for name, t in constants.items()}
    nodes = source.graph.node
    inside = {name for i in network for name in nodes[i].output}
    outside = {name for i, node in enumerate(nodes) if i not in network for name in node.input}
    outside |= {v.name for v in source.graph.output}
    halves: dict[str, str] = {}  # fp32 name → fp16 name
    extra: list[TensorProto] = []
    out: list[onnx.NodeProto] = []
    for i, node in enumerate(nodes):
        node = _copy(node)
        if i not in network:
            out.append(node)
            continue
        for k, name in enumerate(node.input):
            if name in inside:
                node.input[k] = f"{name}_fp16" if kind.get(name) == TensorProto.FLOAT else name
            elif name and kind.get(name) == TensorProto.FLOAT:
                if name not in halves:
                    halves[name] = f"{name}_fp16"
                    if name in constants:
                        extra.append(_half(constants[name], halves[name]))
                    else:
                        out.append(_cast(name, halves[name], TensorProto.FLOAT16))
                node.input[k] = halves[name]
        if node.op_type == "Cast":
            for a in node.attribute:
                if a.name == "to" and a.i == TensorProto.FLOAT:
                    a.i = TensorProto.FLOAT16
        back = []
        for k, name in enumerate(node.output):
            if kind.get(name) == TensorProto.FLOAT:
                node.output[k] = f"{name}_fp16"
                if name in outside:
                    back.append(_cast(f"{name}_fp16", name, TensorProto.FLOAT))
        out += [node, *back]
    result = onnx.ModelProto()
    result.CopyFrom(source)
    del result.graph.node[:]
    result.graph.node.extend(out)
    used = {name for node in out for name in node.input}
    kept = [t for t in source.graph.initializer if t.name in used] + extra
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return checked(result)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    out = onnx.NodeProto()
    out.CopyFrom(node)
    return out


def _cast(name: str, to: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [to], name=f"cast_{to}_{kind}", to=kind)


def _half(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    half = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
    if np.abs(values).max(initial=0) > LARGEST or (values.size == 1 and values.any() and not half.any()):
        raise FailedError(f"{tensor.name}: {float(np.abs(values).max()):g} cannot be held in fp16")
    return numpy_helper.from_array(half, name)

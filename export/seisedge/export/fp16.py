"""fp16 for the network; front end, softmax and bins stay fp32. Casts are nodes of the graph, for any typed engine."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.graph import checked, network_nodes
from seisedge.runtime.errors import FailedError

LARGEST = float(np.finfo(np.float16).max)


def half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the network in fp16. Raises FailedError where fp16 cannot represent a constant."""
    source = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    conversion = _Conversion(source)
    for node in source.graph.node:
        conversion.add(node)
    result = onnx.ModelProto()
    result.CopyFrom(source)
    del result.graph.node[:]
    result.graph.node.extend(conversion.out)
    used = {name for node in conversion.out for name in node.input}
    kept = [t for t in source.graph.initializer if t.name in used] + conversion.extra
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return checked(result)


class _Conversion:
    """Nodes are added in the graph's order. out: the new nodes. extra: the new constants."""

    def __init__(self, source: onnx.ModelProto) -> None:
        graph, nodes = source.graph, source.graph.node
        network = network_nodes(source)
        inside = {name for i in network for name in nodes[i].output}
        self.network = {nodes[i].output[0] for i in network}  # a node by its first output
        self.inside = inside
        self.outside = {n for node in nodes if node.output[0] not in self.network for n in node.input}
        self.outside |= {v.name for v in graph.output}
        self.constants = {t.name: t for t in graph.initializer}
        self.kind = {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.input]}
        self.kind |= {name: t.data_type for name, t in self.constants.items()}
        self.halves: set[str] = set()  # fp32 values from outside that have an fp16 copy
        self.out: list[onnx.NodeProto] = []
        self.extra: list[TensorProto] = []

    def add(self, original: onnx.NodeProto) -> None:
        """A node of the network with fp16 inputs and outputs, and casts where it meets the rest; another unchanged."""
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if node.output[0] not in self.network:
            self.out.append(node)
            return
        for k, name in enumerate(node.input):
            if name and self._is_float(name):
                node.input[k] = self._half_of(name)
        if node.op_type == "Cast":
            for a in node.attribute:
                if a.name == "to" and a.i == TensorProto.FLOAT:
                    a.i = TensorProto.FLOAT16
        back = []
        for k, name in enumerate(node.output):
            if self._is_float(name):
                node.output[k] = f"{name}_fp16"
                if name in self.outside:
                    back.append(_cast(f"{name}_fp16", name, TensorProto.FLOAT))
        self.out += [node, *back]

    def _is_float(self, name: str) -> bool:
        return self.kind.get(name) == TensorProto.FLOAT

    def _half_of(self, name: str) -> str:
        """Name of a value in fp16, which is made where it comes from outside the network."""
        half = f"{name}_fp16"
        if name not in self.inside and name not in self.halves:
            self.halves.add(name)
            if name in self.constants:
                self.extra.append(_half(self.constants[name], half))
            else:
                self.out.append(_cast(name, half, TensorProto.FLOAT16))
        return half


def _cast(name: str, to: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [to], name=f"cast_{to}_{kind}", to=kind)


def _half(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    half = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
    if np.abs(values).max(initial=0) > LARGEST or (values.size == 1 and values.any() and not half.any()):
        raise FailedError(f"{tensor.name}: {float(np.abs(values).max()):g} cannot be represented in fp16")
    return numpy_helper.from_array(half, name)

"""What a graph needs in memory: its weights, and the largest sum of tensors alive at once.

Definition: at batch 1, the nodes in the graph's own order, each tensor alive from the node that makes it to the last
that reads it, nothing computed in place and nothing fused. An engine needs less where it fuses, more where it pads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from seisedge.export.flops import shapes_of, size
from seisedge.export.graph import single_batch

VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})  # the same bytes under another shape


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes."""

    weight_bytes: int
    peak_activation_bytes: int


def bytes_of_type(kind: int) -> int:
    """Of one element of an ONNX type."""
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).itemsize)


def footprint_of(model: onnx.ModelProto) -> Footprint:
    """Measure a graph; tensors without a static shape count nothing."""
    single = single_batch(model)
    graph, shapes = single.graph, shapes_of(single)
    weights = sum(size(tuple(t.dims)) * bytes_of_type(t.data_type) for t in graph.initializer)
    kind = {v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.value_info, *graph.output]}
    root: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in VIEWS:
            root[node.output[0]] = root.get(node.input[0], node.input[0])
    constants = {t.name for t in graph.initializer}
    last: dict[str, int] = {}
    for i, node in enumerate(graph.node):
        for name in node.input:
            last[root.get(name, name)] = i
    for value in graph.output:
        last[root.get(value.name, value.name)] = len(graph.node)

    def cost(name: str) -> int:
        if not name or name in constants or name in root or name not in shapes or name not in kind:
            return 0
        return size(shapes[name]) * bytes_of_type(kind[name])

    alive = {v.name: cost(v.name) for v in graph.input}
    total = peak = sum(alive.values())
    for i, node in enumerate(graph.node):
        for name in node.output:
            alive[name] = cost(name)
            total += alive[name]
        peak = max(peak, total)
        for name in {root.get(n, n) for n in [*node.input, *node.output]}:
            if last.get(name, i) <= i:
                total -= alive.pop(name, 0)
    return Footprint(weights, peak)

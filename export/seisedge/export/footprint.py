"""Memory that a graph needs: its weights, and the largest sum of tensors that are alive at once.

Definition: at batch 1, nodes in the graph's own order, each tensor alive from the node that makes it to the last node
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
    """Bytes of one element of an ONNX type."""
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).itemsize)


def footprint_of(model: onnx.ModelProto, n_samples: int | None = None) -> Footprint:
    """Measure a graph; tensors without a static shape count nothing. n_samples: see `single_batch`."""
    single = single_batch(model, n_samples)
    weights = sum(size(tuple(t.dims)) * bytes_of_type(t.data_type) for t in single.graph.initializer)
    return Footprint(weights, _Activations(single).peak())


class _Activations:
    """Tensors that nodes make, with their sizes and the node that reads each last. A view belongs to its root."""

    def __init__(self, single: onnx.ModelProto) -> None:
        self.graph, self.shapes = single.graph, shapes_of(single)
        values = [*self.graph.input, *self.graph.value_info, *self.graph.output]
        self.kind = {v.name: v.type.tensor_type.elem_type for v in values}
        self.constants = {t.name for t in self.graph.initializer}
        self.root: dict[str, str] = {}
        for node in self.graph.node:
            if node.op_type in VIEWS:
                self.root[node.output[0]] = self._root(node.input[0])
        self.last: dict[str, int] = {}
        for i, node in enumerate(self.graph.node):
            self.last |= {self._root(name): i for name in node.input}
        self.last |= {self._root(value.name): len(self.graph.node) for value in self.graph.output}

    def peak(self) -> int:
        """Largest sum of tensors alive at once, in bytes."""
        alive = {v.name: self._bytes(v.name) for v in self.graph.input}
        total = peak = sum(alive.values())
        for i, node in enumerate(self.graph.node):
            made = {name: self._bytes(name) for name in node.output}
            alive |= made
            total += sum(made.values())
            peak = max(peak, total)
            for name in {self._root(n) for n in [*node.input, *node.output]}:
                if self.last.get(name, i) <= i:
                    total -= alive.pop(name, 0)
        return peak

    def _root(self, name: str) -> str:
        return self.root.get(name, name)

    def _bytes(self, name: str) -> int:
        """Of a tensor of its own; 0 for constants, views and what has no static shape."""
        if not name or name in self.constants or name in self.root:
            return 0
        if name not in self.shapes or name not in self.kind:
            return 0
        return size(self.shapes[name]) * bytes_of_type(self.kind[name])

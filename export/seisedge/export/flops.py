"""FLOPs of a model file, counted from its graph by one rule for each operator; a multiply-add is two FLOP.

Definition: the operations of one inference at batch 1, before any optimisation by an engine. Convolutions and matrix
products count 2 per multiply-add and 1 per bias element; arithmetic, comparisons, and functions such as Sigmoid or Log
1 per output element; reductions and pooling 1 per input element; BatchNormalization 2 and Softmax 3 per element;
QuantizeLinear 2 and DequantizeLinear 1 per element, and nothing on a constant, which an engine converts once. Data
movement and casts count nothing. Operators without a rule are listed by name and not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import onnx

from seisedge.export.graph import single_batch
from seisedge.runtime.errors import FailedError

Shape = tuple[int, ...]
Rule = Callable[[onnx.NodeProto, list[Shape], list[Shape]], tuple[int, int]]  # → (MACs, FLOP beside them)

MOVES_DATA = frozenset({
    "Cast", "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "Identity", "Pad", "Range",
    "Reshape", "Shape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"
})  # fmt: skip
ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "Ceil", "Clip", "Cos", "Div", "Equal", "Erf", "Exp", "Floor", "Greater", "GreaterOrEqual",
    "HardSigmoid", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow",
    "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt", "Sub", "Tanh", "Where"
})  # fmt: skip
REDUCTIONS = frozenset({
    "GlobalAveragePool", "GlobalMaxPool", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Count:
    """macs: multiply-adds of convolutions and matrix products; flops: all operations, including 2 · macs."""

    macs: int
    flops: int
    by_operator: dict[str, int]
    not_counted: list[str]


def size(shape: Shape) -> int:
    """Number of elements of a tensor."""
    return math.prod(shape)


def _conv(node: onnx.NodeProto, ins: list[Shape], outs: list[Shape]) -> tuple[int, int]:
    macs = size(outs[0]) * size(ins[1][1:])  # weights: (out, in / groups, *kernel)
    return macs, size(outs[0]) if len(ins) > 2 else 0


def _gemm(node: onnx.NodeProto, ins: list[Shape], outs: list[Shape]) -> tuple[int, int]:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    inner = ins[0][0] if transposed else ins[0][1]
    return size(outs[0]) * inner, size(outs[0]) if len(ins) > 2 else 0


def _matmul(node: onnx.NodeProto, ins: list[Shape], outs: list[Shape]) -> tuple[int, int]:
    return size(outs[0]) * ins[0][-1], 0


def _pool(node: onnx.NodeProto, ins: list[Shape], outs: list[Shape]) -> tuple[int, int]:
    kernel = next(math.prod(a.ints) for a in node.attribute if a.name == "kernel_shape")
    return 0, size(outs[0]) * kernel


RULES: dict[str, Rule] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "BatchNormalization": lambda node, ins, outs: (0, 2 * size(outs[0])),
    "Softmax": lambda node, ins, outs: (0, 3 * size(outs[0])),
    "QuantizeLinear": lambda node, ins, outs: (0, 2 * size(outs[0])),
    "DequantizeLinear": lambda node, ins, outs: (0, size(outs[0])),
}
RULES |= {name: lambda node, ins, outs: (0, size(outs[0])) for name in ELEMENTWISE}
RULES |= {name: lambda node, ins, outs: (0, size(ins[0])) for name in REDUCTIONS}
RULES |= {name: lambda node, ins, outs: (0, 0) for name in MOVES_DATA}


def shapes_of(single: onnx.ModelProto) -> dict[str, Shape]:
    """Shape of each value of a graph at batch 1 whose shape is static."""
    graph = single.graph
    shapes = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        if all(d.HasField("dim_value") for d in dims):
            shapes[value.name] = tuple(d.dim_value for d in dims)
    return shapes


def count_flops(model: onnx.ModelProto, places: Collection[int] | None = None, n_samples: int | None = None) -> Count:
    """Count at batch 1, all nodes or those at `places`. n_samples: see `single_batch`.

    Raises FailedError where the graph's shapes cannot be inferred.
    """
    single = single_batch(model, n_samples)
    graph = single.graph
    shapes = shapes_of(single)
    constants = {t.name for t in graph.initializer}
    macs = flops = 0
    by_operator: dict[str, int] = {}
    not_counted: set[str] = set()
    for place, node in enumerate(graph.node):
        if places is not None and place not in places:
            continue
        rule = RULES.get(node.op_type)
        if rule is None:
            not_counted.add(node.op_type)
            continue
        if node.op_type in MOVES_DATA or (node.op_type == "DequantizeLinear" and node.input[0] in constants):
            continue
        missing = [name for name in [*node.input, *node.output] if name and name not in shapes]
        if missing:
            raise FailedError(
                f"FLOPs cannot be counted: '{missing[0]}' ({node.op_type}) has no static shape; export the model with "
                "a fixed window length"
            )
        ins = [shapes[name] for name in node.input if name]
        node_macs, other = rule(node, ins, [shapes[name] for name in node.output if name])
        macs += node_macs
        flops += 2 * node_macs + other
        by_operator[node.op_type] = by_operator.get(node.op_type, 0) + 2 * node_macs + other
    return Count(macs, flops, dict(sorted(by_operator.items())), sorted(not_counted))

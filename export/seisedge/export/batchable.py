"""Rewrite a graph so that onnxruntime gives a window in a batch the bits that it has alone.

    python -m seisedge.export.batchable MODEL.onnx [-o OUT.onnx] [--page MODEL.md]

`seisedge export` does this for new models; the command is for model files that were made before.
onnxruntime chooses another order of additions, or another function, for some operators when there are several windows:

- a mean over the channels is added channel by channel for one window, and as a product of matrices for several;
- a sum over the samples of a channel begins at an address that is aligned or not, which changes with the window where
  the channels of one window have no multiple of 16 bytes;
- the logarithm and the softplus of a single value per window are computed for four windows at once.

Each of them is replaced by operators that have the same bits in a batch of any size. The weights stay the same, and so
do the outputs of a window alone, bit for bit; but a softplus, here a sum of exponentials, may change their last bit.
The card gets the new count of operations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from seisedge.export.flops import count_flops
from seisedge.export.graph import bytes_of, open_model
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically

ALIGNED = 4  # values of 16 bytes
Shape = list[int | None]  # None for the batch


def batchable(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the operators of the module replaced; the same graph again if there are none."""
    found = onnx.ModelProto()
    found.CopyFrom(graph)
    rewriter = _Rewriter(found)
    nodes = [new for node in found.graph.node for new in rewriter.replaced(node)]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]  # else cleared with the graph
    del found.graph.node[:]
    found.graph.node.extend(nodes)
    found.graph.initializer.extend(rewriter.constants)
    return found


class _Rewriter:
    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._shapes = {
            value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
            for value in (*inferred.input, *inferred.value_info, *inferred.output)
        }
        self._known = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self.constants: list[onnx.TensorProto] = []

    def replaced(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The nodes in place of a node: itself in most cases."""
        shape = self._shapes.get(node.input[0], []) if node.input else []
        if node.op_type == "ReduceMean" and self._axes(node) == [1] and _is_fixed(shape):
            yield from self._mean(node, shape)
        elif node.op_type == "ReduceSum" and self._axes(node) in ([2], [-1]) and _is_fixed(shape):
            yield from self._sum(node, shape)
        elif node.op_type == "Log" and shape == [None, 1, 1]:
            yield helper.make_node("ReduceLogSum", [node.input[0], self._constant(node, "axis", [2])], node.output)
        elif node.op_type == "Softplus" and shape == [None]:
            yield from self._softplus(node)
        else:
            yield node

    def _mean(self, node: onnx.NodeProto, shape: Shape) -> Iterator[onnx.NodeProto]:
        """The mean over the rows of (channels, batch x samples), which are added one after the other."""
        channels, n = shape[1:]
        (out,) = node.output
        rows, flat, mean = (f"{out}_{name}" for name in ("rows", "flat", "mean"))
        yield helper.make_node("Transpose", [node.input[0]], [rows], perm=[1, 0, 2])
        yield helper.make_node("Reshape", [rows, self._constant(node, "as_rows", [channels, -1])], [flat])
        yield helper.make_node("ReduceMean", [flat, self._constant(node, "axis", [0])], [mean])
        yield helper.make_node("Reshape", [mean, self._constant(node, "as_windows", [-1, 1, n])], [out])

    def _sum(self, node: onnx.NodeProto, shape: Shape) -> Iterator[onnx.NodeProto]:
        """The sums over the samples, with more channels where those of a window are no multiple of 16 bytes."""
        channels, n = shape[1:]
        assert channels is not None and n is not None
        more = next(k for k in range(ALIGNED) if (channels + k) * n % ALIGNED == 0)
        if not more:
            yield node
            return
        (out,) = node.output
        padded, sums = f"{out}_padded", f"{out}_sums"
        yield helper.make_node("Pad", [node.input[0], self._constant(node, "pads", [0, 0, 0, 0, more, 0])], [padded])
        yield helper.make_node("ReduceSum", [padded, node.input[1]], [sums])
        limits = [self._constant(node, name, [value]) for name, value in (("first", 0), ("end", channels), ("of", 1))]
        yield helper.make_node("Slice", [sums, *limits], [out])

    def _softplus(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """log(exp(x) + exp(0)) of each window."""
        column, pair = (f"{node.output[0]}_{name}" for name in ("column", "pair"))
        axis = self._constant(node, "axis", [1])
        yield helper.make_node("Unsqueeze", [node.input[0], axis], [column])
        yield helper.make_node("Pad", [column, self._constant(node, "pads", [0, 0, 0, 1])], [pair])
        yield helper.make_node("ReduceLogSumExp", [pair, axis], node.output, keepdims=0)

    def _axes(self, node: onnx.NodeProto) -> list[int] | None:
        """The axes of a reduction that keeps them; else None."""
        keeps = all(helper.get_attribute_value(each) for each in node.attribute if each.name == "keepdims")
        axes = self._known.get(node.input[1]) if len(node.input) > 1 and keeps else None
        return None if axes is None else [int(axis) for axis in axes]

    def _constant(self, node: onnx.NodeProto, name: str, values: list[int | None]) -> str:
        full = f"{node.output[0]}_{name}"
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), full))
        return full


def _is_fixed(shape: Shape) -> bool:
    """True for (batch, channels, samples) with a fixed number of channels and of samples."""
    return len(shape) == 3 and None not in shape[1:]


@click.command(help="Rewrite a model file so that windows can be run in batches; its outputs keep their bits.")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file to write [default: MODEL itself].")
@click.option(
    "--page", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Page that states its SHA-256."
)
def main(model: Path, out: Path | None, page: Path | None) -> None:
    """Write the file, the same bytes where nothing is to be rewritten, and its SHA-256 on its page."""
    found = open_model(model)
    graph = batchable(found.graph)
    onnx.checker.check_model(graph, full_check=True)
    count = count_flops(graph, n_samples=found.card.n_samples)
    card = msgspec.structs.replace(found.card, macs=count.macs, flops=count.flops, flops_by_operator=count.by_operator)
    data = bytes_of(graph, card)
    text = page.read_text(encoding="utf-8") if page is not None else ""
    if page is not None and found.sha256 not in text:
        raise InputError(f"{page}: does not state the SHA-256 of {model}, {found.sha256}")
    write_atomically(out or model, data)
    if page is not None:
        write_atomically(page, text.replace(found.sha256, hashlib.sha256(data).hexdigest()).encode())


if __name__ == "__main__":
    main()

"""A model file as a graph: its card, its parts and its shapes.

The front end is everything before the first layer with trained weights; it stays fp32 in every precision. The network
is everything from the first to the last such layer. The head, softmax or bins, follows it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from seisedge.runtime.card import CARD_KEY, ModelCard, json_from_card
from seisedge.runtime.engines._cache import default_folder
from seisedge.runtime.engines._first_open import try_first_open
from seisedge.runtime.engines._model_file import read_model
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine, session_from
from seisedge.runtime.errors import CardError, FailedError, InputError
from seisedge.runtime.text import reason_of

WEIGHED = ("Conv", "Gemm", "MatMul")
FIXED = ("front.", "bank.")  # names of the front end's kernels
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModelFile:
    """A model file in memory."""

    path: Path
    graph: onnx.ModelProto
    card: ModelCard
    sha256: str

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()


def open_model(path: Path, trial: bool = False) -> ModelFile:
    """Read a model file, check its card against its graph, and check that onnxruntime can load it.

    trial: of a file from elsewhere, which a child process opens and runs first, within limits of memory and time.
    Raises InputError, CardError.
    """
    data, card = read_model(path)
    try:
        graph = onnx.load_from_string(data)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf and onnx raise classes that share only this base
        raise CardError(f"{path}: not a complete ONNX model: {reason_of(error)}") from error
    window = [3, card.n_samples]
    wanted = {"waveform": window, "valid": window, "probabilities": list(card.output_shape)}
    found = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:]
        for v in [*graph.graph.input, *graph.graph.output]
    }
    if card.onset is not None and found == {
        "waveform": [3, 0],
        "valid": [3, 0],
        "probabilities": [0, len(card.labels)],
    }:
        found = wanted  # a free number of blocks
    if found != wanted:
        raise CardError(f"{path}: {wanted} in the card, {found} in the graph; export the run again")
    for value in [*graph.graph.input, *graph.graph.output]:
        batch = value.type.tensor_type.shape.dim[0]
        if not batch.dim_param:
            raise CardError(
                f"{path}: '{value.name}' of the graph has a fixed batch of {batch.dim_value}, it must be free; export "
                "the model with 'seisedge export'"
            )
    if trial:
        try_first_open(path, default_folder())
    OnnxRuntimeEngine(path)  # onnx's checker accepts operators that no engine implements
    return ModelFile(path, graph, card, hashlib.sha256(data).hexdigest())


def bytes_of(graph: onnx.ModelProto, card: ModelCard) -> bytes:
    """The model file's bytes, with the card in the metadata; equal graphs and cards give equal bytes."""
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    helper.set_model_props(out, {CARD_KEY: json_from_card(card)})
    file: bytes = out.SerializeToString(deterministic=True)
    return file


def single_batch(model: onnx.ModelProto, n_samples: int | None = None) -> onnx.ModelProto:
    """A copy at batch 1, with the shape of each value.

    n_samples: of one window, where the graph has a free number of them. Shapes that then depend on arithmetic in the
    graph are those of a run.
    """
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in [*single.graph.input, *single.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del single.graph.value_info[:]
    free = [v for v in single.graph.input if v.type.tensor_type.shape.dim[-1].dim_param]
    if n_samples is None or not free:
        return onnx.shape_inference.infer_shapes(single, strict_mode=True, data_prop=True)
    for value in free:
        value.type.tensor_type.shape.dim[-1].dim_value = n_samples
    _observe_shapes(single)
    return single


def _observe_shapes(single: onnx.ModelProto) -> None:
    """Set the shape of each value to that in a run with zeros; the shapes of the inputs must be static."""
    graph = single.graph
    outputs = [value.name for value in graph.output]
    names = [name for node in graph.node for name in node.output if name]
    open_graph = onnx.ModelProto()
    open_graph.CopyFrom(single)
    del open_graph.graph.output[:]
    open_graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    zeros = {v.name: np.zeros([d.dim_value for d in v.type.tensor_type.shape.dim], np.float32) for v in graph.input}
    del graph.output[:]
    for name, array in zip(names, session_from(open_graph.SerializeToString()).run(names, zeros), strict=True):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        value = helper.make_tensor_value_info(name, kind, list(array.shape))
        (graph.output if name in outputs else graph.value_info).append(value)


def trained_layers(graph: onnx.ModelProto) -> list[int]:
    """Places of the nodes with trained weights, in the graph's order; int8 weights come through a DequantizeLinear."""
    trained = {t.name for t in graph.graph.initializer if not t.name.startswith(FIXED)}
    trained |= {n.output[0] for n in graph.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in trained}
    return [
        i
        for i, node in enumerate(graph.graph.node)
        if node.op_type in WEIGHED and len(node.input) > 1 and node.input[1] in trained
    ]


def network_nodes(graph: onnx.ModelProto, path: str = "the model") -> list[int]:
    """Places of the network's nodes: layers with trained weights, and the nodes between the first and the last of them.

    Raises InputError where the graph has no such layer, for instance because another program wrote the file.
    """
    layers = trained_layers(graph)
    if not layers:
        raise InputError(
            f"{path}: the graph has no layer with trained weights; export the model with 'seisedge export'"
        )
    nodes = graph.graph.node
    after: set[str] = set()
    below = set()
    for i, node in enumerate(nodes):
        if i in layers or any(name in after for name in node.input):
            below.add(i)
            after.update(node.output)
    wanted: set[str] = set()
    above = set()
    for i in range(len(nodes) - 1, -1, -1):
        if i in layers or any(name in wanted for name in nodes[i].output):
            above.add(i)
            wanted.update(nodes[i].input)
    return sorted(below & above)


def front_end_nodes(graph: onnx.ModelProto) -> list[int]:
    """Places of the nodes on which a layer with trained weights depends, and which depend on none."""
    nodes, layers = graph.graph.node, trained_layers(graph)
    network = set(network_nodes(graph))
    after = {name for i in network for name in nodes[i].output}
    for node in nodes:
        if any(name in after for name in node.input):
            after.update(node.output)
    wanted = {name for i in layers for name in nodes[i].input}
    out = []
    for i in range(len(nodes) - 1, -1, -1):
        if i not in network and any(name in wanted for name in nodes[i].output):
            wanted.update(nodes[i].input)
            if not any(name in after for name in nodes[i].output):
                out.append(i)
        elif i in network:
            wanted.update(nodes[i].input)
    return sorted(out)


def layer_name(graph: onnx.ModelProto, place: int) -> str:
    """Name of a layer: the name of its weights without '.weight'; layers that share weights share the name."""
    return str(graph.graph.node[place].input[1]).removesuffix(".weight")


def checked(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its shapes inferred again, checked by onnx. Raises FailedError."""
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    del out.graph.value_info[:]
    try:
        out = onnx.shape_inference.infer_shapes(out, strict_mode=True, data_prop=True)
        onnx.checker.check_model(out, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FailedError(f"the converted graph is not valid ONNX: {error}") from error
    return out

"""A model file as a graph: its card, its parts, the shapes in it.

The front end is what comes before the first layer with trained weights, and keeps fp32 in every precision. The
network is what lies between the first and the last such layer; what follows it, softmax or bins, is the head.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper

from seisedge.runtime.card import CARD_KEY, ModelCard, card_from_json, json_from_card
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import CardError, FailedError, InputError

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


def open_model(path: Path) -> ModelFile:
    """Read a model file with its card, check it against the graph, and that onnxruntime takes it.

    Raises InputError, CardError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the model file cannot be read: {error.strerror}") from error
    try:
        graph = onnx.load_from_string(data)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf and onnx raise classes that share only this base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CardError(f"{path}: not a whole ONNX model: {reason}") from error
    card = card_from_json({p.key: p.value for p in graph.metadata_props}.get(CARD_KEY), str(path))
    window = [3, card.n_samples]
    wanted = {"waveform": window, "valid": window, "probabilities": [len(card.labels)]}
    found = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:]
        for v in [*graph.graph.input, *graph.graph.output]
    }
    if found != wanted:
        raise CardError(f"{path}: the card says {wanted}, the graph says {found}")
    OnnxRuntimeEngine(path)  # onnx's checker lets pass operators that no engine has
    return ModelFile(path, graph, card, hashlib.sha256(data).hexdigest())


def bytes_of(graph: onnx.ModelProto, card: ModelCard) -> bytes:
    """The model file's bytes, the card in its metadata; the same graph and card give the same bytes."""
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    helper.set_model_props(out, {CARD_KEY: json_from_card(card)})
    file: bytes = out.SerializeToString(deterministic=True)
    return file


def single_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy at batch 1, with a shape for each value."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in [*single.graph.input, *single.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del single.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(single, strict_mode=True, data_prop=True)


def trained_layers(graph: onnx.ModelProto) -> list[int]:
    """Places of the nodes with trained weights, in the graph's order; the weights may be int8 behind a DQ."""
    trained = {t.name for t in graph.graph.initializer if not t.name.startswith(FIXED)}
    trained |= {n.output[0] for n in graph.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in trained}
    return [
        i
        for i, node in enumerate(graph.graph.node)
        if node.op_type in WEIGHED and len(node.input) > 1 and node.input[1] in trained
    ]


def network_nodes(graph: onnx.ModelProto, path: str = "the model") -> list[int]:
    """Places of the network's nodes: after a layer with trained weights and before the last one, or such a layer.

    Raises InputError where there is none, as in a file that seisedge did not make.
    """
    layers = trained_layers(graph)
    if not layers:
        raise InputError(f"{path}: no layer with trained weights in the graph; export it with seisedge")
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
    """Places of the nodes that no layer with trained weights comes before, and on which one depends."""
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
    """What a layer is called: the name of its weights, less '.weight'; two uses of shared weights share it."""
    return str(graph.graph.node[place].input[1]).removesuffix(".weight")


def checked(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with fresh shapes, through onnx's own checker. Raises FailedError."""
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    del out.graph.value_info[:]
    try:
        out = onnx.shape_inference.infer_shapes(out, strict_mode=True, data_prop=True)
        onnx.checker.check_model(out, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FailedError(f"the graph is not valid ONNX any more: {error}") from error
    return out

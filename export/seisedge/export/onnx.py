"""From a training run to a model file: a line of small steps, each checked.

    graph_from_model → strip_metadata → write_card → check_parity

The same run gives the same bytes: nothing of the machine, its paths or the time of export is in the file.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

from seisedge.runtime.card import CARD_KEY, ModelCard, json_from_card
from seisedge.runtime.engines.onnxruntime import session_from
from seisedge.runtime.errors import FailedError
from seisedge.runtime.files import write_atomically
from seisedge.train.models._base import Model

OPSET = 18
PARITY = 1e-4  # largest difference of a probability, torch against onnxruntime

Array = npt.NDArray[np.float32]


def graph_from_model(model: Model) -> onnx.ModelProto:
    """The model as an ONNX graph: inputs waveform and valid, output probabilities, batch free, window fixed."""
    model = model.cpu().eval()
    shape = (2, 3, model.geometry.n_samples)
    waveform, valid = torch.randn(shape), torch.ones(shape)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # deprecations inside the exporter, none of ours
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            (waveform, valid),
            input_names=["waveform", "valid"],
            output_names=["probabilities"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: batch}, {0: batch}),
            verbose=False,
        )
    if program is None:
        raise FailedError(f"torch gave no graph for {type(model).__name__}")
    require_free_batch(program.model_proto, type(model).__name__)
    return program.model_proto


def require_free_batch(graph: onnx.ModelProto, name: str) -> None:
    """Raises FailedError where an input or output has a fixed batch: where torch cannot keep the batch free, its
    exporter writes that of the example, and says nothing.
    """
    for value in [*graph.graph.input, *graph.graph.output]:
        batch = value.type.tensor_type.shape.dim[0]
        if not batch.dim_param:
            raise FailedError(
                f"{name}: the graph's {value.name} has a fixed batch of {batch.dim_value}; in the forward pass the "
                "batch must stay a shape (x.shape[0]), never become a number (len(x), int(...))"
            )


def strip_metadata(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without stack traces, local paths, doc strings and producer notes."""
    clean = onnx.ModelProto()
    clean.CopyFrom(graph)
    clean.doc_string = ""
    clean.producer_name, clean.producer_version = "seisedge", ""
    del clean.metadata_props[:]
    parts = [clean.graph, *clean.graph.node, *clean.graph.initializer]
    for part in [*parts, *clean.graph.input, *clean.graph.output, *clean.graph.value_info]:
        part.doc_string = ""
        del part.metadata_props[:]
    clean.graph.name = "seisedge"
    return clean


def checked_graph(model: Model) -> onnx.ModelProto:
    """The stripped and checked graph of a model."""
    graph = strip_metadata(graph_from_model(model))
    check_graph(graph)
    return graph


def check_graph(graph: onnx.ModelProto) -> None:
    """onnx's own checker and strict shape inference. Raises FailedError."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FailedError(f"the exported graph is not valid ONNX: {error}") from error


def write_card(graph: onnx.ModelProto, card: ModelCard) -> bytes:
    """The model file's bytes, the card in its metadata."""
    onnx.helper.set_model_props(graph, {CARD_KEY: json_from_card(card)})
    file: bytes = graph.SerializeToString(deterministic=True)
    return file


def parity_difference(model: Model, file: bytes, waveform: Array, valid: Array) -> float:
    """Largest difference of a probability between torch and onnxruntime on real windows, one by one."""
    session = session_from(file)
    worst = 0.0
    with torch.no_grad():
        for x, v in zip(waveform, valid, strict=True):
            ours = model(torch.from_numpy(x[None]), torch.from_numpy(v[None])).numpy()
            theirs = session.run(None, {"waveform": x[None], "valid": v[None]})[0]
            difference = float(np.abs(ours - theirs).max())
            worst = max(worst, difference if np.isfinite(difference) else np.inf)
    return worst


def save_model(path: Path, file: bytes, difference: float) -> None:
    """Write the file if parity holds. Raises FailedError, and writes nothing, otherwise."""
    if not difference <= PARITY:
        raise FailedError(
            f"{path}: not written; torch and onnxruntime differ by {difference:.2e} on real windows, "
            f"allowed are {PARITY:g}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file)

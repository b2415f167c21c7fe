"""From a trained model to a model file, in small steps that are each checked.

    graph_from_model → strip_metadata → batchable → write_card → check_parity

The same run gives the same bytes: the file holds no host name, no path and no time of export.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from seisedge.export.batchable import batchable
from seisedge.runtime.card import CARD_KEY, ModelCard, json_from_card
from seisedge.runtime.engines.onnxruntime import session_from
from seisedge.runtime.errors import FailedError
from seisedge.runtime.files import write_atomically
from seisedge.train.models._base import Model, OnsetModel

OPSET = 18
PARITY = 1e-4  # largest difference of a probability, torch against onnxruntime

Array = npt.NDArray[np.float32]


def graph_from_model(model: Model) -> onnx.ModelProto:
    """The model as an ONNX graph: inputs waveform and valid, output probabilities; free batch, fixed window.

    The window of an onset detector may be longer by whole blocks.
    """
    model = model.cpu().eval()
    n = model.geometry.n_samples
    axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=4096)}
    if isinstance(model, OnsetModel):
        axes[2] = model.block_n * torch.export.Dim("blocks", min=1, max=4096) + (n - model.block_n)
        n += model.block_n  # an example of one block would fix their number
    waveform, valid = torch.randn(2, 3, n), torch.ones(2, 3, n)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # deprecations inside torch's exporter
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            (waveform, valid),
            input_names=["waveform", "valid"],
            output_names=["probabilities"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(axes, axes),
            verbose=False,
        )
    if program is None:
        raise FailedError(f"torch exported no graph of {type(model).__name__}")
    require_free_batch(program.model_proto, type(model).__name__)
    return program.model_proto


def require_free_batch(graph: onnx.ModelProto, name: str) -> None:
    """Raises FailedError where an input or output has a fixed batch. Where torch cannot keep the batch free, its
    exporter writes the batch of the example without a warning.
    """
    for value in [*graph.graph.input, *graph.graph.output]:
        batch = value.type.tensor_type.shape.dim[0]
        if not batch.dim_param:
            raise FailedError(
                f"{name}: '{value.name}' of the graph has a fixed batch of {batch.dim_value}; in the forward pass use "
                "x.shape[0] for the batch, never len(x) or int(...)"
            )


def strip_metadata(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without stack traces, local paths, doc strings and producer metadata."""
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
    """The stripped and checked graph of a model, whose windows can be run in batches."""
    graph = batchable(strip_metadata(graph_from_model(model)))
    check_graph(graph)
    return graph


def check_graph(graph: onnx.ModelProto) -> None:
    """onnx's own checker and strict shape inference. Raises FailedError."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FailedError(f"the exported graph is not valid ONNX: {error}") from error


def write_card(graph: onnx.ModelProto, card: ModelCard) -> bytes:
    """The model file's bytes, with the card in the metadata."""
    onnx.helper.set_model_props(graph, {CARD_KEY: json_from_card(card)})
    file: bytes = graph.SerializeToString(deterministic=True)
    return file


def parity_difference(model: Model, file: bytes, waveform: Array, valid: Array) -> float:
    """Largest difference of a probability between torch and onnxruntime; inf where one is not finite."""
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
    """Write the file if torch and onnxruntime agree; else write nothing and raise FailedError."""
    if not difference <= PARITY:
        raise FailedError(
            f"{path}: not written: a probability differs by {difference:.2e} between torch and onnxruntime on real "
            f"windows; at most {PARITY:g} is permitted"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file)

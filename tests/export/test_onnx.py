"""From a model to a file, step by step, for every registered model."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.train.models.narrow import NARROW
from torch.utils.flop_counter import FlopCounterMode

from seisedge.export.flops import count_flops
from seisedge.export.graph import WEIGHED
from seisedge.export.onnx import (
    PARITY,
    check_graph,
    graph_from_model,
    parity_difference,
    require_free_batch,
    save_model,
    strip_metadata,
)
from seisedge.runtime.errors import FailedError
from seisedge.train.models import create_model, model_names
from seisedge.train.models._base import Model, OnsetModel

SHIPPED = ["ganet_small", "onset_tcn", "resnet18_cbam_small"]
SHORT = SHIPPED[:2]
NAMES = [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in model_names()]


@cache
def exported(name: str) -> tuple[Model, onnx.ModelProto]:
    """A model with weights that are not at their start, and its stripped graph."""
    torch.manual_seed(4)
    model = create_model(name, **NARROW.get(name, {})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():  # also biases: the exporter leaves out those that are zero
                parameter.normal_(std=0.1)
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return model, strip_metadata(graph_from_model(model))


def windows(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Whole, vertical with a gap, early answer, nothing at all; noise on an offset."""
    n = model.geometry.n_samples
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((4, 3, n)) * 100 + 5000).astype(np.float32)
    if model.unit == "m/s":
        x /= np.float32(1e9)
    valid = np.ones_like(x)
    valid[1, 1:] = 0
    valid[1, 0, n // 3 : n // 2] = 0
    valid[2, :, n // 5 :] = 0
    valid[3] = 0
    return x, valid


@pytest.mark.parametrize("name", NAMES)
def test_parity(name: str) -> None:
    model, graph = exported(name)
    check_graph(graph)
    assert parity_difference(model, graph.SerializeToString(), *windows(model)) <= PARITY


@pytest.mark.parametrize("name", NAMES)
def test_contract_of_the_graph(name: str) -> None:
    model, graph = exported(name)
    shapes = {
        v.name: [d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim]
        for v in [*graph.graph.input, *graph.graph.output]
    }
    batch = shapes["waveform"][0]
    assert isinstance(batch, str)
    samples = shapes["waveform"][2]
    assert shapes["waveform"] == shapes["valid"] == [batch, 3, samples]
    if isinstance(model, OnsetModel):  # one block or many
        assert isinstance(samples, str) and isinstance(shapes["probabilities"].pop(1), str)
    else:
        assert samples == model.geometry.n_samples
    assert shapes["probabilities"] == [batch, len(model.labels)]
    assert [o.version for o in graph.opset_import if o.domain in ("", "ai.onnx")] == [18]


def test_a_fixed_batch_is_refused() -> None:
    """torch's exporter writes the example's batch, and no error, where a model's forward makes a number of it."""
    _, graph = exported("ganet_small")
    require_free_batch(graph, "GANetSmall")
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(FailedError, match="GANetSmall: 'waveform' of the graph has a fixed batch of 2"):
        require_free_batch(fixed, "GANetSmall")


@pytest.mark.parametrize("name", NAMES)
def test_no_loops_and_no_shapes_that_depend_on_values(name: str) -> None:
    model, graph = exported(name)
    operators = {node.op_type for node in graph.graph.node}
    assert not operators & {"Loop", "If", "Scan", "NonZero", "Unique", "TopK", "NonMaxSuppression", "Resize"}
    assert count_flops(graph, n_samples=model.geometry.n_samples).not_counted == []


def torchs_count(model: Model) -> tuple[dict[str, int], int]:
    """Multiply-adds of one window by operator, by torch's own counter; and the biases, by the modules that add them.

    A batch normalisation after a convolution is folded into it by the exporter: its shift is the bias.
    """
    biases = 0

    def hook(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal biases
        biases += output.numel()

    norms = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
    layers = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)
    handles = [
        module.register_forward_hook(hook)
        for module in model.modules()
        if isinstance(module, norms) or (isinstance(module, layers) and module.bias is not None)
    ]
    x = torch.zeros(1, 3, model.geometry.n_samples)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, torch.ones_like(x))
    for handle in handles:
        handle.remove()
    by_operator = counter.get_flop_counts()["Global"]
    return {str(name).removeprefix("aten."): flops // 2 for name, flops in by_operator.items()}, biases


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_those_of_torchs_own_counter(name: str) -> None:
    """Beside them torch counts nothing, and ours counts biases, one an output element, and what its rules name."""
    model, graph = exported(name)
    torchs, biases = torchs_count(model)
    nodes, n = graph.graph.node, model.geometry.n_samples
    ours = {kind: count_flops(graph, [i for i, v in enumerate(nodes) if v.op_type == kind], n) for kind in WEIGHED}
    assert set(torchs) <= {"convolution", "addmm", "mm", "bmm"}
    assert ours["Conv"].macs == torchs["convolution"]
    assert ours["Gemm"].macs + ours["MatMul"].macs == sum(torchs.values()) - torchs["convolution"]
    whole = count_flops(graph, n_samples=n)
    assert whole.macs == sum(torchs.values())
    weighed = sum(count.flops for count in ours.values())
    assert weighed - 2 * whole.macs == biases
    assert whole.flops - weighed == sum(n for kind, n in whole.by_operator.items() if kind not in WEIGHED)


@pytest.mark.parametrize("name", SHIPPED)
def test_masked_samples_change_no_output_bit_in_onnxruntime(name: str) -> None:
    import onnxruntime

    model, graph = exported(name)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    x, valid = windows(model)
    clean = session.run(None, {"waveform": np.where(valid > 0, x, 0), "valid": valid})[0]
    for hidden in (np.float32(np.nan), np.float32(1e9)):
        spoiled = session.run(None, {"waveform": np.where(valid > 0, x, hidden), "valid": valid})[0]
        assert np.array_equal(clean, spoiled)
    assert np.isfinite(clean).all()


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_of_the_machine_is_in_the_graph(name: str) -> None:
    """That two exports give the same bytes is tested through the command."""
    _, graph = exported(name)
    file = graph.SerializeToString(deterministic=True)
    for trace in (b"site-packages", b"seisedge/train", str(Path.cwd()).encode(), b"torch.nn"):
        assert trace not in file


def test_a_file_that_differs_is_not_written(tmp_path: Path) -> None:
    target = tmp_path / "bad.onnx"
    for difference in (2 * PARITY, float("nan"), float("inf")):
        with pytest.raises(FailedError, match="not written"):
            save_model(target, b"x", difference)
    assert not target.exists()


def test_parity_sees_a_difference() -> None:
    model, graph = exported("ganet_small")
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    weight = next(t for t in changed.graph.initializer if "classify.weight" in t.name)
    values = onnx.numpy_helper.to_array(weight) * np.float32(1.5)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    assert parity_difference(model, changed.SerializeToString(), *windows(model)) > PARITY

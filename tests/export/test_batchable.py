"""A rewritten graph: the same bits alone, and in batches."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from tests.export.test_onnx import exported

from seisedge.export.batchable import batchable, main
from seisedge.export.graph import bytes_of, open_model
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine, _trial_windows, session_from
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import bundled_model

SIZES = (2, 3, 4, 16)


def _graph(op_type: str, shape: list[int | str], axis: int | None = None) -> onnx.ModelProto:
    """A graph of one operator, on an input of this shape."""
    constants = [] if axis is None else [numpy_helper.from_array(np.array([axis], np.int64), "axis")]
    node = helper.make_node(op_type, ["x", *(each.name for each in constants)], ["y"])
    rank = len(shape)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, given)
        for name, given in (("x", shape), ("y", [None] * rank))
    ]
    graph = helper.make_graph([node], "one", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _in_batches(graph: onnx.ModelProto, x: np.ndarray, size: int) -> bytes:
    session = session_from(graph.SerializeToString())
    return b"".join(session.run(None, {"x": x[k : k + size].copy()})[0].tobytes() for k in range(0, len(x), size))


# operator, shape of a window, axis
CASES = [("ReduceMean", (36, 45), 1), ("ReduceSum", (26, 23), 2), ("Log", (1, 1), None)]


@pytest.mark.parametrize(("op_type", "window", "axis"), CASES)
def test_an_operator_in_batches_has_the_bits_of_each_window_alone(
    op_type: str, window: tuple[int, ...], axis: int | None
) -> None:
    graph = _graph(op_type, ["batch", *window], axis)
    x = np.random.default_rng(0).standard_normal((16, *window)).astype(np.float32) * 3
    x = np.abs(x) + np.float32(1e-3) if op_type == "Log" else x
    alone = _in_batches(graph, x, 1)
    assert any(_in_batches(graph, x, size) != alone for size in SIZES), "nothing to be rewritten any more"
    found = batchable(graph)
    onnx.checker.check_model(found, full_check=True)
    assert [_in_batches(found, x, size) for size in (1, *SIZES)] == [alone] * 5


@pytest.mark.parametrize(
    ("op_type", "window", "axis"),
    [("ReduceSum", (28, 23), 2), ("ReduceMean", (36, "n"), 1), ("ReduceMean", (36, 45), 2), ("Log", (1, 9), None)],
)
def test_other_operators_are_kept(op_type: str, window: tuple[int, ...], axis: int | None) -> None:
    graph = _graph(op_type, ["batch", *window], axis)
    assert batchable(graph) == graph


@pytest.mark.parametrize("name", ["ganet_small", "resnet18_cbam_small"])
def test_an_exported_model(name: str, tmp_path: Path) -> None:
    """The architectures of the bundled models, as the exporter writes them."""
    model, graph = exported(name)
    found = batchable(graph)
    assert batchable(found) == found
    waveform, valid = _trial_windows(16, model.geometry.n_samples)
    sessions = [session_from(each.SerializeToString()) for each in (graph, found)]

    def outputs(session: object, size: int) -> npt.NDArray[np.float32]:
        spans = [slice(k, k + size) for k in range(0, len(waveform), size)]
        feeds = [{"waveform": waveform[span], "valid": valid[span]} for span in spans]
        return np.concatenate([session.run(["probabilities"], feed)[0] for feed in feeds])  # type: ignore[attr-defined]

    alone = outputs(sessions[1], 1)
    assert all(outputs(sessions[1], size).tobytes() == alone.tobytes() for size in (3, 4, 16))
    np.testing.assert_allclose(alone, outputs(sessions[0], 1), atol=1e-6)


def test_the_softplus_of_a_single_value() -> None:
    """The same bits in a batch of any size; without the change four values have others than one."""
    graph, x = _graph("Softplus", ["batch"]), np.linspace(-20.0, 20.0, 960, dtype=np.float32)
    assert _in_batches(graph, x, 16) != _in_batches(graph, x, 1), "nothing to be rewritten any more"
    found = batchable(graph)
    onnx.checker.check_model(found, full_check=True)
    alone = _in_batches(found, x, 1)
    assert [_in_batches(found, x, size) for size in SIZES] == [alone] * len(SIZES)
    np.testing.assert_allclose(np.frombuffer(alone, np.float32), np.logaddexp(x, 0.0), rtol=1e-5, atol=1e-7)


def test_the_page_gets_the_new_hash(tmp_path: Path) -> None:
    """And a page of another file is refused, with nothing written."""
    model, page, out = bundled_model("magnitude"), tmp_path / "MODEL.md", tmp_path / "out.onnx"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    page.write_text("| `other.onnx` | `0123` |")
    result = CliRunner().invoke(main, [str(model), "-o", str(out), "--page", str(page)])
    assert isinstance(result.exception, InputError) and not out.exists()
    stale = tmp_path / "stale.onnx"
    found = open_model(model)
    stale.write_bytes(bytes_of(found.graph, msgspec.structs.replace(found.card, flops=1)))
    page.write_text(f"| `magnitude.onnx` | `{hashlib.sha256(stale.read_bytes()).hexdigest()}` |")
    assert CliRunner().invoke(main, [str(stale), "--page", str(page)]).exit_code == 0
    assert stale.read_bytes() == model.read_bytes() and digest in page.read_text()


@pytest.mark.parametrize("task", ["event_type", "magnitude", "onset"])
def test_a_bundled_model_is_rewritten_already(task: str, tmp_path: Path) -> None:
    path = bundled_model(task)
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(main, [str(path), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == path.read_bytes()
    assert OnnxRuntimeEngine(path).batch_sizes == (16, 4, 3, 1)

"""The onnxruntime engine, and model files that it must refuse."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from seisedge.runtime.card import CARD_KEY
from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.engines._base import Array
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import CardError, EngineError, InputError
from seisedge.runtime.inference.infer import BUNDLED_FILES, Models, bundled_model

TASKS = list(BUNDLED_FILES)


@pytest.fixture(scope="module", params=TASKS)
def engine(request: pytest.FixtureRequest) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(bundled_model(request.param))


def _window(engine: OnnxRuntimeEngine, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (1, 3, engine.card.n_samples)
    scale = 1000.0 if engine.card.unit == "counts" else 1e-6
    valid = np.ones(shape, np.float32)
    valid[..., 900:] = 0
    return (scale * rng.normal(size=shape)).astype(np.float32) * valid, valid


def _exclusive(engine: OnnxRuntimeEngine, probabilities: Array) -> Array:
    """The probabilities of labels that exclude one another: of an onset detector all but P and S."""
    return probabilities[..., 2:] if engine.card.task == "onset" else probabilities


def test_probabilities(engine: OnnxRuntimeEngine) -> None:
    shares, cost = engine.infer(*_window(engine))
    assert shares.shape == (1, *engine.card.output_shape) and shares.dtype == np.float32
    assert _exclusive(engine, shares).sum(axis=-1) == pytest.approx(1.0, abs=1e-5) and (shares >= 0).all()
    assert cost.infer_ms > 0 and cost.host_to_device_ms == 0


def test_the_same_input_gives_the_same_bits_in_every_session(engine: OnnxRuntimeEngine) -> None:
    other = OnnxRuntimeEngine(engine.path)
    first = engine.infer(*_window(engine))[0]
    engine.infer(*_window(engine, 1))
    assert np.array_equal(engine.infer(*_window(engine))[0], first)
    assert np.array_equal(other.infer(*_window(engine))[0], first)


def test_the_onset_detector_is_run_in_batches() -> None:
    """Where a release of onnxruntime ends this, archives are read more slowly, and nothing else changes."""
    assert OnnxRuntimeEngine(bundled_model("onset")).batch_sizes == (16, 4, 3, 1)


def test_batches_that_change_bits_are_not_used() -> None:
    class Varying(OnnxRuntimeEngine):
        def _infer(self, waveform: Array, valid: Array) -> Array:
            found = super()._infer(waveform, valid)
            return np.nextafter(found, np.float32(2)) if len(waveform) == 16 else found

    class OneWindow(OnnxRuntimeEngine):
        def _infer(self, waveform: Array, valid: Array) -> Array:
            if len(waveform) > 1:
                raise EngineError("a graph with a fixed batch")
            return super()._infer(waveform, valid)

    assert Varying(bundled_model("onset")).batch_sizes == (4, 3, 1)
    assert OneWindow(bundled_model("onset")).batch_sizes == (1,)


def test_the_onset_detector_takes_runs_of_blocks() -> None:
    """Where a release of onnxruntime ends this, archives are read more slowly, and nothing else changes."""
    engine = OnnxRuntimeEngine(bundled_model("onset"))
    assert engine.run_lengths == (32, 16, 8, 4)
    waveform = np.random.default_rng(0).normal(size=(1, 3, 960 + 3 * 40)).astype(np.float32)
    blocks, cost = engine.infer_run(waveform, np.ones_like(waveform))
    assert blocks.shape == (4, 10, 5) and cost.infer_ms > 0
    second = np.ascontiguousarray(waveform[..., 40:1000])
    assert np.array_equal(blocks[1:2], engine.infer(second, np.ones_like(second))[0])
    for n in (960 + 2 * 40, 960 + 3 * 40 + 1, 920):
        with pytest.raises(ValueError, match="32, 16, 8, 4 blocks in all"):
            engine.infer_run(*np.ones((2, 1, 3, n), np.float32))
    assert OnnxRuntimeEngine(bundled_model("event_type")).run_lengths == ()


def test_runs_that_change_bits_are_not_used() -> None:
    class Varying(OnnxRuntimeEngine):
        def _infer(self, waveform: Array, valid: Array) -> Array:
            found = super()._infer(waveform, valid)
            return np.nextafter(found, np.float32(2)) if waveform.shape[-1] == 960 + 15 * 40 else found

    class OneBlock(OnnxRuntimeEngine):
        def _infer(self, waveform: Array, valid: Array) -> Array:
            if waveform.shape[-1] > 960:
                raise EngineError("a graph that fails on more than one block")
            return super()._infer(waveform, valid)

    assert Varying(bundled_model("onset")).run_lengths == (32, 8, 4)
    assert OneBlock(bundled_model("onset")).run_lengths == ()


def test_a_detector_with_a_fixed_window_is_run_block_by_block(tmp_path: Path) -> None:
    model = onnx.load(bundled_model("onset"))
    for value, axis, length in zip([*model.graph.input, *model.graph.output], (2, 2, 1), (960, 960, 10), strict=True):
        value.type.tensor_type.shape.dim[axis].dim_value = length
    onnx.save(model, tmp_path / "fixed.onnx")
    engine = OnnxRuntimeEngine(tmp_path / "fixed.onnx")
    assert engine.run_lengths == () and engine.infer(*np.ones((2, 1, 3, 960), np.float32))[0].shape == (1, 10, 5)
    with pytest.raises(ValueError, match="no blocks in all"):
        engine.infer_run(*np.ones((2, 1, 3, 1000), np.float32))


@pytest.mark.parametrize("behind", [1e9, np.nan, np.inf])
def test_masked_samples_change_no_bit(engine: OnnxRuntimeEngine, behind: float) -> None:
    waveform, valid = _window(engine)
    changed = np.where(valid > 0.5, waveform, np.float32(behind))
    assert np.array_equal(engine.infer(changed, valid)[0], engine.infer(waveform, valid)[0])


@pytest.mark.parametrize("what", ["nothing valid", "all zero", "constant", "one sample", "step of 1e9"])
def test_degenerate_input_gives_finite_probabilities(engine: OnnxRuntimeEngine, what: str) -> None:
    waveform, valid = (np.zeros((1, 3, engine.card.n_samples), np.float32) for _ in range(2))
    if what != "nothing valid":
        valid[:] = 1
    if what == "constant":
        waveform[:] = 12345.0
    if what == "one sample":
        valid[:], valid[0, 0, 7], waveform[0, 0, 7] = 0, 1, 3.0
    if what == "step of 1e9":
        waveform[..., 500:] = 1e9
    shares = engine.infer(waveform, valid)[0]
    assert np.isfinite(shares).all()
    assert _exclusive(engine, shares).sum(axis=-1) == pytest.approx(1.0, abs=1e-4)


def test_a_wrong_shape_is_refused(engine: OnnxRuntimeEngine) -> None:
    with pytest.raises(ValueError, match=rf"must be \(batch, 3, {engine.card.n_samples}\); got \(1, 3, 5\)"):
        engine.infer(*(np.zeros((1, 3, 5), np.float32) for _ in range(2)))


def _changed(tmp_path: Path, card: dict[str, object] | None) -> Path:
    """A bundled model with another card, or none."""
    model = onnx.load(bundled_model("event_type"))
    text = next(p for p in model.metadata_props if p.key == CARD_KEY).value
    del model.metadata_props[:]
    if card is not None:
        entry = model.metadata_props.add()
        entry.key, entry.value = CARD_KEY, json.dumps(json.loads(text) | card)
    path = tmp_path / "changed.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "no card in the file"),
        ({"schema": 99}, "schema 99"),
        ({"n_samples": 2000, "answers_s": [3]}, "waveform has shape [3, 2000] in the card and [3,"),
        ({"labels": ["a", "b"]}, "probabilities has shape [2] in the card and [3] in the graph"),
    ],
)
def test_a_card_that_is_missing_newer_or_contradicts_the_graph(
    tmp_path: Path, card: dict[str, object] | None, message: str
) -> None:
    with pytest.raises(CardError) as caught:
        OnnxRuntimeEngine(_changed(tmp_path, card))
    assert message in str(caught.value) and "changed.onnx" in str(caught.value)


def test_a_truncated_file_and_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    whole = bundled_model("event_type").read_bytes()
    for name, data in {"half.onnx": whole[: len(whole) // 2], "text.onnx": b"not a model", "empty.onnx": b""}.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(CardError, match=name):
            OnnxRuntimeEngine(path)
    with pytest.raises(InputError, match="cannot be read"):
        OnnxRuntimeEngine(tmp_path / "nowhere.onnx")


def test_models_take_the_task_of_their_card() -> None:
    magnitude = bundled_model("magnitude")
    models = Models.load(ModelsConfig(event_type="none"), (magnitude,))
    assert models.event_type is None and models.magnitude is not None
    with pytest.raises(CardError, match=r"models\.event_type needs 'event_type'"):
        Models.load(ModelsConfig(event_type=str(magnitude)))
    with pytest.raises(InputError, match="a second model for the task 'magnitude'"):
        Models.load(ModelsConfig(), (magnitude, magnitude))
    with pytest.raises(InputError, match="no model at all"):
        Models.load(ModelsConfig(event_type="none", magnitude="none"))


def test_one_module_imports_onnxruntime() -> None:
    """So that its telemetry is switched off before it is loaded, whichever command loads it."""
    root = Path(__file__).parents[3]
    found = set()
    for path in (p for part in ("runtime", "train", "export") for p in (root / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "onnxruntime" for name in names):
                found.add(path.relative_to(root).as_posix())
    assert [Path(path).name for path in found] == ["onnxruntime.py"]


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_telemetry_is_off_before_onnxruntime_is_loaded(given: str | None, expected: str) -> None:
    """The variable as it is at the moment of the import; who sets it decides."""
    script = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime': print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import seisedge.runtime.engines.onnxruntime\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    if given is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]

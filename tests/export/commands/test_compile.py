"""Model files really built by TensorRT-RTX, which needs no GPU for it: by command, by step, in every precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from tests.fakes import card

from seisedge.cli import main
from seisedge.runtime.bench.recorded import windows_from
from seisedge.runtime.card import CARD_KEY, json_from_card
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.engines._build import Plan, build_engine, parsed_network, plan_from_target
from seisedge.runtime.engines._library import Here, load_library, make_logger, no_collection
from seisedge.runtime.engines._sidecar import check_engine, read_sidecar, sidecar_path
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.errors import EngineError, InputError
from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model, model_path

TARGET = "tensorrt-rtx:sm86"
N = 256
NAMES = ["event-type", "magnitude"]
QUANTIZED = ["event_type", "magnitude"]  # tasks whose models `quantize` accepts

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's own, of calls it has deprecated


@pytest.fixture(autouse=True)
def _library() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")


def compile_(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["compile", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def quiet(_share: float, _phase: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines of both bundled models, by the command."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    out = tmp_path_factory.mktemp("engines")
    code, text = compile_(*NAMES, "--target", TARGET, "-o", out)
    assert code == 0, text
    assert text.count("fp32, tensorrt-rtx") == 2 and "batch 1 to 1" in text
    return out


def test_bundled_models_are_built_for_a_gpu_that_is_not_here(built: Path) -> None:
    version = load_library("tensorrt-rtx").version
    here = Here("tensorrt-rtx", version, "sm86", "RTX 3060", "12.9", None)
    for name in NAMES:
        model = OnnxRuntimeEngine(model_path(name))
        (path,) = built.glob(f"{model.path.stem}-{model.sha256[:8]}.tensorrt-rtx-sm86.engine")
        sidecar = check_engine(path, here, model.sha256, model.card)
        assert sidecar == read_sidecar(path)
        assert (sidecar.driver, sidecar.l4t, sidecar.max_batch, sidecar.precision) == (None, None, 1, "fp32")
        assert path.stat().st_size > model.path.stat().st_size / 2 and sidecar.build_s > 0
    assert len(list(built.iterdir())) == 2 * len(NAMES)  # pairs, nothing temporary


def test_the_real_library_refuses_what_the_sidecar_would_have_let_through(built: Path) -> None:
    """Here without a driver it refuses all; what matters is that it does so with a reason and without a crash."""
    library = load_library("tensorrt-rtx")
    data = next(built.glob("event-type*.engine")).read_bytes()
    for bad in (data[: len(data) // 2], b"", b"\0" * 4096, data[:64] + b"\xff" * 4096):
        logger, log = make_logger(library)
        with no_collection():
            runtime = library.module.Runtime(logger)
        assert runtime.deserialize_cuda_engine(bad) is None
        assert log.reason()


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    told: list[float] = []
    data, capability = build_engine(
        tiny(tmp_path / "m.onnx"), Plan("tensorrt-rtx", "sm89", 4, 32), lambda share, _: told.append(share)
    )
    assert capability == "sm89" and len(data) > 1000
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 5


def test_without_a_capability_it_is_for_any_card(tmp_path: Path) -> None:
    assert build_engine(tiny(tmp_path / "m.onnx"), Plan("tensorrt-rtx"), quiet)[1] == "any"


def test_a_timing_cache_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    """TensorRT-RTX has the calls, and times nothing; that the time saved is real a Jetson must show."""
    cache = tmp_path / "timing.cache"
    build_engine(tiny(tmp_path / "m.onnx"), Plan("tensorrt-rtx", "sm86"), quiet, cache)
    first = cache.read_bytes()
    build_engine(tiny(tmp_path / "m.onnx"), Plan("tensorrt-rtx", "sm86"), quiet, cache)
    assert first and cache.read_bytes()
    cache.write_bytes(b"of another machine")
    build_engine(tiny(tmp_path / "m.onnx"), Plan("tensorrt-rtx", "sm86"), quiet, cache)
    assert cache.read_bytes() != b"of another machine"


# --- small graphs of every precision, by hand ---------------------------------------------------------------------


def with_card(path: Path) -> Path:
    """The same file with a card that fits."""
    model = onnx.load(path)
    facts = card(n_samples=N, onset_s=1.0, answers_s=[3.0], name="tiny")
    helper.set_model_props(model, {CARD_KEY: json_from_card(facts)})
    onnx.save(model, path)
    return path


def tiny(path: Path, precision: str = "fp32", output: str = "probabilities", kind: int = TensorProto.FLOAT) -> Path:
    """A convolution behind a mask, averaged and softmaxed, with the inputs and the output of a model file.

    fp16: casts around the convolution. int8: Q/DQ around it, weights per channel. int8-bias: its bias quantized too,
    as onnxruntime does by default.
    """
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(8, 3, 7)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    constants = {"zero": np.float32(0), "half": np.float32(0.5), "axis": np.array([2]), "head": weight[:, :, 0]}
    node = helper.make_node
    nodes = [
        node("Greater", ["valid", "half"], ["there"]),
        node("Where", ["there", "waveform", "zero"], ["x"]),
    ]
    x, w, b = "x", "weight", "bias"
    if precision == "fp16":
        weight, bias = weight.astype(np.float16), bias.astype(np.float16)
        nodes.append(node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16))
        x = "x16"
    elif precision.startswith("int8"):
        constants |= {"xs": np.float32(0.05), "xz": np.int8(0), "ws": np.full(8, 0.02, np.float32)}
        constants |= {"wz": np.zeros(8, np.int8)}
        weight = np.clip(np.round(weight / 0.02), -127, 127).astype(np.int8)
        nodes += [
            node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
            node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
            node("DequantizeLinear", ["weight", "ws", "wz"], ["wd"], axis=0),
        ]
        x, w = "xd", "wd"
        if precision == "int8-bias":
            constants |= {"bs": np.full(8, 0.001, np.float32), "bz": np.zeros(8, np.int32)}
            bias = np.round(bias / 0.001).astype(np.int32)
            nodes.append(node("DequantizeLinear", ["bias", "bs", "bz"], ["bd"], axis=0))
            b = "bd"
    nodes += [node("Conv", [x, w, b], ["y"]), node("Relu", ["y"], ["r"])]
    inner = "r"
    if precision == "fp16":
        nodes.append(node("Cast", ["r"], ["r32"], to=TensorProto.FLOAT))
        inner = "r32"
    nodes += [
        node("ReduceMean", [inner, "axis"], ["mean"], keepdims=0),
        node("MatMul", ["mean", "head"], ["logits"]),
        node("Softmax", ["logits"], [output]),
    ]
    shape: list[int | str | None] = ["batch", 3, N]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name in ("waveform", "valid")],
        [helper.make_tensor_value_info(output, kind, ["batch", 3])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants | {"weight": weight, "bias": bias}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_graph_of_every_precision_is_built_as_it_is_typed(tmp_path: Path, precision: str) -> None:
    path = tiny(tmp_path / f"{precision}.onnx", precision)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    data, capability = build_engine(path, Plan("tensorrt-rtx", "sm86"), quiet)
    assert capability == "sm86" and len(data) > 1000


def test_a_quantized_bias_is_refused_by_the_name_of_its_node(tmp_path: Path) -> None:
    path = tiny(tmp_path / "bias.onnx", "int8-bias")
    with pytest.raises(EngineError, match=r"bias\.onnx: tensorrt-rtx [\d.]+ cannot parse it: .*Int32") as caught:
        build_engine(path, Plan("tensorrt-rtx", "sm86"), quiet)
    assert "\n" not in str(caught.value)


def test_an_onset_detector_is_built_for_one_block() -> None:
    """Its graph takes any number of blocks; an engine has the window of the card."""
    library = load_library("tensorrt-rtx")
    logger, _ = make_logger(library)
    with no_collection():
        builder = library.module.Builder(logger)
    network = parsed_network(library, builder, logger, bundled_model("onset"))
    assert [tuple(network.get_input(i).shape) for i in range(2)] == [(-1, 3, 960)] * 2
    assert tuple(network.get_output(0).shape) == (-1, 10, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: tiny(path, output="scores"), "the network has valid, waveform and scores"),
        (lambda path: tiny(path, "fp16", kind=TensorProto.FLOAT16), "waveform must be float32; got|cannot parse it"),
    ],
)
def test_a_graph_that_is_no_model_file(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        build_engine(make(tmp_path / "m.onnx"), Plan("tensorrt-rtx", "sm86"), quiet)


# --- the command, and what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tensorrt:sm87", "TensorRT builds for the GPU it runs on"),
        ("tensorrt-rtx:sm87", "builds for sm75, .*, not for 'sm87'"),
        ("tensorrt-rtx:", "not for ''"),
        ("tensorrt-rtx:sm86:fp16", "not for 'sm86:fp16'"),
        ("TensorRT", "must be tensorrt, tensorrt-rtx or tensorrt-rtx:smNN"),
        ("onnxruntime", "must be tensorrt"),
    ],
)
def test_a_target_that_cannot_be(target: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_from_target(target, 1, 64)
    code, text = compile_("event-type", "--target", target)
    assert code == 2 and "--target" in text


def test_bad_input_is_a_sentence_and_status_2_and_nothing_is_written(tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(bundled_model("event_type").read_bytes()[:5000])
    out = tmp_path / "out"
    for name, message in {half: "not an ONNX model", tmp_path / "none.onnx": "no such model file"}.items():
        code, text = compile_("event-type", name, "--target", TARGET, "-o", out)  # all are checked before the first
        assert code == 2 and message in text and text.count("\n") == 1
    code, text = compile_(tiny(tmp_path / "tiny.onnx"), "--target", TARGET, "-o", out)
    assert code == 2 and "no card in the file" in text
    assert not out.exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    code, text = compile_("event-type", "--target", TARGET, "-o", blocked / "engines")
    assert code == 1 and "cannot create this folder: Not a directory" in text


def test_json_has_the_sidecars(tmp_path: Path) -> None:
    model = with_card(tiny(tmp_path / "tiny.onnx"))
    result = CliRunner().invoke(
        main,
        ["compile", str(model), "--target", "tensorrt-rtx:sm120", "-o", str(tmp_path), "--max-batch", "4", "--json"],
    )
    (facts,) = json.loads(result.stdout)
    (engine,) = tmp_path.glob("*.engine")
    assert facts == json.loads(sidecar_path(engine).read_text())
    assert (facts["compute_capability"], facts["max_batch"]) == ("sm120", 4)


@pytest.mark.long
@pytest.mark.parametrize("capability", ["sm80", "sm86", "sm89", "sm120", "sm121"])
@pytest.mark.parametrize("task", list(BUNDLED_FILES))
def test_bundled_models_are_built_for_every_card(task: str, capability: str) -> None:
    data, aimed = build_engine(bundled_model(task), Plan("tensorrt-rtx", capability, 8), quiet)
    assert aimed == capability and len(data) > 100_000


@pytest.mark.long
def test_what_a_card_lacks_is_the_librarys_own_reason() -> None:
    """Turing has no matrix product in fp32 as TensorRT-RTX 1.7 sees it, and both models end in one."""
    with pytest.raises(
        EngineError, match=r"event-type\.onnx: tensorrt-rtx [\d.]+ cannot build it: .*FP32 GEMM"
    ) as caught:
        build_engine(bundled_model("event_type"), Plan("tensorrt-rtx", "sm75"), quiet)
    assert "\n" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("name", ["ganet_paper", "ganet_small", "resnet18_cbam_1d", "resnet18_cbam_small"])
def test_every_registered_network_is_built(tmp_path: Path, name: str) -> None:
    import torch

    from seisedge.export.onnx import graph_from_model, strip_metadata
    from seisedge.train.models import create_model, model_names

    assert name in model_names()
    torch.manual_seed(0)
    path = tmp_path / f"{name}.onnx"
    onnx.save(strip_metadata(graph_from_model(create_model(name))), path)
    data, _ = build_engine(path, Plan("tensorrt-rtx", "sm86"), quiet)
    assert len(data) > path.stat().st_size / 2


def _quantized(task: str, out: Path, *, bias: bool) -> Path:
    """A bundled model in int8 by onnxruntime's own tool, calibrated on windows of the bundled recording."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    model = OnnxRuntimeEngine(bundled_model(task))
    windows = iter(windows_from([RECORDING], model.card, limit=8))

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime publishes no types
        def get_next(self) -> dict[str, np.ndarray] | None:
            pair = next(windows, None)
            return None if pair is None else dict(zip(("waveform", "valid"), pair, strict=True))

    quantize_static(
        model.path, out, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Gemm"],
        extra_options={"QuantizeBias": bias, "ActivationSymmetric": True, "WeightSymmetric": True},
    )  # fmt: skip
    return out


@pytest.mark.long
@pytest.mark.parametrize("task", QUANTIZED)
def test_bundled_models_in_int8_are_built_unless_their_bias_is_quantized(task: str, tmp_path: Path) -> None:
    path = _quantized(task, tmp_path / "int8.onnx", bias=False)
    assert sum(node.op_type == "DequantizeLinear" for node in onnx.load(path).graph.node) > 10
    data, _ = build_engine(path, Plan("tensorrt-rtx", "sm86"), quiet)
    assert len(data) > 100_000
    with pytest.raises(EngineError, match=r"bias\.onnx: .*Int32.*\(node .+\)$"):
        build_engine(_quantized(task, tmp_path / "bias.onnx", bias=True), Plan("tensorrt-rtx", "sm86"), quiet)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("task", QUANTIZED)
def test_bundled_models_are_built_in_the_precisions_that_quantize_makes(
    task: str, precision: str, tmp_path: Path
) -> None:
    """As `seisedge quantize` writes their graphs; the scales of int8 are all the same here, a builder does not mind."""
    graph = onnx.load(bundled_model(task))
    lacking = "this checkout has no `seisedge quantize`"
    if precision == "fp16":
        made = pytest.importorskip("seisedge.export.fp16", reason=lacking).half_precision(graph)
        assert TensorProto.FLOAT16 in {tensor.data_type for tensor in made.graph.initializer}
    else:
        int8 = pytest.importorskip("seisedge.export.int8", reason=lacking)
        layers = int8.quantizable(graph)
        made = int8.quantize_layers(graph, {graph.graph.node[i].input[0]: 0.05 for i in layers}, layers)
        assert TensorProto.INT8 in {tensor.data_type for tensor in made.graph.initializer}
    onnx.save(made, tmp_path / "model.onnx")
    data, capability = build_engine(tmp_path / "model.onnx", Plan("tensorrt-rtx", "sm86"), quiet)
    assert capability == "sm86" and len(data) > 100_000

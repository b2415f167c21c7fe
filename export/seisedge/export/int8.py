"""int8 by explicit Q/DQ: static, per channel of the weights, symmetric, biases left alone.

A quantized layer has Q and DQ on its input and an int8 weight with its DQ, nothing else, as typed engines want it.
The range of an input is the one of least squared error over the calibration windows.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from seisedge.export.gate import BATCH
from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import checked, network_nodes, trained_layers
from seisedge.runtime.engines.onnxruntime import session_from

LEVELS = 127
BINS = 2_048
RANGES = np.linspace(0.3, 1.0, 29)  # of the largest value, tried
Scales = dict[str, float]


def quantizable(model: onnx.ModelProto) -> list[int]:
    """Places of convolutions and products of the network with constant weights."""
    network = set(network_nodes(model))
    return [i for i in trained_layers(model) if i in network and model.graph.node[i].op_type in ("Conv", "Gemm")]


def calibrate(model: onnx.ModelProto, windows: HeldOut) -> Scales:
    """Scale of each quantizable layer's input, from real windows."""
    names = list(dict.fromkeys(model.graph.node[i].input[0] for i in quantizable(model)))
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = session_from(probe.SerializeToString())
    batches = [
        {"waveform": windows.waveform[i : i + BATCH], "valid": windows.valid[i : i + BATCH]}
        for i in range(0, len(windows), BATCH)
    ]
    largest = dict.fromkeys(names, 1e-12)
    for batch in batches:
        for name, x in zip(names, session.run(names, batch), strict=True):
            largest[name] = max(largest[name], float(np.abs(x).max()))
    counts = {name: np.zeros(BINS) for name in names}
    for batch in batches:
        for name, x in zip(names, session.run(names, batch), strict=True):
            counts[name] += np.histogram(np.abs(x), BINS, (0, largest[name]))[0]
    return {name: _best_range(counts[name], largest[name]) / LEVELS for name in names}


def _best_range(count: npt.NDArray[np.float64], largest: float) -> float:
    """The range whose rounding and clipping together cost the least squared error."""
    centre = (np.arange(BINS) + 0.5) / BINS * largest

    def error(limit: float) -> float:
        step = limit / LEVELS
        back = np.minimum(np.round(centre / step), LEVELS) * step
        return float((count * (centre - back) ** 2).sum())

    return float(min((largest * share for share in RANGES), key=error))


def quantize_layers(model: onnx.ModelProto, scales: Scales, layers: Collection[int]) -> onnx.ModelProto:
    """The graph with the layers at these places in int8."""
    constants = {t.name: t for t in model.graph.initializer}
    extra: dict[str, TensorProto] = {}
    out: list[onnx.NodeProto] = []
    made: set[str] = set()
    for i, original in enumerate(model.graph.node):
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if i in layers:
            x, w = node.input[0], node.input[1]
            if x not in made:
                extra[f"{x}_scale"] = numpy_helper.from_array(np.array(scales[x], np.float32), f"{x}_scale")
                extra["zero_i8"] = numpy_helper.from_array(np.array(0, np.int8), "zero_i8")
                terms = [f"{x}_scale", "zero_i8"]
                out.append(helper.make_node("QuantizeLinear", [x, *terms], [f"{x}_q"], name=f"{x}_Q"))
                out.append(helper.make_node("DequantizeLinear", [f"{x}_q", *terms], [f"{x}_dq"], name=f"{x}_DQ"))
                made.add(x)
            if w not in made:
                axis = 1 if _transposed_gemm(node) else 0
                values, scale = _int8_weight(numpy_helper.to_array(constants[w]), axis)
                extra[f"{w}_q"] = numpy_helper.from_array(values, f"{w}_q")
                extra[f"{w}_scale"] = numpy_helper.from_array(scale, f"{w}_scale")
                extra[f"{w}_zero"] = numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{w}_zero")
                terms = [f"{w}_q", f"{w}_scale", f"{w}_zero"]
                out.append(helper.make_node("DequantizeLinear", terms, [f"{w}_dq"], name=f"{w}_DQ", axis=axis))
                made.add(w)
            node.input[0], node.input[1] = f"{x}_dq", f"{w}_dq"
        out.append(node)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(out)
    used = {name for node in out for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in used] + list(extra.values())
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return checked(result)


def _transposed_gemm(node: onnx.NodeProto) -> bool:
    """Gemm whose weights are (in, out): the channels of the output are its second axis."""
    return node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)


def _int8_weight(w: npt.NDArray[np.float32], axis: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric per channel: int8 values and the scale of each channel."""
    others = tuple(k for k in range(w.ndim) if k != axis)
    scale = np.maximum(np.abs(w).max(others), 1e-12).astype(np.float32) / LEVELS
    shape = [1] * w.ndim
    shape[axis] = -1
    return np.clip(np.round(w / scale.reshape(shape)), -LEVELS, LEVELS).astype(np.int8), scale

"""From a model file to one of lower precision, inside the gate.

half_precision, or calibrate → sensitivity → the most layers in int8 that pass → card
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx

from seisedge.export.card import with_costs
from seisedge.export.fp16 import half_precision
from seisedge.export.gate import Parent, Rule, answers_of, compare
from seisedge.export.graph import ModelFile, bytes_of, layer_name
from seisedge.export.heldout import HeldOut
from seisedge.export.int8 import Scales, calibrate, quantizable, quantize_layers
from seisedge.runtime.card import Comparison, Quantization
from seisedge.runtime.errors import InputError

ABLATION_WINDOWS = 256
Say = Callable[[str], None]


@dataclass(frozen=True)
class Lower:
    """A model of lower precision: its file, and what the gate says of it."""

    file: bytes
    comparison: Comparison


def require_fp32(model: ModelFile) -> None:
    """Raises InputError for a file that has been quantized already."""
    if model.card.precision != "fp32":
        raise InputError(f"{model.path}: is {model.card.precision} already; quantize the fp32 file it was made from")


def fp16_from(model: ModelFile, windows: HeldOut, parent: Parent, rule: Rule) -> Lower:
    """The network in fp16. parent: its answers on the windows."""
    require_fp32(model)
    graph = half_precision(model.graph)
    comparison = compare(parent, answers_of(graph.SerializeToString(), windows), windows, rule)
    n = len({layer_name(model.graph, i) for i in quantizable(model.graph)})
    how = Quantization(calibration_sha256="", calibration_windows=0, layers=n, kept=[])
    return _finished(model, graph, "fp16", how, comparison)


def int8_from(model: ModelFile, calibration: HeldOut, windows: HeldOut, parent: Parent, rule: Rule, say: Say) -> Lower:
    """As many layers in int8 as pass the gate; the ones that measurement finds most sensitive stay fp32.

    Where no layer can be had inside the gate, all are quantized and the comparison says that it failed.
    """
    require_fp32(model)
    scales = calibrate(model.graph, calibration)
    uses: dict[str, list[int]] = {}  # layer → places; shared weights are one layer
    for i in quantizable(model.graph):
        uses.setdefault(layer_name(model.graph, i), []).append(i)
    order = _by_sensitivity(model, scales, uses, windows.spread(ABLATION_WINDOWS), say)

    def attempt(kept: int) -> tuple[onnx.ModelProto, Comparison]:
        places = [i for name in order[kept:] for i in uses[name]]
        graph = quantize_layers(model.graph, scales, places)
        result = compare(parent, answers_of(graph.SerializeToString(), windows), windows, rule)
        say(
            f"int8 with {kept} of {len(order)} layers left in fp32: agreement {result.agreement:.2%}, "
            f"mean |Δp| {result.mean_dp:.4f}, loss {result.loss_points:+.2f} points"
        )
        return graph, result

    kept = 0
    graph, result = attempt(0)
    if result.outcome == "failed":
        low, high = 0, len(order)  # `low` kept fails, `high` kept is the parent itself
        best = None
        while high - low > 1:
            middle = (low + high) // 2
            trial = attempt(middle)
            if trial[1].outcome != "failed":
                high, best = middle, trial
            else:
                low = middle
        if best is not None:
            kept, (graph, result) = high, best
    how = Quantization(
        calibration_sha256=calibration.sha256,
        calibration_windows=len(calibration),
        layers=len(order) - kept,
        kept=order[:kept],
    )
    return _finished(model, graph, "int8", how, result)


def _by_sensitivity(
    model: ModelFile, scales: Scales, uses: dict[str, list[int]], windows: HeldOut, say: Say
) -> list[str]:
    """Layers by the mean difference of a probability that each makes alone in int8, the largest first."""
    parent = answers_of(model.graph.SerializeToString(), windows)
    effect = {}
    for name, places in uses.items():
        alone = quantize_layers(model.graph, scales, places).SerializeToString()
        effect[name] = float(np.abs(answers_of(alone, windows) - parent).mean())
    order = sorted(effect, key=lambda name: (-effect[name], name))
    say(f"most sensitive of {len(order)} layers: " + ", ".join(f"{n} {effect[n]:.4f}" for n in order[:3]))
    return order


def _finished(
    model: ModelFile, graph: onnx.ModelProto, precision: str, how: Quantization, comparison: Comparison
) -> Lower:
    card = msgspec.structs.replace(model.card, precision=precision, quantization=how, comparison=comparison)
    return Lower(bytes_of(graph, with_costs(card, graph)), comparison)

"""From a model file to one of lower precision, inside the gate.

half_precision, or calibrate → sensitivity → the most layers in int8 that calibration permits → gate → card
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx

from seisedge.export.card import with_costs
from seisedge.export.fp16 import half_precision
from seisedge.export.gate import AGREEMENT, MEAN_DP, Parent, Rule, answers_of, compare, differences
from seisedge.export.gate_windows import HeldOut
from seisedge.export.graph import ModelFile, bytes_of, layer_name
from seisedge.export.int8 import Scales, calibrate, quantizable, quantize_layers
from seisedge.runtime.card import Comparison, Quantization
from seisedge.runtime.errors import InputError

ABLATION_WINDOWS = 256
# Half of the difference that the gate permits: layers are chosen on training windows, and held-out ones differ more.
CALIBRATION_AGREEMENT = (1 + AGREEMENT) / 2
CALIBRATION_MEAN_DP = MEAN_DP / 2
Say = Callable[[str], None]


@dataclass(frozen=True)
class Lower:
    """A model of lower precision: its file and the gate's comparison."""

    file: bytes
    comparison: Comparison


def require_fp32(model: ModelFile) -> None:
    """Raises InputError for a file that has been quantized already."""
    if model.card.precision != "fp32":
        raise InputError(f"{model.path}: is {model.card.precision} already; quantize the fp32 file it was made from")


def fp16_from(model: ModelFile, parent: Parent, rule: Rule) -> Lower:
    """The network in fp16. parent: the model itself, on held-out windows."""
    require_fp32(model)
    graph = half_precision(model.graph)
    comparison = compare(parent, answers_of(graph.SerializeToString(), parent.windows), rule)
    n = len({layer_name(model.graph, i) for i in quantizable(model.graph)})
    how = Quantization(calibration_sha256="", calibration_windows=0, layers=n, kept=[])
    return _finished(model, graph, "fp16", how, comparison)


def int8_from(model: ModelFile, calibration: HeldOut, parent: Parent, rule: Rule, say: Say) -> Lower:
    """As many layers in int8 as the calibration windows permit; the most sensitive layers stay fp32.

    calibration: training windows; ranges, the order of the layers and the number kept in fp32 come from them alone.
    parent: the model itself, on held-out windows; the chosen model, and no other, is compared with it there.
    """
    require_fp32(model)
    graph, how = choose_layers(model, calibration, say)
    comparison = compare(parent, answers_of(graph.SerializeToString(), parent.windows), rule)
    return _finished(model, graph, "int8", how, comparison)


def choose_layers(model: ModelFile, calibration: HeldOut, say: Say) -> tuple[onnx.ModelProto, Quantization]:
    """The graph with the chosen layers in int8. Where no number of kept layers is enough, all layers are quantized, and
    the gate decides.
    """
    scales = calibrate(model.graph, calibration)
    uses: dict[str, list[int]] = {}  # layer → places; shared weights are one layer
    for i in quantizable(model.graph):
        uses.setdefault(layer_name(model.graph, i), []).append(i)
    order = _by_sensitivity(model, scales, uses, calibration.spread(ABLATION_WINDOWS), say)
    parent = answers_of(model.data, calibration)

    def attempt(kept: int) -> tuple[onnx.ModelProto, bool]:
        places = [i for name in order[kept:] for i in uses[name]]
        graph = quantize_layers(model.graph, scales, places)
        agreement, mean_dp = differences(parent, answers_of(graph.SerializeToString(), calibration))
        say(
            f"int8 with {kept} of {len(order)} layers left in fp32, on {len(calibration)} calibration windows: "
            f"agreement {agreement:.2%}, mean |Δp| {mean_dp:.4f}"
        )
        return graph, agreement >= CALIBRATION_AGREEMENT and mean_dp <= CALIBRATION_MEAN_DP

    kept = 0
    graph, enough = attempt(0)
    if not enough:
        low, high = 0, len(order)  # `low` kept is not enough, `high` kept is the parent itself
        while high - low > 1:
            middle = (low + high) // 2
            trial, enough = attempt(middle)
            if enough:
                high, kept, graph = middle, middle, trial
            else:
                low = middle
    how = Quantization(
        calibration_sha256=calibration.sha256,
        calibration_windows=len(calibration),
        layers=len(order) - kept,
        kept=order[:kept],
    )
    return graph, how


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

"""The line from a run to what a station is given: export → prune → quantize, each gated → measured → chosen.

For onnxruntime the choice is the model of least measured time on this machine, for TensorRT on a Jetson the least
projected one (`bench.roofline`); the full fp32 model is always a candidate, so nothing is chosen that gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import onnx

from seisedge.export.card import card_from_run
from seisedge.export.gate import Floats, answers_of, compare, enough, hits, lines_of
from seisedge.export.graph import ModelFile, open_model
from seisedge.export.heldout import HeldOut, heldout_windows
from seisedge.export.latency import Latency, side_by_side
from seisedge.export.onnx import checked_graph, parity_difference, save_model, write_card
from seisedge.export.prune.run import Pruned
from seisedge.export.quantize import Lower, fp16_from, int8_from
from seisedge.runtime.bench.roofline import BOARDS, floor_of
from seisedge.runtime.card import CARD_KEY, Comparison, ModelCard, card_from_json
from seisedge.runtime.errors import FailedError
from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.bootstrap import interval
from seisedge.train.fit.run import Run
from seisedge.train.models._base import Model

PARITY_WINDOWS = 64
CALIBRATION_WINDOWS = 512
ORIGINAL, PRUNED = "fp32", "pruned"
ENOUGH = 0.95  # of the time; a lower precision that gains less is not worth what it loses
HERE = "onnxruntime, one x86-64 thread"  # a target

Say = Callable[[str], None]
Prune = Callable[[Run], Pruned]


@dataclass(frozen=True)
class Variant:
    """One row of the table. file: None where it lies outside the gate and was not written.

    agreement_with_full: label agreement and mean |Δp| with the full fp32 model, whatever its own parent is.
    """

    name: str
    card: ModelCard
    size: int
    file: Path | None
    score: float
    low: float
    high: float
    agreement_with_full: float
    mean_dp_with_full: float
    comparison: Comparison | None
    latency: Latency | None


@dataclass(frozen=True)
class Release:
    """All variants, and the chosen one by target, with its reason."""

    name: str
    variants: list[Variant]
    chosen: dict[str, tuple[str, str]]
    windows: int

    def shipped(self) -> Variant:
        """The one chosen for onnxruntime, which is what a station runs unless it has another engine."""
        name = self.chosen[HERE][0] if HERE in self.chosen else ORIGINAL
        return next(v for v in self.variants if v.name == name)


@dataclass(frozen=True)
class Exported:
    """A run as a graph, with its card, not yet on disk."""

    model: Model
    graph: onnx.ModelProto
    card: ModelCard


def exported(run: Run) -> Exported:
    """Raises FailedError."""
    model = run.model()
    graph = checked_graph(model)
    return Exported(model, graph, card_from_run(run, model, graph))


def save_exported(it: Exported, path: Path, windows: HeldOut, comparison: Comparison | None = None) -> ModelFile:
    """Write the model file, its torch parity checked on real windows. Raises FailedError."""
    file = write_card(it.graph, msgspec.structs.replace(it.card, comparison=comparison))
    few = windows.spread(PARITY_WINDOWS)
    save_model(path, file, parity_difference(it.model, file, few.waveform, few.valid))
    return open_model(path)


def make_release(run: Run, archive: Archive, out: Path, prune: Prune | None, windows: int, say: Say) -> Release:
    """Run the line; files outside the gate are not written. prune: makes a narrower run of a run."""
    out.mkdir(parents=True, exist_ok=True)
    name = run.recipe.name
    whole = exported(run)
    held = enough(heldout_windows(whole.card, archive, windows, station_term=run.station_term))
    calibration = heldout_windows(whole.card, archive, CALIBRATION_WINDOWS, "train", run.station_term)
    full = save_exported(whole, out / f"{name}.onnx", held)
    say(f"{full.path.name}: {full.card.flops / 1e6:.1f} MFLOP, {len(full.data) / 1e3:.0f} kB")
    made: list[tuple[str, ModelFile | Lower]] = [(ORIGINAL, full)]
    made += _lower(full, "", held, calibration, out, say)
    if prune is not None:
        narrow = exported(prune(run).run)
        child = narrow.graph.SerializeToString()
        result = compare(
            answers_of(full.data, held), answers_of(child, held), held, full.card, full.sha256, pruned=True
        )
        say("pruned: " + "; ".join(lines_of(result, pruned=True)))
        if result.passed:
            pruned = save_exported(narrow, out / f"{name}-pruned.onnx", held, result)
            made.append((PRUNED, pruned))
            made += _lower(pruned, f"{PRUNED} + ", held, calibration, out, say)
        else:
            refused = msgspec.structs.replace(narrow.card, comparison=result)
            made.append((PRUNED, Lower(write_card(narrow.graph, refused), result)))
    return _measured(name, made, held)


def _lower(
    model: ModelFile, prefix: str, held: HeldOut, calibration: HeldOut, out: Path, say: Say
) -> list[tuple[str, ModelFile | Lower]]:
    """fp16 and int8 of a model: written where inside the gate, else only what was measured."""
    parent = answers_of(model.data, held)
    rows: list[tuple[str, ModelFile | Lower]] = []
    for precision in ("fp16", "int8"):
        if precision == "fp16":
            lower = fp16_from(model, held, parent)
        else:
            lower = int8_from(model, calibration, held, parent, say)
        say(f"{prefix}{precision}: " + "; ".join(lines_of(lower.comparison)))
        if lower.comparison.passed:
            path = out / f"{model.path.stem}-{precision}.onnx"
            path.write_bytes(lower.file)
            rows.append((f"{prefix}{precision}", open_model(path)))
        else:
            rows.append((f"{prefix}{precision}", lower))
    return rows


def _measured(name: str, made: Sequence[tuple[str, ModelFile | Lower]], held: HeldOut) -> Release:
    files = {row: part.data if isinstance(part, ModelFile) else part.file for row, part in made}
    times = side_by_side(files, held)
    full = answers_of(files[ORIGINAL], held)
    variants = []
    for row, part in made:
        card = part.card if isinstance(part, ModelFile) else _card_in(part.file)
        p = answers_of(files[row], held)
        right, event = hits(card, p, held.target)[held.scored], held.event[held.scored]
        low, high = interval(event, partial(_mean, right))
        variants.append(
            Variant(
                name=row,
                card=card,
                size=len(files[row]),
                file=part.path if isinstance(part, ModelFile) else None,
                score=float(right.mean()),
                low=low,
                high=high,
                agreement_with_full=float((p.argmax(1) == full.argmax(1)).mean()),
                mean_dp_with_full=float(np.abs(p - full).mean()),
                comparison=card.comparison,
                latency=times[row],
            )
        )
    return Release(name, variants, choose(variants), len(held))


def _mean(values: Floats, weight: Floats) -> float:
    return float((values * weight).sum() / weight.sum())


def _card_in(file: bytes) -> ModelCard:
    properties = {p.key: p.value for p in onnx.load_from_string(file).metadata_props}
    return card_from_json(properties.get(CARD_KEY), "a model of the release")


def choose(variants: Sequence[Variant]) -> dict[str, tuple[str, str]]:
    """The cheapest model inside the gate for each target, and why. Raises FailedError where there is none."""
    inside = [v for v in variants if v.file is not None]
    if not inside:
        raise FailedError("no model of the release lies inside the gate")
    out = {}
    timed = [(v.latency.cpu_ms, v) for v in inside if v.latency is not None]
    if timed:
        by_precision = [[pair for pair in timed if pair[1].card.precision == p] for p in ("fp32", "fp16", "int8")]
        fastest = [min(pairs, key=lambda pair: pair[0]) for pairs in by_precision if pairs]
        best_ms, best = fastest[0]
        for ms, v in fastest[1:]:
            if ms < ENOUGH * best_ms:
                best_ms, best = ms, v
        base = next((ms for ms, v in timed if v.name == ORIGINAL), best_ms)
        slower = [v.name for ms, v in timed if ms >= base and v.name != ORIGINAL]
        why = f"{best_ms:.2f} ms measured against {base:.2f} of fp32"
        if slower:
            why += f"; no faster than fp32 here and not chosen: {', '.join(slower)}"
        out[HERE] = best.name, why
    board = BOARDS[0]
    floors = [(floor_of(v.card, v.card.weight_bytes or v.size, board).floor_us, v) for v in inside]
    floor, best = min(floors, key=lambda pair: pair[0])
    out[f"TensorRT, {board.name}"] = best.name, f"least floor, {floor:.2f} µs, projected and not measured"
    return out

"""The line from a run to what a station is given: export → prune → quantize, each gated → measured → chosen.

For onnxruntime the choice is the model of least measured time on this machine, for TensorRT on a Jetson the least
projected one (`bench.roofline`); the full fp32 model is always a candidate, so nothing is chosen that gains nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import onnx

from seisedge.export.exported import Exported, export_run
from seisedge.export.gate import Parent, Rule, answers_of, compare, enough, hits, lines_of, require_resolution
from seisedge.export.gate_windows import HeldOut, gate_windows
from seisedge.export.graph import ModelFile, open_model
from seisedge.export.latency import Latency, side_by_side
from seisedge.export.onnx import write_card
from seisedge.export.prune.run import PruneSpec, prune_run
from seisedge.export.quantize import Lower, fp16_from, int8_from
from seisedge.runtime.bench.roofline import BOARDS, floor_of
from seisedge.runtime.card import CARD_KEY, Comparison, ModelCard, card_from_json
from seisedge.runtime.errors import FailedError
from seisedge.runtime.files import write_atomically
from seisedge.train.archive.archive import Archive
from seisedge.train.bootstrap import estimate
from seisedge.train.evaluation.metrics import mean
from seisedge.train.run_file import Run

PARITY_WINDOWS = 64
CALIBRATION_WINDOWS = 512
ORIGINAL, PRUNED = "fp32", "pruned"
ENOUGH = 0.95  # of the time; a lower precision that gains less is not worth what it loses
ARCHITECTURE = platform.machine().lower().replace("x86_64", "x86-64").replace("amd64", "x86-64")
HERE = f"onnxruntime, one {ARCHITECTURE} thread"  # a target: the machine that measures

Say = Callable[[str], None]
Row = tuple[str, ModelFile | Lower]  # name and model


@dataclass(frozen=True)
class ReleaseSpec:
    """windows: held-out windows of the gate. accept_points: as `gate.Rule`. prune: also make a narrower model."""

    windows: int = 2_400
    accept_points: float | None = None
    prune: PruneSpec | None = None


@dataclass(frozen=True)
class Variant:
    """One row of the table. file: None where the gate did not accept it and it was not written.

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


def _save(it: Exported, path: Path, held: HeldOut, comparison: Comparison | None = None) -> ModelFile:
    few = held.spread(PARITY_WINDOWS)
    it.save(path, few.waveform, few.valid, comparison)
    return open_model(path)


@dataclass(frozen=True)
class Gate:
    """Where lower precisions are compared and written. held: windows of the gate; calibration: training windows."""

    held: HeldOut
    calibration: HeldOut
    rule: Rule
    out: Path
    say: Say

    def lower(self, model: ModelFile, prefix: str) -> list[Row]:
        """fp16 and int8 of a model, each named with the prefix: a file where it is accepted, else only its figures."""
        parent = Parent.from_file(model, self.held)
        rows: list[Row] = []
        for precision in ("fp16", "int8"):
            if precision == "fp16":
                lower = fp16_from(model, parent, self.rule)
            else:
                lower = int8_from(model, self.calibration, parent, self.rule, self.say)
            self.say(f"{prefix}{precision}: " + "; ".join(lines_of(lower.comparison)))
            if lower.comparison.accepted:
                path = self.out / f"{model.path.stem}-{precision}.onnx"
                write_atomically(path, lower.file)
                rows.append((f"{prefix}{precision}", open_model(path)))
            else:
                rows.append((f"{prefix}{precision}", lower))
        return rows


def make_release(run: Run, archive: Archive, out: Path, spec: ReleaseSpec, say: Say) -> Release:
    """Make all models of a run; only those that the gate accepts are written.

    Raises FailedError, before anything is pruned, where the held-out events are too few for the gate.
    """
    out.mkdir(parents=True, exist_ok=True)
    name = run.recipe.name
    whole = export_run(run)
    held = enough(gate_windows(whole.card, archive, spec.windows, station_term=run.station_term))
    if spec.prune is not None:
        require_resolution(held, spec.prune.rule)
    calibration = gate_windows(whole.card, archive, CALIBRATION_WINDOWS, "train", run.station_term)
    full = _save(whole, out / f"{name}.onnx", held)
    say(f"{full.path.name}: {full.card.flops / 1e6:.1f} MFLOP, {len(full.data) / 1e3:.0f} kB")
    made: list[Row] = [(ORIGINAL, full)]
    gate = Gate(held, calibration, Rule(accept_points=spec.accept_points), out, say)
    made += gate.lower(full, "")
    if spec.prune is not None:
        narrow = export_run(prune_run(run, archive, spec.prune, say).run)
        child = narrow.graph.SerializeToString()
        result = compare(Parent.from_file(full, held), answers_of(child, held), spec.prune.rule)
        say("pruned: " + "; ".join(lines_of(result, pruned=True)))
        if result.accepted:
            pruned = _save(narrow, out / f"{name}-pruned.onnx", held, result)
            made.append((PRUNED, pruned))
            made += gate.lower(pruned, f"{PRUNED} + ")
        else:
            refused = msgspec.structs.replace(narrow.card, comparison=result)
            made.append((PRUNED, Lower(write_card(narrow.graph, refused), result)))
    return _measured(name, made, held)


def _measured(name: str, made: Sequence[Row], held: HeldOut) -> Release:
    files = {row: part.data if isinstance(part, ModelFile) else part.file for row, part in made}
    times = side_by_side(files, held)
    full = answers_of(files[ORIGINAL], held)
    variants = []
    for row, part in made:
        card = part.card if isinstance(part, ModelFile) else _card_in(part.file)
        p = answers_of(files[row], held)
        right, event = hits(card, p, held.target)[held.scored], held.event[held.scored]
        share = estimate(event, partial(mean, x=right))
        variants.append(
            Variant(
                name=row,
                card=card,
                size=len(files[row]),
                file=part.path if isinstance(part, ModelFile) else None,
                score=share.value,
                low=share.low,
                high=share.high,
                agreement_with_full=float((p.argmax(1) == full.argmax(1)).mean()),
                mean_dp_with_full=float(np.abs(p - full).mean()),
                comparison=card.comparison,
                latency=times[row],
            )
        )
    return Release(name, variants, choose(variants), len(held))


def _card_in(file: bytes) -> ModelCard:
    properties = {p.key: p.value for p in onnx.load_from_string(file).metadata_props}
    return card_from_json(properties.get(CARD_KEY), "a model of the release")


def choose(variants: Sequence[Variant]) -> dict[str, tuple[str, str]]:
    """The cheapest written model for each target, and why. Raises FailedError where there is none."""
    inside = [v for v in variants if v.file is not None]
    if not inside:
        raise FailedError("the release has no model that the gate accepts")
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

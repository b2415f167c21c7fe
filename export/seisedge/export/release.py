"""From a run to the models of a station: export → prune → quantize, each compared by the gate → measured → chosen.

For onnxruntime the fastest measured model on this machine is chosen, for TensorRT on a Jetson the one with the least
projected time (`bench.roofline`). The full fp32 model is always a candidate.
"""

from __future__ import annotations

import math
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
from seisedge.export.stream_windows import stream_windows
from seisedge.runtime.bench.roofline import BOARDS, floor_of
from seisedge.runtime.card import CARD_KEY, Comparison, ModelCard, card_from_json
from seisedge.runtime.errors import FailedError
from seisedge.runtime.files import write_atomically
from seisedge.train.archive.archive import Archive
from seisedge.train.bootstrap import estimate
from seisedge.train.evaluation.metrics import mean
from seisedge.train.evaluation.onset import EVENTS, RECALL
from seisedge.train.models._base import OnsetModel
from seisedge.train.run_file import Run

PARITY_WINDOWS = 64
CALIBRATION_WINDOWS = 512
ORIGINAL, PRUNED = "fp32", "pruned"
DETECTOR_SCORE, DETECTOR_SUBSET = RECALL, EVENTS
ENOUGH = 0.95  # of the time of the best higher precision; a lower precision must be at least this much faster
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
    """One model of the release. file: None where the gate did not accept it, so that it was not written.

    agreement_with_full, mean_dp_with_full: with the full fp32 model, whichever model is the parent.
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
    """All variants; for each target the name of the chosen one and the reason."""

    name: str
    variants: list[Variant]
    chosen: dict[str, tuple[str, str]]
    windows: int

    def shipped(self) -> Variant:
        """The variant that was chosen for onnxruntime, the default engine of a station."""
        name = self.chosen[HERE][0] if HERE in self.chosen else ORIGINAL
        return next(v for v in self.variants if v.name == name)


def _save(it: Exported, path: Path, held: HeldOut, comparison: Comparison | None = None) -> ModelFile:
    few = held.spread(PARITY_WINDOWS)
    it.save(path, few.waveform, few.valid, comparison)
    return open_model(path)


@dataclass(frozen=True)
class Gate:
    """Makes, compares and writes lower precisions. held: windows of the gate; calibration: training windows."""

    held: HeldOut
    calibration: HeldOut
    rule: Rule
    out: Path
    say: Say

    def lower(self, model: ModelFile, prefix: str) -> list[Row]:
        """fp16 and int8 of a model, named with the prefix; a model that the gate does not accept is not written."""
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
    if isinstance(whole.model, OnsetModel):
        return detector_release(run, whole, whole.model, archive, out, say)
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


def detector_release(run: Run, whole: Exported, model: OnsetModel, archive: Archive, out: Path, say: Say) -> Release:
    """The model of an onset detector. It is neither quantized nor pruned, see `gate_windows.refuse_detector`."""
    x, valid = stream_windows(run, model, archive, PARITY_WINDOWS)
    path = out / f"{run.recipe.name}.onnx"
    whole.save(path, x, valid)
    full = open_model(path)
    say(f"{path.name}: {full.card.flops / 1e6:.1f} MFLOP, {len(full.data) / 1e3:.0f} kB")
    n = len(x)
    held = HeldOut(
        x, valid, np.zeros(n), np.zeros(n, bool), np.full(n, ""), np.full(n, whole.card.answers_s[0]), np.full(n, "")
    )
    found = [m for m in run.metrics if m.name == DETECTOR_SCORE and m.subset == DETECTOR_SUBSET and not m.baseline]
    score, low, high = (found[0].value, found[0].low, found[0].high) if found else (math.nan, None, None)
    variant = Variant(
        name=ORIGINAL,
        card=full.card,
        size=len(full.data),
        file=path,
        score=score,
        low=math.nan if low is None else low,
        high=math.nan if high is None else high,
        agreement_with_full=1.0,
        mean_dp_with_full=0.0,
        comparison=None,
        latency=side_by_side({ORIGINAL: full.data}, held)[ORIGINAL],
    )
    return Release(run.recipe.name, [variant], choose([variant]), n)


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
    """The cheapest written model for each target, and the reason. Raises FailedError where none was written."""
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
        why = f"{best_ms:.2f} ms measured, fp32 {base:.2f} ms"
        if slower:
            why += f"; not chosen, because not faster than fp32 on this machine: {', '.join(slower)}"
        out[HERE] = best.name, why
    board = BOARDS[0]
    floors = [(floor_of(v.card, v.card.weight_bytes or v.size, board).floor_us, v) for v in inside]
    floor, best = min(floors, key=lambda pair: pair[0])
    out[f"TensorRT, {board.name}"] = best.name, f"least projected time, {floor:.2f} µs; not measured"
    return out

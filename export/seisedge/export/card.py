"""The card of a run: facts of the run, the data and the graph, none typed by hand; else 'not stated'."""

from __future__ import annotations

from typing import Literal

import msgspec
import onnx

from seisedge.export.flops import count_flops
from seisedge.export.footprint import footprint_of
from seisedge.export.graph import front_end_nodes
from seisedge.runtime.card import UNSPECIFIED_SCALE, MagnitudeScale, ModelCard, OnsetScale, Training
from seisedge.train.archive.provenance import NOT_STATED, magnitude_scale
from seisedge.train.archive.streams import ENERGY_HOPS
from seisedge.train.evaluation.card_metrics import headline
from seisedge.train.models._base import MagnitudeModel, Model, OnsetModel
from seisedge.train.run_file import Run


def with_costs(card: ModelCard, graph: onnx.ModelProto) -> ModelCard:
    """The card with everything that is counted from the graph."""
    n = card.n_samples
    whole, front = count_flops(graph, n_samples=n), count_flops(graph, front_end_nodes(graph), n)
    size = footprint_of(graph, n)
    return msgspec.structs.replace(
        card,
        macs=whole.macs,
        flops=whole.flops,
        flops_by_operator=whole.by_operator,
        not_counted=whole.not_counted,
        front_end_macs=front.macs,
        front_end_flops=front.flops,
        weight_bytes=size.weight_bytes,
        peak_activation_bytes=size.peak_activation_bytes,
    )


def onset_scale(run: Run, model: OnsetModel) -> OnsetScale:
    """Hops and thresholds of a detector; the thresholds were chosen on held-out training data."""
    hop_s = model.hop_n / model.geometry.rate_hz
    p, s = (round(float(v), 4) for v in model.thresholds)
    return OnsetScale(
        hop_s=hop_s,
        delay_s=round(model.delay_hops * hop_s, 6),
        p_threshold=p,
        s_threshold=s,
        gate_ratio=run.recipe.detector.gate_ratio,
        tolerance_s=round(ENERGY_HOPS * hop_s, 6),
    )


def card_from_run(run: Run, model: Model, graph: onnx.ModelProto) -> ModelCard:
    """Put together the card."""
    g, recipe, stated = model.geometry, run.recipe, run.provenance
    scale = None
    if isinstance(model, MagnitudeModel):
        code, remark = (UNSPECIFIED_SCALE, NOT_STATED) if stated is None else magnitude_scale(stated.magnitude_types)
        scale = MagnitudeScale(edges=model.edges, type=code, remark=remark)
    modes: list[Literal["triggered", "continuous"]] = []
    if recipe.nuisance.continuous_share < 1:
        modes.append("triggered")
    if recipe.nuisance.continuous_share > 0:
        modes.append("continuous")
    if isinstance(model, OnsetModel):
        modes = ["triggered", "continuous"]
    card = ModelCard(
        name=recipe.name,
        task=model.task,
        labels=model.labels,
        magnitude=scale,
        components="ZNE",
        sampling_rate_hz=g.rate_hz,
        n_samples=g.n_samples,
        onset_s=g.onset_s,
        unit=model.unit,
        band_hz=model.band_hz,
        answers_s=list(recipe.nuisance.answers_s),
        modes=modes,
        min_coverage=recipe.min_coverage,
        onset=onset_scale(run, model) if isinstance(model, OnsetModel) else None,
        parameters=sum(p.numel() for p in model.parameters()),
        macs=0,
        flops=0,
        flops_by_operator={},
        not_counted=[],
        temperature=float(model.temperature),
        training=Training(
            recipe=recipe.name,
            seed=run.seed,
            data=[f"{s} (licence {NOT_STATED})" for s in run.data_sources] if stated is None else stated.data,
            data_sha256=run.data_sha256,
            split=run.split_rule,
            n_events=run.n_events,
            n_records=run.n_records,
            licence=recipe.licence or NOT_STATED,
            event_hashes=None if stated is None else stated.event_hashes,
            n_unnamed_records=0 if stated is None else stated.n_unnamed_records,
            left_out=recipe.data.leave_out,
        ),
        metrics=run.metrics if isinstance(model, OnsetModel) else headline(run.metrics),
        not_for=[*recipe.not_for, *(stated.not_for if stated is not None else [])],
        precision="fp32",
        pruning=run.pruning or "none",
        seisedge_version=run.seisedge_version,
        date=run.date,
    )
    return with_costs(card, graph)

"""The card of a run: facts of the run, the data and the graph, none typed by hand."""

from __future__ import annotations

from typing import Literal

import msgspec
import onnx

from seisedge.export.flops import count_flops
from seisedge.export.footprint import footprint_of
from seisedge.export.graph import front_end_nodes
from seisedge.runtime.card import MagnitudeScale, Metric, ModelCard, Training
from seisedge.train.fit.run import Run
from seisedge.train.models._base import MagnitudeModel, Model

LICENCES = {
    "pnw": "pnw (repository MIT, open FDSN networks)",
    "esec": "esec (repository MIT, USGS catalogue public domain, open FDSN networks)",
    "ridgecrest": "ridgecrest before 2019-07-07T08:16 UTC (network PB open)",
    "phasenet_ncedc": "phasenet_ncedc (repository MIT, NCEDC open)",
    "sechilienne": "sechilienne (Apache-2.0, network MT CC BY 4.0)",
    "seisbench_chile": "seisbench_chile (network CX and catalogue CC BY 4.0)",
}


NOT_ON_THE_CARD = {"log loss", "bias", "within ±0.2", "bin accuracy"}  # in the run's metrics.md


def headline(metrics: list[Metric]) -> list[Metric]:
    """What a user of the model should see first; the rest stays with the run."""
    return [m for m in metrics if m.name not in NOT_ON_THE_CARD and ", vertical only" not in m.subset]


def with_costs(card: ModelCard, graph: onnx.ModelProto) -> ModelCard:
    """The card with everything that is counted from the graph."""
    whole, front, size = count_flops(graph), count_flops(graph, front_end_nodes(graph)), footprint_of(graph)
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


def card_from_run(run: Run, model: Model, graph: onnx.ModelProto) -> ModelCard:
    """Put together the card."""
    g, recipe = model.geometry, run.recipe
    scale = None
    if isinstance(model, MagnitudeModel):
        scale = MagnitudeScale(edges=model.edges, type="as catalogued: ML, Md and SCSN, mixed")
    modes: list[Literal["triggered", "continuous"]] = []
    if recipe.nuisance.continuous_share < 1:
        modes.append("triggered")
    if recipe.nuisance.continuous_share > 0:
        modes.append("continuous")
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
        parameters=sum(p.numel() for p in model.parameters()),
        macs=0,
        flops=0,
        flops_by_operator={},
        not_counted=[],
        temperature=float(model.temperature),
        training=Training(
            recipe=recipe.name,
            seed=run.seed,
            data=[LICENCES.get(source, source) for source in run.data_sources],
            data_sha256=run.data_sha256,
            split=run.split_rule,
            n_events=run.n_events,
            n_records=run.n_records,
            licence="sources as listed in datasets/README.md; weights Apache-2.0",
        ),
        metrics=headline(run.metrics),
        not_for=recipe.not_for,
        precision="fp32",
        pruning=run.pruning or "none",
        seisedge_version=run.seisedge_version,
        date=run.date,
    )
    return with_costs(card, graph)

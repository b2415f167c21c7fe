"""`seisedge inspect`"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from seisedge.runtime.card import Metric, ModelCard
from seisedge.runtime.engines import open_engine
from seisedge.runtime.paths import text_from_path

EPILOG = """\b
Examples:
  seisedge inspect magnitude
  seisedge inspect my-model.onnx --json
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=click.Path(path_type=Path), metavar="M.onnx")
@click.option(
    "--roofline", is_flag=True, help="Also print the minimum time on Jetson boards, projected from FLOPs and bytes."
)
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON, as stored in the file.")
def command(model: Path, roofline: bool, as_json: bool) -> None:
    """Print the card of a model file: task, input, training data, accuracy, cost.

    `event-type`, `magnitude` and `onset` are the names of the bundled models.
    """
    from seisedge.runtime.inference.infer import model_path

    path = model_path(model)
    engine = open_engine(path)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(engine.card), indent=2))
        return
    click.echo("\n".join(describe(engine.card, engine.sha256, path)))
    if roofline:
        from seisedge.runtime.bench.roofline import roofline_lines

        click.echo("\n".join(["", "Roofline", *roofline_lines(engine.card, path.stat().st_size)]))


def describe(card: ModelCard, sha256: str, path: Path) -> list[str]:
    """The card as text, one line per item."""
    training = card.training
    rows = {
        "file": f"{text_from_path(path.name)}, {path.stat().st_size / 1e3:.0f} kB, sha256 {sha256[:16]}…",
        "task": f"{card.task}: {_labels(card)}",
        "input": f"{card.components}, {card.n_samples} samples at {card.sampling_rate_hz:g} Hz "
        f"({card.window_s:g} s, onset at {card.onset_s:g} s), {card.unit}, {card.band_hz[0]:g}–{card.band_hz[1]:g} Hz",
        "answers": f"{', '.join(f'{a:g}' for a in card.answers_s)} s after the onset; {' and '.join(card.modes)} mode; "
        f"needs at least {card.min_coverage:.0%} of the samples",
        "size": f"{card.parameters / 1e3:.0f} k parameters, {card.precision}, pruning: {card.pruning}",
        "cost": f"{card.macs / 1e6:.1f} M MAC, {card.flops / 1e6:.1f} MFLOP per inference (1 MAC = 2 FLOP)",
        "trained": f"recipe {training.recipe}, seed {training.seed}, {card.date}, seisedge {card.seisedge_version}",
        "data": f"{training.n_records} records of {training.n_events} events; {'; '.join(training.data)}",
        "split": training.split,
        "licence": training.licence,
        "calibration": f"temperature {card.temperature:.3f}",
    }
    if card.front_end_macs is not None and card.front_end_flops is not None:
        rows["cost"] += (
            f"; of these the front end {card.front_end_macs / 1e6:.1f} M MAC, {card.front_end_flops / 1e6:.1f} MFLOP"
        )
    if card.weight_bytes is not None and card.peak_activation_bytes is not None:
        rows["memory"] = (
            f"{card.weight_bytes / 1e3:.0f} kB of weights, {card.peak_activation_bytes / 1e3:.0f} kB of activations "
            "(peak, batch 1)"
        )
    if card.onset is not None:
        o = card.onset
        rows["onsets"] = (
            f"{card.output_shape[0]} hops of {o.hop_s:g} s per block, {o.delay_s:g} s late, tolerance {o.tolerance_s:g}"
            f" s; thresholds P {o.p_threshold:g}, S {o.s_threshold:g}; "
            + (f"run from an STA/LTA ratio of {o.gate_ratio:g} on" if o.gate_ratio else "always run")
        )
    if card.quantization is not None:
        q = card.quantization
        rows["quantized"] = f"{q.layers} layers in {card.precision}, {len(q.kept)} kept in fp32: {', '.join(q.kept)}"
    if card.comparison is not None:
        c = card.comparison
        rows["parent"] = (
            f"{c.parent_sha256[:16] or 'a run'}…: agreement {c.agreement:.2%}, mean |Δp| {c.mean_dp:.4f}, {c.score} "
            f"{c.parent_score:.1%} → {c.child_score:.1%} on {c.windows} windows; {c.verdict_text}"
            + (", written with --allow-drop" if c.outcome == "failed" else "")
        )
    lines = [card.name, "=" * len(card.name)]
    lines += [f"{name + ':':13}{text}" for name, text in rows.items()]
    lines += ["", "FLOP by operator"]
    for operator, count in sorted(card.flops_by_operator.items(), key=lambda item: -item[1]):
        lines.append(f"  {operator:22}{count:>14,}  {count / max(card.flops, 1):6.1%}")
    lines.append(f"  not counted: {', '.join(card.not_counted) or 'nothing'}")
    lines += ["", "Accuracy on events not used for training: value [95 % interval over events], events/records"]
    lines += _metric_table(card.metrics)
    lines += ["", "Not suitable for"]
    lines += [f"  - {item}" for item in card.not_for or ["not stated"]]
    return lines


def _labels(card: ModelCard) -> str:
    if card.magnitude is None:
        return ", ".join(card.labels)
    scale = card.magnitude
    remark = f" ({scale.remark})" if scale.remark else ""
    return f"{len(card.labels)} bins, {card.labels[0]} … {card.labels[-1]}, type {scale.type}{remark}"


def _metric_table(metrics: list[Metric]) -> list[str]:
    """One line per figure, with columns as wide as their contents."""
    rows = [
        (
            metric.subset,
            metric.baseline or "model",
            metric.name,
            f"{metric.value:.3f}",
            f"[{metric.low:.3f}, {metric.high:.3f}]" if metric.low is not None and metric.high is not None else "",
            f"{metric.n_events}/{metric.n_records}",
        )
        for metric in metrics
    ]
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]

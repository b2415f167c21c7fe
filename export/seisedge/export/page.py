"""The model page in Markdown: purpose, limits, chosen files, measurements, data."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from seisedge.export.gate import lines_of, score_name
from seisedge.export.release import ORIGINAL, PRUNED, Release, Variant
from seisedge.runtime.bench.roofline import roofline_lines
from seisedge.runtime.card import ModelCard, OnsetScale

HEAD = (
    "| model | precision | parameters | MFLOP | M MAC | of that network | kB | {score} | 95 % interval | agreement "
    "| mean abs Δp | gate | p50 ms | p99 ms | CPU ms |"
)


@dataclass(frozen=True)
class Curves:
    """Early answers and damaged records of a model: paths of the report and the plots, relative to the page."""

    model: str
    report: str
    pictures: list[str]


def span_of(low: float | None, high: float | None) -> str:
    """An interval in words; an empty string where it is undefined."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{low:.3f} to {high:.3f}"


def table_of(release: Release) -> list[str]:
    """One row for each variant; agreement is with the full fp32 model, the gate compares with the own parent."""
    head = HEAD.format(score=score_name(release.variants[0].card))
    return [head, "|" + " --- |" * (head.count("|") - 1), *(_row(v) for v in release.variants)]


def _row(v: Variant) -> str:
    card = v.card
    network = (card.macs - (card.front_end_macs or 0)) / 1e6
    gate = _verdict(v)
    times = ["", "", ""]
    if v.latency is not None:
        times = [f"{v.latency.p50_ms:.2f}", f"{v.latency.p99_ms:.2f}", f"{v.latency.cpu_ms:.2f}"]
    cells = [
        v.name,
        card.precision,
        f"{card.parameters:,}",
        f"{card.flops / 1e6:.2f}",
        f"{card.macs / 1e6:.2f}",
        f"{network:.2f}",
        f"{v.size / 1e3:.0f}",
        f"{v.score:.3f}",
        span_of(v.low, v.high),
        f"{v.agreement_with_full:.2%}",
        f"{v.mean_dp_with_full:.4f}",
        gate,
        *times,
    ]
    return f"| {' | '.join(cells)} |"


def _verdict(v: Variant) -> str:
    """The gate's verdict in a cell."""
    c = v.comparison
    if c is None:
        return "parent of all"
    cell = {"passed": "inside", "failed": "outside", "not tested": f"not tested at {c.required_points:g} points"}[
        c.outcome
    ]
    if c.coarse:
        cell += f", tested at {c.allowed_points:.3g}"
    return cell if v.file is not None else f"{cell}, not written"


def page_of(release: Release, machine: str, curves: Curves | None) -> str:
    """The whole page. curves: None where they were not evaluated, which the page states."""
    card = release.shipped().card
    parts = [
        _purpose(card),
        _chosen(release),
        _precision(release, machine),
        _gate(release),
        _cost(release),
        _data(card),
        _metrics(card),
        _curves(curves),
        _roofline(release),
    ]
    return "\n".join([f"# {card.name}", *(line for part in parts for line in ["", *part]), ""])


def _detector_purpose(card: ModelCard, scale: OnsetScale) -> list[str]:
    return [
        "## Purpose",
        "",
        f"One station's three components ({card.components}, {card.unit}, {card.sampling_rate_hz:g} Hz, "
        f"{card.band_hz[0]:g} to {card.band_hz[1]:g} Hz): for each hop of {scale.hop_s:g} s the probabilities of a P "
        f"and of an S onset in it (within {scale.tolerance_s:g} s), and of what is there: "
        f"{', '.join(card.labels[2:])}. One inference answers for {card.answers_s[0]:g} s, {scale.delay_s:g} s late, "
        f"and looks back {card.onset_s:g} s; it keeps no state. An event opens at a P probability of "
        f"{scale.p_threshold:g}, an S pick is made at an S probability of {scale.s_threshold:g}; "
        + (
            f"below an STA/LTA ratio of {scale.gate_ratio:g} the station does not run it. "
            if scale.gate_ratio
            else "the station always runs it. "
        )
        + "Nothing is associated or located.",
        "",
        "## Limits",
        "",
        *(f"- {item}" for item in card.not_for or ["not stated"]),
    ]


def _purpose(card: ModelCard) -> list[str]:
    if card.onset is not None:
        return _detector_purpose(card, card.onset)
    labels = ", ".join(card.labels)
    if card.magnitude is not None:
        remark = f" ({card.magnitude.remark})" if card.magnitude.remark else ""
        labels = (
            f"magnitude in {len(card.labels)} bins, {card.labels[0]} to {card.labels[-1]}, type {card.magnitude.type}"
            f"{remark}"
        )
    return [
        "## Purpose",
        "",
        f"One station's three components ({card.components}, {card.unit}, {card.sampling_rate_hz:g} Hz, "
        f"{card.band_hz[0]:g} to {card.band_hz[1]:g} Hz) after an onset: "
        f"{labels if card.magnitude is not None else 'the kind of an event: ' + labels}. It answers "
        f"{', '.join(f'{a:g}' for a in card.answers_s)} s after the onset, used {' and '.join(card.modes)}; nothing is "
        "associated or located.",
        "",
        "## Limits",
        "",
        *(f"- {item}" for item in card.not_for or ["not stated"]),
    ]


def _chosen(release: Release) -> list[str]:
    files = {v.name: v.file for v in release.variants if v.file is not None}
    lines = ["## Recommended files", ""]
    lines += [f"- {target}: **{name}**, `{files[name].name}` ({why})" for target, (name, why) in release.chosen.items()]
    lines += ["", "| file | model | sha256 |", "| --- | --- | --- |"]
    for name, file in files.items():
        lines.append(f"| `{file.name}` | {name} | `{hashlib.sha256(file.read_bytes()).hexdigest()}` |")
    refused = [v.name for v in release.variants if v.file is None]
    if refused:
        lines += ["", f"Not accepted by the gate, and not in this folder: {', '.join(refused)}."]
    return lines


def _precision(release: Release, machine: str) -> list[str]:
    detector = release.variants[0].card.onset is not None
    timed = next((v.latency.inferences for v in release.variants if v.latency is not None), 0)
    return [
        "## Precision and pruning",
        "",
        *table_of(release),
        "",
        (
            "The score is that of `seisedge evaluate` on held-out events. The detector is not quantized and not "
            "pruned: its network is so small that most of the time is spent between its operators. Latency: "
            if detector
            else f"Held-out windows: {release.windows} (records × answer lengths × damages), the score on the "
            "undamaged ones. Agreement and Δp are with the full fp32 model; the gate compares each model with its own "
            "parent. Latency: "
        )
        + f"onnxruntime, one thread, batch 1, {timed} inferences of each in turns, on {machine}; CPU is the median "
        "processor time of the thread.",
        "",
        *_front_end(release),
    ]


def _gate(release: Release) -> list[str]:
    """The comparison of each variant with its parent."""
    lines = ["## Effect of each step", ""]
    for v in release.variants:
        if v.comparison is not None:
            text = "; ".join(lines_of(v.comparison, pruned=v.name == PRUNED))
            lines.append(f"- {v.name}: {text}.")
            if v.card.quantization is not None and v.card.quantization.kept:
                lines.append(f"  Left in fp32: {', '.join(v.card.quantization.kept)}.")
    return lines if len(lines) > 2 else [*lines, "Only the full model was made."]


def _cost(release: Release) -> list[str]:
    """FLOPs by operator, and memory."""
    cards = {v.name: v.card for v in release.variants}
    operators = sorted({name for card in cards.values() for name in card.flops_by_operator})
    rows = [[name, *(f"{c.flops_by_operator.get(name, 0):,}" for c in cards.values())] for name in operators]
    rows.append(["**all**", *(f"{c.flops:,}" for c in cards.values())])
    rows.append(["weights, bytes", *(_count(c.weight_bytes) for c in cards.values())])
    rows.append(["largest sum of live tensors, bytes", *(_count(c.peak_activation_bytes) for c in cards.values())])
    missing = sorted({name for card in cards.values() for name in card.not_counted})
    return [
        "## FLOPs by operator",
        "",
        f"| of one inference | {' | '.join(cards)} |",
        "|" + " --- |" * (len(cards) + 1),
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Counted from the graph at batch 1, a multiply-add is two. Not counted: "
        + (f"operators without a rule ({', '.join(missing)})" if missing else "data movement and casts")
        + ".",
    ]


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _data(card: ModelCard) -> list[str]:
    training = card.training
    return [
        "## Data",
        "",
        f"Recipe {training.recipe}, seed {training.seed}, trained {card.date} with seisedge {card.seisedge_version} on "
        f"{training.n_records} records of {training.n_events} events; split {training.split}. Fingerprint "
        f"`{training.data_sha256}`.",
        "",
        *(f"- {source}" for source in training.data),
        "",
        f"Licence of the weights: {training.licence}.",
        "",
        _named(card),
    ]


def _named(card: ModelCard) -> str:
    training = card.training
    if training.event_hashes is None:
        return "The card does not name the training events."
    unnamed = (
        f"; {training.n_unnamed_records} records without event id are not named" if training.n_unnamed_records else ""
    )
    return f"The card names the training events by hashes of their ids; `seisedge evaluate` leaves them out{unnamed}."


def _metrics(card: ModelCard) -> list[str]:
    if not card.metrics:
        return ["## Metrics on held-out events", "", "No figures: too few events were held out."]
    lines = [
        "## Metrics on held-out events",
        "",
        "| on | what | model or baseline | value | 95 % interval | records | events |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in card.metrics:
        who, span = m.baseline or "model", span_of(m.low, m.high)
        lines.append(f"| {m.subset} | {m.name} | {who} | {m.value:.3f} | {span} | {m.n_records} | {m.n_events} |")
    return lines


def _curves(curves: Curves | None) -> list[str]:
    lines = ["## Early answers and damaged records", ""]
    if curves is None:
        return [*lines, "Not evaluated: this release was made with `--no-curves`."]
    lines.append(f"Of {curves.model}; the tables are in [{curves.report}]({curves.report}).")
    for name in curves.pictures:
        lines += ["", f"![{name}]({name})"]
    return lines


def _roofline(release: Release) -> list[str]:
    lines = ["## Roofline", "", "```"]
    for v in release.variants:
        if v.file is not None:
            lines += [v.name, *roofline_lines(v.card, v.size)]
    return [*lines, "```"]


def _front_end(release: Release) -> list[str]:
    """The front end's share of the cost."""
    parts = []
    for v in release.variants:
        front, flops = v.card.front_end_macs, v.card.front_end_flops
        if front is not None and flops is not None and v.name in (ORIGINAL, PRUNED):
            parts.append(
                f"{v.name} {front / v.card.macs:.0%} of the multiply-adds, {flops / v.card.flops:.0%} of the FLOP"
            )
    return [f"The front end is never pruned or quantized; its share: {'; '.join(parts)}."] if parts else []

"""The model page: what a model is for, what it is not, what was measured, in Markdown."""

from __future__ import annotations

from seisedge.export.gate import score_name
from seisedge.export.release import ORIGINAL, Release, Variant
from seisedge.runtime.bench.roofline import roofline_lines

HEAD = (
    "| model | precision | parameters | MFLOP | M MAC | of that network | kB | {score} | 95 % interval | agreement "
    "| mean abs Δp | gate | p50 ms | p99 ms | CPU ms |"
)


def table_of(release: Release) -> list[str]:
    """A row a variant; agreement is with the full fp32 model, the gate is that with the own parent."""
    head = HEAD.format(score=score_name(release.variants[0].card))
    return [head, "|" + " --- |" * (head.count("|") - 1), *(_row(v) for v in release.variants)]


def _row(v: Variant) -> str:
    card = v.card
    network = (card.macs - (card.front_end_macs or 0)) / 1e6
    gate = "parent of all" if v.comparison is None else "inside" if v.comparison.passed else "outside, not written"
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
        f"{v.low:.3f} to {v.high:.3f}",
        f"{v.agreement_with_full:.2%}",
        f"{v.mean_dp_with_full:.4f}",
        gate,
        *times,
    ]
    return f"| {' | '.join(cells)} |"


def page_of(release: Release, machine: str, evaluation: str | None) -> str:
    """The whole page. evaluation: name of the report beside it, with curves; None where none was made."""
    card = next(v.card for v in release.variants if v.name == ORIGINAL)
    training = card.training
    lines = [f"# {card.name}", ""]
    task = (
        "the kind of an event: " + ", ".join(card.labels)
        if card.magnitude is None
        else (f"magnitude in {len(card.labels)} bins, {card.labels[0]} to {card.labels[-1]}, {card.magnitude.type}")
    )
    lines += [
        "## For what",
        "",
        f"One station's three components ({card.components}, {card.unit}, {card.sampling_rate_hz:g} Hz, "
        f"{card.band_hz[0]:g} to {card.band_hz[1]:g} Hz) after an onset: {task}. It answers "
        f"{', '.join(f'{a:g}' for a in card.answers_s)} s after the onset, used {' and '.join(card.modes)}; nothing is "
        "associated or located.",
        "",
        "## Not to be trusted with",
        "",
        *(f"- {item}" for item in card.not_for),
        "",
        "## Chosen",
        "",
        *(f"- {target}: **{name}** ({why})" for target, (name, why) in release.chosen.items()),
        "",
        "## Precision and pruning",
        "",
        *table_of(release),
        "",
        f"Held-out windows: {release.windows} (records × answer lengths × damages), the score on the undamaged ones. "
        "Agreement and Δp are with the full fp32 model; the gate compares with the own parent. Latency: onnxruntime, "
        f"one thread, batch 1, in turns, on {machine}; CPU is the median of the thread's own time.",
        "",
        *_front_end(release),
        "",
        "## Data",
        "",
        f"{training.n_records} records of {training.n_events} events; split {training.split}. Fingerprint "
        f"`{training.data_sha256}`.",
        "",
        *(f"- {source}" for source in training.data),
        "",
        f"Licence: {training.licence}.",
        "",
        "## On events never trained on",
        "",
        "| on | what | model or baseline | value | 95 % interval | records | events |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in card.metrics:
        span = f"{m.low:.3f} to {m.high:.3f}" if m.low is not None and m.high is not None else ""
        who = m.baseline or "model"
        lines.append(f"| {m.subset} | {m.name} | {who} | {m.value:.3f} | {span} | {m.n_records} | {m.n_events} |")
    if evaluation is not None:
        lines += ["", f"Early answers, damaged records, plots: [{evaluation}]({evaluation})."]
    lines += ["", "## Roofline", "", "```"]
    for v in release.variants:
        if v.file is not None:
            lines += [v.name, *roofline_lines(v.card, v.size)]
    lines += ["```", ""]
    return "\n".join(lines)


def _front_end(release: Release) -> list[str]:
    """What part of the cost cannot be pruned."""
    parts = []
    for v in release.variants:
        front, flops = v.card.front_end_macs, v.card.front_end_flops
        if front is not None and flops is not None and v.name in (ORIGINAL, "pruned"):
            parts.append(
                f"{v.name} {front / v.card.macs:.0%} of the multiply-adds, {flops / v.card.flops:.0%} of the FLOP"
            )
    return [f"The front end is never pruned or quantized; its part: {'; '.join(parts)}."]

"""Plots as SVG: drawn here, without a plotting library, so that a page needs no other file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 240, 60, 34, 12
COLOURS = ("#0b6e99", "#c8553d", "#4c956c", "#7b5ea7", "#d1a00f", "#555555")
STYLE = (
    "body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML page."""
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *parts, "</html>", ""])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table."""
    lines = ["<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def _ticks(high: float) -> list[float]:
    """About five round numbers from 0 to `high`."""
    step = 10.0 ** math.floor(math.log10(max(high, 1e-9)))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if high / s <= 6)
    return [n * step for n in range(int(high / step) + 1)]


def _svg(title: str, body: Sequence[str], height: int = HEIGHT) -> str:
    open_ = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="12" role="img">'
    return "\n".join([open_, f"<title>{escape(title)}</title>", *body, "</svg>"])


def bars(
    title: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    y_label: str,
    most_labels: int = 12,
) -> str:
    """Stacked bars, one per label; series: name and a value per label."""
    totals = [sum(values[k] for _, values in series) for k in range(len(labels))]
    high = max(totals, default=0.0) or 1.0
    plot_w, plot_h = WIDTH - LEFT - 10, HEIGHT - BOTTOM - TOP
    body = []
    for tick in _ticks(high):
        y = TOP + plot_h * (1 - tick / high)
        body.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        body.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    step = plot_w / max(len(labels), 1)
    every = max(1, math.ceil(len(labels) / most_labels))
    for k, label in enumerate(labels):
        x, base = LEFT + k * step, 0.0
        for number, (name, values) in enumerate(series):
            if values[k]:
                y, h = TOP + plot_h * (1 - (base + values[k]) / high), plot_h * values[k] / high
                body.append(
                    f'<rect x="{x + step * 0.05:.2f}" y="{y:.2f}" width="{step * 0.9:.2f}" height="{h:.2f}" '
                    f'fill="{COLOURS[number % len(COLOURS)]}"><title>{escape(f"{label}: {values[k]:g} {name}")}</title>'
                    "</rect>"
                )
                base += values[k]
        if k % every == 0:
            body.append(f'<text x="{x + step / 2:.1f}" y="{HEIGHT - 16}" text-anchor="middle">{escape(label)}</text>')
    body.append(f'<text x="4" y="{TOP}" fill="#555">{escape(y_label)}</text>')
    body += _legend([name for name, _ in series])
    return _svg(title, body)


def _legend(names: Sequence[str]) -> list[str]:
    if len(names) < 2:
        return []
    parts, x = [], LEFT + 40
    for number, name in enumerate(names):
        parts.append(f'<rect x="{x}" y="2" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 14}" y="11">{escape(name)}</text>')
        x += 30 + 7 * len(name)
    return parts


def dots(title: str, points: Sequence[tuple[float, float]], *, x_label: str, y_label: str, log_y: bool = False) -> str:
    """Points with axes from the smallest to the largest value; log_y: values must be positive."""
    if not points:
        return f"<p>{escape(title)}: nothing to draw.</p>"
    xs = [x for x, _ in points]
    ys = [math.log10(y) if log_y else y for _, y in points]
    x0, x1 = min(xs), max(xs)
    y0, y1 = (0.0 if log_y else min(ys)), max(ys)
    x_span, y_span = (x1 - x0) or 1.0, (y1 - y0) or 1.0
    plot_w, plot_h = WIDTH - LEFT - 20, HEIGHT - BOTTOM - TOP
    body = [
        f'<circle cx="{LEFT + (x - x0) / x_span * plot_w:.1f}" cy="{TOP + (1 - (y - y0) / y_span) * plot_h:.1f}" r="3" '
        f'fill="{COLOURS[0]}" fill-opacity="0.7"/>'
        for x, y in zip(xs, ys, strict=True)
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = 10 ** (y0 + share * y_span) if log_y else y0 + share * y_span
        y = TOP + (1 - share) * plot_h
        body.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        body.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        x = LEFT + share * plot_w
        body.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{x0 + share * x_span:.3g}</text>')
    body.append(f'<text x="{LEFT + plot_w / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>')
    body.append(f'<text x="4" y="{TOP}" fill="#555">{escape(y_label)}</text>')
    return _svg(title, body)


def strips(title: str, rows: Sequence[tuple[str, Sequence[float | None]]], labels: Sequence[str]) -> str:
    """A row per station with a cell per unit: dark for a share of 1, light for 0, empty for None."""
    height = TOP + 18 * len(rows) + BOTTOM
    left, step = 110, (WIDTH - 120) / max(len(labels), 1)
    body = []
    for number, (name, shares) in enumerate(rows):
        y = TOP + 18 * number
        body.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        for k, share in enumerate(shares):
            if share is not None:
                tip = escape(f"{name} {labels[k]}: {share:.1%}")
                body.append(
                    f'<rect x="{left + k * step:.2f}" y="{y}" width="{max(step - 0.3, 0.5):.2f}" height="15" '
                    f'fill="{COLOURS[0]}" fill-opacity="{0.1 + 0.9 * min(share, 1.0):.2f}"><title>{tip}</title></rect>'
                )
    every = max(1, math.ceil(len(labels) / 10))
    for k in range(0, len(labels), every):
        x = left + (k + 0.5) * step
        body.append(f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{escape(labels[k])}</text>')
    return _svg(title, body, height)

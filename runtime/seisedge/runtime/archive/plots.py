"""Plots as SVG: drawn here, without a plotting library, so that a page needs no other file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 760, 260, 90, 14, 40, 34
ROW, ROW_TOP = 18, 6  # height of the row of a station, and of the space above the first one
COLOURS = ("#0b6e99", "#c8553d", "#4c956c", "#7b5ea7", "#d1a00f", "#555555")
GRID, EMPTY = "#ddd", "#eee"
STYLE = (
    "body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}figure{margin:0 0 1.5em}"
    "figcaption{color:#555}.wide{overflow-x:auto}"
)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML page."""
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *parts, "</html>", ""])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table."""
    lines = ['<div class="wide"><table><tr>' + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table></div>"])


def _figure(title: str, body: Sequence[str], height: int = HEIGHT, caption: str = "") -> str:
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="12" role="img">'
    return "\n".join(["<figure>", opening, f"<title>{escape(title)}</title>", *body, f"</svg>{text}</figure>"])


def _rect(x: float, y: float, width: float, height: float, colour: str, tip: str = "") -> str:
    shape = f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{colour}"'
    return f"{shape}><title>{escape(tip)}</title></rect>" if tip else f"{shape}/>"


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _grid_line(y: float, label: str) -> list[str]:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
    return [line, _text(LEFT - 6, y + 4, label, "end")]


def _labels(labels: Sequence[str], step: float, y: float, most: int) -> Iterator[str]:
    """Every n-th label below its column, so that at most `most` are written."""
    every = max(1, math.ceil(len(labels) / most))
    for k in range(0, len(labels), every):
        yield _text(LEFT + (k + 0.5) * step, y, labels[k])


def _legend(names: Sequence[str]) -> list[str]:
    """Names with their colours, in the space above a plot."""
    parts, x = [], float(LEFT)
    for number, name in enumerate(names):
        parts += [_rect(x, 6, 10, 10, COLOURS[number % len(COLOURS)]), _text(x + 14, 15, name, "start")]
        x += 34 + 6.5 * len(name)
    return parts


def round_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers from `low` to `high` at equal distances of 1, 2 or 5 times a power of ten; at most `most`."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if span / (factor * power) <= most - 1)
    return [round(k * step, 9) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def bars(
    title: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    x_label: str = "",
    y_label: str,
    most_labels: int = 12,
) -> str:
    """Stacked bars, one per label; series: name and a value per label."""
    totals = [sum(values[k] for _, values in series) for k in range(len(labels))]
    high = max(totals, default=0.0) or 1.0
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
    step = width / max(len(labels), 1)
    drawn = step * (0.9 if step > 3 else 1.0)
    body = [
        part for tick in round_ticks(0.0, high, 6) for part in _grid_line(TOP + height * (1 - tick / high), f"{tick:g}")
    ]
    for k, label in enumerate(labels):
        base = 0.0
        for number, (name, values) in enumerate(series):
            if values[k]:
                y, h = TOP + height * (1 - (base + values[k]) / high), height * values[k] / high
                tip = f"{label}: {values[k]:.4g} {name}"
                body.append(
                    _rect(LEFT + k * step + (step - drawn) / 2, y, drawn, h, COLOURS[number % len(COLOURS)], tip)
                )
                base += values[k]
    body += _labels(labels, step, HEIGHT - BOTTOM + 16, most_labels)
    body += [_y_label(y_label), _text(LEFT + width / 2, HEIGHT - 6, x_label)]
    names = [name for name, _ in series]
    body += _legend(names) if names != [y_label] else []
    return _figure(title, body)


def _y_label(text: str) -> str:
    middle = (HEIGHT - BOTTOM + TOP) / 2
    return f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(text)}</text>'


def log_dots(
    title: str, series: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, x_label: str, y_label: str
) -> str:
    """Points with a logarithmic y axis; values of y must be positive."""
    xs = [x for _, points in series for x, _ in points]
    low, high = min(xs), max(xs)
    margin = max(0.02 * (high - low), 0.05)
    low, high = low - margin, high + margin
    decades = max(1.0, math.log10(max(y for _, points in series for _, y in points)) * 1.05)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP

    def x_of(x: float) -> float:
        return LEFT + (x - low) / (high - low) * width

    def y_of(y: float) -> float:
        return TOP + (1 - math.log10(y) / decades) * height

    body = [part for power in range(int(decades) + 1) for part in _grid_line(y_of(10.0**power), f"{10**power}")]
    body += [_text(x_of(tick), HEIGHT - BOTTOM + 16, f"{tick:g}") for tick in round_ticks(low, high)]
    for number, (name, points) in enumerate(series):
        for x, y in points:
            tip = escape(f"{x:g}: {y:g} {name}")
            body.append(
                f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3.2" fill="{COLOURS[number % len(COLOURS)]}">'
                f"<title>{tip}</title></circle>"
            )
    body += [_y_label(y_label), _text(LEFT + width / 2, HEIGHT - 6, x_label), *_legend([name for name, _ in series])]
    return _figure(title, body)


def strips(
    title: str, rows: Sequence[tuple[str, Sequence[float | None]]], labels: Sequence[str], caption: str = ""
) -> str:
    """A row per station with a cell per column: blue as high as the share from 0 to 1, on grey; white for None.

    Shares are rounded up to 1 %; neighbouring cells of the same share are one shape.
    """
    step = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    full = ROW - 3
    body = []
    for number, (name, shares) in enumerate(rows):
        top = ROW_TOP + ROW * number
        body.append(_text(LEFT - 6, top + 12, name, "end"))
        rounded = [None if share is None else math.ceil(min(share, 1.0) * 100 - 1e-6) / 100 for share in shares]
        for share, cells in itertools.groupby(range(len(rounded)), key=rounded.__getitem__):
            if share is None:
                continue
            columns = list(cells)
            x, width = LEFT + columns[0] * step, len(columns) * step
            until = f" to {labels[columns[-1]]}" if len(columns) > 1 else ""
            tip = f"{name} {labels[columns[0]]}{until}: {share:.0%}"
            body.append(_rect(x, top, width, full, EMPTY, tip))
            if share:
                drawn = max(full * share, 1.5)
                body.append(_rect(x, top + full - drawn, width, drawn, COLOURS[0], tip))
    height = ROW_TOP + ROW * len(rows) + 24
    body += _labels(labels, step, height - 8, 7)
    return _figure(title, body, height, caption)

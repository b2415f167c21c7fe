"""A report as one HTML page without any other file: SVG drawn here, no script, no font from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from seisedge.runtime.bench.report import COLD, NS_PER_MS, Report, Row, Setting
from seisedge.runtime.bench.text import NOT_MLPERF, fact_lines, figure_text, heading, interval_text, model_of, pace_text

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 300, 60, 40
COLOURS = ("#0b6e99", "#c8553d", "#4c956c", "#7b5ea7", "#d1a00f", "#555555", "#1b998b", "#8c2f39")
COLUMNS = ("mean", "p50", "p90", "p95", "p99", "p99.9", "max")
STYLE = (
    "body{font:15px/1.45 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child,td:last-child{text-align:left}svg{max-width:100%;height:auto}"
)


def page(report: Report) -> str:
    """The page: for each model and engine a table, the cumulative latency, the cold start and the memory."""
    title = f"Latency on {report.machine.description}"
    parts = [
        head(title),
        f"<h1>{escape(title)}</h1><p>seisedge {escape(report.seisedge)}, {escape(report.created)}. "
        f"{escape(report.windows)}. Interval: {escape(str(report.method.get('interval', '')))}.</p>",
    ]
    for setting in report.settings:
        model = model_of(report, setting)
        parts += [f"<h2>{escape(heading(model, setting))}</h2>", *_table(setting)]
        parts += ["<h3>Cumulative latency</h3>", cumulative_svg(setting.rows)]
        parts += ["<h3>Cold start by stage</h3>", stages_svg(setting)]
        parts += ["<h3>Memory of each round, MiB</h3>", memory_svg(setting)]
        parts += ["<ul>", *(f"<li>{escape(line)}</li>" for line in fact_lines(model, setting)), "</ul>"]
    return "\n".join([*parts, f"<p>{escape(NOT_MLPERF)}</p></html>", ""])


def head(title: str) -> str:
    """The beginning of a page."""
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'


def _table(setting: Setting) -> Iterator[str]:
    yield "<table><tr><th>pace</th><th>batch</th>" + "".join(f"<th>{name} ms</th>" for name in COLUMNS)
    yield "<th>95 % of p99</th></tr>"
    for row in setting.rows:
        cells = "".join(f"<td>{figure_text(row.figures[name])}</td>" for name in COLUMNS)
        interval = escape(interval_text(row.figures["p99"]))
        yield f"<tr><td>{pace_text(row)}</td><td>{row.batch}</td>{cells}<td>{interval}</td></tr>"
    yield "</table>"


def cumulative_svg(rows: Sequence[Row]) -> str:
    """Share of the inferences (all rounds) below a latency."""
    series = [
        (
            f"{pace_text(row)}, batch {row.batch}",
            sorted(ns / NS_PER_MS for each in row.rounds for ns in each.latencies_ns),
        )
        for row in rows
    ]
    return curves_svg(series, "latency, ms; share of the inferences below it")


def curves_svg(series: Sequence[tuple[str, Sequence[float]]], caption: str) -> str:
    """Cumulative curves of sorted values in ms, not empty; both axes logarithmic, the share as 1 - share."""
    low, high = min(values[0] for _, values in series), max(values[-1] for _, values in series)
    low, high = math.log10(max(low, 1e-6)) - 0.05, math.log10(max(high, 1e-6)) + 0.05

    def x_of(ms: float) -> float:
        return LEFT + (math.log10(max(ms, 1e-6)) - low) / (high - low) * (WIDTH - LEFT - 10)

    def y_of(share: float) -> float:
        return HEIGHT - BOTTOM + math.log10(max(1 - share, 1e-4)) / 4 * (HEIGHT - BOTTOM - 10)

    marks = [
        _line(LEFT, y_of(share), WIDTH - 10, y_of(share), "#ddd") + _text(LEFT - 6, y_of(share) + 4, label, "end")
        for share, label in ((0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"))
    ]
    for power in range(math.floor(low) - 1, math.ceil(high) + 1):
        for factor in (1, 2, 5):
            if low <= math.log10(factor * 10.0**power) <= high:
                x = x_of(factor * 10.0**power)
                marks.append(_line(x, 10, x, HEIGHT - BOTTOM, "#eee"))
                marks.append(_text(x, HEIGHT - BOTTOM + 16, f"{factor * 10.0**power:g}", "middle"))
    for k, (label, values) in enumerate(series):
        n = len(values)
        ranks = sorted({0, n - 1, *(min(int(n * (1 - 10 ** (-step / 40))), n - 1) for step in range(161))})
        points = " ".join(f"{x_of(values[rank]):.1f},{y_of(rank / n):.1f}" for rank in ranks)
        colour = COLOURS[k % len(COLOURS)]
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        marks.append(_text(LEFT + 10, 24 + 16 * k, label, "start", colour))  # where no cumulative curve runs
    marks.append(_text((LEFT + WIDTH) / 2, HEIGHT - 6, caption, "middle"))
    return _svg(HEIGHT, marks)


def stages_svg(setting: Setting) -> str:
    """One bar of the mean times of the stages of a cold start."""
    return bar_svg([(name, setting.cold[name].value or 0.0) for name in COLD])


def bar_svg(stages: Sequence[tuple[str, float]]) -> str:
    """One bar of the times of stages in ms, with their names below it, four in a line."""
    total = sum(value for _, value in stages) or 1.0
    marks, x = [], 10.0
    for k, (name, value) in enumerate(stages):
        width = value / total * (WIDTH - 20)
        colour = COLOURS[k % len(COLOURS)]
        marks.append(f'<rect x="{x:.1f}" y="8" width="{width:.1f}" height="26" fill="{colour}"/>')
        marks.append(_text(10 + k % 4 * 178, 54 + k // 4 * 18, f"{name} {value:.3g} ms", "start", colour))
        x += width
    return _svg(64 + (len(stages) - 1) // 4 * 18, marks)


def time_svg(values: Sequence[float], seconds: float = 1.0) -> str:
    """A quantity over time, from 0; one value each `seconds`."""
    height = 160
    length_s = max(len(values) - 1, 1) * seconds
    top, marks = _scale(max(values), height)
    for at_s in _ticks(length_s):
        x = LEFT + at_s / length_s * (WIDTH - LEFT - 20)
        marks += [_line(x, height - 30, x, height - 26, "#888"), _text(x, height - 12, f"{at_s:g} s", "middle")]
    step = (WIDTH - LEFT - 20) / max(len(values) - 1, 1)
    points = " ".join(f"{LEFT + k * step:.1f},{_y_of(v, top, height):.1f}" for k, v in enumerate(values))
    marks.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>')
    return _svg(height, marks)


def _ticks(largest: float) -> list[float]:
    """Three to six round numbers from 0 to `largest`, which is positive."""
    power = 10.0 ** math.floor(math.log10(largest))
    step = next(factor * power for factor in (0.2, 0.5, 1.0, 2.0) if largest < 6 * factor * power)
    return [k * step for k in range(int(largest / step) + 1)]


def _scale(largest: float, height: float) -> tuple[float, list[str]]:
    """Upper end of a vertical axis from 0 that contains `largest`, and its lines and labels."""
    top = (largest or 1.0) * 1.05
    marks = []
    for value in _ticks(top):
        y = _y_of(value, top, height)
        colour = "#ddd" if value else "#888"
        marks += [_line(LEFT, y, WIDTH - 10, y, colour), _text(LEFT - 6, y + 4, f"{value:g}", "end")]
    return top, marks


def _y_of(value: float, top: float, height: float) -> float:
    return 10 + (1 - value / top) * (height - 40)


def memory_svg(setting: Setting) -> str:
    """Resident memory after the first inference, and the peak, of each round in order of time."""
    rounds = setting.rounds
    height = 160
    top, marks = _scale(max(each.peak_kib for each in rounds) / 1024, height)

    def points(values: Sequence[float]) -> list[tuple[float, float]]:
        step = (WIDTH - LEFT - 20) / max(len(values) - 1, 1)
        return [(LEFT + 5 + k * step, _y_of(mib, top, height)) for k, mib in enumerate(values)]

    marks.append(_text((LEFT + WIDTH) / 2, height - 8, "round", "middle"))
    resident = [each.resident_kib / 1024 for each in rounds if each.resident_kib is not None]
    both = (("peak", [each.peak_kib / 1024 for each in rounds]), ("after the first inference", resident))
    for k, (label, values) in enumerate(both):
        place = points(values)
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[k]}"/>' for x, y in place]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
        marks.append(f'<polyline points="{joined}" fill="none" stroke="{COLOURS[k]}"/>')
        marks.append(_text(WIDTH - 16, height - 40 - 16 * (1 - k), label, "end", COLOURS[k]))
    return _svg(height, marks)


def _svg(height: float, marks: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'{head} font-family="sans-serif" font-size="12">\n' + "\n".join(marks) + "\n</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'

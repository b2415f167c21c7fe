"""A report as lines for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seisedge.runtime.bench.report import Energy, Figure, Model, Report, Row, Setting

COLUMNS = ("p50", "p90", "p95", "p99", "p99.9", "max")
MULTI_STREAM = 8  # samples of a query
NOT_MLPERF = (
    "Scenarios after MLPerf Inference's definitions (github.com/mlcommons/inference_policies), without its rules on "
    "duration (600 s) and number of samples (24,576 offline). This is not an MLPerf result."
)


def pace_text(row: Row) -> str:
    """The pace of a row, in words."""
    return "back to back" if row.pace_ms == 0 else f"every {row.pace_ms:g} ms"


def figure_text(figure: Figure) -> str:
    """A value, or a dash."""
    return "-" if figure.value is None else number_text(figure.value)


def number_text(value: float) -> str:
    """Three significant digits, and never an exponent for a large number."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval_text(figure: Figure) -> str:
    """The interval of a figure, or why there is none."""
    if figure.low is None or figure.high is None:
        return figure.reason or "-"
    return f"{number_text(figure.low)} to {number_text(figure.high)}"


def terminal_lines(report: Report) -> Iterator[str]:
    """The report for a terminal of 100 columns."""
    yield f"seisedge {report.seisedge} on {report.machine.description}"
    yield f"{report.windows}; latencies in ms, array in host memory to probabilities in host memory"
    for setting in report.settings:
        model = model_of(report, setting)
        yield ""
        yield f"{heading(model, setting)}"
        yield f"  {'':22}{'batch':>5}{''.join(f'{name:>8}' for name in COLUMNS)}  95 % of p99"
        for row in setting.rows:
            figures = row.figures
            cells = "".join(f"{figure_text(figures[name]):>8}" for name in COLUMNS)
            yield f"  {pace_text(row):22}{row.batch:>5}{cells}  {interval_text(figures['p99'])}"
        yield from (f"  {line}" for line in fact_lines(model, setting))
    yield ""
    yield "-: the samples do not carry this figure; the report has the reason of each"
    yield NOT_MLPERF


def markdown_lines(report: Report) -> Iterator[str]:
    """The report as Markdown."""
    yield f"# Latency on {report.machine.description}"
    yield ""
    yield f"seisedge {report.seisedge}, {report.created}. {report.windows}. `{' '.join(report.command)}`"
    yield ""
    yield "Latencies in ms, from arrays in host memory to probabilities in host memory. Value: geometric mean over the "
    yield f"rounds; interval: {report.method['interval']}."
    for setting in report.settings:
        model = model_of(report, setting)
        yield ""
        yield f"## {heading(model, setting)}"
        yield ""
        yield f"| pace | batch | {' | '.join(COLUMNS)} | 95 % of p99 |"
        yield "|---|" + "--:|" * (len(COLUMNS) + 1) + "---|"
        for row in setting.rows:
            cells = " | ".join(figure_text(row.figures[name]) for name in COLUMNS)
            yield f"| {pace_text(row)} | {row.batch} | {cells} | {interval_text(row.figures['p99'])} |"
        yield ""
        yield from (f"- {line}" for line in fact_lines(model, setting))
    missing = list(null_lines(report))
    if missing:
        yield ""
        yield "Figures that the samples do not carry:"
        yield ""
        yield from (f"- {line}" for line in missing)
    yield ""
    yield NOT_MLPERF


def model_of(report: Report, setting: Setting) -> Model:
    """The model of a setting."""
    return next(model for model in report.models if model.sha256 == setting.model)


def heading(model: Model, setting: Setting) -> str:
    """Model, engine and threads."""
    return (
        f"{model.name} ({model.file}, {model.precision}, {model.parameters / 1e3:.0f} k parameters), "
        f"{setting.engine_name}, {setting.threads} thread(s)"
    )


def fact_lines(model: Model, setting: Setting) -> Iterator[str]:
    """What follows the table of a setting."""
    yield f"rounds: {len(setting.rounds)} fresh processes; {setting.stopped}"
    disturbed = [each for each in setting.rounds if each.conditions["marks"]]
    if disturbed:
        kinds = sorted({mark.split()[0] for each in disturbed for mark in each.conditions["marks"]})
        yield f"DISTURBED: {len(disturbed)} of {len(setting.rounds)} rounds ({', '.join(kinds)})"
    cold = {name: figure_text(figure) for name, figure in setting.cold.items()}
    cached = [each.page_cache for each in setting.rounds if each.page_cache is not None]
    state = f"{min(cached):.0%} of the model file in the page cache" if cached else "page cache unknown"
    yield (
        f"cold start: numpy {cold['numpy']}, import {cold['import']}, load {cold['load']}, first inference "
        f"{cold['first']}, together {cold['ready']} ms; {state}"
    )
    largest = max((row for row in setting.rows if row.pace_ms == 0), key=lambda row: row.batch, default=None)
    if largest is not None:
        rate, jitter = largest.figures["windows_per_s"], largest.figures["jitter"]
        parts = [sum(each.parts_ms[k] for each in largest.rounds) / len(largest.rounds) for k in range(3)]
        yield (
            f"batch {largest.batch}: {figure_text(rate)} windows/s, jitter (p95 - p50) {figure_text(jitter)} ms; "
            f"to device {parts[0]:.3g}, inference {parts[1]:.3g}, from device {parts[2]:.3g} ms (medians)"
        )
    yield from scenario_lines(setting.rows)
    yield from _roof_lines(model, setting)
    resident = [each.resident_kib for each in setting.rounds if each.resident_kib is not None]
    peak = max(each.peak_kib for each in setting.rounds) / 1024
    yield (
        f"memory: weights {model.weight_bytes / 2**20:.2f} MiB, process {max(resident) / 1024:.0f} MiB after the first "
        f"inference, peak {peak:.0f} MiB"
        if resident
        else f"memory: weights {model.weight_bytes / 2**20:.2f} MiB, peak of the process {peak:.0f} MiB"
    )
    yield energy_line(setting.energy)
    for accuracy in model.accuracy:
        value = (
            f"none: {accuracy.reason}"
            if accuracy.value is None
            else f"{accuracy.value:.1%} ({accuracy.low:.0%} to {accuracy.high:.0%}, n = {accuracy.windows})"
        )
        yield f"accuracy of this file on the bundled recording: {accuracy.measure}: {value}"


def scenario_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The back-to-back rows by MLPerf's names, each with the figure that MLPerf states for it."""
    for row in rows:
        if row.pace_ms > 0:
            continue
        if row.batch == 1:
            yield f"scenario single-stream: p90 {figure_text(row.figures['p90'])} ms"
        elif row.batch == MULTI_STREAM:
            yield f"scenario multi-stream ({MULTI_STREAM} samples a query): p99 {figure_text(row.figures['p99'])} ms"
        else:
            yield f"scenario offline, batch {row.batch}: {figure_text(row.figures['windows_per_s'])} windows/s"


def _roof_lines(model: Model, setting: Setting) -> Iterator[str]:
    operators = sorted(model.flops_by_operator.items(), key=lambda item: -item[1])[:3]
    most = ", ".join(f"{name} {flops / 1e6:.2f}" for name, flops in operators)
    yield f"operations: {model.flops / 1e6:.2f} MFLOP per window ({most})"
    peak = setting.peak
    yield (
        f"this machine, {setting.threads} thread(s): matrix product {peak.gflops:.1f} GFLOP/s (fp32), copy "
        f"{peak.cache_gb_s:.1f} GB/s in the cache, {peak.memory_gb_s:.1f} GB/s in memory"
    )
    for row in setting.rows:
        roof = row.roof
        if roof is not None and row.pace_ms == 0:
            yield (
                f"batch {row.batch}: {roof.gflops_per_s:.1f} GFLOP/s, {roof.share_of_peak:.0%} of the measured peak; "
                f"floor {roof.floor_ms * 1e3:.1f} µs ({roof.bound}), the median is {roof.ratio:.1f} times that"
            )


def energy_line(energy: Energy) -> str:
    """Energy per inference, or why it is unknown."""
    if energy.gross_mj is None:
        return f"energy: unknown: {energy.reason}"
    above = "unknown" if energy.above_idle_mj is None else f"{energy.above_idle_mj:.3g} mJ"
    return (
        f"energy per inference: {energy.gross_mj:.3g} mJ gross, {above} above idle, over {energy.seconds:.0f} s "
        f"({energy.source}, {' + '.join(energy.rails)})"
    )


def null_lines(report: Report) -> Iterator[str]:
    """Why figures are missing."""
    for setting in report.settings:
        for row in setting.rows:
            for name, figure in row.figures.items():
                if figure.value is None:
                    where = f"{model_of(report, setting).name}, {setting.engine}, {setting.threads} thread(s)"
                    yield f"{where}, {pace_text(row)}, batch {row.batch}: {name}: {figure.reason}"

"""`seisedge quantize`: a model file of lower precision."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.export.commands._options import DATA_HELP, accept_option, folders_of, windows_option
from seisedge.export.gate import Parent, Rule, enough, lines_of, write_if_accepted
from seisedge.export.gate_windows import gate_windows, load_records
from seisedge.export.graph import open_model
from seisedge.export.latency import side_by_side
from seisedge.export.quantize import fp16_from, int8_from, require_fp32
from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.errors import InputError

CALIBRATION_WINDOWS = 512

EPILOG = """\b
Examples:
  seisedge quantize event-type.onnx --precision fp16 --accept-resolution 2
  seisedge quantize magnitude.onnx --precision int8 --data data/mine -o magnitude-int8.onnx
"""


@click.command("quantize", epilog=EPILOG)
@click.argument("model", type=click.Path(path_type=Path), metavar="M.onnx")
@click.option("--precision", type=click.Choice(["fp16", "int8"]), required=True, help="Precision of the network.")
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Model file [default: M-PRECISION.onnx].")
@overwrite_option
@windows_option
@accept_option
@click.option("--allow-drop", is_flag=True, help="Write the file whatever the gate's verdict is; its card states it.")
def command(
    model: Path,
    precision: str,
    data: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    windows: int,
    accept_points: float | None,
    allow_drop: bool,
) -> None:
    """Convert the network of M.onnx to fp16 or int8; the front end, softmax and bins stay fp32.

    int8 is explicit Q/DQ: static, per channel, symmetric, calibrated on real training windows. Layers that
    are too sensitive on those windows stay fp32. Exit 1 and no file where the gate does not accept the result.
    """
    source = open_model(model, trial=True)
    require_fp32(source)
    target = out or model.with_name(f"{model.stem}-{precision}.onnx")
    if target.resolve() == model.resolve():
        raise InputError(f"{target}: -o names the model itself; choose another file")
    protect_file(target, overwrite)
    archive = load_records(source.card, folders_of(data, model, source.card.training.data_sha256))
    held = enough(gate_windows(source.card, archive, windows))
    parent = Parent.from_file(source, held)
    rule = Rule(accept_points=accept_points)
    if precision == "fp16":
        lower = fp16_from(source, parent, rule)
    else:
        calibration = gate_windows(source.card, archive, CALIBRATION_WINDOWS, split="train")
        lower = int8_from(source, calibration, parent, rule, click.echo)
    click.echo("\n".join(lines_of(lower.comparison)))
    write_if_accepted(target, lower.file, lower.comparison, allow_drop=allow_drop)
    made = open_model(target)
    time = side_by_side({"before": source.data, "after": made.data}, held)
    before_ms, after_ms = time["before"].cpu_ms, time["after"].cpu_ms
    click.echo(
        f"{target}: {len(source.data) / 1e3:.0f} → {len(lower.file) / 1e3:.0f} kB; onnxruntime on this machine, one "
        f"thread: {before_ms:.2f} → {after_ms:.2f} ms of processor time"
    )
    if after_ms >= before_ms:
        click.echo(
            f"not faster than {source.card.precision} with onnxruntime on this machine: use {model} with this engine"
        )

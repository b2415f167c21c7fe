"""`seisedge quantize` and `seisedge gate`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from seisedge.export.gate import (
    MIN_WINDOWS,
    POINTS,
    Parent,
    Rule,
    answers_of,
    compare,
    enough,
    lines_of,
    too_coarse,
    write_if_accepted,
)
from seisedge.export.gate_windows import gate_windows, load_records
from seisedge.export.graph import open_model
from seisedge.export.latency import side_by_side
from seisedge.export.quantize import fp16_from, int8_from, require_fp32
from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import find_dataset
from seisedge.train.dataset.benchmark import folders_from

CALIBRATION_WINDOWS = 512
DATA_HELP = "Folder in SeisBench format with real records; may be repeated [default: the clone's datasets/]."

QUANTIZE_EPILOG = """\b
Examples:
  seisedge quantize event-type.onnx --precision fp16 --accept-resolution 2
  seisedge quantize magnitude.onnx --precision int8 --data data/mine -o magnitude-int8.onnx
"""
GATE_EPILOG = """\b
Examples:
  seisedge gate event-type.onnx event-type-int8.onnx --accept-resolution 2
  seisedge gate parent.onnx narrow.onnx --pruned --data datasets --json
"""


windows_option = click.option(
    "--windows",
    type=click.IntRange(MIN_WINDOWS),
    default=2_400,
    show_default=True,
    help="Held-out windows that the gate compares on.",
)


accept_option = click.option(
    "--accept-resolution",
    "accept_points",
    type=click.FloatRange(POINTS, 100),
    metavar="POINTS",
    help=f"Accept a test of the score that resolves only POINTS, where the held-out events are too few for {POINTS:g}.",
)


def folders_of(data: tuple[str, ...]) -> list[Path]:
    """The folders given, else the clone's own. Raises InputError."""
    return folders_from(data) or [find_dataset(Path.cwd())]


@click.command("quantize", epilog=QUANTIZE_EPILOG)
@click.argument("model", type=click.Path(path_type=Path), metavar="M.onnx")
@click.option("--precision", type=click.Choice(["fp16", "int8"]), required=True, help="Of the network.")
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Model file [default: M-PRECISION.onnx].")
@windows_option
@accept_option
@click.option("--allow-drop", is_flag=True, help="Write the file whatever the gate's verdict is; its card states it.")
def command(
    model: Path,
    precision: str,
    data: tuple[str, ...],
    out: Path | None,
    windows: int,
    accept_points: float | None,
    allow_drop: bool,
) -> None:
    """Put the network of M.onnx into fp16 or int8; the front end, softmax and bins stay fp32.

    int8 is explicit Q/DQ: static, per channel, symmetric, calibrated on real training windows. Layers that
    are too sensitive on those windows stay fp32. Exit 1 and no file where the gate does not accept the result.
    """
    source = open_model(model)
    require_fp32(source)
    target = out or model.with_name(f"{model.stem}-{precision}.onnx")
    if target.resolve() == model.resolve():
        raise InputError(f"{target}: is the model itself; choose another -o")
    archive = load_records(source.card, folders_of(data))
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
        f"{target}: {len(lower.file) / 1e3:.0f} kB (before {len(source.data) / 1e3:.0f}); onnxruntime on this "
        f"machine, one thread: {before_ms:.2f} → {after_ms:.2f} ms of processor time"
    )
    if after_ms >= before_ms:
        click.echo(f"slower here than {source.card.precision}: on this engine keep {model}")


@click.command(epilog=GATE_EPILOG)
@click.argument("parent", type=click.Path(path_type=Path), metavar="PARENT.onnx")
@click.argument("child", type=click.Path(path_type=Path), metavar="CHILD.onnx")
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option(
    "--windows",
    type=click.IntRange(MIN_WINDOWS),
    default=2_400,
    show_default=True,
    help="Held-out windows to compare on.",
)
@click.option("--pruned", is_flag=True, help="CHILD may answer differently, as long as its score is not worse.")
@accept_option
@click.option("--json", "as_json", is_flag=True, help="For a machine to read.")
def gate(
    parent: Path,
    child: Path,
    data: tuple[str, ...],
    windows: int,
    pruned: bool,
    accept_points: float | None,
    as_json: bool,
) -> None:
    """Compare CHILD.onnx with the PARENT.onnx it was made from, on held-out windows.

    Exit 1 where the gate does not accept it: outside the gate, or not tested at 0.5 points on too few events.
    """
    first, second = open_model(parent), open_model(child)
    for name in ("task", "labels", "sampling_rate_hz", "n_samples", "unit"):
        ours, theirs = getattr(first.card, name), getattr(second.card, name)
        if ours != theirs:
            raise InputError(f"{child}: {name} is {theirs}, of {parent} it is {ours}; these two cannot be compared")
    pruned = pruned or second.card.pruning != first.card.pruning
    held = enough(gate_windows(first.card, load_records(first.card, folders_of(data)), windows))
    result = compare(Parent.from_file(first, held), answers_of(second.data, held), Rule(pruned, accept_points))
    click.echo(
        json.dumps(msgspec.to_builtins(result), indent=2) if as_json else "\n".join(lines_of(result, pruned=pruned))
    )
    if result.outcome == "failed":
        raise FailedError(f"{child}: outside the gate of {parent}")
    if not result.accepted:
        raise FailedError(f"{child}: {too_coarse(result.n_events)}")

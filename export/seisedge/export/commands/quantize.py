"""`seisedge quantize` and `seisedge gate`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from seisedge.export.gate import MIN_WINDOWS, answers_of, compare, enough, lines_of, write_if_passed
from seisedge.export.graph import open_model
from seisedge.export.heldout import heldout_windows, load_records
from seisedge.export.latency import side_by_side
from seisedge.export.quantize import fp16_from, int8_from, require_fp32
from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.archive.archive import find_dataset
from seisedge.train.dataset.benchmark import folders_from

CALIBRATION_WINDOWS = 512
DATA_HELP = "Folder in SeisBench format with real records; may be repeated [default: the clone's datasets/]."

QUANTIZE_EPILOG = """\b
Examples:
  seisedge quantize event-type.onnx --precision fp16
  seisedge quantize magnitude.onnx --precision int8 --data datasets -o magnitude-int8.onnx
"""
GATE_EPILOG = """\b
Examples:
  seisedge gate event-type.onnx event-type-int8.onnx
  seisedge gate parent.onnx narrow.onnx --pruned --data datasets --json
"""


windows_option = click.option(
    "--windows",
    type=click.IntRange(MIN_WINDOWS),
    default=2_400,
    show_default=True,
    help="Held-out windows that the gate compares on.",
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
@click.option("--allow-drop", is_flag=True, help="Write the file also outside the gate; its card says so.")
def command(
    model: Path, precision: str, data: tuple[str, ...], out: Path | None, windows: int, allow_drop: bool
) -> None:
    """Put the network of M.onnx into fp16 or int8; the front end, softmax and bins stay fp32.

    int8 is explicit Q/DQ: static, per channel, symmetric, calibrated on real training windows. Layers that
    measurement finds too sensitive stay fp32. Exit 1 and no file where the result lies outside the gate.
    """
    source = open_model(model)
    require_fp32(source)
    target = out or model.with_name(f"{model.stem}-{precision}.onnx")
    if target.resolve() == model.resolve():
        raise InputError(f"{target}: is the model itself; choose another -o")
    archive = load_records(source.card, folders_of(data))
    held = enough(heldout_windows(source.card, archive, windows))
    before = answers_of(source.data, held)
    if precision == "fp16":
        lower = fp16_from(source, held, before)
    else:
        calibration = heldout_windows(source.card, archive, CALIBRATION_WINDOWS, split="train")
        lower = int8_from(source, calibration, held, before, click.echo)
    click.echo("\n".join(lines_of(lower.comparison)))
    write_if_passed(target, lower.file, lower.comparison, allow_drop)
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
@click.option("--pruned", is_flag=True, help="CHILD may disagree, as long as it is as good.")
@click.option("--json", "as_json", is_flag=True, help="For a machine to read.")
def gate(parent: Path, child: Path, data: tuple[str, ...], windows: int, pruned: bool, as_json: bool) -> None:
    """Compare CHILD.onnx with the PARENT.onnx it was made from, on held-out windows. Exit 1 outside the gate."""
    first, second = open_model(parent), open_model(child)
    for name in ("task", "labels", "sampling_rate_hz", "n_samples", "unit"):
        ours, theirs = getattr(first.card, name), getattr(second.card, name)
        if ours != theirs:
            raise InputError(f"{child}: {name} is {theirs}, of {parent} it is {ours}; these two cannot be compared")
    pruned = pruned or second.card.pruning != first.card.pruning
    held = enough(heldout_windows(first.card, load_records(first.card, folders_of(data)), windows))
    result = compare(
        answers_of(first.data, held), answers_of(second.data, held), held, first.card, first.sha256, pruned=pruned
    )
    click.echo(
        json.dumps(msgspec.to_builtins(result), indent=2) if as_json else "\n".join(lines_of(result, pruned=pruned))
    )
    if not result.passed:
        raise FailedError(f"{child}: outside the gate of {parent}")

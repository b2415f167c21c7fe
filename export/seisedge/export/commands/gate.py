"""`seisedge gate`: compare a model with the one it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from seisedge.export.commands._options import DATA_HELP, accept_option, folders_of, windows_option
from seisedge.export.gate import Parent, Rule, answers_of, compare, enough, lines_of, too_coarse
from seisedge.export.gate_windows import gate_windows, load_records
from seisedge.export.graph import open_model
from seisedge.runtime.errors import FailedError, InputError

EPILOG = """\b
Examples:
  seisedge gate event-type.onnx event-type-int8.onnx --accept-resolution 2
  seisedge gate parent.onnx narrow.onnx --pruned --data datasets --json
"""


@click.command("gate", epilog=EPILOG)
@click.argument("parent", type=click.Path(path_type=Path), metavar="PARENT.onnx")
@click.argument("child", type=click.Path(path_type=Path), metavar="CHILD.onnx")
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@windows_option
@click.option("--pruned", is_flag=True, help="CHILD may answer differently, as long as its score is not worse.")
@accept_option
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(
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
    first, second = open_model(parent, trial=True), open_model(child, trial=True)
    for name in ("task", "labels", "sampling_rate_hz", "n_samples", "unit"):
        ours, theirs = getattr(first.card, name), getattr(second.card, name)
        if ours != theirs:
            raise InputError(f"{child}: {name} is {theirs}, but {ours} in {parent}; the two models cannot be compared")
    pruned = pruned or second.card.pruning != first.card.pruning
    folders = folders_of(data, parent, first.card.training.data_sha256)
    held = enough(gate_windows(first.card, load_records(first.card, folders), windows))
    result = compare(Parent.from_file(first, held), answers_of(second.data, held), Rule(pruned, accept_points))
    click.echo(
        json.dumps(msgspec.to_builtins(result), indent=2) if as_json else "\n".join(lines_of(result, pruned=pruned))
    )
    if result.outcome == "failed":
        raise FailedError(f"{child}: outside the gate of {parent}")
    if not result.accepted:
        raise FailedError(f"{child}: {too_coarse(result.n_events)}")

"""`seisedge release`: the whole line, and the page that says what came of it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from seisedge.export.cli_quantize import DATA_HELP, folders_of, windows_option
from seisedge.export.page import page_of
from seisedge.export.prune.run import Pruned, load_training_data, prune_run
from seisedge.export.prune.select import require_prunable
from seisedge.export.release import make_release, write_sums
from seisedge.runtime import machine
from seisedge.runtime.errors import InputError
from seisedge.train.run import Run, load_run

EPILOG = """\b
Examples:
  seisedge release runs/event-type -o release/event-type
  seisedge release runs/magnitude --prune 0.5 --data datasets -o release/magnitude
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", multiple=True, metavar="DIR", help=DATA_HELP)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the release.")
@click.option(
    "--prune",
    "ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Also make a pruned model: the share of the network's multiply-adds to remove.",
)
@click.option("--steps", type=click.IntRange(1), help="Of fine-tuning a pruned model [default: half of the recipe's].")
@windows_option
@click.option("--curves/--no-curves", default=True, help="Evaluate early answers and damaged records, too.")
def command(
    run: Path, data: tuple[str, ...], out: Path, ratio: float | None, steps: int | None, windows: int, curves: bool
) -> None:
    """Make what a station is given of RUN: models inside the gate, cards, a model page, checksums.

    Export, then fp16 and int8, with --prune the same of a narrower model; each is compared with its parent on held-out
    windows, all are timed side by side, and the cheapest inside the gate is named for each target.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already and not empty; choose another -o")
    source = load_run(run)
    if ratio is not None:
        require_prunable(source.recipe.model, run)
    folders = folders_of(data)
    archive = load_training_data(source, folders)

    def narrower(full: Run) -> Pruned:
        chosen = steps or max(full.recipe.optimisation.steps // 2, 1)
        return prune_run(full, archive, ratio or 0.5, chosen, full.seed, windows, click.echo)

    release = make_release(source, archive, out, narrower if ratio is not None else None, windows, click.echo)
    for variant in release.variants:
        if variant.file is not None:
            card = msgspec.json.format(msgspec.json.encode(variant.card, order="sorted"), indent=1)
            variant.file.with_suffix(".card.json").write_bytes(card)
    evaluation = None
    if curves:
        evaluation = "evaluation/report.md"
        _evaluate(run, folders, out / "evaluation")
    page = page_of(release, machine.describe(), evaluation)
    (out / "MODEL.md").write_text(page, encoding="utf-8")
    write_sums(out)
    for target, (name, why) in release.chosen.items():
        click.echo(f"{target}: {name} ({why})")
    click.echo(f"{out}: {sum(v.file is not None for v in release.variants)} models, MODEL.md, SHA256SUMS")


def _evaluate(run: Path, folders: list[Path], target: Path) -> None:
    """The report of `seisedge evaluate`, with its plots."""
    import torch

    from seisedge.train.evaluation.markdown import markdown_of
    from seisedge.train.evaluation.plots import write_plots
    from seisedge.train.evaluation.report import evaluate
    from seisedge.train.evaluation.subject import subject_from

    device = torch.device("cpu")
    report = evaluate(subject_from(str(run), device), folders, device)
    target.mkdir(parents=True)
    names = write_plots(report, target)
    (target / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    (target / "report.md").write_text(markdown_of(report, names), encoding="utf-8")

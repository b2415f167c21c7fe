"""Rewrite the card of a model file from the data it was trained on, for developers; the graph keeps its bytes.

    python -m seisedge.export.recard MODEL.onnx --data datasets [-o OUT.onnx] [--licence TEXT] [--metrics metrics.json]
        [--comparison gate.json]

It updates a card of an older schema, or replaces its metrics or its comparison with the parent. The magnitude type, the
sources with their licences and the training events are computed from the data. The data must be those of the card
(fingerprint), and the card's recipe must find as many records and events in them as the card states. The same input
gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from seisedge.export.graph import ModelFile, bytes_of, open_model
from seisedge.runtime.card import SCHEMA, Comparison, Metric, ModelCard
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import write_atomically
from seisedge.train.archive.archive import Archive, load_archive
from seisedge.train.archive.provenance import magnitude_scale, provenance_of
from seisedge.train.archive.task import candidates_of, wanted_of
from seisedge.train.fit.run import real_records, records_used
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import Recipe, load_recipe


def archive_of(card: ModelCard, recipe: Recipe, folders: list[Path]) -> Archive:
    """The data of a card, split as in training. Raises InputError where they are others."""
    model = create_model(recipe.model, **recipe.arguments)
    archive = load_archive(
        folders, card.sampling_rate_hz, recipe.data.pass_hz, split=recipe.data.split, wanted=wanted_of(recipe, model)
    )
    if archive.sha256 != card.training.data_sha256:
        raise InputError(
            f"{', '.join(map(str, folders))}: fingerprint {archive.sha256}, but model '{card.name}' was trained on "
            f"{card.training.data_sha256}; give --data with its training data"
        )
    return archive


def recarded(
    card: ModelCard,
    recipe: Recipe,
    archive: Archive,
    folders: list[Path],
    *,
    licence: str | None = None,
    metrics: list[Metric] | None = None,
    comparison: Comparison | None = None,
) -> ModelCard:
    """The card with the facts that the data state. None keeps the card's licence of the weights, metrics or comparison.

    Raises FailedError where the recipe finds other training records than the card states.
    """
    model = create_model(recipe.model, **recipe.arguments)
    used = records_used(candidates_of(recipe, model, archive, lambda r: r.split == "train"))
    real = real_records(archive, used)
    n_events = len({archive.records[i].event for i in real})
    stated = card.training.n_records, card.training.n_events, card.training.split
    if (len(real), n_events, archive.split_rule) != stated:
        raise FailedError(
            f"recipe '{recipe.name}' trains on {len(real)} records of {n_events} events, split {archive.split_rule}; "
            f"the card of '{card.name}' states {stated[0]} records of {stated[1]} events, split {stated[2]}; give "
            "--recipe with the recipe of the training"
        )
    found = provenance_of(archive, used, folders, card.task)
    scale = card.magnitude
    if scale is not None:
        code, remark = magnitude_scale(found.magnitude_types)
        scale = msgspec.structs.replace(scale, type=code, remark=remark)
    training = msgspec.structs.replace(
        card.training,
        data=found.data,
        licence=card.training.licence if licence is None else licence,
        event_hashes=found.event_hashes,
        n_unnamed_records=found.n_unnamed_records,
    )
    return msgspec.structs.replace(
        card,
        schema=SCHEMA,
        magnitude=scale,
        training=training,
        metrics=card.metrics if metrics is None else metrics,
        comparison=card.comparison if comparison is None else comparison,
    )


def file_with(model: ModelFile, card: ModelCard) -> bytes:
    """The model file with another card. Raises FailedError where a byte of the graph would change."""
    before = model.graph.graph.SerializeToString(deterministic=True)
    out = bytes_of(model.graph, card)
    if before not in model.data or before not in out:
        raise FailedError(f"{model.path}: the graph would not keep its bytes; export the run again instead")
    return out


def read_metrics(path: Path) -> list[Metric]:
    """A run's metrics.json. Raises InputError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Metric])
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: not a list of metrics: {error}") from error


def read_comparison(path: Path) -> Comparison:
    """A gate.json, as `seisedge prune` and `seisedge gate --json` write it. Raises InputError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Comparison)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: not a comparison of two models: {error}") from error


@click.command(help=__doc__)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", multiple=True, required=True, type=click.Path(path_type=Path), help="Its training data.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The file to write [default: MODEL itself].")
@click.option("--recipe", help="Name or file [default: the recipe that the card names].")
@click.option("--licence", help="Of the weights.")
@click.option("--metrics", type=click.Path(path_type=Path), help="metrics.json, in place of the card's metrics.")
@click.option("--comparison", type=click.Path(path_type=Path), help="gate.json, in place of the card's comparison.")
def main(
    model: Path,
    data: tuple[Path, ...],
    out: Path | None,
    recipe: str | None,
    licence: str | None,
    metrics: Path | None,
    comparison: Path | None,
) -> None:
    file = open_model(model, trial=True)
    chosen = load_recipe(recipe or file.card.training.recipe)
    archive = archive_of(file.card, chosen, list(data))
    rows = read_metrics(metrics) if metrics is not None else None
    card = recarded(
        file.card,
        chosen,
        archive,
        list(data),
        licence=licence,
        metrics=rows,
        comparison=None if comparison is None else read_comparison(comparison),
    )
    write_atomically(out or model, file_with(file, card))
    click.echo(f"{out or model}: sha256 {open_model(out or model).sha256}")


if __name__ == "__main__":
    main()

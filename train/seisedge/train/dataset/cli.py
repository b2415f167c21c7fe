"""`seisedge dataset`: build, check and describe training sets. What a command needs is loaded with it."""

from __future__ import annotations

import click

from seisedge.runtime.errors import FailedError

EPILOG = """\b
Examples:
  seisedge dataset info datasets
  seisedge dataset check datasets --json
"""

DIRS = click.argument("folders", metavar="DIR...", nargs=-1, required=True)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


@click.group(epilog=EPILOG)
def dataset() -> None:
    """Training sets in SeisBench format: from a catalogue and an archive to one that can be trusted."""


@dataset.command()
@DIRS
@JSON
def info(folders: tuple[str, ...], as_json: bool) -> None:
    """What is in DIR (or seisbench:NAME): events and records by type, magnitude bin and station."""
    import msgspec

    from seisedge.train.dataset.benchmark import folders_from
    from seisedge.train.dataset.info import info as count
    from seisedge.train.dataset.info import text_from_info
    from seisedge.train.dataset.survey import survey

    found = count(survey(folders_from(folders), samples=False))
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode() if as_json else text_from_info(found))


@dataset.command()
@DIRS
@JSON
def check(folders: tuple[str, ...], as_json: bool) -> None:
    """Faults of DIR (or seisbench:NAME), several at once as they would be trained on together.

    Duplicates and an event on two sides of the split make a training dishonest: exit 1. Flat, clipped, NaN and copied
    channels, missing arrivals, rates, balance, licences and the nuisance audit (what guesses the label without
    listening) are warnings.
    """
    import msgspec

    from seisedge.train.dataset.benchmark import folders_from
    from seisedge.train.dataset.check import check as find
    from seisedge.train.dataset.check import text_from_report
    from seisedge.train.dataset.survey import survey

    report = find(survey(folders_from(folders)))
    click.echo(
        msgspec.json.format(msgspec.json.encode(report), indent=1).decode() if as_json else text_from_report(report)
    )
    if report.faults:
        codes = ", ".join(sorted({fault.code for fault in report.faults}))
        raise FailedError(f"{', '.join(folders)}: not fit for an honest training ({codes})")


command = dataset

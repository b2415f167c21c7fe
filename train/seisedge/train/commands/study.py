"""`seisedge study`: trains the rows of a table of the seed papers, and compares them with the paper."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.runtime.commands import FiniteRange

EPILOG = """\b
Examples:
  seisedge study --list
  seisedge study ablation --smoke
  seisedge study baselines-b --data mine --seeds 3 -o studies/baselines-b
  seisedge study ablation cbam-location bottlenecks --data mine
  seisedge study depth --data seisbench:STEAD --set data.split=event
  seisedge study --all --smoke
"""


@click.command("study", epilog=EPILOG)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--list", "listing", is_flag=True, help="List the studies.")
@click.option("--all", "everything", is_flag=True, help="Run all studies; rows that they share are trained once.")
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="Folder in SeisBench format, or seisbench:NAME; may be repeated [default: datasets/ of the repository].",
)
@click.option(
    "--smoke",
    is_flag=True,
    help="A few steps on a few records: shows that everything runs; the figures mean nothing. Rows whose data are "
    "missing are left out. With --all about ten minutes on two cores.",
)
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Trainings of each row.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the studies [default: studies/NAME, studies/NAME+NAME or studies/all].",
)
@click.option(
    "--partial", is_flag=True, help="Run the rows that the data allow; the table says why the others were not run."
)
@click.option(
    "--scale",
    type=FiniteRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the numbers of records that the paper's rows demand (final-300, imbalance-ratio).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Value that takes precedence over the recipes of all rows; may be repeated.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Initial weights of the rows of `transfer` [default: trained here on synthetic records].",
)
@click.option(
    "--shuffle-labels",
    is_flag=True,
    help="Give each event the labels of another: every figure should be that of chance.",
)
@click.option("--device", default="auto", show_default=True, help="auto (all GPUs if there are any), cpu or cuda[:N].")
@click.option(
    "--workers", type=click.IntRange(1, 256), metavar="N", help="Trainings at once on a CPU [default: its cores]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the tables as JSON.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    names: tuple[str, ...],
    listing: bool,
    everything: bool,
    data: tuple[str, ...],
    smoke: bool,
    seeds: int,
    out: Path | None,
    partial: bool,
    scale: float,
    settings: tuple[str, ...],
    weights: Path | None,
    shuffle_labels: bool,
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Train every row of the study NAME (or of a TOML file of your own) and write its table.

    The paper's figures are beside ours. Rows that several of the named studies share are trained once.

    Writes table.md, table.json, table.csv and plots to OUT/STUDY, and the runs to OUT/rows, which `seisedge evaluate`
    and `seisedge export` accept. The time is estimated first. The same command resumes an interrupted study; finished
    rows are kept, and more --seeds add trainings.
    """
    from seisedge.train.study.table import load_study, study_names

    if listing:
        click.echo(study_list())
        return
    if bool(names) == everything:
        raise click.UsageError("give the NAME of a study, or several, or --all; --list shows the studies")

    import msgspec

    from seisedge.runtime.errors import FailedError
    from seisedge.runtime.machine import cores
    from seisedge.train.archive.archive import find_dataset
    from seisedge.train.commands.train import device_from, out_of_memory_as_error, overrides_from
    from seisedge.train.dataset.benchmark import folders_from
    from seisedge.train.study.conduct import conduct
    from seisedge.train.study.plan import Choice
    from seisedge.train.study.runner import devices_from
    from seisedge.train.study.tabulate import markdown_of

    studies = [load_study(n) for n in dict.fromkeys(names or study_names())]
    if len({study.name for study in studies}) < len(studies):
        raise click.UsageError("two of the studies have the same name; run one of them in another folder")
    title = "+".join(study.name for study in studies) if names else "all"
    if device != "auto":
        device_from(device)  # raises InputError
    folders = folders_from(data) or [find_dataset(Path.cwd())]
    choice = Choice(
        data=[str(folder.resolve()) for folder in folders], smoke=smoke, seeds=seeds, shuffle_labels=shuffle_labels,
        scale=scale, settings=overrides_from(settings), weights=str(weights.resolve()) if weights is not None else "",
    )  # fmt: skip
    target = out or Path("studies") / title
    devices = devices_from(device, workers or cores())

    def report(text: str) -> None:
        click.echo(text, err=True)

    try:
        with out_of_memory_as_error():
            done = conduct(studies, title, choice, target, devices, partial=partial or smoke, report=report)
    except KeyboardInterrupt:
        raise FailedError(f"interrupted; finished rows are in {target}; the same command resumes the study") from None
    for table, plots in done:
        if as_json:
            click.echo(msgspec.json.encode(table).decode())
        else:
            click.echo(markdown_of(table, []).rstrip() + "\n")
        report(f"{target / table.study}: table.md, table.json, table.csv{''.join(', ' + n for n in plots)}")


def study_list() -> str:
    """A table of the studies: paper, name, number of rows, description."""
    from seisedge.train.study.table import load_study, study_names

    studies = [load_study(n) for n in study_names()]
    width = max(len(s.name) for s in studies)
    lines = [f"{'study':{width}}  paper  rows  description"]
    for s in studies:
        n = sum(not row.helper for row in s.row)
        lines.append(f"{s.name:{width}}  {s.paper:5}  {n:4}  {s.about}")
    return "\n".join(lines)

"""`seisedge evaluate`: measures a model on events it was not trained on."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.runtime.commands._overwrite import overwrite_option, protect_folder
from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path

EPILOG = """\b
Examples:
  seisedge evaluate runs/event-type
  seisedge evaluate magnitude --data mine -o magnitude-on-mine --json
  seisedge evaluate onset --noise town-noise
  seisedge evaluate event-type --noise town-noise --no-curves
"""


def prevalence_from(text: str, labels: list[str]) -> dict[str, float]:
    """Parse `tectonic=0.2,non-tectonic=0.1,noise=0.7` to shares by label. Raises InputError."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        try:
            shares[name] = float(value)
        except ValueError:
            shares[name] = -1.0
        if name not in labels or not 0 <= shares[name] <= 1:
            raise InputError(
                f"--prevalence {text}: must be LABEL=SHARE,… with labels {', '.join(labels)} and shares from 0 to 1"
            )
    if set(shares) != set(labels) or abs(sum(shares.values()) - 1) > 1e-6:
        raise InputError(f"--prevalence {text}: must contain {', '.join(labels)}, with shares that sum to 1")
    return shares


@click.command("evaluate", epilog=EPILOG)
@click.argument("model", metavar="RUN|MODEL")
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="Folder in SeisBench format, or seisbench:NAME; may be repeated [default: the training data of the model].",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report [default: RUN/evaluation, or MODEL-evaluation].",
)
@overwrite_option
@click.option(
    "--prevalence",
    metavar="LABEL=SHARE,…",
    help="Shares of the labels for which accuracy and precision are computed [default: those of the data].",
)
@click.option(
    "--split",
    default="",
    help="Split rule of the training of a MODEL file [default: column split of the data, else event].",
)
@click.option(
    "--device", default="auto", show_default=True, help="auto (CUDA if available), cpu or cuda[:N]; used for a RUN."
)
@click.option(
    "--draws",
    default=1000,
    show_default=True,
    type=click.IntRange(20),
    help="Number of bootstrap resamplings for the intervals.",
)
@click.option(
    "--curves/--no-curves",
    default=True,
    help="Early answers and damaged records; they take most of the time [default: curves].",
)
@click.option(
    "--noise",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of miniSEED files or of a data set with continuous noise, without earthquakes: false onsets or events "
    "an hour of an onset detector or event-type model; may be repeated.",
)
@click.option("--plots/--no-plots", default=True, help="Write PNG files; needs matplotlib [default: plots].")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of tables.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    model: str,
    data: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    prevalence: str | None,
    split: str,
    device: str,
    draws: int,
    curves: bool,
    noise: tuple[Path, ...],
    plots: bool,
    as_json: bool,
) -> None:
    """Evaluate a training RUN, a MODEL file, or a bundled model by name; all figures have 95 % intervals over events.

    On the training data only held-out events are evaluated. On other data all records are evaluated except those of
    events that the model was trained on; these are counted and reported.
    An onset detector is run as at the station and compared with the STA/LTA trigger. With --noise an event-type
    model is run in the station, in both modes, and each event kept counts as false.
    Without --data, the held-out events of the training data are used: the folders that RUN names, or for a bundled
    model datasets/ of the clone that contains the current folder. Writes report.json, report.md and PNG files.
    """
    import msgspec

    from seisedge.runtime.files import write_atomically
    from seisedge.train.archive.archive import fingerprint
    from seisedge.train.archive.default_data import folders_or_training_data
    from seisedge.train.commands.train import device_from
    from seisedge.train.evaluation.markdown import markdown_of
    from seisedge.train.evaluation.noise_packets import recordings_in
    from seisedge.train.evaluation.onset import noise_files
    from seisedge.train.evaluation.plots import write_plots
    from seisedge.train.evaluation.report import evaluate
    from seisedge.train.evaluation.subject import subject_from

    where = device_from(device)
    subject = subject_from(model, where)
    if prevalence is not None and subject.task != "event_type":
        raise InputError(
            f"--prevalence {prevalence}: applies to event types only; {subject.name} is a model for the task "
            f"'{subject.task}'"
        )
    if noise and subject.task == "magnitude":
        raise InputError(
            f"--noise applies to onset detectors and event-type models; {subject.name} is for the task '{subject.task}'"
        )
    for folder in noise:  # before the data are read, which takes a while
        noise_files(folder) if subject.task == "onset" else recordings_in(folder)
    shares = prevalence_from(prevalence, subject.labels) if prevalence is not None else None
    named = subject.event_hashes is not None
    folders = folders_or_training_data(data, Path(model), subject.data_sha256, leaves_out_events=named)
    if not data:
        what = "the" if fingerprint(folders) == subject.data_sha256 else "the part in this clone of the"
        click.echo(f"data: {', '.join(map(text_from_path, folders))}, {what} training data of {model}", err=True)
    target = out or (Path(model) / "evaluation" if Path(model).is_dir() else Path(f"{Path(model).stem}-evaluation"))
    protect_folder(target, overwrite, ("report.json",))
    report = evaluate(subject, folders, where, split=split, prevalence=shares, draws=draws, curves=curves, noise=noise)
    target.mkdir(parents=True, exist_ok=True)
    names = write_plots(report, target) if plots else []
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
    write_atomically(target / "report.json", encoded)
    page = markdown_of(report, names)
    write_atomically(target / "report.md", page.encode())
    click.echo(encoded.decode() if as_json else page.partition("\n![")[0].rstrip())
    click.echo(f"{target}: report.json, report.md{''.join(', ' + name for name in names)}", err=as_json)

"""`seisedge dataset`: builds, checks and describes data sets. Each command imports its modules when it runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._overwrite import protect_folder
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.suggestion import suggestion
from seisedge.train.dataset.plan import Plan, text_from_built
from seisedge.train.dataset.vocabulary import KNOWN_WORDS

# Raise before a command runs, so that the message names the missing package.
if importlib.util.find_spec("h5py") is None:
    raise ModuleNotFoundError("No module named 'h5py'", name="h5py")

EPILOG = """\b
Examples:
  seisedge dataset build catalogue.xml sds:archive --stations stations.xml -o mine
  seisedge dataset info datasets
  seisedge dataset check datasets --json
"""

DEFAULT = Plan()
DIRS = click.argument("folders", metavar="DIR...", nargs=-1, required=True)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")


@click.group(epilog=EPILOG)
def dataset() -> None:
    """Build, check and describe data sets for training, in SeisBench format."""


@dataset.command()
@click.argument("catalogue", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1, required=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to create; must be empty or missing."
)
@click.option(
    "--stations",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Positions and gains: StationXML, a station file (TOML) or a folder of them; may be repeated.",
)
@click.option(
    "--picks",
    type=click.Path(path_type=Path),
    help="Picks in CSV: event_id, station, phase, time; they take precedence over computed arrivals.",
)
@click.option(
    "--untyped",
    default="",
    metavar="skip|TYPE",
    help="Leave out the events that have no type in the catalogue, or give them TYPE [default: they are an error].",
)
@click.option(
    "--magnitude-type",
    default="",
    metavar="TYPE,…",
    help="Magnitude types in order of preference, for example ML,Mw,mb [default: the preferred magnitude, else the "
    "first listed].",
)
@click.option("--before", default=DEFAULT.before_s, show_default=True, help="Seconds before the onset.")
@click.option("--after", default=DEFAULT.after_s, show_default=True, help="Seconds after the onset.")
@click.option(
    "--noise", default=DEFAULT.noise, show_default=True, help="Number of noise windows for each event window."
)
@click.option(
    "--hard-negatives", default=DEFAULT.hard_negatives, show_default=True, metavar="NUMBER",
    help="Number of noise windows for each event window that are cut where a trigger opens far from catalogued events.",
)  # fmt: skip
@click.option(
    "--noise-before-p", is_flag=True,
    help="Also use the quiet time before each onset as noise; give a larger --before for longer noise.",
)  # fmt: skip
@click.option(
    "--coda",
    type=FiniteRange(0, 86_400),
    default=DEFAULT.coda_s,
    show_default=True,
    help="Seconds after S before noise windows may begin.",
)
@click.option(
    "--travel-times",
    default="iasp91",
    show_default=True,
    metavar="MODEL",
    help="Used without a pick: iasp91, ak135, prem (obspy's TauP), or the P speed of straight rays in km/s.",
)
@click.option(
    "--refine/--no-refine", default=True, help="Move a computed P to the rise of energy near it [default: refine]."
)
@click.option(
    "--max-distance",
    type=FiniteRange(0, 20_040),
    default=DEFAULT.max_distance_km,
    show_default=True,
    help="Largest epicentral distance in km without a pick.",
)
@click.option(
    "--unit",
    type=click.Choice(["counts", "m/s"]),
    default="counts",
    show_default=True,
    help="Unit of the stored samples; m/s needs gains from --stations.",
)
@click.option(
    "--channels", default="", metavar="CODES", help="Channel codes, for example EH?,HH? [default: all seismometers]."
)
@click.option(
    "--licence",
    default="",
    metavar="TEXT",
    help="Licence of the records and reference to cite; stored with each record.",
)
@JSON
def build(  # noqa: PLR0913 - one parameter for each option of the command
    catalogue: Path,
    data: tuple[str, ...],
    out: Path,
    stations: tuple[Path, ...],
    picks: Path | None,
    untyped: str,
    magnitude_type: str,
    before: float,
    after: float,
    noise: float,
    hard_negatives: float,
    noise_before_p: bool,
    coda: float,
    travel_times: str,
    refine: bool,
    max_distance: float,
    unit: str,
    channels: str,
    licence: str,
    as_json: bool,
) -> None:
    """Build a data set from CATALOGUE (QuakeML or CSV) and DATA: miniSEED or SAC files, folders, or sds:DIR.

    CSV columns: origin_time, latitude, longitude, event_type; optional: depth_km, event_id, magnitude, magnitude_type.
    Windows are cut around P picks, else around the P computed from the positions in --stations (and marked as
    computed). Noise is cut between the events. OUT is created when it is complete. Samples of SAC files are taken as
    counts; SCALE, IDEP and picks of their headers are not used. Files that cannot be used are skipped and counted.
    """
    for name, value, least in (
        ("--before", before, 1), ("--after", after, 1), ("--noise", noise, 0), ("--hard-negatives", hard_negatives, 0),
    ):  # fmt: skip
        if not least <= value < 3600:
            raise InputError(f"{name} {value:g}: must be {least} to 3600")
    if unit == "m/s" and not stations:
        raise InputError("--unit m/s needs gains; give --stations with StationXML or station files")
    import msgspec

    from seisedge.runtime.paths import text_from_path
    from seisedge.train.dataset.build import Builder, sha256_of
    from seisedge.train.dataset.catalogue import SKIP, read_catalogue
    from seisedge.train.dataset.recordings import Recordings
    from seisedge.train.dataset.stations import Stations
    from seisedge.train.dataset.traveltimes import travel_times_from
    from seisedge.train.evaluation.hard_negatives import bundled_openers

    protect_folder(out)
    if untyped not in ("", SKIP) and untyped.lower() not in KNOWN_WORDS:
        raise InputError(
            f"--untyped {untyped}: must be {SKIP} or a source type; {suggestion(untyped, sorted(KNOWN_WORDS))}"
        )
    types = tuple(filter(None, (part.strip() for part in magnitude_type.split(","))))
    found = read_catalogue(catalogue, picks, untyped, types)
    plan = Plan(
        before, after, noise, hard_negatives, coda, max_distance, unit=unit,
        channels=tuple(filter(None, channels.split(","))), refine=refine, licence=licence, untyped=untyped,
        magnitude_types=types, noise_before_p=noise_before_p,
    )  # fmt: skip
    metadata = Stations.read(list(stations))
    opened = bundled_openers() if hard_negatives else None
    builder = Builder(plan, Recordings(data, metadata.networks()), metadata, travel_times_from(travel_times), opened)
    source = {
        "catalogue": text_from_path(catalogue.name),
        "sha256": sha256_of(catalogue),
        "events": str(len(found.events)),
    }
    built = builder.build(found, out, source)
    click.echo(
        msgspec.json.format(msgspec.json.encode(built), indent=1).decode() if as_json else text_from_built(built)
    )


@dataset.command()
@DIRS
@JSON
def info(folders: tuple[str, ...], as_json: bool) -> None:
    """Count the events and records in DIR (or seisbench:NAME) by type, magnitude bin and station."""
    import msgspec

    from seisedge.train.dataset.benchmark import folders_from
    from seisedge.train.dataset.info import info as count
    from seisedge.train.dataset.info import text_from_info
    from seisedge.train.dataset.survey import survey

    found = count(survey(folders_from(folders), samples=False))
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode() if as_json else text_from_info(found))


@dataset.command()
@DIRS
@click.option("--recipe", help="Also check the windows that this recipe draws (needs torch).")
@JSON
def check(folders: tuple[str, ...], recipe: str | None, as_json: bool) -> None:
    """Check DIR (or seisbench:NAME); several folders are checked as one set, as for training on them together.

    Duplicates, and events on both sides of the split, are faults (exit code 1): the measured accuracy would be wrong.
    Flat, clipped, NaN and copied channels, missing arrivals, rates, balance, licences and the nuisance audit (how well
    the label is guessed from metadata without the waveform) are warnings.
    """
    import msgspec

    from seisedge.train.dataset.benchmark import folders_from
    from seisedge.train.dataset.check import check as find
    from seisedge.train.dataset.check import text_from_report
    from seisedge.train.dataset.survey import survey

    paths = folders_from(folders)
    report = find(survey(paths))
    windows = []
    if recipe is not None:
        from seisedge.train.evaluation.probe import probe_folders, text_from_findings

        windows = probe_folders(recipe, paths)
    if as_json:
        plain = msgspec.to_builtins(report) | ({"windows": msgspec.to_builtins(windows)} if recipe else {})
        click.echo(msgspec.json.format(msgspec.json.encode(plain), indent=1).decode())
    else:
        click.echo(text_from_report(report))
        if recipe is not None:
            click.echo("\n" + text_from_findings(recipe, windows))
    if report.faults:
        codes = ", ".join(sorted({fault.code for fault in report.faults}))
        raise FailedError(f"{', '.join(folders)}: must not be used for training until the faults are fixed ({codes})")


command = dataset

"""`seisedge dataset`: build, check and describe training sets. What a command needs is loaded with it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.dataset.plan import Plan, text_from_built

if importlib.util.find_spec("h5py") is None:  # the commands load it when they run: too late for a sentence
    raise ModuleNotFoundError("No module named 'h5py'", name="h5py")

EPILOG = """\b
Examples:
  seisedge dataset build catalogue.xml sds:archive --stations stations.xml -o mine
  seisedge dataset info datasets
  seisedge dataset check datasets --json
"""

DEFAULT = Plan()
DIRS = click.argument("folders", metavar="DIR...", nargs=-1, required=True)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


@click.group(epilog=EPILOG)
def dataset() -> None:
    """Training sets in SeisBench format: from a catalogue and an archive to one that can be trusted."""


@dataset.command()
@click.argument("catalogue", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to make; must not exist.")
@click.option(
    "--stations",
    type=click.Path(path_type=Path),
    multiple=True,
    help="StationXML, a station file (TOML) or a folder of them: positions and gains.",
)
@click.option("--picks", type=click.Path(path_type=Path), help="Picks in CSV: event_id, station, phase, time.")
@click.option("--event-type", default="", metavar="TYPE", help="Of events whose type the catalogue does not give.")
@click.option("--before", default=DEFAULT.before_s, show_default=True, help="Seconds before the onset.")
@click.option("--after", default=DEFAULT.after_s, show_default=True, help="Seconds after the onset.")
@click.option("--noise", default=DEFAULT.noise, show_default=True, help="Noise windows for each window of an event.")
@click.option("--coda", default=DEFAULT.coda_s, show_default=True, help="Seconds after S until a station is quiet.")
@click.option(
    "--travel-times",
    default="iasp91",
    show_default=True,
    metavar="MODEL",
    help="Where there is no pick: iasp91, ak135, prem (obspy's TauP), or the P speed of straight rays in km/s.",
)
@click.option("--refine/--no-refine", default=True, help="Move a computed P to the rise of energy near it.")
@click.option("--max-distance", default=DEFAULT.max_distance_km, show_default=True, help="Kilometres, without a pick.")
@click.option("--unit", type=click.Choice(["counts", "m/s"]), default="counts", show_default=True)
@click.option("--channels", default="", metavar="CODES", help="As EH?,HH? [default: all seismometers].")
@click.option("--licence", default="", metavar="TEXT", help="Of the records, and whom to cite; kept with each.")
@JSON
def build(
    catalogue: Path,
    data: tuple[str, ...],
    out: Path,
    stations: tuple[Path, ...],
    picks: Path | None,
    event_type: str,
    before: float,
    after: float,
    noise: float,
    coda: float,
    travel_times: str,
    refine: bool,
    max_distance: float,
    unit: str,
    channels: str,
    licence: str,
    as_json: bool,
) -> None:
    """A data set from CATALOGUE (QuakeML, or CSV) and DATA: miniSEED files, folders, or sds:DIR.

    CSV has origin_time, latitude, longitude, event_type, and may have depth_km, event_id, magnitude, magnitude_type.
    Windows lie about P picks, else about the P computed from the positions in --stations (marked so), with noise from
    between the events. OUT appears when it is whole.
    """
    for name, value, least in (("--before", before, 1), ("--after", after, 1), ("--noise", noise, 0)):
        if not least <= value < 3600:
            raise InputError(f"{name} {value:g}: must be {least} to 3600")
    if unit == "m/s" and not stations:
        raise InputError("--unit m/s needs gains; give --stations with StationXML or station files")
    import msgspec

    from seisedge.runtime.paths import text_from_path
    from seisedge.train.dataset.build import Builder, sha256_of
    from seisedge.train.dataset.catalogue import events_from
    from seisedge.train.dataset.recordings import Recordings
    from seisedge.train.dataset.stations import Stations
    from seisedge.train.dataset.traveltimes import travel_times_from

    if out.exists():
        raise InputError(f"{out}: is there already; name another folder, or remove it")
    events = events_from(catalogue, picks, event_type)
    plan = Plan(
        before, after, noise, coda, max_distance, unit=unit, channels=tuple(filter(None, channels.split(","))),
        refine=refine, licence=licence,
    )  # fmt: skip
    builder = Builder(plan, Recordings(data), Stations.read(list(stations)), travel_times_from(travel_times))
    source = {"catalogue": text_from_path(catalogue.name), "sha256": sha256_of(catalogue), "events": str(len(events))}
    built = builder.build(events, out, source)
    click.echo(
        msgspec.json.format(msgspec.json.encode(built), indent=1).decode() if as_json else text_from_built(built)
    )


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
@click.option("--recipe", help="Ask also of the windows that this recipe would draw (needs torch).")
@JSON
def check(folders: tuple[str, ...], recipe: str | None, as_json: bool) -> None:
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
        raise FailedError(f"{', '.join(folders)}: not fit for an honest training ({codes})")


command = dataset

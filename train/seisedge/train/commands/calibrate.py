"""`seisedge calibrate`: two values of a station file from its own data.

The station correction, which is added to log10 amplitude before the magnitude model, from catalogued events; and
`noise_threshold` of events, from noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.errors import FailedError, InputError

EPILOG = """\b
Examples:
  seisedge calibrate station.toml --catalogue events.xml sds:archive
  seisedge calibrate station.toml --catalogue events.csv recording.mseed --write
  seisedge calibrate station.toml --noise sds:archive --per-day 1
"""


@click.command("calibrate", epilog=EPILOG)
@click.argument("station", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1)
@click.option("--catalogue", type=click.Path(path_type=Path), help="Catalogue with magnitudes: QuakeML or CSV.")
@click.option("--noise", is_flag=True, help="DATA hold no earthquake: propose [events] noise_threshold.")
@click.option(
    "--per-day",
    type=FiniteRange(min=0),
    default=1.0,
    show_default=True,
    help="With --noise: the false events a day that are allowed.",
)
@click.option(
    "--picks",
    type=click.Path(path_type=Path),
    help="Picks in CSV: event_id, station, phase, time; they take precedence over computed arrivals.",
)
@click.option(
    "--model", "model_file", type=click.Path(path_type=Path),
    help="A magnitude model, with --noise one of event types [default: the model in STATION].",
)  # fmt: skip
@click.option(
    "--stations", type=click.Path(path_type=Path), multiple=True,
    help="Position of the station, if STATION has none, and gains: StationXML or a station file; may be repeated.",
)  # fmt: skip
@click.option(
    "--travel-times", default="iasp91", show_default=True, metavar="MODEL",
    help="Used without a pick: iasp91, ak135, prem (obspy's TauP), or the P speed of straight rays in km/s.",
)  # fmt: skip
@click.option("--write", is_flag=True, help="Write the values into STATION.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write a copy of STATION with the values.")
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    station: Path,
    data: tuple[str, ...],
    catalogue: Path | None,
    noise: bool,
    per_day: float,
    picks: Path | None,
    model_file: Path | None,
    stations: tuple[Path, ...],
    travel_times: str,
    write: bool,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Fit the magnitude correction of STATION (a station file) on catalogued events in DATA, or propose
    noise_threshold, the probability of noise from which on it retracts an event.

    DATA are records of this station: miniSEED files, folders of them, or sds:DIR; with --catalogue also SAC. With
    --catalogue it prints the correction (log10 of amplitude) with its standard error, and the errors of the magnitudes
    when each event is corrected by the fit to all others. With --noise it prints the number of false events by
    noise_threshold, and proposes the built-in default or the first stricter value that keeps few enough. The
    probability is that of the event type and the onset detector together, with STA/LTA that of the event type alone.
    Writes a file only with --write or -o.
    """
    if not data:
        raise InputError("DATA is missing; give records of this station: miniSEED or SAC files, folders or sds:DIR")
    if (catalogue is None) != noise:
        raise InputError("give either --catalogue FILE, for the magnitude correction, or --noise, for noise_threshold")
    if noise and picks is not None:
        raise InputError("--picks belongs to --catalogue; remove it")
    if write and out is not None:
        raise InputError("--write and -o cannot be combined; --write changes STATION, -o writes a copy")
    if out is not None:
        protect_file(out, overwrite)
    from seisedge.train.correction.stationfile import write_values

    if catalogue is None:
        table, values, text = _noise_threshold(station, data, per_day, model_file, stations, as_json)
    else:
        table, values, text = _correction(station, data, catalogue, picks, model_file, stations, travel_times, as_json)
    click.echo(text)
    target = station if write else out
    if target is not None:
        if not values:
            raise FailedError(f"{target}: nothing was written: no value keeps the limit of {per_day:g} a day")
        write_values(station, target, table, values)
        click.echo(f"{target}: {' and '.join(values)} written", err=as_json)


Found = tuple[str, dict[str, str], str]  # table of the station file, its values, and the text to print


def _noise_threshold(
    station: Path,
    data: tuple[str, ...],
    per_day: float,
    model_file: Path | None,
    stations: tuple[Path, ...],
    as_json: bool,
) -> Found:
    """Propose `[events] noise_threshold`. Raises InputError."""
    import msgspec

    from seisedge.runtime.bench.recorded import trial_windows
    from seisedge.runtime.config import load_config
    from seisedge.runtime.inference.infer import Models
    from seisedge.train.correction.noise_threshold import metadata_of, proposal_from, text_from_proposal

    config = load_config(station)
    if model_file is None and config.models.event_type == "none":
        raise InputError(f"{station}: models.event_type is 'none'; give a model with --model")
    wanted = msgspec.structs.replace(config.models, magnitude="none")
    models = Models.load(wanted, (model_file,) if model_file else (), trial_windows)
    if models.magnitude is not None:  # it can only be the file
        raise InputError(f"--model {model_file}: a magnitude model; --noise needs a model of event types")
    proposal = proposal_from(config, data, models, per_day, metadata_of(config, station, stations))
    values = {"noise_threshold": f"{proposal.chosen.noise_threshold:g}"} if proposal.chosen else {}
    return "events", values, _document(proposal) if as_json else text_from_proposal(proposal)


def _correction(
    station: Path,
    data: tuple[str, ...],
    catalogue: Path,
    picks: Path | None,
    model_file: Path | None,
    stations: tuple[Path, ...],
    travel_times: str,
    as_json: bool,
) -> Found:
    """Fit the station correction. Raises InputError, and FailedError for too few usable events."""
    import msgspec

    from seisedge.runtime.bench.recorded import trial_windows
    from seisedge.runtime.config import check_metadata, load_config
    from seisedge.runtime.inference.infer import Models
    from seisedge.train.correction.cuts import EventCutter
    from seisedge.train.correction.result import result_of, text_from_result
    from seisedge.train.dataset.catalogue import events_from
    from seisedge.train.dataset.recordings import Recordings
    from seisedge.train.dataset.stations import Stations
    from seisedge.train.dataset.traveltimes import travel_times_from

    config = load_config(station)
    models = msgspec.structs.replace(config.models, event_type="none")
    if model_file is None and models.magnitude == "none":
        raise InputError(f"{station}: models.magnitude is 'none'; give a model with --model")
    engine = Models.load(models, (model_file,) if model_file else (), trial_windows).magnitude
    if engine is None or engine.card.magnitude is None:
        raise InputError(f"--model {model_file}: not a magnitude model")
    events = events_from(catalogue, picks, "earthquake")
    name = str(config.station_id)
    recordings = Recordings(data, {name.partition(".")[2]: name.partition(".")[0]})
    recorded = {c.station_id for c in recordings.channels()}
    if name not in recorded:
        raise InputError(f"{', '.join(data)}: contains no record of {name}, only of {', '.join(sorted(recorded))}")
    known = Stations.read([station, *stations])
    site = known.site(name, events[0].origin_ns)
    metadata = known.stationxml(name)
    if metadata is not None:
        check_metadata(config, metadata)
    windows = EventCutter(config, recordings, engine.card, site, travel_times_from(travel_times), metadata)
    result = result_of(engine, windows, events)
    if site is not None and 2 * windows.misplaced > len(events):
        raise InputError(
            f"{name}: the P picks of {windows.misplaced} of {len(events)} events do not fit the position of the "
            f"station, {site.latitude_deg:g}, {site.longitude_deg:g}; correct latitude_deg and longitude_deg in "
            f"{station}"
        )
    if result.correction is None:
        why = "; ".join(f"{n} {reason}" for reason, n in result.left_out.items()) or "none left out"
        raise FailedError(
            f"{name}: {result.n_events} of {len(events)} catalogued events can be used; a correction needs at least "
            f"{result.least_events} consistent events ({why})"
        )
    values = {
        "station_correction": f"{result.correction:.3f}",
        "station_correction_error": f"{result.correction_error or 0.0:.3f}",
    }
    return "magnitude", values, _document(result) if as_json else text_from_result(result)


def _document(result: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(result), indent=1).decode()

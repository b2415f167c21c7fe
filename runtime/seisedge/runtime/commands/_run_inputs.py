"""The inputs of a run: station files, StationXML, the source, and the models that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.config import Mode, ModelsConfig, StationConfig
from seisedge.runtime.config.stations import models_of_stations, read_stations
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.stationxml import StationXml


@dataclass(frozen=True, slots=True)
class RunInputs:
    """configs: by station id. where: one URL, or files. models: of the station files, with the engine of --engine."""

    configs: dict[str, StationConfig]
    metadata: StationXml | None
    where: str | list[str]
    models: ModelsConfig


def read_inputs(
    data: tuple[str, ...], urls: tuple[str, ...], stationxml: Path | None, engine: str | None, mode: Mode | None
) -> RunInputs:
    """Read station files and StationXML of the command line. Raises InputError.

    mode: None is that of each station file.
    """
    configs, metadata = read_stations([Path(item) for item in data if item.endswith(".toml")], stationxml)
    files = [item for item in data if not item.endswith(".toml")]
    where = _where(files, urls, list(configs.values()))
    return RunInputs(configs, metadata, where, models_of_stations(configs, engine, mode))


def _where(files: list[str], urls: tuple[str, ...], configs: list[StationConfig]) -> str | list[str]:
    """What to read: one URL, or files."""
    if files and urls:
        raise InputError("give DATA or --source, not both")
    if len(urls) > 1:
        raise InputError("give --source once; for several stations of one server write seedlink://host/NET_STA,NET_STA")
    if not files and not urls:
        urls = tuple(dict.fromkeys(config.source for config in configs if config.source))
        if not urls:
            raise InputError("nothing to read: give DATA, --source URL, or a station file with a source")
        if len(urls) > 1:
            raise InputError(f"the station files name {len(urls)} sources; run one process per source, or use --source")
    return urls[0] if urls else files

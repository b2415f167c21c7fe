"""The inputs of a run: station files, StationXML, the source, and the models that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from seisedge.runtime.config import EngineName, Mode, ModelsConfig, StationConfig, check_metadata, load_config
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
    configs: dict[str, StationConfig] = {}
    for path in (Path(item) for item in data if item.endswith(".toml")):
        config = load_config(path)
        station_id = str(config.station_id)
        if station_id in configs:
            raise InputError(f"{path}: there is already a station file for {station_id}; give one per station")
        configs[station_id] = config
    metadata = StationXml.read(stationxml) if stationxml is not None else None
    if metadata is not None:
        for config in configs.values():
            check_metadata(config, metadata)
    files = [item for item in data if not item.endswith(".toml")]
    where = _where(files, urls, list(configs.values()))
    models = _models_of(configs)
    stations = list(configs.values()) or [StationConfig()]
    has_detector = models.onset != "none"
    if all(c.trigger.kind_in(mode or c.mode, has_detector=has_detector) == "sta-lta" for c in stations):
        models = msgspec.structs.replace(models, onset="none")  # no station uses it
    if engine is not None:
        models = msgspec.structs.replace(models, engine=cast("EngineName", engine))
    return RunInputs(configs, metadata, where, models)


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


def _models_of(configs: dict[str, StationConfig]) -> ModelsConfig:
    """The models of all station files. Raises InputError if they differ: a process loads one set of models."""
    wanted = {station_id: config.models for station_id, config in configs.items()}
    first = next(iter(wanted), "")
    for station_id, models in wanted.items():
        if models != wanted[first]:
            raise InputError(f"{first} and {station_id} have different models; run one process per set of models")
    return wanted.get(first, ModelsConfig())

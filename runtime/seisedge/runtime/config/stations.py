"""The station files of a run: by station, with StationXML, and with the models that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec

from seisedge.runtime.config.file import check_metadata, load_config
from seisedge.runtime.config.settings import EngineName, Mode, ModelsConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.stationxml import StationXml


def read_stations(
    files: Sequence[Path], stationxml: Path | None = None
) -> tuple[dict[str, StationConfig], StationXml | None]:
    """Station files by station id, and the StationXML file for all of them. Raises InputError."""
    configs: dict[str, StationConfig] = {}
    for path in files:
        config = load_config(path)
        station_id = str(config.station_id)
        if station_id in configs:
            raise InputError(f"{path}: there is already a station file for {station_id}; give one per station")
        configs[station_id] = config
    metadata = StationXml.read(stationxml) if stationxml is not None else None
    if metadata is not None:
        for config in configs.values():
            check_metadata(config, metadata)
    return configs, metadata


def models_of_stations(
    configs: Mapping[str, StationConfig], engine: str | None = None, mode: Mode | None = None
) -> ModelsConfig:
    """The models of all station files; without an onset detector where no station uses it.

    engine, mode: take precedence over the station files; None: theirs. Raises InputError if the models of two station
    files differ: a process loads one set of models.
    """
    wanted = {station_id: config.models for station_id, config in configs.items()}
    first = next(iter(wanted), "")
    for station_id, models in wanted.items():
        if models != wanted[first]:
            raise InputError(f"{first} and {station_id} have different models; run one process per set of models")
    models = wanted.get(first, ModelsConfig())
    stations = list(configs.values()) or [StationConfig()]
    has_detector = models.onset != "none"
    if all(c.trigger.kind_in(mode or c.mode, has_detector=has_detector) == "sta-lta" for c in stations):
        models = msgspec.structs.replace(models, onset="none")  # no station uses it
    if engine is not None:
        models = msgspec.structs.replace(models, engine=cast("EngineName", engine))
    return models

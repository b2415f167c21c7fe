"""One run of `seisedge archive`: from places and settings to an output folder."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.compute as pc

from seisedge.runtime.archive.inputs import Inputs, LocalFiles, find_inputs
from seisedge.runtime.archive.output import (
    Manifest,
    Output,
    Settings,
    difference,
    event_files,
    models_of,
    settings_digest,
)
from seisedge.runtime.archive.plan import Range, StationPlan, plan_stations
from seisedge.runtime.archive.pool import Metadata, Pool
from seisedge.runtime.archive.progress import Progress
from seisedge.runtime.archive.schedule import StationSchedule, Totals, run_schedule
from seisedge.runtime.archive.table import SCHEMA, read_tables, utc_now
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.config import StationConfig, settings_of
from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.station.channels import metadata_of
from seisedge.runtime.station.state import STATE_VERSION

UNCALIBRATED = "uncalibrated"  # the remark of an event whose station has no known gain
PACKAGES = ("dask", "distributed", "fsspec", "numpy", "onnxruntime", "pyarrow", "pymseed", "seisedge")


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """Choices of the command line. unit: as `1d`. retry: analyse only units that have failed, and missing ones."""

    out: Path
    data: tuple[str, ...]
    stations: tuple[str, ...] = ()
    unit: str = "1d"
    unit_ns: int = 86_400_000_000_000
    wanted: Range = field(default_factory=Range)
    start: str | None = None
    end: str | None = None
    revisions: bool = False
    retry: bool = False


class ArchiveRun:
    """Plans and runs; progress is shown from the first unit on.

    configs: by station id; empty: the default settings for each station. metadata: of --stationxml.
    """

    def __init__(
        self,
        options: ArchiveOptions,
        models: Models,
        configs: Mapping[str, StationConfig],
        metadata: StationXml | None,
        local: LocalFiles,
    ) -> None:
        self.options, self.models, self.local = options, models, local
        self.inputs = find_inputs(options.data, stations=options.stations, local=local)
        self.without_settings = self._drop_unknown(configs, metadata)
        self.metadata: Metadata = {"": metadata}
        plain: dict[str, StationConfig] = {}
        by_station: dict[str, StationXml | None] = {"": metadata}
        for station_id in self.inputs.files:
            config = configs.get(station_id, StationConfig())
            by_station[station_id] = metadata if metadata is not None else metadata_of(config)
            if config.station is not None:  # workers have no such file: they receive its content
                config = msgspec.structs.replace(
                    config, station=msgspec.structs.replace(config.station, stationxml=None)
                )
            plain[station_id] = config
        self.metadata = by_station
        self.plans = plan_stations(self.inputs.files, plain, options.unit_ns, options.wanted)
        if not self.plans:
            raise DataError(f"no data {_range_text(options)}: {_span_text(self.inputs)}")
        self.station_settings: dict[str, Any] = {}  # by digest
        self.settings = self._settings(plain)
        self.totals = Totals()

    def _drop_unknown(self, configs: Mapping[str, StationConfig], metadata: StationXml | None) -> dict[str, str]:
        """Remove stations without a station file or metadata, where others have one; returns the reasons."""
        reasons: dict[str, str] = {}
        for station_id in list(self.inputs.files):
            if configs and station_id not in configs:
                reasons[station_id] = "no station file names it"
            elif metadata is not None and station_id not in configs and not metadata.contains(station_id):
                reasons[station_id] = f"it is not in {metadata.path}"
        for station_id in reasons:
            del self.inputs.files[station_id]
        if not self.inputs.files:
            first = min(reasons)
            raise DataError(f"no station of the data can be analysed: {first}: {reasons[first]}")
        return reasons

    def _settings(self, configs: Mapping[str, StationConfig]) -> Settings:
        options = self.options
        stations = {}
        for plan in self.plans:
            xml = self.metadata.get(plan.station_id)
            epochs = xml.station(plan.station_id) if xml is not None else ()
            config = configs[plan.station_id]
            used = config.mode, settings_of(config), epochs
            digest = stations[plan.station_id] = settings_digest(used)
            names = ("mode", "settings", "metadata")
            self.station_settings[digest] = dict(zip(names, msgspec.to_builtins(used), strict=True))
        return Settings(
            models_of(self.models.engines), options.unit, options.start, options.end, options.revisions, stations,
            importlib.metadata.version("seisedge"), STATE_VERSION,
        )  # fmt: skip

    def run(self, pool: Callable[[], Pool], progress: Progress) -> Manifest:
        """Analyse what is missing. Raises InputError for an output of other settings."""
        output = Output(self.options.out)
        with output.opened():
            before = output.manifest()
            if before is not None and (why := difference(before.settings, self.settings)) is not None:
                raise InputError(f"{self.options.out}: was made with {why}; choose another folder")
            failures = {(f.station, f.unit): f for f in before.failures} if before is not None else {}
            stations = [
                StationSchedule(plan, output, self.totals, self.models, revisions=self.options.revisions)
                for plan in self.plans
            ]
            for station in stations:
                station.resume(failures, retry=self.options.retry)
            workers = None if all(station.finished for station in stations) else pool()  # before anything is written
            try:
                manifest = self._manifest(output, before)
                output.write_manifest(manifest)
                if workers is not None:
                    run_schedule(stations, workers, progress.update)
            finally:
                if workers is not None:
                    workers.close()
            progress.end()
            self._complete(output, manifest)
        return manifest

    def _manifest(self, output: Output, before: Manifest | None) -> Manifest:
        files = self.inputs.all_files()
        digest = output.write_inputs(files)
        settings, of_stations = self.settings, self.station_settings
        if before is not None:  # stations of an earlier run over other data stay
            settings = msgspec.structs.replace(settings, stations=before.settings.stations | settings.stations)
            of_stations = before.station_settings | of_stations
        return Manifest(
            schema=SCHEMA,
            status="running",
            created=before.created if before is not None else utc_now(),
            finished=None,
            settings=settings,
            software={"python": platform.python_version()} | _versions(),
            data=list(self.options.data),
            inputs={"files": len(files), "bytes": sum(file.size for file in files), "sha256": digest},
            counts={},
            failures=list(before.failures) if before is not None else [],
            unusable=self.inputs.unusable | self.without_settings,
            station_settings=of_stations,
        )

    def _complete(self, output: Output, manifest: Manifest) -> None:
        """Write the manifest of the end."""
        planned = {plan.station_id for plan in self.plans}
        failures = [failure for failure in manifest.failures if failure.station not in planned]  # of other data
        failures += self.totals.failures
        manifest.failures = sorted(failures, key=lambda failure: (failure.station, failure.unit))
        manifest.finished = utc_now()
        manifest.status = "incomplete" if manifest.failures else "complete"
        files = event_files(output.folder)
        table = read_tables(files, ["type", "quality"])
        remarks = pc.value_counts(pc.list_flatten(table["quality"])).to_pylist()
        types = pc.value_counts(table["type"]).to_pylist()
        manifest.counts = {
            "stations": len({path.parent.name for path in files}),
            "units": len(files),
            "failed": len(manifest.failures),
            "events": table.num_rows,
            "uncalibrated": next((entry["counts"] for entry in remarks if entry["values"] == UNCALIBRATED), 0),
            "left_out": dict(self.totals.left_out.most_common()),
            "types": {str(entry["values"]): entry["counts"] for entry in sorted(types, key=lambda e: str(e["values"]))},
        }
        output.write_manifest(manifest)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # of another distribution's name
            continue
    return found


def _range_text(options: ArchiveOptions) -> str:
    parts = [f"{word} {time}" for word, time in (("from", options.start), ("before", options.end)) if time is not None]
    return " ".join(parts)


def _span_text(inputs: Inputs) -> str:
    files = [file for of_station in inputs.files.values() for file in of_station]
    low = min(file.low_ns if file.day_ns is None else file.day_ns for file in files)
    high = max(file.high_ns for file in files)
    return f"the data of {len(inputs.files)} station(s) begin at {iso_from_ns(low)} and end by {iso_from_ns(high)}"


def plans_text(plans: Sequence[StationPlan]) -> str:
    """How many stations and units."""
    return f"{len(plans)} station(s), {sum(map(len, plans))} unit(s)"

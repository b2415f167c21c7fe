"""The parts of a run besides its loop: outputs, state and monitoring. Optional parts are imported only if used."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from seisedge.runtime.commands._console import Console
from seisedge.runtime.config import SinksConfig, StationConfig
from seisedge.runtime.errors import FailedError, InputError, SeisedgeError
from seisedge.runtime.files import OWNER_ONLY
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.notify import Notifier
from seisedge.runtime.paths import text_from_path, text_of_message
from seisedge.runtime.records.codes import location_from_text
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.service.dead_letters import DeadLetters
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.in_progress import InProgress
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._holding import Holding
from seisedge.runtime.sinks.jsonl import EventsFile, JsonLinesFile
from seisedge.runtime.sources import Source
from seisedge.runtime.station.channels import metadata_of
from seisedge.runtime.urls import shown_url

if TYPE_CHECKING:
    from seisedge.runtime.page.page import Page
    from seisedge.runtime.service.metrics import MetricsServer
    from seisedge.runtime.sinks._dead_letters import SinkDeadLetters
    from seisedge.runtime.sinks._drain import Drain
    from seisedge.runtime.sinks._mqtt_messages import Documents
    from seisedge.runtime.snippets import Recorder
    from seisedge.runtime.station.station import Station


STATION_SCHEMA = "seisedge.station/1"


class Outputs:
    """The sinks of a run.

    With a state folder all of them receive lines through the journal's outbox. Without one, the sinks of the station
    files and, in a live run, `--events` have an outbox in memory. The others receive lines directly: the terminal, and
    `--events` if the source waits for it (back_pressure), which then writes as fast as lines come.
    """

    def __init__(
        self,
        journal: BaseJournal,
        shown: Sink,
        events: Path | None,
        configs: Sequence[StationConfig],
        models: Models,
        *,
        back_pressure: bool = True,
        documents: Documents | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._journal = journal
        self._recorder = recorder
        self._file: Holding | None = None
        self._events: Drain | None = None
        file_mode = int(configs[0].journal.file_mode, 8) if configs else OWNER_ONLY
        drained = events if journal.folder is not None or not back_pressure else None
        self.drains: list[Drain] = []
        self._dead_letters: SinkDeadLetters | None = None
        self.stations: Mapping[str, Station] = {}  # of the loop, once it exists
        self._configs = {str(config.station_id): config for config in configs}
        self.direct: list[Sink] = []
        if journal.folder is None:
            if events is not None and drained is None:
                self._file = Holding(EventsFile(events, file_mode=file_mode), text_from_path(events))
            self.direct = [sink for sink in (self._file, shown) if sink is not None]
        if journal.folder is None and drained is None and not has_sinks(configs):
            self._start(recorder)
            return
        from seisedge.runtime.sinks._build import Context, build_drains
        from seisedge.runtime.sinks._dead_letters import SinkDeadLetters
        from seisedge.runtime.sinks._drain import Drain

        if journal.folder is not None:
            self.drains.append(Drain(shown, "standard output", journal.outbox, owned=False))
        if drained is not None:
            name = f"jsonl {text_from_path(drained.resolve())}"
            kind = EventsFile if journal.folder is None else JsonLinesFile
            file = kind(drained, file_mode=file_mode)
            self._events = Drain(file, name, journal.outbox)
            self.drains.append(self._events)
        context = Context(models.scale_remarks, self._channel_of, documents)
        self.drains += build_drains(configs, journal.outbox, context)
        self._dead_letters = (
            SinkDeadLetters(journal.folder, file_mode=journal.file_mode) if journal.folder is not None else None
        )
        if recorder is not None:
            self.drains += recorder.drains(journal.outbox)
        for drain in self.drains:
            drain.dead_letters = self._dead_letters
            drain.start()
        self._start(recorder)

    def _start(self, recorder: Recorder | None) -> None:
        if recorder is not None:
            recorder.start()

    def _channel_of(self, station_id: str, code: str) -> tuple[str, str] | None:
        """Location and code of a channel in use ('': the vertical); before data have arrived, by the station file."""
        station = self.stations.get(station_id)
        if station is not None:
            for sensor, codes in (station.channels.seismometer.state(), station.channels.accelerometer.state()):
                used = code if code in codes.values() else "" if code else codes.get("Z", "")
                if sensor is not None and used:
                    return sensor[0], used
        config = self._configs.get(station_id)
        if config is None or config.station is None or not config.station.location:
            return None
        used = code or next((name for name in config.channels if name[-1] == "Z"), "")
        return (location_from_text(config.station.location), used) if used else None

    def close(self, within_s: float) -> None:
        if self._file is not None:
            self._file.close()
        until_s = time.monotonic() + within_s
        for drain in self.drains:
            drain.close(max(until_s - time.monotonic(), 0.1))
        if self._recorder is not None:
            self._recorder.close()
        self._journal.save_places()
        for drain in self.drains:
            drain.report_undelivered()
        self._journal.close()

    def check(self) -> None:
        """Raises FailedError if a file of `--events` lacks lines that no outbox keeps, once the run has ended."""
        if self._file is not None:
            self._file.check()
        drain = self._events
        if drain is not None and drain.waiting and self._journal.folder is None:
            raise FailedError(f"{drain.name}: {drain.waiting} event lines could not be written")

    def summarise(self, console: Console) -> None:
        """Print what the sinks and archives have not received, to standard error."""
        for drain in self.drains:
            counts = (
                (drain.counters.refused, "lines refused by"),
                (drain.counters.undecodable, "damaged lines, not delivered to"),
                (drain.waiting, "lines not delivered (see the log) to"),
            )
            for count, what in counts:
                if count:
                    console.say(f"  {what} {drain.name}: {count}")
        for folder, archive in self._recorder.archives.items() if self._recorder is not None else ():
            for count, what in (
                (archive.counters.dropped, "records dropped before they were written to"),
                (archive.waiting_bytes, "bytes of records not written (see the log) to"),
            ):
                if count:
                    console.say(f"  {what} archive {text_from_path(folder)}: {count}")
        if self._dead_letters is not None and any(drain.dead_lettered for drain in self.drains):
            console.say(f"  these lines are in {text_from_path(self._dead_letters.path)}")


class Operation:
    """Monitoring of a run: health, metrics, systemd's watchdog, dead letters."""

    def __init__(
        self,
        journal: BaseJournal,
        source: Source,
        metrics: str | None,
        console: Console,
        configs: Sequence[StationConfig] = (),
        page: tuple[str, str] | None = None,
        events: Path | None = None,
    ) -> None:
        """metrics: its address; page: the setting that states its address, and the address; None: no metrics, no page.

        events: file of earlier events, for the page.
        """
        self._notifier = Notifier()
        self._server: MetricsServer | None = None
        self.health = Health(self._notifier)
        self.health.source, self.health.journal, self.health.streams = source, journal, console.streams
        source.on_repeated = self.health.arrivals.note_repeated
        self._watch: InProgress | None = None
        if journal.folder is not None:
            source.on_bad_record = self.health.dead_letters = DeadLetters(
                journal.folder, source.url, file_mode=journal.file_mode
            )
            source.watch = self._watch = InProgress(journal.folder, journal.file_mode)
        self.page: Page | None = None
        if page is not None:
            from seisedge.runtime.page.opening import open_page

            setting, listen = page
            self.page = open_page(self.health, listen, configs, metrics, events=events, setting=setting)
        if metrics is not None and (self.page is None or not self.page.settings.metrics):
            from seisedge.runtime.service.metrics import MetricsServer, address_from_text

            try:
                self._server = MetricsServer(self.health, address_from_text(metrics))
            except SeisedgeError:
                self._close_servers()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        foreseen = kind is None or issubclass(kind, SeisedgeError | KeyboardInterrupt)
        if self._watch is not None and foreseen:
            self._watch.close()
        self._close_servers()
        self._notifier.close()

    def _close_servers(self) -> None:
        for server in (self.page, self._server):
            if server is not None:
                server.close()

    def watch(self, loop: Loop, models: Models, drains: list[Drain], recorder: Recorder | None, source: Source) -> None:
        if recorder is not None:
            recorder.watch(source)
        self.health.models, self.health.recorder = models, recorder
        self.health.report, self.health.backlog, self.health.drains = loop.report, loop.backlog, drains
        if self.page is not None:
            self.page.log_address()

    def stopping(self) -> None:
        self._notifier.stopping()


def open_journal(state: Path | None, where: str | Sequence[str], configs: list[StationConfig]) -> BaseJournal:
    """The journal of `--state`, else of the station files' state folder, else one in memory."""
    folders = [state] if state is not None else list(dict.fromkeys(Path(c.state) for c in configs if c.state))
    if len(folders) > 1:
        raise InputError(
            f"the station files name {len(folders)} state folders; run one process per folder, or use --state"
        )
    source = text_from_path(shown_url(where) if isinstance(where, str) else ",".join(map(shown_url, where)))
    if not folders:
        return MemoryJournal(source)
    from seisedge.runtime.journal.journal import Journal

    return Journal(folders[0], source, configs[0].journal if configs else None)


def open_recorder(configs: Mapping[str, StationConfig], journal: BaseJournal) -> Recorder | None:
    """What keeps the records; None if no station file has [snippets] or [archive]. Raises InputError."""
    if not any(config.snippets or config.archive for config in configs.values()):
        return None
    from seisedge.runtime.snippets import Recorder

    recorder = Recorder(configs, journal.resume)
    journal.held_from = recorder.held_from
    return recorder


def documents_of(
    configs: Sequence[StationConfig], models: Models, source: Source, health: Health, metadata: StationXml | None
) -> Documents | None:
    """The documents about the stations, for MQTT; None where no station file has it."""
    if not any(config.sinks.mqtt is not None for config in configs):
        return None
    from seisedge.runtime.sinks._mqtt_messages import Documents

    software = f"seisedge {version('seisedge')}"
    engines = [
        {"task": one.card.task, "name": one.card.name, "sha256": one.sha256, "engine": one.name}
        | {"precision": one.card.precision}
        for one in models.engines
    ]
    described = {
        str(config.station_id): {
            "schema": STATION_SCHEMA,
            "station": config.station_id,
            **_place_of(config, metadata),
            "source": text_of_message(source.url),
            "software": software,
            "models": engines,
        }
        for config in configs
    }
    return Documents(described.__getitem__, health.station_document)


def _place_of(config: StationConfig, metadata: StationXml | None) -> dict[str, float]:
    """Position and elevation by the station file, else by StationXML; without what neither contains."""
    station, station_id = config.station, str(config.station_id)
    metadata = metadata or metadata_of(config)
    latitude_deg, longitude_deg = (metadata.position(station_id) if metadata is not None else None) or (None, None)
    elevation_m = metadata.elevation_m(station_id) if metadata is not None else None
    if station is not None:
        if station.latitude_deg is not None and station.longitude_deg is not None:
            latitude_deg, longitude_deg = station.latitude_deg, station.longitude_deg
        elevation_m = elevation_m if station.elevation_m is None else station.elevation_m
    found = {"latitude_deg": latitude_deg, "longitude_deg": longitude_deg, "elevation_m": elevation_m}
    return {key: value for key, value in found.items() if value is not None}


def has_sinks(configs: Sequence[StationConfig]) -> bool:
    """True if a station file names a sink, an alert or snippets."""
    return any(config.sinks != SinksConfig() or config.alerts or config.snippets for config in configs)

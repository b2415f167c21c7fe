"""The parts of a run besides its loop: outputs, state and monitoring. Optional parts are imported only if used."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from seisedge.runtime.config import SinksConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.service.dead_letters import DeadLetters
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.notify import Notifier
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks.jsonl import JsonLinesFile, JsonLinesSink
from seisedge.runtime.sources import Source
from seisedge.runtime.urls import shown_url

if TYPE_CHECKING:
    from seisedge.runtime.service.metrics import MetricsServer
    from seisedge.runtime.sinks._drain import Drain


def log_to_stdout() -> None:
    """Write the log to standard output, with the readable lines; not used if JSON lines go there."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setStream(sys.stdout)


class Outputs:
    """The sinks of a run: terminal and `--events` directly or, with a state folder, through the journal's outbox.

    The sinks of the station files always receive lines through an outbox; without a state folder it is in memory.
    """

    def __init__(
        self,
        journal: BaseJournal,
        shown: Sink,
        events: Path | None,
        configs: Sequence[StationConfig],
        models: Models,
    ) -> None:
        self._journal = journal
        self._file: Sink | None = None
        self.drains: list[Drain] = []
        self.direct: list[Sink] = []
        if journal.folder is None:
            self._file = JsonLinesSink.to_file(events) if events is not None else None
            self.direct = [sink for sink in (self._file, shown) if sink is not None]
        if journal.folder is None and not _has_sinks(configs):
            return
        from seisedge.runtime.sinks._build import build_drains
        from seisedge.runtime.sinks._drain import Drain

        if journal.folder is not None:
            self.drains.append(Drain(shown, "standard output", journal.outbox, owned=False))
            if events is not None:
                name = f"jsonl {text_from_path(events.resolve())}"
                self.drains.append(Drain(JsonLinesFile(events), name, journal.outbox))
        self.drains += build_drains(configs, journal.outbox, models.scale_remarks)
        for drain in self.drains:
            drain.start()

    def close(self, within_s: float) -> None:
        if self._file is not None:
            self._file.close()
        until_s = time.monotonic() + within_s
        for drain in self.drains:
            drain.close(max(until_s - time.monotonic(), 0.1))
        self._journal.save_places()
        self._journal.close()


class Operation:
    """Monitoring of a run: health, metrics, systemd's watchdog, dead letters."""

    def __init__(self, journal: BaseJournal, source: Source, metrics: str | None) -> None:
        self._source = source
        self._notifier = Notifier()
        self._server: MetricsServer | None = None
        self.health = Health(self._notifier)
        self.health.source, self.health.journal = source, journal
        if journal.folder is not None:
            source.on_bad_record = self.health.dead_letters = DeadLetters(journal.folder, source.url)
        if metrics is not None:
            from seisedge.runtime.service.metrics import MetricsServer, address_from_text

            self._server = MetricsServer(self.health, address_from_text(metrics))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._notifier.close()

    def watch(self, loop: Loop, models: Models, drains: list[Drain]) -> None:
        self.health.models = models
        self.health.report, self.health.backlog, self.health.drains = loop.report, loop.backlog, drains

    def ready(self) -> None:
        self._notifier.ready(f"reading {self._source.url}")

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


def _has_sinks(configs: Sequence[StationConfig]) -> bool:
    return any(config.sinks != SinksConfig() for config in configs)

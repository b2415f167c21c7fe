"""What a run is besides its loop: where lines go, what is remembered, who watches; each loaded where asked for."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from seisedge.runtime.config import SinksConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks.jsonl import JsonLinesFile, JsonLinesSink
from seisedge.runtime.sources import Source

if TYPE_CHECKING:
    from seisedge.runtime.journal.journal import Journal
    from seisedge.runtime.service.dead_letters import DeadLetters
    from seisedge.runtime.service.health import Health
    from seisedge.runtime.service.metrics import MetricsServer
    from seisedge.runtime.service.notify import Notifier
    from seisedge.runtime.sinks._drain import Drain


def log_to_stdout() -> None:
    """The log of a service is on standard output, where whoever runs it looks; not where JSON lines are there."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setStream(sys.stdout)


class Outputs:
    """Where lines go: straight to the terminal and to `--events`, or, with a state, by way of the journal's outbox.

    The sinks of the station files always go by way of an outbox, which without a state is in memory.
    """

    def __init__(
        self,
        journal: Journal | None,
        shown: Sink,
        events: Path | None,
        configs: Sequence[StationConfig],
        models: Models,
    ) -> None:
        self._journal = journal
        self._file: Sink | None = None
        self.drains: list[Drain] = []
        self.direct: list[Sink] = []
        if journal is None or journal.folder is None:
            self._file = JsonLinesSink.to_file(events) if events is not None else None
            self.direct = [sink for sink in (self._file, shown) if sink is not None]
        if journal is None:
            return
        from seisedge.runtime.sinks._build import build_drains
        from seisedge.runtime.sinks._drain import Drain

        if journal.folder is not None:
            self.drains.append(Drain(shown, "standard output", journal, owned=False))
            if events is not None:
                self.drains.append(Drain(JsonLinesFile(events), f"jsonl {text_from_path(events.resolve())}", journal))
        self.drains += build_drains(configs, journal, models.scale_remarks)
        for drain in self.drains:
            drain.start()

    def close(self, within_s: float) -> None:
        if self._file is not None:
            self._file.close()
        until_s = time.monotonic() + within_s
        for drain in self.drains:
            drain.close(max(until_s - time.monotonic(), 0.1))
        if self._journal is not None:
            self._journal.save_places()
            self._journal.close()


class Operation:
    """What a service needs: health, metrics, the watchdog, dead letters. Nothing where it is asked for nothing."""

    def __init__(self, journal: Journal | None, source: Source, metrics: str | None) -> None:
        self.health: Health | None = None
        self._server: MetricsServer | None = None
        self._notifier: Notifier | None = None
        self._source = source
        if journal is not None and journal.folder is not None:
            from seisedge.runtime.service.dead_letters import DeadLetters

            source.on_bad_record = DeadLetters(journal.folder, source.url)
        if metrics is None and "NOTIFY_SOCKET" not in os.environ:
            return
        from seisedge.runtime.service.health import Health
        from seisedge.runtime.service.notify import Notifier

        self._notifier = Notifier()
        self.health = Health(self._notifier)
        self.health.source, self.health.journal = source, journal
        self.health.dead_letters = cast("DeadLetters | None", source.on_bad_record)
        if metrics is not None:
            from seisedge.runtime.service.metrics import MetricsServer, address_from_text

            self._server = MetricsServer(self.health, address_from_text(metrics))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        if self._notifier is not None:
            self._notifier.close()

    def watch(self, loop: Loop, models: Models, drains: list[Drain]) -> None:
        if self.health is not None:
            self.health.models = models
            self.health.report, self.health.backlog, self.health.drains = loop.report, loop.backlog, drains

    def ready(self) -> None:
        if self._notifier is not None:
            self._notifier.ready(f"reading {self._source.url}")

    def stopping(self) -> None:
        if self._notifier is not None:
            self._notifier.stopping()


def open_journal(state: Path | None, where: str | Sequence[str], configs: list[StationConfig]) -> Journal | None:
    """The journal of `--state`, else of the station files; None where there is nothing to remember or to hand on."""
    folders = [state] if state is not None else list(dict.fromkeys(Path(c.state) for c in configs if c.state))
    if len(folders) > 1:
        raise InputError(f"the station files name {len(folders)} state folders; run one process a folder, or --state")
    if not folders and all(config.sinks == SinksConfig() for config in configs):
        return None
    from seisedge.runtime.journal.journal import Journal

    settings = configs[0].journal if configs else None
    source = text_from_path(where if isinstance(where, str) else ",".join(where))
    return Journal(folders[0] if folders else None, source, settings)

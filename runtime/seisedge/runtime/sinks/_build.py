"""Builds drains from the station files; stations with the same sink settings share one sink."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seisedge.runtime.config import (
    AlertConfig,
    JsonLinesConfig,
    MqttConfig,
    QuakeMLConfig,
    StationConfig,
    WebhookConfig,
    header_secret,
    secret,
)
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.sinks._base import Sink
from seisedge.runtime.sinks._conditions import Filter
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.urls import url_key

if TYPE_CHECKING:
    from seisedge.runtime.sinks._mqtt_messages import Documents
    from seisedge.runtime.sinks.quakeml import ChannelNames


@dataclass(frozen=True, slots=True)
class Context:
    """What sinks need besides their settings. scale_remarks, channel_of: see QuakeMLSink. documents: see MqttSink."""

    scale_remarks: Mapping[str, str] = field(default_factory=dict)
    channel_of: ChannelNames | None = None
    documents: Documents | None = None


SinkConfig = JsonLinesConfig | QuakeMLConfig | WebhookConfig | MqttConfig | AlertConfig


def _jsonl(config: JsonLinesConfig, _stations: list[str], _context: Context) -> tuple[Sink, str]:
    from seisedge.runtime.sinks.jsonl import JsonLinesFile

    path = Path(config.path)
    file_mode = int(config.file_mode, 8)
    return JsonLinesFile(
        path, max_mb=config.max_mb, keep_files=config.keep_files, file_mode=file_mode
    ), f"jsonl {text_from_path(path.resolve())}"


def _quakeml(config: QuakeMLConfig, _stations: list[str], context: Context) -> tuple[Sink, str]:
    from seisedge.runtime.sinks.quakeml import QuakeMLSink

    folder = Path(config.folder)
    sink = QuakeMLSink(
        folder,
        config.authority,
        context.scale_remarks,
        channel_of=context.channel_of,
        file_mode=int(config.file_mode, 8),
        keep_days=config.keep_days,
    )
    return sink, f"quakeml {text_from_path(folder.resolve())}"


def _webhook(config: WebhookConfig, _stations: list[str], _context: Context) -> tuple[Sink, str]:
    from seisedge.runtime.sinks.webhook import WebhookSink

    token = header_secret(config.token_file, "SEISEDGE_WEBHOOK_TOKEN")
    return WebhookSink(config.url, token=token, timeout_s=config.timeout_s), f"webhook {url_key(config.url)}"


def _mqtt(config: MqttConfig, stations: list[str], context: Context) -> tuple[Sink, str]:
    from seisedge.runtime.sinks.mqtt import MqttSink

    password = secret(config.password_file, "SEISEDGE_MQTT_PASSWORD")
    return MqttSink(
        config, stations, password, documents=context.documents
    ), f"mqtt {config.host}:{config.port}/{config.topic}"


def _alert(config: AlertConfig, _stations: list[str], _context: Context) -> tuple[Sink, str]:
    from seisedge.runtime.sinks.alerts import AlertSink, key_of

    return AlertSink(config), key_of(config)


# Each imports only the module that it needs.
BUILDERS: dict[type, Callable[[Any, list[str], Context], tuple[Sink, str]]] = {
    JsonLinesConfig: _jsonl,
    QuakeMLConfig: _quakeml,
    WebhookConfig: _webhook,
    MqttConfig: _mqtt,
    AlertConfig: _alert,
}


def sinks_named(configs: Iterable[StationConfig]) -> dict[SinkConfig, list[str]]:
    """The sinks of all station files, each with the ids of the stations that use it."""
    named: dict[SinkConfig, list[str]] = {}
    for config in configs:
        sinks = config.sinks
        for sink in (sinks.jsonl, sinks.quakeml, sinks.webhook, sinks.mqtt, *config.alerts):
            if sink is not None:
                named.setdefault(sink, []).append(str(config.station_id))
    return named


def build_drains(configs: Iterable[StationConfig], outbox: Outbox, context: Context) -> list[Drain]:
    """One drain per sink, not yet started. Raises InputError if a sink cannot be opened."""
    built = [
        (config, stations, *BUILDERS[type(config)](config, stations, context))
        for config, stations in sinks_named(configs).items()
    ]
    names = [name for *_, name in built]
    drains = []
    for config, stations, sink, name in built:
        if names.count(name) > 1:  # one destination with different settings, each of which has its own place
            name = f"{name} ({', '.join(stations)})"
        drains.append(
            Drain(
                sink,
                name,
                outbox,
                stations=frozenset(stations),
                hops=isinstance(config, JsonLinesConfig),
                wanted=Filter(config, name).passes
                if isinstance(config, QuakeMLConfig | WebhookConfig | MqttConfig)
                else None,
            )
        )
    return drains

"""`seisedge config check --connect`: does everything that a station file names work, now and from this machine?

Nothing is stored, and no event is sent. The source is read for a while, as a run would do; sinks are connected.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from seisedge.runtime.addresses import is_loopback
from seisedge.runtime.clock import NS_PER_S, duration_text
from seisedge.runtime.commands.doctor import clock_synchronised
from seisedge.runtime.config import (
    AlertConfig,
    MqttConfig,
    PageConfig,
    StationConfig,
    WebhookConfig,
    header_secret,
    secret,
)
from seisedge.runtime.errors import SeisedgeError
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.sources import LinkState, Source, open_source
from seisedge.runtime.station.scale import Scale
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.urls import shown_url

Level = Literal["ok", "warning", "fault"]

CONNECT_S = 10.0  # for the source
OLD_S = 300.0  # newest sample of a live stream: an older one is reported
FUTURE_S = 5.0
EARLIEST_CLOCK_S = 1_735_689_600  # 2025-01-01: a clock before this release was never set
TEST_SCHEMA = "seisedge.test/1"


@dataclass(frozen=True, slots=True)
class Row:
    """One result. subject: what was checked."""

    level: Level
    subject: str
    text: str


@dataclass(slots=True)
class _Seen:
    """What has arrived of one channel."""

    packets: int = 0
    rate_hz: float = 0.0
    newest_ns: int = 0
    used: bool = False


@dataclass(slots=True)
class _Arrived:
    """What a source has sent while it was read."""

    channels: dict[SourceId, _Seen] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)  # other stations


def connection_rows(config: StationConfig, source: str | None, *, seconds: float, send_test: bool) -> Iterator[Row]:
    """Check clock, source, page and sinks of a station file that was read without a fault.

    source: takes precedence over that of the station file. seconds: how long the source is read.
    send_test: also deliver a test message to the sinks that take one.
    """
    yield _clock_row()
    url = source or config.source
    if url is None:
        yield Row("warning", "source", "the station file names none; give --source")
    else:
        yield from _source_rows(config, url, seconds)
    if (listen := config.page.listen) is not None:
        yield _reached("page", lambda: _page_text(config.page, listen))
    yield from _sink_rows(config, send_test)


def _clock_row() -> Row:
    if time.time() < EARLIEST_CLOCK_S:
        return Row("fault", "clock", "the clock of this machine is before 2025; set it, for example by NTP")
    synchronised = clock_synchronised()
    if synchronised is None:
        return Row("warning", "clock", "timedatectl does not report whether the clock is synchronised")
    if not synchronised:
        return Row(
            "warning", "clock", "the clock of this machine is not synchronised; ages and latencies will be wrong"
        )
    return Row("ok", "clock", "synchronised")


def _source_rows(config: StationConfig, url: str, seconds: float) -> Iterator[Row]:
    live_url = re.sub(r"\bfrom=[^&]*", "from=latest", url)  # what it sends now, not its history
    began_s = time.monotonic()
    sensors = Sensors(str(config.station_id), config)
    try:
        with _quiet(), open_source(live_url, connect_timeout_s=CONNECT_S) as source:
            arrived = _read(source, sensors, seconds)
            rows = list(_arrival_rows(config, source, sensors, arrived, seconds))
    except SeisedgeError as error:
        yield Row("fault", "source", str(error))
        return
    took_s = time.monotonic() - began_s
    yield Row("ok", "source", f"{shown_url(live_url)}: connected, read for {took_s:.0f} s")
    yield from rows


def _read(source: Source, sensors: Sensors, seconds: float) -> _Arrived:
    """Read the source for `seconds` from its connection on, or to its end. Raises ConnectError without a connection."""
    arrived = _Arrived()
    until_s = float("inf")
    for packet in source.packets():
        if packet is not None:
            _note(packet, sensors, arrived)
        if source.state is LinkState.STREAMING:
            until_s = min(until_s, time.monotonic() + seconds)
        if time.monotonic() > until_s:
            break
    return arrived


def _note(packet: Packet, sensors: Sensors, arrived: _Arrived) -> None:
    if packet.source_id.station_id != sensors.station_id:
        arrived.others.add(packet.source_id.station_id)
        return
    seen = arrived.channels.setdefault(packet.source_id, _Seen())
    seen.packets += 1
    seen.rate_hz = packet.sampling_rate_hz
    seen.newest_ns = max(seen.newest_ns, packet.endtime_ns)
    seen.used = sensors.row_of(packet) is not None


def _arrival_rows(
    config: StationConfig, source: Source, sensors: Sensors, arrived: _Arrived, seconds: float
) -> Iterator[Row]:
    station_id = sensors.station_id
    if not arrived.channels:
        sent = f"; it sends {', '.join(sorted(arrived.others)[:5])}" if arrived.others else ""
        yield Row(
            "fault", station_id, f"no packet within {seconds:g} s{sent}; check network, station and select= of the URL"
        )
        return
    if not any(seen.used for seen in arrived.channels.values()):
        yield Row("fault", station_id, "no channel that arrives can be used, see below")
    for source_id, seen in sorted(arrived.channels.items(), key=lambda item: str(item[0])):
        name = f"{source_id.location}.{source_id.channel}" if source_id.location else source_id.channel
        if seen.used:
            yield _used_row(f"{station_id} {name}", source_id, seen, sensors, source.live)
        else:
            reason = sensors.reasons.get(str(source_id), "not used")
            level: Level = "warning" if source_id.channel in config.channels else "ok"
            yield Row(level, f"{station_id} {name}", f"{seen.rate_hz:g} Hz, not used: {reason}")
    codes = {source_id.channel for source_id in arrived.channels}
    for code in config.channels:
        if code not in codes:
            text = f"it is configured, and no packet of it arrived within {seconds:g} s"
            yield Row("warning", f"{station_id} {code}", text)


def _used_row(subject: str, source_id: SourceId, seen: _Seen, sensors: Sensors, live: bool) -> Row:
    facts = f"{seen.rate_hz:g} Hz, {seen.packets} packets"
    scale = _scale(source_id, seen, sensors)
    if scale is not None and scale.remarks:
        return Row("warning", subject, f"{facts}; {'; '.join(scale.remarks)}")
    if scale is None or not scale.has_gain:
        return Row(
            "warning", subject, f"{facts}; no gain in the station file or StationXML: magnitudes are provisional"
        )
    if not live:
        return Row("ok", subject, f"{facts}, with a gain")
    age_s = time.time() - seen.newest_ns / NS_PER_S
    if age_s < -FUTURE_S:
        what = (
            f"its newest sample is {-age_s:.0f} s in the future: the clock of the digitizer or of this machine is wrong"
        )
        return Row("fault", subject, f"{facts}; {what}")
    if age_s > OLD_S:
        what = f"its newest sample is {duration_text(age_s)} old: a clock is wrong, or the server sends old data"
        return Row("warning", subject, f"{facts}; {what}")
    return Row("ok", subject, f"{facts}, newest sample {age_s:.0f} s old, with a gain")


def _scale(source_id: SourceId, seen: _Seen, sensors: Sensors) -> Scale | None:
    """Gain and orientation of the sensor of a channel at its newest sample, by the station file and StationXML."""
    for channels in (sensors.seismometer, sensors.accelerometer):
        if source_id.channel in channels.codes.values():
            return channels.at(seen.newest_ns)
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of the parts that a run uses: its facts are in the table."""
    logger = logging.getLogger("seisedge.runtime")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _sink_rows(config: StationConfig, send_test: bool) -> Iterator[Row]:
    sinks = config.sinks
    if sinks.jsonl is not None:
        yield _folder_row("sinks.jsonl", Path(sinks.jsonl.path).parent)
    if sinks.quakeml is not None:
        yield _folder_row("sinks.quakeml", Path(sinks.quakeml.folder))
    for subject, table in (("snippets", config.snippets), ("archive", config.archive)):
        if table is not None:
            yield _storage_row(subject, Path(table.folder), table.min_free_mb)
    message = _test_message(config) if send_test else None
    if (webhook := sinks.webhook) is not None:
        yield _reached("sinks.webhook", lambda: _webhook_text(webhook, message))
    if (mqtt := sinks.mqtt) is not None:
        yield _reached("sinks.mqtt", lambda: _mqtt_text(mqtt, config, message))

    for alert in config.alerts:
        yield _reached(f"alert {alert.name}", lambda one=alert: _alert_text(one, config, send_test))  # type: ignore[misc]


def _alert_text(settings: AlertConfig, config: StationConfig, send_test: bool) -> str:
    from seisedge.runtime.sinks.alerts import AlertSink, trial_message

    sink = AlertSink(settings)
    if send_test:
        return sink.probe(trial_message([str(config.station_id)]))
    return f"{sink.count} service(s) configured; --send-test sends them a test message"


def _reached(subject: str, check: Callable[[], str]) -> Row:
    try:
        return Row("ok", subject, check())
    except (SeisedgeError, OSError) as error:
        return Row("fault", subject, str(error))


def _folder_row(subject: str, folder: Path) -> Row:
    """Whether a folder can be written, or created; nothing is written."""
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    if not existing.is_dir():
        return Row("fault", subject, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        user = f"user {os.getuid()}"
        return Row("fault", subject, f"{existing} cannot be written by {user}; change its permissions or the path")
    return Row("ok", subject, f"{folder} can be {'written' if existing == folder else 'created'}")


def _storage_row(subject: str, folder: Path, min_free_mb: float) -> Row:
    """As `_folder_row`, with the free space of the disk."""
    from seisedge.runtime.snippets.retention import MB, free_bytes

    row, free = _folder_row(subject, folder), free_bytes(folder)
    if row.level != "ok" or free is None:
        return row
    text = f"{free / MB:.3g} MB are free, min_free_mb is {min_free_mb:g}"
    if free < min_free_mb * MB:
        return Row("fault", subject, f"{text}: nothing can be written; free some space")
    return Row("ok", subject, f"{row.text}; {text}")


def _page_text(settings: PageConfig, listen: str) -> str:
    """Who can see the page. Raises SeisedgeError where the token cannot be used: a run then has no page."""
    from seisedge.runtime.page.opening import page_token

    if page_token(settings) is not None:
        return f"{listen}, with the token in {settings.token_file}"
    return f"{listen}, for {'this machine only' if is_loopback(listen) else 'everybody who can connect'}"


def _test_message(config: StationConfig) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return msgspec.json.encode({"schema": TEST_SCHEMA, "station": config.station_id, "time": stamp})


def _webhook_text(settings: WebhookConfig, message: bytes | None) -> str:
    from seisedge.runtime.sinks.webhook import WebhookSink

    token = header_secret(settings.token_file, "SEISEDGE_WEBHOOK_TOKEN")
    return WebhookSink(settings.url, token=token, timeout_s=settings.timeout_s).probe(message)


def _mqtt_text(settings: MqttConfig, config: StationConfig, message: bytes | None) -> str:
    from seisedge.runtime.sinks.mqtt import probe

    password = secret(settings.password_file, "SEISEDGE_MQTT_PASSWORD")
    return probe(settings, str(config.station_id), password, message)

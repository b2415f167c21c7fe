"""Alerts: one message per event to people, through the services of Apprise (mail, ntfy, Telegram, Matrix …).

Of an event the first revision that the settings let through is sent, and its retraction if it was sent. Times of quiet
hours and of the hourly limit are those at which the revision was emitted, so that lines that waited for a connection
are judged as if there had been one. A message goes to each service until that service has accepted it, or is too old.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from seisedge.runtime.clock import NS_PER_S, duration_text, ns_from_iso
from seisedge.runtime.config.alerts import AlertConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.machine import install_command
from seisedge.runtime.sinks._base import LeftOut, Sink
from seisedge.runtime.sinks._conditions import HourlyLimit, meets
from seisedge.runtime.sinks.terminal import magnitude_text

logger = logging.getLogger(__name__)

MAX_SENT = 1000  # events that are remembered, for their retraction
MAX_URLS = 20


class Service(Protocol):
    """One service of Apprise."""

    def notify(self, body: str, title: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    title: str
    body: str


class AlertFilter:
    """Decides which revisions are sent. Its memory is that of one run."""

    def __init__(self, config: AlertConfig) -> None:
        self._config = config
        self._sent: OrderedDict[str, bool] = OrderedDict()  # event id → whether its message was sent
        self._limit = HourlyLimit(config.max_per_hour, f"alert {config.name}")
        self.suppressed = 0  # messages beyond the hourly limit since the last one that was sent

    def message(self, event: Event) -> Message | None:
        """The message about a revision; None for nothing. Call `note_sent` afterwards."""
        if event.status == "retracted":
            known = self._sent.get(event.id, False)
            return Message(f"{event.station}: retracted", self._text(event)) if known else None
        if event.id in self._sent or event.status not in self._config.status or not meets(event, self._config):
            return None
        if self._limit.reached(event):
            self.suppressed += 1
            self._remember(event, sent=False)
            return None
        label = event.event_type.label if event.event_type is not None else "event"
        size = magnitude_text(event.magnitude)
        return Message(f"{event.station}: {label}{f' M {size}' if size else ''}", self._text(event))

    def note_sent(self, event: Event, *, sent: bool) -> None:
        """The message of this revision was sent, or was too old."""
        if event.status == "retracted":
            self._sent.pop(event.id, None)
            return
        self._remember(event, sent=sent)
        if not sent:
            return
        self._limit.count(event)
        self.suppressed = 0

    def _remember(self, event: Event, *, sent: bool) -> None:
        self._sent[event.id] = sent
        while len(self._sent) > MAX_SENT:
            self._sent.popitem(last=False)

    def _text(self, event: Event) -> str:
        kind, size = event.event_type, event.magnitude
        lines = [f"Onset {event.onset[:10]} {event.onset[11:21]} UTC at {event.station}, status {event.status}"]
        if event.status == "retracted":
            lines.append("The event reported earlier is withdrawn: it is classified as noise.")
        elif kind is not None:
            lines.append(f"Type {kind.label}, probability {kind.probability:.2f}")
        if event.status != "retracted" and size is not None:
            lines.append(
                f"Magnitude {magnitude_text(size)} (90 % interval), {event.window.answer_s:g} s after the onset"
            )
        if event.distance_km is not None:
            lines.append(f"Distance {event.distance_km:.0f} ± {event.distance_uncertainty_km or 0:.0f} km")
        if self.suppressed:
            lines.append(
                f"{self.suppressed} further messages were not sent: {self._config.max_per_hour} an hour at most"
            )
        lines += ["Single-station detection, not located", event.id]
        return "\n".join(lines)


class AlertSink(Sink):
    """Sends messages to all services. Raises InputError if Apprise is missing or the file of the URLs is wrong."""

    def __init__(self, config: AlertConfig, *, now_s: Callable[[], float] = time.time) -> None:
        self._config = config
        self._now_s = now_s
        self._filter = AlertFilter(config)
        self._services = services_of(Path(config.urls_file))
        self._key: tuple[str, int] | None = None  # (id, revision) of the message that is being sent
        self._open: list[tuple[str, Service]] = []  # services that have yet to accept it

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        message = self._filter.message(line)
        if message is None:
            raise LeftOut
        age_s = self._now_s() - ns_from_iso(line.emitted) / NS_PER_S
        if age_s > self._config.deadline_s:
            logger.warning(
                "%s: alert %s: a message is not sent because it is %s old (deadline_s)",
                line.station,
                self._config.name,
                duration_text(age_s),
            )
        else:
            self._send(message, (line.id, line.revision))
        self._filter.note_sent(line, sent=age_s <= self._config.deadline_s)
        if age_s > self._config.deadline_s:
            raise LeftOut

    def probe(self, message: Message) -> str:
        """Send a message to all services. Returns a clause for people; raises ConnectionError."""
        self._send(message, ("", 0))
        return f"{len(self._services)} service(s) accepted a test message"

    @property
    def count(self) -> int:
        """Number of services."""
        return len(self._services)

    def _send(self, message: Message, key: tuple[str, int]) -> None:
        """Raises ConnectionError with the services that did not accept the message; a repetition skips the others."""
        if self._key != key:
            self._key, self._open = key, list(self._services)
        self._open = [(name, one) for name, one in self._open if not _accepted(one, message)]
        if self._open:
            names = ", ".join(name for name, _ in self._open)
            raise ConnectionError(f"{names} did not accept the message; check the URL and the service")
        self._key = None


def key_of(config: AlertConfig) -> str:
    """The name of the sink: its own, and a fingerprint of the settings."""
    digest = hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:8]
    return f"alert {config.name} #{digest}"


def services_of(path: Path) -> list[tuple[str, Service]]:
    """A name without secrets and the service of each URL in a file. Raises InputError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the URLs of an alert from this file: {error}") from error
    urls = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"]
    if not 1 <= len(urls) <= MAX_URLS:
        raise InputError(f"{path}: must contain 1 to {MAX_URLS} URLs, one in each line; it has {len(urls)}")
    try:
        import apprise
    except ModuleNotFoundError:
        raise InputError(f"[[alerts]] needs apprise; {install_command('notify')}") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs parts of URLs, which are secrets
    found: list[tuple[str, Service]] = []
    for number, url in urls:
        service: Any = apprise.Apprise()
        scheme = url.partition("://")[0]
        if not service.add(url):
            raise InputError(
                f"{path}: line {number} is no URL of a service, such as ntfy://TOPIC or mailto://USER:PASSWORD@HOST; "
                "see https://appriseit.com/services/"
            )
        found.append((f"{scheme}:// of line {number}", service))
    return found


def _accepted(service: Service, message: Message) -> bool:
    try:
        return bool(service.notify(body=message.body, title=message.title))
    except OSError:
        return False


def trial_message(stations: Sequence[str]) -> Message:
    """What `config check --connect --send-test` sends."""
    return Message(f"{', '.join(stations)}: test", "A test message of seisedge; no event has occurred.")

"""MQTT: one message per revision, and the status, the description and the health of the station.

A line that is not acknowledged in time stays with paho, which sends it again after a reconnection; a retry of the same
line waits for that acknowledgement, so that a broker that does not acknowledge gets one copy per connection.

Topics by default: `TOPIC/NET.STA/event`: JSON, quality of service `qos`, not retained. `TOPIC/NET.STA/status`: `online`
or `offline`, retained; the broker itself publishes `offline` (the last will) when the connection is lost. The others
are described in `_mqtt_messages`. Quality of service 0 has no acknowledgement: a message that is lost with its
connection is not sent again.
"""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from seisedge.runtime.config import MqttConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.machine import install_command
from seisedge.runtime.sinks._base import Sink
from seisedge.runtime.sinks._link_log import STEADY_S
from seisedge.runtime.sinks._mqtt_messages import Documents, discovery, topic_of
from seisedge.runtime.threads import Worker, start_task, start_worker

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

logger = logging.getLogger(__name__)

KEEPALIVE_S = 30  # also the limit for the broker's answer to CONNECT
RECONNECT_MAX_S = 60
CHANGE_S = 2.0  # a new status of the health is published this fast
SHORT_S = 5.0  # a broker ends a connection this fast where another client connects with the same name
FAILED = "the client failed"
STEP_S = 0.2  # a wait for the first answer ends this fast after `close`
CLOSE_S = 1.0  # for the last message, and again for the thread


class MqttSink(Sink):
    """A client that connects and reconnects in a thread of paho.

    A connection has one last will: with several stations, the status is published for the first one.
    Raises InputError if paho-mqtt is not installed, or if the certificate of the authority cannot be read.
    """

    def __init__(
        self,
        config: MqttConfig,
        stations: Sequence[str],
        password: str | None = None,
        *,
        documents: Documents | None = None,
        probing: bool = False,
    ) -> None:
        """documents: None: without messages about the station and its health.
        probing: connect under another name, without a status, beside a station that runs.
        """
        self._probing = probing
        self._stations = stations
        self._documents = documents
        self._config = config
        self._reason, self._refused = "no answer yet", False
        self._up = False  # the broker has accepted the connection
        self._pause_s = 1  # before the next attempt; it grows while connections do not last
        self._answered = threading.Event()  # the first attempt to connect has ended
        self._changed: Callable[[str | None], None] | None = None
        self._sent: tuple[tuple[str, int], MQTTMessageInfo] | None = None  # (id, revision) that waits for the broker
        self._status = topic_of(config, stations[0], "status")
        self._closing = threading.Event()
        self._hurry = False  # the run ends
        self._retained: dict[str, MQTTMessageInfo] = {}  # by topic, what was published at the last connection
        self._beat = threading.Event()  # the health is due before its time
        self._heart: Worker | None = None
        self._accepted_s = 0.0  # when the broker accepted the present connection, on the monotonic clock
        self._name = f"seisedge-{stations[0]}{'-check' if probing else ''}"
        self._client = self._new_client(self._name)
        if config.username is not None:
            self._client.username_pw_set(config.username, password)
        if config.tls or config.ca_file is not None:
            try:
                self._client.tls_set(ca_certs=config.ca_file)  # None: the authorities of the system
            except (OSError, ValueError) as error:
                raise InputError(
                    f"sinks.mqtt.ca_file: {config.ca_file}: no certificate authority can be read from this "
                    f"file ({error}); it must be a PEM file"
                ) from error
        if not probing:
            self._client.will_set(self._status, "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._not_connected
        self._client.on_disconnect = self._disconnected
        self._client.connect_timeout = config.timeout_s  # of the connection, and again of the TLS handshake
        self._client.reconnect_delay_set(1, RECONNECT_MAX_S)
        self._client.connect_async(config.host, config.port, KEEPALIVE_S)
        self._client.loop_start()
        if documents is not None and config.heartbeat_s and not probing:
            self._heart = start_worker(f"mqtt health {config.host}", self._publish_health)

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        where = f"{self._config.host}:{self._config.port}"
        self._client.loop_start()  # if the thread of paho has ended; else it does nothing
        self._await_first_answer()
        if not self._client.is_connected():
            raise ConnectionError(f"{where}: not connected: {self._reason}")
        key = (line.id, line.revision)
        if self._sent is None or self._sent[0] != key:
            self._sent = (
                key,
                self._client.publish(
                    topic_of(self._config, line.station, "event"), msgspec.json.encode(line), qos=self._config.qos
                ),
            )
        if not _acknowledged(self._sent[1], self._config.timeout_s):
            raise TimeoutError(f"{where}: not acknowledged within {self._config.timeout_s:g} s")
        self._sent = None

    def probe(self, topic: str, message: bytes | None) -> str:
        """See the function of that name."""
        where = f"{self._config.host}:{self._config.port}"
        self._answered.wait(2 * self._config.timeout_s)  # of the connection, and of the TLS handshake
        if not self._up:
            raise ConnectionError(f"{where}: not connected: {self._reason}")
        if message is None:
            return f"{where}: connected"
        if not _acknowledged(self._client.publish(topic, message, qos=1), self._config.timeout_s):
            raise TimeoutError(f"{where}: the test message was not acknowledged within {self._config.timeout_s:g} s")
        return f"{where}: accepted a test message on {topic}"

    def watch(self, changed: Callable[[str | None], None]) -> None:
        self._changed = changed
        if self._answered.is_set():
            changed(None if self._up else self._reason)

    def _report(self, reason: str | None) -> None:
        """The state of the connection: None is connected."""
        self._up = reason is None
        if reason is not None:
            self._reason = reason
        self._answered.set()
        if self._changed is not None and not self._closing.is_set():
            self._changed(reason)

    def _await_first_answer(self) -> None:
        """Wait until the first attempt to connect has ended, which a line of an earlier run would not do."""
        until_s = time.monotonic() + self._config.timeout_s
        while not (self._closing.is_set() or self._hurry) and time.monotonic() < until_s:
            if self._answered.wait(STEP_S):
                return

    def give_up(self) -> None:
        self._hurry = True

    def close(self) -> None:
        """Publish `offline` and disconnect; the last will is only sent for a lost connection."""
        self._closing.set()
        self._beat.set()
        if self._heart is not None:
            self._heart.stop()
        if self._client.is_connected() and not self._probing:
            _acknowledged(self._client.publish(self._status, "offline", qos=1, retain=True), CLOSE_S)
        self._client.disconnect()
        # paho's thread may be waiting for a connection; it ends with the process
        start_task("mqtt stop", self._stop_loop, self._not_stopped).join(CLOSE_S)

    def _stop_loop(self) -> None:
        self._client.loop_stop()

    def _not_stopped(self, error: BaseException) -> None:
        logger.debug("%s: mqtt: %s", self._config.host, error)

    def _new_client(self, client_id: str) -> Client:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
        except ModuleNotFoundError:
            raise InputError(f"sinks.mqtt needs paho-mqtt; {install_command('mqtt')}") from None
        sink = self

        class Client(paho.Client):
            """Reconnects after an exception that would end the thread of paho, such as one for a malformed packet."""

            def loop_forever(self, *args: Any, **settings: Any) -> MQTTErrorCode:
                pause_s = 1.0
                while True:
                    try:
                        return super().loop_forever(*args, **settings)
                    except Exception as error:
                        sink._failed(error)
                    self.connect_async(sink._config.host, sink._config.port, KEEPALIVE_S)
                    if sink._closing.wait(pause_s):
                        return MQTTErrorCode.MQTT_ERR_SUCCESS
                    pause_s = min(2 * pause_s, RECONNECT_MAX_S)

        return Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=True)

    def _failed(self, error: Exception) -> None:
        level = logging.DEBUG if self._reason.startswith(FAILED) else logging.WARNING
        self._refused = False
        reason = f"{FAILED}: {type(error).__name__}: {error}"
        logger.log(level, "%s: mqtt: %s; reconnecting", f"{self._config.host}:{self._config.port}", reason)
        self._report(reason)

    def _connected(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refused = reason.is_failure
        if reason.is_failure:
            self._report(f"the broker refused the connection: {reason}{_advice(str(reason))}")
            return
        if not self._probing:
            for topic, message in self._announcements():
                before = self._retained.get(topic)
                if before is None or _acknowledged(before, 0.0):  # else paho sends it again
                    self._retained[topic] = client.publish(topic, message, qos=1, retain=True)
        self._accepted_s = time.monotonic()
        self._report(None)
        self._beat.set()

    def _announcements(self) -> Iterator[tuple[str, bytes]]:
        """Topic and message of what is retained and published at each connection."""
        yield self._status, b"online"
        if self._documents is None:
            return
        for station in self._stations:
            yield topic_of(self._config, station, "station"), msgspec.json.encode(self._documents.station(station))
            if self._config.home_assistant is not None:
                yield from discovery(self._config, station, self._status)

    def _publish_health(self) -> None:
        """Until the end of the run: publish the health at each connection, when it changes, and every `heartbeat_s`.

        With quality of service 0, so that no old health waits for a connection.
        """
        published: dict[str, Any] = {}  # status, by station
        next_s = 0.0
        while not self._closing.is_set():
            due = self._beat.wait(min(self._config.heartbeat_s, CHANGE_S)) or time.monotonic() >= next_s
            self._beat.clear()
            if self._closing.is_set() or not self._up or self._documents is None:
                continue
            if due:
                next_s = time.monotonic() + self._config.heartbeat_s
            for station in self._stations:
                document = self._documents.health(station)
                if due or document.get("status") != published.get(station):
                    published[station] = document.get("status")
                    message = msgspec.json.encode(document)
                    self._client.publish(topic_of(self._config, station, "health"), message, qos=0, retain=True)

    def _not_connected(self, _client: Client, _data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this in an `except` block and does not pass the exception
        self._refused = False
        self._report(_words(error, self._config))

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._refused:  # the broker closed it, and the reason for the refusal is more useful
            return
        if self._up:
            lasted_s = time.monotonic() - self._accepted_s
            again = self._pause_s > 1 and lasted_s < SHORT_S
            self._pause_s = 1 if lasted_s > STEADY_S else min(2 * self._pause_s, RECONNECT_MAX_S)
            self._client.reconnect_delay_set(self._pause_s, RECONNECT_MAX_S)
            words = "the broker no longer answers" if "Keep" in str(reason) else "the broker closed the connection"
            if again:
                words += (
                    f" again right after it accepted it; does another run with the same client name, {self._name}, "
                    "use this broker?"
                )
        else:
            words = "the broker closed the connection before it accepted it"
            if not self._config.tls and self._config.ca_file is None:
                words += "; if it expects TLS, set sinks.mqtt.ca_file, or sinks.mqtt.tls = true"
        self._report(words)


def probe(config: MqttConfig, station: str, password: str | None, message: bytes | None) -> str:
    """Connect to the broker, and publish a test message if there is one. Returns a clause for people.

    Raises OSError if the broker is not reached, refuses the connection, or does not acknowledge the message.
    """
    sink = MqttSink(config, [station], password, probing=True)
    try:
        return sink.probe(topic_of(config, station, "test"), message)
    finally:
        sink.close()


def _advice(reason: str) -> str:
    """What to do about a refusal."""
    if "uthori" in reason or "user name" in reason or "password" in reason:
        return "; check sinks.mqtt.username and the password"
    return ""


def _words(error: BaseException | None, config: MqttConfig) -> str:
    """Why no connection was made, as a clause."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"certificate verify failed: {error.verify_message}; set sinks.mqtt.ca_file to the authority that signed "
            "the broker's certificate, and sinks.mqtt.host to a name in it"
        )
    with_tls = config.tls or config.ca_file is not None
    if isinstance(error, ssl.SSLError) or (with_tls and isinstance(error, ConnectionResetError)):
        what = getattr(error, "reason", None) or "the broker closed the connection"
        return f"the TLS handshake failed ({what}); check that port {config.port} expects TLS"
    if isinstance(error, TimeoutError):
        return f"timed out: no answer within {config.timeout_s:g} s"
    if isinstance(error, socket.gaierror):
        return f"the host name {config.host} is unknown"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: no broker listens there"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) if error is not None and str(error) else "no connection"


def _acknowledged(message: MQTTMessageInfo, within_s: float) -> bool:
    """Wait for the broker's acknowledgement. False also if the connection was lost: paho holds the message."""
    from paho.mqtt.enums import MQTTErrorCode

    if message.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
        message.rc = (
            MQTTErrorCode.MQTT_ERR_SUCCESS
        )  # else paho raises, though it sends the message once it is connected
    message.wait_for_publish(within_s)
    return message.is_published()

"""MQTT: one message per revision, and a status of the station.

Topics: `TOPIC/NET.STA/event`: JSON, quality of service 1, not retained. `TOPIC/NET.STA/status`: `online` or
`offline`, retained; the broker itself publishes `offline` (the last will) when the connection is lost.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from seisedge.runtime.config import MqttConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks._base import Sink

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEPALIVE_S = 30
RECONNECT_MAX_S = 60
CLOSE_S = 1.0  # for the last message, and again for the thread


class MqttSink(Sink):
    """A client that connects and reconnects in a thread of paho.

    A connection has one last will: with several stations, the status is published for the first one.
    Raises InputError if paho-mqtt is not installed, or if the certificate of the authority cannot be read.
    """

    def __init__(self, config: MqttConfig, stations: Sequence[str], password: str | None = None) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError:
            raise InputError("sinks.mqtt needs paho-mqtt; pip install 'seisedge[mqtt]'") from None
        self._config = config
        self._reason, self._refused = "no answer yet", False
        self._status = f"{config.topic}/{stations[0]}/status"
        self._client: Client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"seisedge-{stations[0]}", reconnect_on_failure=True
        )
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
        self._client.will_set(self._status, "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._not_connected
        self._client.on_disconnect = self._disconnected
        self._client.reconnect_delay_set(1, RECONNECT_MAX_S)
        self._client.connect_async(config.host, config.port, KEEPALIVE_S)
        self._client.loop_start()

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        if not self._client.is_connected():
            raise ConnectionError(f"{self._config.host}:{self._config.port}: not connected: {self._reason}")
        topic = f"{self._config.topic}/{line.station}/event"
        sent = self._client.publish(topic, msgspec.json.encode(line), qos=1)
        try:
            sent.wait_for_publish(self._config.timeout_s)
        except (RuntimeError, ValueError) as error:  # the connection was lost during publish
            raise ConnectionError(f"{self._config.host}:{self._config.port}: {error}") from error
        if not sent.is_published():
            raise TimeoutError(f"{self._config.host}:{self._config.port}: not acknowledged")

    def close(self) -> None:
        """Publish `offline` and disconnect; the last will is only sent for a lost connection."""
        if self._client.is_connected():
            self._client.publish(self._status, "offline", qos=1, retain=True).wait_for_publish(CLOSE_S)
        self._client.disconnect()
        # paho's thread may be waiting for a connection; it ends with the process
        stopping = threading.Thread(target=self._client.loop_stop, name="mqtt stop", daemon=True)
        stopping.start()
        stopping.join(CLOSE_S)

    def _connected(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refused = reason.is_failure
        if reason.is_failure:
            self._reason = f"the broker refused the connection: {reason}"
        else:
            client.publish(self._status, "online", qos=1, retain=True)

    def _not_connected(self, _client: Client, _data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this in an `except` block and does not pass the exception
        self._refused, self._reason = False, str(error) if error is not None else "no connection"

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._refused:  # else the broker closed it, and the reason for the refusal is more useful
            self._reason = str(reason)

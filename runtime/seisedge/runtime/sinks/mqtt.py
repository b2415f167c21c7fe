"""MQTT: each revision as a message, and whether the station is there.

Topics: `TOPIC/NET.STA/event`, JSON, quality of service 1, not retained; `TOPIC/NET.STA/status`, `online` or
`offline`, retained, the last by the broker itself when the station is cut off (its last will).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks._base import Sink
from seisedge.runtime.sinks._config import MqttConfig

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEPALIVE_S = 30
RECONNECT_MAX_S = 60


class MqttSink(Sink):
    """A client that connects, and connects again, in a thread of paho's.

    One last will a connection: with several stations the status is under the first one's name.
    Raises InputError where paho-mqtt is not installed.
    """

    def __init__(self, config: MqttConfig, stations: Sequence[str], password: str | None = None) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError:
            raise InputError("sinks.mqtt needs paho-mqtt; pip install 'seisedge[mqtt]'") from None
        self._config = config
        self._reason = "no answer yet"
        self._status = f"{config.topic}/{stations[0]}/status"
        self._client: Client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"seisedge-{stations[0]}", reconnect_on_failure=True
        )
        if config.username is not None:
            self._client.username_pw_set(config.username, password)
        if config.tls:
            self._client.tls_set()
        self._client.will_set(self._status, "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
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
        except (RuntimeError, ValueError) as error:  # the connection went while it was handed over
            raise ConnectionError(f"{self._config.host}:{self._config.port}: {error}") from error
        if not sent.is_published():
            raise TimeoutError(f"{self._config.host}:{self._config.port}: not acknowledged")

    def close(self) -> None:
        """Say goodbye: the last will is for those who cannot."""
        if self._client.is_connected():
            self._client.publish(self._status, "offline", qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._reason = str(reason)
        else:
            client.publish(self._status, "online", qos=1, retain=True)

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._reason = str(reason)

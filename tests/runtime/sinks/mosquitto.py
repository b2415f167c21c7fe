"""A real mosquitto that a test starts and stops, and a subscriber to all of its topics."""

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.sinks.conftest import PASSWORD
from tests.waiting import wait_until

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
NAME = "station"  # of the user


class Broker:
    """A mosquitto process on a free port, which a test starts and stops."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true\n") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""  # else it switches to a user who cannot read the folder
        self._config.write_text(f"{user}listener {self.port} 127.0.0.1\n{settings}", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed; apt-get install mosquitto")
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """A subscriber to all topics. received: (topic, payload, retained) of each message."""

    def __init__(self, port: int, ca: Path | None = None) -> None:
        self.received: list[tuple[str, bytes, bool]] = []
        self.qos: dict[str, int] = {}  # by topic, of the newest message
        from paho.mqtt import client as paho  # the tests that need it are skipped without it
        from paho.mqtt.enums import CallbackAPIVersion

        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: self._ready.set()
        if ca is not None:
            self._client.tls_set(ca_certs=str(ca))
            self._client.username_pw_set(NAME, PASSWORD)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", qos=2)
        self._client.loop_start()
        assert self._ready.wait(5)

    def _take(self, _client: Any, _data: Any, message: Any) -> None:
        self.received.append((message.topic, message.payload, message.retain))
        self.qos[message.topic] = message.qos

    def newest(self, topic: str) -> bytes | None:
        """The newest message on a topic."""
        return next((payload for name, payload, _ in reversed(self.received) if name == topic), None)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

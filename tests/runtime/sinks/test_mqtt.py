"""Against a real mosquitto, where there is one."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from seisedge.runtime.event import Event
from seisedge.runtime.sinks._config import MqttConfig
from seisedge.runtime.sinks.mqtt import MqttSink

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto here; apt-get install mosquitto")
paho = pytest.importorskip("paho.mqtt.client", reason="no paho-mqtt here; pip install 'seisedge[mqtt]'")


class Broker:
    """mosquitto on a port of its own; `start` and `stop` as a test likes."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        _until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as link:
            return link.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


class Listener:
    """A subscriber to everything; `heard` is (topic, payload, retained)."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _d, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()
        assert self._ready.wait(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _until(reached: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if reached():
            return
        pause.wait(0.01)
    raise AssertionError("not reached in 10 s")


def test_messages_and_status(broker: Broker, events: list[Event]) -> None:
    listener = Listener(broker.port)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port), ["XX.STA"])
    status = "seisedge/XX.STA/status"
    _until(lambda: (status, b"online", False) in listener.heard)
    for event in events:
        sink.write(event)
    _until(lambda: len(listener.heard) == 4)
    bodies = [payload for topic, payload, _ in listener.heard if topic == "seisedge/XX.STA/event"]
    assert [msgspec.json.decode(body, type=Event) for body in bodies] == events
    sink.close()
    _until(lambda: (status, b"offline", False) in listener.heard)
    listener.close()
    later = Listener(broker.port)
    _until(lambda: later.heard == [(status, b"offline", True)])
    later.close()


def test_the_last_will(broker: Broker) -> None:
    listener = Listener(broker.port)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port, topic="mine/x"), ["XX.STA"])
    status = "mine/x/XX.STA/status"
    _until(lambda: (status, b"online", False) in listener.heard)
    link = sink._client.socket()
    assert link is not None
    sink._client.loop_stop()
    link.close()  # cut off, without a word
    _until(lambda: (status, b"offline", False) in listener.heard)
    listener.close()


def test_a_broker_that_is_not_there_and_comes(tmp_path: Path, events: list[Event]) -> None:
    broker = Broker(tmp_path)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port), ["XX.STA"])
    with pytest.raises(ConnectionError, match="not connected"):
        sink.write(events[0])
    broker.start()
    try:
        _until(sink._client.is_connected)
        sink.write(events[0])
    finally:
        sink.close()
        broker.stop()

"""Against a real mosquitto, if it is installed."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes import silent_port, unreachable_port
from tests.runtime.sinks.conftest import PASSWORD
from tests.runtime.sinks.mosquitto import MOSQUITTO, NAME, Broker, Listener
from tests.waiting import wait_until

from seisedge.runtime.config import MqttConfig
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.sinks._build import BUILDERS, Context
from seisedge.runtime.sinks.mqtt import MqttSink

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed; apt-get install mosquitto")
paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed; pip install 'seisedge[mqtt]'")


def test_messages_and_status(broker: Broker, events: list[Event]) -> None:
    listener = Listener(broker.port)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port), ["XX.STA"])
    status = "seisedge/XX.STA/status"
    wait_until(lambda: (status, b"online", False) in listener.received)
    for event in events:
        sink.write(event)
    wait_until(lambda: len(listener.received) == 4)
    bodies = [payload for topic, payload, _ in listener.received if topic == "seisedge/XX.STA/event"]
    assert [msgspec.json.decode(body, type=Event) for body in bodies] == events
    sink.close()
    wait_until(lambda: (status, b"offline", False) in listener.received)
    listener.close()
    later = Listener(broker.port)
    wait_until(lambda: later.received == [(status, b"offline", True)])
    later.close()


def test_the_last_will(broker: Broker) -> None:
    listener = Listener(broker.port)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port, topic="mine/x"), ["XX.STA"])
    status = "mine/x/XX.STA/status"
    wait_until(lambda: (status, b"online", False) in listener.received)
    link = sink._client.socket()
    assert link is not None
    sink._client.loop_stop()
    link.close()  # the connection is lost without a DISCONNECT
    wait_until(lambda: (status, b"offline", False) in listener.received)
    listener.close()


def test_the_last_will_of_a_killed_run(broker: Broker, tmp_path: Path) -> None:
    """After `kill -9` the broker publishes `offline`."""
    part, station = tmp_path / "part.mseed", tmp_path / "station.toml"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 120])
    text = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")
    station.write_text(f'{text}\n[sinks.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n', encoding="utf-8")
    listener, status = Listener(broker.port), "seisedge/PB.B918/status"
    with Digitizer([part], speed=0.0) as digitizer:
        url = f"{digitizer.url}/PB_B918?from=earliest"
        command = [sys.executable, "-m", "seisedge.cli", "run", str(station), "--source", url]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: any(topic == "seisedge/PB.B918/event" for topic, _, _ in listener.received), 60)
            assert (status, b"online", False) in listener.received and (
                status,
                b"offline",
                False,
            ) not in listener.received
        finally:
            run.kill()
        assert run.wait() == -signal.SIGKILL
    wait_until(lambda: (status, b"offline", False) in listener.received)
    listener.close()
    later = Listener(broker.port)
    wait_until(lambda: (status, b"offline", True) in later.received)
    later.close()


@pytest.fixture
def guarded(authority: Path, tmp_path: Path) -> Iterator[Broker]:
    """A broker that requires TLS and a password."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), NAME, PASSWORD], check=True, capture_output=True)
    made = Broker(
        tmp_path,
        f"allow_anonymous false\npassword_file {passwords}\ncafile {authority}/ca.pem\n"
        f"certfile {authority}/broker.pem\nkeyfile {authority}/broker.key\n",
    )
    made.start()
    yield made
    made.stop()


def _sink(config: MqttConfig) -> MqttSink:
    """Built as from a station file."""
    sink, _ = BUILDERS[MqttConfig](config, ["XX.STA"], Context())
    assert isinstance(sink, MqttSink)
    return sink


@pytest.mark.parametrize("secret_in", ["file", "environment"])
def test_tls_and_a_password(
    guarded: Broker, authority: Path, events: list[Event], secret_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = MqttConfig("127.0.0.1", guarded.port, username=NAME, tls=True, ca_file=str(authority / "ca.pem"))
    if secret_in == "file":
        config = msgspec.structs.replace(config, password_file=str(authority / "password"))
    else:
        monkeypatch.setenv("SEISEDGE_MQTT_PASSWORD", PASSWORD)
    listener = Listener(guarded.port, authority / "ca.pem")
    sink = _sink(config)
    wait_until(sink._client.is_connected)
    sink.write(events[0])
    wait_until(lambda: "seisedge/XX.STA/event" in {topic for topic, _, _ in listener.received})
    sink.close()
    wait_until(lambda: ("seisedge/XX.STA/status", b"offline", False) in listener.received)
    listener.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ca_file": "other.pem"}, "certificate verify failed"),
        ({"ca_file": None}, "certificate verify failed"),  # the authorities of the system have not signed it
        ({"password_file": "ca.pem"}, "the broker refused the connection: Not authorized"),
        ({"tls": False, "ca_file": None}, "not connected"),
    ],
)
def test_a_guarded_broker_refuses_a_connection(
    guarded: Broker, authority: Path, events: list[Event], changes: dict[str, str | bool | None], reason: str
) -> None:
    wanted = {"ca_file": "ca.pem", "password_file": "password", "tls": True} | changes
    files = {k: str(authority / v) if isinstance(v, str) else v for k, v in wanted.items()}
    sink = _sink(MqttConfig("127.0.0.1", guarded.port, username=NAME, **files))  # type: ignore[arg-type]

    def refused() -> bool:
        with pytest.raises(ConnectionError, match="not connected") as caught:
            sink.write(events[0])
        assert PASSWORD not in str(caught.value)
        return reason in str(caught.value)

    wait_until(refused)
    sink.close()


def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    text = tmp_path / "ca.pem"
    text.write_text("Dear diary\n", encoding="utf-8")
    for path in (text, tmp_path / "missing.pem"):
        with pytest.raises(InputError, match=r"sinks\.mqtt\.ca_file: .*must be a PEM file"):
            _sink(MqttConfig("127.0.0.1", 1, tls=True, ca_file=str(path)))


def test_close_does_not_wait_for_a_connection() -> None:
    """paho waits five seconds for a connection, which is too long for a run that was stopped."""
    with unreachable_port() as port:
        sink = MqttSink(MqttConfig("127.0.0.1", port), ["XX.STA"])
        began_s = time.monotonic()
        sink.close()
        assert time.monotonic() - began_s < 3.0


class Scripted:
    """A broker of a few lines, which acknowledges messages only while `acknowledge` is set.

    published: (topic, packet id) of each message. clients: number of connections.
    """

    def __init__(self) -> None:
        self.acknowledge = threading.Event()
        self.published: list[tuple[str, bytes]] = []
        self.clients = 0
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            self.clients += 1
            with contextlib.suppress(OSError), link:
                self._serve(link)

    def _serve(self, link: socket.socket) -> None:
        link.settimeout(0.02)
        data, unacknowledged = b"", []
        while not self._ended.is_set():
            try:
                part = link.recv(65536)
                if not part:
                    return
                data += part
            except TimeoutError:
                pass
            while len(data) > 4:
                size, shift, at = 0, 0, 1
                while True:
                    size |= (data[at] & 127) << shift
                    shift, at = shift + 7, at + 1
                    if not data[at - 1] & 128:
                        break
                if len(data) < at + size:
                    break
                kind, packet, data = data[0] >> 4, data[at : at + size], data[at + size :]
                if kind == 1:
                    link.sendall(b"\x20\x02\x00\x00")
                elif kind == 3:
                    topic = packet[2 : 2 + packet[1]].decode()
                    mid = packet[2 + packet[1] : 4 + packet[1]]
                    self.published.append((topic, mid))
                    unacknowledged.append(mid)
            while unacknowledged and self.acknowledge.is_set():
                link.sendall(b"\x40\x02" + unacknowledged.pop(0))


def test_a_broker_that_does_not_acknowledge_gets_one_copy(events: list[Event]) -> None:
    with Scripted() as broker:
        sink = MqttSink(MqttConfig("127.0.0.1", broker.port, timeout_s=0.1), ["XX.STA"])
        wait_until(sink._client.is_connected)
        for _ in range(5):
            with pytest.raises(TimeoutError, match=r"not acknowledged within 0\.1 s"):
                sink.write(events[0])
        assert [topic for topic, _ in broker.published] == ["seisedge/XX.STA/status", "seisedge/XX.STA/event"]
        broker.acknowledge.set()
        wait_until(lambda: sink._sent is not None and sink._sent[1].is_published())
        sink.write(events[0])
        sink.write(events[1])
        assert len({mid for topic, mid in broker.published if topic.endswith("event")}) == 2
        sink.close()


def test_an_exception_in_the_thread_of_paho(
    events: list[Event], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older releases of paho raise for a malformed packet."""
    connected, faults = MqttSink._connected, [ZeroDivisionError("first")]

    def faulty(sink: MqttSink, *args: Any) -> None:
        if faults:
            raise faults.pop()
        connected(sink, *args)

    monkeypatch.setattr(MqttSink, "_connected", faulty)
    with Scripted() as broker:
        broker.acknowledge.set()
        sink = MqttSink(MqttConfig("127.0.0.1", broker.port), ["XX.STA"])
        wait_until(lambda: "mqtt: the client failed: ZeroDivisionError: first" in caplog.text)
        wait_until(lambda: broker.clients == 2 and sink._client.is_connected())
        sink.write(events[0])
        assert broker.clients == 2 and "seisedge/XX.STA/event" in {topic for topic, _ in broker.published}
        sink.close()


def test_a_broker_that_never_answers_the_handshake(events: list[Event]) -> None:
    with silent_port() as port:
        sink = MqttSink(MqttConfig("127.0.0.1", port, tls=True, timeout_s=0.2), ["XX.STA"])

        def timed_out() -> bool:
            with pytest.raises(ConnectionError, match="not connected") as caught:
                sink.write(events[0])
            return "timed out" in str(caught.value)

        wait_until(timed_out)
        sink.close()


def test_a_broker_that_starts_later(tmp_path: Path, events: list[Event]) -> None:
    broker = Broker(tmp_path)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port), ["XX.STA"])
    with pytest.raises(ConnectionError, match="not connected"):
        sink.write(events[0])
    broker.start()
    try:
        wait_until(sink._client.is_connected)
        sink.write(events[0])
    finally:
        sink.close()
        broker.stop()


def _states(config: MqttConfig, *, count: int) -> tuple[MqttSink, list[str | None]]:
    """A sink, and the first states of its connection that it reports."""
    found: list[str | None] = []
    sink = MqttSink(config, ["XX.STA"])
    sink.watch(found.append)
    wait_until(lambda: len(found) >= count)
    return sink, found


def test_the_reasons_are_words(guarded: Broker, broker: Broker, authority: Path) -> None:
    """Of a plain client at a broker with TLS, of a TLS client at a plain broker, of a broker that dies."""
    sink, states = _states(MqttConfig("127.0.0.1", guarded.port), count=1)
    assert states[0] == (
        "the broker closed the connection before it accepted it; if it expects TLS, set sinks.mqtt.ca_file, or "
        "sinks.mqtt.tls = true"
    )
    sink.close()
    ca_file = str(authority / "ca.pem")
    sink, states = _states(MqttConfig("127.0.0.1", broker.port, ca_file=ca_file), count=1)
    assert states[0] is not None and states[0].startswith("the TLS handshake failed (")
    assert states[0].endswith(f"); check that port {broker.port} expects TLS")
    sink.close()
    sink, states = _states(MqttConfig("127.0.0.1", guarded.port, ca_file=ca_file, username="nobody"), count=1)
    assert states[0] == (
        "the broker refused the connection: Not authorized; check sinks.mqtt.username and the password"
    )
    sink.close()
    sink, states = _states(MqttConfig("127.0.0.1", broker.port), count=1)
    broker.stop()
    wait_until(lambda: len(states) >= 3)
    assert states[:2] == [None, "the broker closed the connection"]
    assert states[2] == "connection refused: no broker listens there"
    sink.close()


def test_two_runs_with_the_same_name(broker: Broker) -> None:
    """A broker ends the connection of a client when another one connects with its name."""
    config = MqttConfig("127.0.0.1", broker.port)
    first, states = _states(config, count=1)
    second = MqttSink(config, ["XX.STA"])
    wait_until(lambda: len(states) > 3)
    assert states[:4] == [
        None,
        "the broker closed the connection",
        None,
        "the broker closed the connection again right after it accepted it; does another run with the same client "
        "name, seisedge-XX.STA, use this broker?",
    ]
    first.close()
    second.close()


def test_a_line_at_the_start_waits_for_the_first_answer(broker: Broker, events: list[Event]) -> None:
    """A line of an earlier run is there before the broker has answered: that is no failure."""
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port), ["XX.STA"])
    sink.write(events[0])
    sink.close()


def test_the_end_of_a_run_does_not_wait_for_the_first_answer(events: list[Event]) -> None:
    """Of a broker that never answers: without `give_up` the line would wait for `timeout_s`, ten minutes here."""
    with silent_port() as port:
        sink = MqttSink(MqttConfig("127.0.0.1", port, timeout_s=600.0), ["XX.STA"])
        failed = threading.Event()

        def write() -> None:
            try:
                sink.write(events[0])
            except ConnectionError:
                failed.set()

        thread = threading.Thread(target=write)
        thread.start()
        sink.give_up()
        thread.join(30)
        assert failed.is_set()
        sink.close()

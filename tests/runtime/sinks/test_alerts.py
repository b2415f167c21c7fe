"""Alerts: what is sent, and delivery through Apprise to a real mail server and a server like ntfy on loopback."""

import http.server
import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.sinks.conftest import MakeEvent

from seisedge.runtime.config import AlertConfig
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event, MagnitudeEstimate
from seisedge.runtime.sinks import LeftOut
from seisedge.runtime.sinks.alerts import AlertFilter, AlertSink

needs_apprise = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import apprise"], capture_output=True).returncode != 0,
    reason="apprise is not installed; pip install 'seisedge[notify]'",
)


class Ntfy(http.server.ThreadingHTTPServer):
    """Keeps the messages of POST requests of the ntfy protocol. up: else it answers 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), NtfyAnswer)
        self.got: list[dict[str, Any]] = []
        self.up = True


class NtfyAnswer(http.server.BaseHTTPRequestHandler):
    server: Ntfy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.up:
            self.server.got.append(json.loads(body))
        self.send_response(200 if self.server.up else 503)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not printed."""


class Mail(socketserver.ThreadingTCPServer):
    """A mail server: keeps the messages. up: else it refuses them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailAnswer)
        self.got: list[str] = []
        self.up = True


class MailAnswer(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "DATA" and self.server.up:
                self._say("354 go on")
                lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                self.server.got.append("".join(lines))
                self._say("250 kept")
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok" if word != "DATA" else "451 later")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def tectonic(revision: MakeEvent) -> MakeEvent:
    """A revision with a magnitude of 1.99, between 1.2 and 2.8, and with changes."""
    size = MagnitudeEstimate(
        label="(1.9,2.0]", bin=(1.9, 2.0), probability=0.1, type="M", value=1.99, interval_90=(1.2, 2.8),
        model="magnitude", sha256="0",
    )  # fmt: skip
    return lambda **changes: revision(**({"magnitude": size, "emitted": "2026-11-29T12:00:00.0Z"} | changes))


def _sent(config: AlertConfig, *events: Event) -> list[str]:
    chosen = AlertFilter(config)
    titles = []
    for event in events:
        message = chosen.message(event)
        if message is not None:
            titles.append(message.title)
            chosen.note_sent(event, sent=True)
    return titles


def test_one_message_an_event_and_its_retraction(tectonic: MakeEvent) -> None:
    config = AlertConfig("phone", "urls")
    other = tectonic(id="other")
    revisions = [tectonic(), tectonic(status="update", revision=1), other, tectonic(status="retracted", revision=2)]
    titles = ["XX.STA: tectonic M 1.99 [1.2, 2.8]"]
    assert _sent(config, *revisions) == [*titles, *titles, "XX.STA: retracted"]
    assert _sent(config, tectonic(status="retracted")) == []  # never sent
    assert _sent(msgspec.structs.replace(config, status=("final",)), *revisions) == []


@pytest.mark.parametrize(
    ("settings", "is_sent"),
    [
        ({"min_magnitude": 1.99}, True), ({"min_magnitude": 2.0}, False),
        ({"min_magnitude_lower": 1.2}, True), ({"min_magnitude_lower": 1.3}, False),
        ({"min_probability": 0.9}, True), ({"min_probability": 0.91}, False), ({"types": ("non-tectonic",)}, False),
        ({"quiet_hours": "11:00-12:00"}, True), ({"quiet_hours": "12:00-13:00"}, False),
        ({"quiet_hours": "22:00-12:01"}, False), ({"quiet_hours": "22:00-06:00"}, True),
        ({"quiet_hours": "12:00-13:00", "quiet_min_magnitude": 1.9}, True),
        ({"quiet_hours": "12:00-13:00", "quiet_min_magnitude": 2.1}, False),
    ],
)  # fmt: skip
def test_conditions(tectonic: MakeEvent, settings: dict[str, Any], is_sent: bool) -> None:
    assert bool(_sent(AlertConfig("phone", "urls", **settings), tectonic())) is is_sent


def test_an_event_without_a_magnitude_passes_only_without_a_limit(tectonic: MakeEvent) -> None:
    bare = tectonic(magnitude=None)
    assert _sent(AlertConfig("phone", "urls"), bare) == ["XX.STA: tectonic"]
    assert _sent(AlertConfig("phone", "urls", min_magnitude=-3.0), bare) == []


def test_the_hourly_limit_counts_what_it_leaves_out(tectonic: MakeEvent, caplog: pytest.LogCaptureFixture) -> None:
    chosen = AlertFilter(AlertConfig("phone", "urls", max_per_hour=2))
    sent = []
    for minute in (0, 10, 20, 30, 59):
        event = tectonic(id=f"event {minute}", emitted=f"2026-11-29T12:{minute:02}:00.0Z")
        if chosen.message(event) is not None:
            chosen.note_sent(event, sent=True)
            sent.append(minute)
    assert sent == [0, 10]
    assert chosen.message(tectonic(id="event 20", status="retracted")) is None  # it was not sent
    later = chosen.message(tectonic(id="later", emitted="2026-11-29T13:00:00.0Z"))
    assert later is not None and "3 further messages were not sent: 2 an hour at most" in later.body
    assert caplog.messages == [
        "alert phone: 2 event(s) were sent within an hour, the limit (max_per_hour); further events are left out until "
        "2026-11-29T13:00:00Z and counted in seisedge_sink_left_out_total"
    ]


@needs_apprise
def test_each_service_gets_each_message_once(tectonic: MakeEvent, tmp_path: Path) -> None:
    """The mail server refuses at first: only it is asked again."""
    ntfy, mail, urls = Ntfy(), Mail(), tmp_path / "urls"
    urls.write_text(
        f"# on loopback\nntfy://127.0.0.1:{ntfy.server_address[1]}/quakes\n"
        f"mailto://127.0.0.1:{mail.server_address[1]}/?from=station@example.org&to=me@example.org\n",
        encoding="utf-8",
    )
    sink = AlertSink(AlertConfig("phone", str(urls)), now_s=lambda: 1_795_953_600.0 + 60)  # 2026-11-29T12:01
    with _serving(ntfy), _serving(mail):
        mail.up = False
        with pytest.raises(ConnectionError, match=r"^mailto:// of line 3 did not accept the message; check the URL"):
            sink.write(tectonic())
        mail.up = True
        sink.write(tectonic())
        with pytest.raises(LeftOut):
            sink.write(tectonic(status="final", revision=3))
        assert [(one["topic"], one["title"]) for one in ntfy.got] == [("quakes", "XX.STA: tectonic M 1.99 [1.2, 2.8]")]
        assert len(mail.got) == 1 and "To: me@example.org" in mail.got[0]
        for word in ("Onset 2020-09-13 12:27:19.8 UTC", "probability 0.90", "1.99 [1.2, 2.8]", "not located"):
            assert word in ntfy.got[0]["message"]
        late = AlertSink(AlertConfig("phone", str(urls), deadline_s=30.0), now_s=lambda: 1_795_953_600.0 + 60)
        with pytest.raises(LeftOut):
            late.write(tectonic())
        assert len(ntfy.got) == len(mail.got) == 1


@needs_apprise
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must contain 1 to 20 URLs"),
        ("ntfy://quakes\nhello\n", "line 2 is no URL of a service"),
        (None, "cannot read the URLs of an alert"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str | None, fault: str) -> None:
    path = tmp_path / "urls"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=fault) as caught:
        AlertSink(AlertConfig("phone", str(path)))
    assert "hello" not in str(caught.value)  # the lines of the file are secrets


@needs_apprise
@pytest.mark.long  # Apprise waits 5.5 s between two messages
def test_a_run_sends_each_event_once(tmp_path: Path) -> None:
    ntfy, part = Ntfy(), tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 200])
    station, events = tmp_path / "station.toml", tmp_path / "events.jsonl"
    with _serving(ntfy):
        urls = tmp_path / "urls"
        urls.write_text(f"ntfy://127.0.0.1:{ntfy.server_address[1]}/quakes\n", encoding="utf-8")
        alert = f'\n[[alerts]]\nname = "phone"\nurls_file = "{urls}"\nmax_per_hour = 100\n'
        station.write_text((STATIONS / "PB.B918.toml").read_text(encoding="utf-8") + alert, encoding="utf-8")
        command = [sys.executable, "-m", "seisedge.cli", "run", station, part, "--events", events]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    ids = [one["message"].splitlines()[-1] for one in ntfy.got]
    assert len(ids) == len(set(ids)) > 1 and set(ids) == {line["id"] for line in lines}

"""The page of a real run: the events stay the same whatever the clients do; ports, settings, imports."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.fakes import demo_configs
from tests.paths import RECORDING
from tests.waiting import wait_until

from seisedge.cli import main
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.page.page import MAX_CONNECTIONS, Page
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source

PART = 512 * 1000  # bytes of the recording: nine minutes of two stations


class Lines(Sink):
    """Keeps the content of all lines."""

    def __init__(self) -> None:
        self.content: list[bytes] = []

    def write(self, line: Event | Hop) -> None:
        self.content.append(content_of(line))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[:PART])
    return path


def _run(path: Path, sink: Lines, page: Page | None, health: Health) -> None:
    loop = Loop(
        Models.load(next(iter(demo_configs().values())).models, ()), [sink], demo_configs(), health=health,
        observer=page.feed if page is not None else None,
    )  # fmt: skip
    health.report = loop.report
    with open_source(str(path)) as source:
        loop.run(source)


def _request(port: int, target: str) -> bytes:
    url = f"http://127.0.0.1:{port}{target}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


@contextlib.contextmanager
def _clients(port: int) -> Iterator[list[int]]:
    """Eight clients: three that read, three that never read, one that sends half a request, one that posts.

    Yields the number of answers that each of the first three has received.
    """
    stopped, answers = threading.Event(), [0, 0, 0]
    targets = ["/api/state", "/api/events", "/api/envelope?component=ZNE&from=1562487360000&to=1562487960000",
               "/api/helicorder?from=1562487360000&to=1562487960000", "/api/nothing",
               "/api/probabilities?from=1562487360000&to=1562487960000",
               "/api/spectrogram?from=1562487360000&to=1562487960000"]  # fmt: skip

    def read(which: int) -> None:
        while not stopped.is_set():
            for target in targets:
                _request(port, target)
                answers[which] += 1

    readers = [threading.Thread(target=read, args=(which,)) for which in range(3)]
    end = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    requests = [b"GET /api/updates" + end] * 2 + [
        b"POST /api/state" + end + b"x",
        b"GET /api/state HTTP/1.1\r\nHost: l",
    ]
    requests.append(b"GET /api/helicorder?from=1562487360000&to=1562577360000" + end)
    assert len(readers) + len(requests) == 8
    with contextlib.ExitStack() as opened:
        for request in requests:
            link = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            link.sendall(request)
        for reader in readers:
            reader.start()
        try:
            yield answers
        finally:
            stopped.set()
            for reader in readers:
                reader.join(60)


def test_events_are_the_same_with_eight_clients_some_of_them_stalled(part: Path) -> None:
    plain = Lines()
    _run(part, plain, None, Health())
    health = Health()
    page = Page(health)
    page.start(("127.0.0.1", 0))
    try:
        with _clients(page.port) as answers:
            wait_until(lambda: min(answers) > 5)
            watched = Lines()
            _run(part, watched, page, health)
            before = list(answers)
            wait_until(lambda: all(now > then + 7 for now, then in zip(answers, before, strict=True)))
        assert watched.content == plain.content and len(plain.content) > 50
        # the clients may have used up the answers of this second
        wait_until(lambda: "events" in json.loads(_request(page.port, "/api/events?limit=200")))
        shown = json.loads(_request(page.port, "/api/events?limit=200"))["events"]
        assert page.server is not None and len(page.server._connections) <= MAX_CONNECTIONS
    finally:
        page.close()
    newest = {}
    for line in map(json.loads, plain.content):
        newest[line["id"]] = line["revision"]
    assert {one["id"]: one["revision"] for one in shown} == newest


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _seisedge(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(map(str, args)))
    return done.exit_code, done.output


STATION = """
{before}
[station]
network = "PB"
station = "B918"
[page]
{page}
"""


def test_a_port_that_is_taken_is_one_warning_and_the_station_runs(part: Path, caplog: pytest.LogCaptureFixture) -> None:
    part.write_bytes(RECORDING.read_bytes()[: 512 * 100])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = _seisedge("run", part, "--page", f"127.0.0.1:{port}")
    assert code == 0 and " min of data from 2 station(s)" in output
    warning = f"page: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another port; it is tried"
    assert [record.message.startswith(warning) for record in caplog.records if record.levelname == "WARNING"] == [True]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('listen = "0.0.0.0:0"', "page.listen: other machines can connect to 0.0.0.0:0: in the station file set"),
        ('listen = ":0"\naccess = "open"\ntoken_file = "x"', "page.access = 'open' and page.token_file contradict"),
        ('listen = "0.0.0.0:0"\ntoken_file = "/nosuch"', "/nosuch: cannot read the secret from this file"),
        ('listen = "nosuch.invalid:0"\naccess = "open"', "page: the host 'nosuch.invalid' is unknown"),
    ],
)
def test_a_page_that_cannot_be_shown_is_one_error_and_the_station_runs(
    table: str, sentence: str, part: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part.write_bytes(RECORDING.read_bytes()[: 512 * 100])
    station = part.parent / "station.toml"
    station.write_text(STATION.format(before="", page=table), encoding="utf-8")
    code, output = _seisedge("run", station, part)
    assert code == 0 and " min of data from 1 station(s)" in output
    (error,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith(f"no page: {sentence}")


def test_a_page_of_the_command_line_that_cannot_be_shown(part: Path, caplog: pytest.LogCaptureFixture) -> None:
    part.write_bytes(RECORDING.read_bytes()[: 512 * 100])
    code, output = _seisedge("run", part, "--page", "0.0.0.0:0")
    assert code == 0 and " min of data from 2 station(s)" in output
    assert [one for one in caplog.messages if one.startswith("no page: --page: other machines can connect to 0.0.0.0")]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('access = "anyone"', "page.access: must be 'open' or 'token'; got 'anyone'"),
        ('listen = "8080"', "page.listen: expected HOST:PORT, such as"),
        ('name = "a b"', "page.name: the host 'a b' may contain letters, digits, hyphens and dots only"),
        ("low_rate = 1", "page.low_rate: must be true or false; got 1"),
    ],
)
def test_wrong_settings_are_one_sentence_each(table: str, sentence: str, part: Path) -> None:
    station = part.parent / "station.toml"
    station.write_text(STATION.format(before="", page=table), encoding="utf-8")
    code, output = _seisedge("run", station, part)
    assert code == 2 and sentence in " ".join(output.split())


def test_the_option_takes_precedence_and_the_port_of_the_metrics_can_be_shared(tmp_path: Path) -> None:
    """A run that waits for data: page, /healthz and /metrics on one port, with the name of the station file."""
    port, other = _free_port(), _free_port()
    station = tmp_path / "station.toml"
    before = f'source = "seedlink://127.0.0.1:{other}/PB_B918"\nmetrics = "127.0.0.1:{port}"'
    page = f'listen = "127.0.0.1:{other}"\nname = "vault.example"'
    station.write_text(STATION.format(before=before, page=page), encoding="utf-8")
    command = [sys.executable, "-m", "seisedge.cli", "run", str(station), "--page", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        try:
            wait_until(lambda: run.poll() is not None or _answers(port))
            wait_until(lambda: bool(json.loads(_request(port, "/api/state")).get("stations")))  # the loop exists
            state = json.loads(_request(port, "/api/state"))
            assert (
                state["sentence"].startswith("outage: the source is ") and state["stations"][0]["station"] == "PB.B918"
            )
            assert str(other) not in json.dumps(state)
            assert json.loads(_request(port, "/healthz"))["status"] == "outage"
            assert b"\nseisedge_up 0\n" in _request(port, "/metrics")
            assert _status(port, "vault.example") == 200 and _status(port, "elsewhere.example") == 421
        finally:
            run.terminate()
            output = run.communicate()[0]
    assert f"INFO page: http://127.0.0.1:{port}\n".encode() in output


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _status(port: int, host: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/state", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_run_without_a_page_does_not_import_it(part: Path) -> None:
    code = (
        "import sys; from seisedge.cli import main\n"
        f"try: main(['run', {str(part)!r}, '--json'])\n"
        "finally: sys.stderr.write(' '.join(name for name in sys.modules if 'runtime.page' in name) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr.endswith("none") and done.stdout.count("\n") > 20

"""A run as a service: stopped, monitored, queried."""

import contextlib
import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes import silent_port, unreachable_port

from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer

STOP_S = 5.0
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"  # of a log line


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * 360])
    return path


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(60)
        yield link


READY = rb"READY=1\nSTATUS=reading seedlink://"


def _start(notified: socket.socket, *args: object, until: bytes = READY) -> subprocess.Popen[str]:
    """A run that has sent a message that matches `until`; before it there were only messages to the watchdog."""
    while select.select([notified], [], [], 0)[0]:  # of the run before
        notified.recv(1000)
    environment = os.environ | {"NOTIFY_SOCKET": str(notified.getsockname()), "WATCHDOG_USEC": "200000"}
    environment.pop("WATCHDOG_PID", None)
    command = [sys.executable, "-m", "seisedge.cli", "run", *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    while not re.match(until, message := notified.recv(1000)):
        assert message == b"WATCHDOG=1", message
    return process


def _stop(process: subprocess.Popen[str]) -> str:
    began_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert time.monotonic() - began_s < STOP_S
    assert "Traceback" not in output
    return output


def _pings(notified: socket.socket, count: int) -> None:
    for _ in range(count):
        assert notified.recv(1000) == b"WATCHDOG=1"


def test_stopped_in_the_stream_and_resumed(part: Path, tmp_path: Path, notified: socket.socket) -> None:
    """Three runs with two stops emit the same lines as one run; a stop closes no event."""
    state, events, whole = tmp_path / "state", tmp_path / "events.jsonl", tmp_path / "whole.jsonl"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stations = list(STATIONS.glob("*.toml"))
    with Digitizer([part], speed=60.0) as digitizer:
        url = f"{digitizer.url}/PB_B918,PB_B921?from=earliest"
        for _ in range(2):
            process = _start(
                notified, *stations, "--source", url, "--state", state, "--events", events,
                "--metrics", f"127.0.0.1:{port}",
            )  # fmt: skip
            _pings(notified, 8)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                document = json.load(answer)
            assert document["status"] in ("ok", "degraded")
            _stop(process)
    with Digitizer([part], speed=0.0) as digitizer:
        process = _start(
            notified, *stations, "--source", f"{digitizer.url}/PB_B918,PB_B921?from=earliest", "--until-end",
            "--events", whole,
        )  # fmt: skip
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    by_id = {(x["id"], x["revision"]): x["status"] for x in map(json.loads, events.read_text().splitlines())}
    expected = {(x["id"], x["revision"]): x["status"] for x in map(json.loads, whole.read_text().splitlines())}
    assert by_id and by_id.items() <= expected.items()


def test_stopped_without_a_server(tmp_path: Path, notified: socket.socket) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        port = silent.getsockname()[1]
        arguments = ["--source", f"seedlink://127.0.0.1:{port}/XX_STA", "--state", tmp_path / "state"]
        process = _start(notified, *arguments, until=b"WATCHDOG=1")
        _pings(notified, 3)  # and no READY
        _stop(process)


def test_a_service_whose_source_is_retried_is_ready_and_says_why(notified: socket.socket) -> None:
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        url = f"seedlink://127.0.0.1:{closed.getsockname()[1]}/XX_STA"
        why = r"not connected for \d+ s: connection refused \(1 failed attempt\(s\)\); retrying$"
        _stop(_start(notified, "--source", url, until=f"READY=1\nSTATUS={url}: {why}".encode()))


WEBHOOK = '[sinks.webhook]\nurl = "http://127.0.0.1:{port}/"\n'
MQTT = '[sinks.mqtt]\nhost = "127.0.0.1"\nport = {port}\n'


@pytest.mark.parametrize("peer", [silent_port, unreachable_port])
@pytest.mark.parametrize("sink", [WEBHOOK, MQTT], ids=["webhook", "mqtt"])
def test_stopped_with_a_hanging_sink(
    part: Path,
    tmp_path: Path,
    notified: socket.socket,
    sink: str,
    peer: Callable[[], contextlib.AbstractContextManager[int]],
) -> None:
    if sink == MQTT:
        pytest.importorskip("paho.mqtt.client", reason="no paho-mqtt here; pip install 'seisedge[mqtt]'")
    station = tmp_path / "station.toml"
    with peer() as port, Digitizer([part], speed=0.0) as digitizer:
        text = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")
        station.write_text(f"{text}\n{sink.format(port=port)}", encoding="utf-8")
        state, events = tmp_path / "state", tmp_path / "events.jsonl"
        process = _start(
            notified, station, "--source", f"{digitizer.url}/PB_B918?from=earliest",
            "--state", state, "--events", events,
        )  # fmt: skip
        for _ in range(600):
            if events.exists() and len(events.read_bytes().splitlines()) > 5:
                break
            time.sleep(0.1)
        output = _stop(process)
    lines = len(events.read_bytes().splitlines())
    assert lines > 5
    assert f"{lines} lines not delivered; they wait in the state folder" in output


def _small_pipe() -> tuple[int, int]:
    """A pipe of one page; whoever writes more into it must wait for its reader."""
    read_fd, write_fd = os.pipe()
    fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, 4096)
    return read_fd, write_fd


@pytest.mark.parametrize("with_state", [False, True])
def test_nobody_reads_the_output(part: Path, tmp_path: Path, with_state: bool) -> None:
    """A stopped `| tee`: the station goes on, `/healthz` reports it, and SIGTERM ends the run."""
    events, whole = tmp_path / "events.jsonl", tmp_path / "whole.jsonl"
    run = [sys.executable, "-m", "seisedge.cli", "-vv", "run"]
    subprocess.run([*run, str(part), "--events", str(whole)], check=True, capture_output=True)
    expected = [(x["id"], x["revision"]) for x in map(json.loads, whole.read_text().splitlines())]
    state = ["--state", str(tmp_path / "state")] if with_state else []
    read_fd, write_fd = _small_pipe()
    with Digitizer([part], speed=0.0) as digitizer:
        source = ["--source", f"{digitizer.url}?from=earliest", "--events", str(events)]
        process = subprocess.Popen([*run, *source, *state], stdout=write_fd, stderr=write_fd)
        os.close(write_fd)
        try:
            for _ in range(600):
                if events.exists() and len(events.read_bytes().splitlines()) >= len(expected) - 6:
                    break  # the events that the end of the data closes are still open
                time.sleep(0.1)
            began_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            assert time.monotonic() - began_s < STOP_S
        finally:
            process.kill()
            os.close(read_fd)
    lines = [(x["id"], x["revision"]) for x in map(json.loads, events.read_text().splitlines())]
    assert len(lines) >= len(expected) - 6 and set(lines) <= set(expected)


def test_a_file_waits_for_the_reader_of_its_events(part: Path, tmp_path: Path) -> None:
    """`seisedge -vv run FILE --json 2>&1 | TOOL`, where TOOL begins to read late: not one line is lost."""
    whole = tmp_path / "whole.jsonl"
    read_fd, write_fd = _small_pipe()
    command = [sys.executable, "-m", "seisedge.cli", "run", str(part), "--json", "--events", str(whole)]
    process = subprocess.Popen(command, stdout=write_fd)
    os.close(write_fd)
    with open(read_fd, encoding="utf-8") as reader:  # noqa: PTH123 - a file descriptor
        first = reader.readline()
        received = [first, *reader]
    assert process.wait(timeout=60) == 0
    assert "".join(received) == whole.read_text(encoding="utf-8") and len("".join(received)) > 3 * 4096


@pytest.mark.parametrize("live", [False, True])
def test_a_reader_that_goes_does_not_take_the_events_file_along(part: Path, tmp_path: Path, live: bool) -> None:
    events = tmp_path / "events.jsonl"
    read_fd, write_fd = _small_pipe()
    os.close(read_fd)
    command = [sys.executable, "-m", "seisedge.cli", "run"]
    alone = subprocess.run([*command, str(part), "--json"], capture_output=True, check=True)
    number = len(alone.stdout.splitlines())
    with Digitizer([part], speed=0.0) as digitizer:
        source = ["--source", f"{digitizer.url}?from=earliest", "--idle-exit", "1"] if live else [str(part)]
        run = [*command, *source, "--events", str(events)]
        done = subprocess.run(run, stdout=write_fd, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(events.read_bytes().splitlines()) == number
        assert "lines of standard output that nobody read: " in done.stderr
        unread = subprocess.run([*command, *source], stdout=write_fd, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_fd)
    assert unread.returncode == 1 and "Traceback" not in unread.stderr


def test_standard_output_on_a_full_disk(part: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "seisedge.cli", "run", str(part), "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "Error: standard output: events cannot be written: No space left on device"


def test_sigterm_ends_a_file_whose_events_nobody_reads(part: Path) -> None:
    read_fd, write_fd = _small_pipe()
    command = [sys.executable, "-m", "seisedge.cli", "run", str(part), "--json"]
    process = subprocess.Popen(command, stdout=write_fd, stderr=subprocess.PIPE, text=True)
    os.close(write_fd)
    poll = select.poll()
    poll.register(read_fd, select.POLLIN)
    assert poll.poll(60_000)  # the first events are there: the run is in its loop
    began_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    os.close(read_fd)
    assert process.returncode == 0 and "Traceback" not in errors
    assert time.monotonic() - began_s < STOP_S


FAILS = (
    "import sys, seisedge.cli as cli\nsys.excepthook = cli._print_exception\nraise RuntimeError('a fault of seisedge')"
)


@pytest.mark.parametrize(
    ("command", "code"), [(["-m", "seisedge.cli", "run", "no-such-file.mseed"], 2), (["-c", FAILS], 1)]
)
def test_a_process_that_fails_ends_though_nobody_reads_the_reason(command: list[str], code: int) -> None:
    """A supervisor restarts it; it must not wait for a log collector that hangs."""
    read_fd, write_fd = _small_pipe()
    os.write(write_fd, b"x" * 4096)
    try:
        process = subprocess.run([sys.executable, *command], stderr=write_fd, timeout=60, check=False)
    finally:
        os.close(read_fd)
        os.close(write_fd)
    assert process.returncode == code


def test_sigterm_ends_a_process_that_hangs_in_a_library() -> None:
    """The main thread waits in C, for a lock that nobody releases: no signal handler of Python can run."""
    script = (
        "import ctypes\nfrom seisedge.runtime.commands import _console\n_console.STOP_LIMIT_S = 0.1\n"
        "mutex, c = ctypes.create_string_buffer(128), ctypes.CDLL(None)\n"
        "with _console.stopped_by_signals(lambda: None):\n    print('ready', flush=True)\n"
        "    c.pthread_mutex_lock(mutex), c.pthread_mutex_lock(mutex)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_where_the_log_goes(tmp_path: Path, as_json: bool) -> None:
    """With the readable lines; never with JSON lines."""
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 240 - 100])  # the last record is truncated: a warning
    command = [sys.executable, "-m", "seisedge.cli", "run", str(part), *(["--json"] if as_json else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with_log, without = (done.stderr, done.stdout) if as_json else (done.stdout, done.stderr)
    warning = f"WARNING {part}: the last record is truncated after 412 bytes"
    assert (
        any(re.fullmatch(rf"{TIME} {re.escape(warning)}", line) for line in with_log.splitlines())
        and "WARNING" not in without
    )
    if as_json:
        assert all(json.loads(line)["schema"] == "seisedge.event/1" for line in done.stdout.splitlines())
    else:
        assert "PB.B918    new" in done.stdout and "PB.B918    new" not in done.stderr


def _limited(*args: object, file_bytes: int) -> subprocess.CompletedProcess[str]:
    """A run whose files cannot grow beyond `file_bytes`: the same error at a write as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [sys.executable, "-m", "seisedge.cli", "run", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)


@pytest.mark.parametrize("live", [False, True])
def test_events_on_a_full_disk_do_not_stop_standard_output(part: Path, tmp_path: Path, live: bool) -> None:
    """Without a state folder. The file has whole lines, and the run says that the others are lost."""
    whole = subprocess.run(
        [sys.executable, "-m", "seisedge.cli", "run", str(part), "--json"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    events = tmp_path / "events.jsonl"
    with contextlib.ExitStack() as opened:
        where: list[object] = [part]
        if live:
            digitizer = opened.enter_context(Digitizer([part], speed=0.0))
            where = ["--source", f"{digitizer.url}/PB_B918,PB_B921?from=earliest", "--idle-exit", 3]
        done = _limited(*where, "--events", events, "--json", file_bytes=20_000)
    shown = [json.loads(line)["id"] for line in done.stdout.splitlines()]
    assert sorted(shown) == sorted(json.loads(line)["id"] for line in whole)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    written = [json.loads(line)["id"] for line in events.read_text(encoding="utf-8").splitlines()]
    assert 5 < len(written) < len(whole) and written == shown[: len(written)]
    lost = len(whole) - len(written)
    assert f"{events}: {lost} event lines could not be written" in done.stderr
    assert "file too large" in done.stderr.lower()


def test_events_to_a_full_device(part: Path) -> None:
    done = _limited(part, "--events", "/dev/full", file_bytes=-1)
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout
    assert "No space left on device" in done.stderr and done.stdout.count("PB.B9") > 15


def test_a_plain_run_does_not_import_the_service(part: Path) -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom seisedge.cli import main\n"
        f"result = CliRunner().invoke(main, ['run', {str(part)!r}])\nassert result.exit_code == 0, result.output\n"
        "print(sorted({'sqlite3', 'http.server', 'http.client', 'xml.etree.ElementTree', 'paho'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""No thread of a station ends unnoticed: each is enumerated, killed, and must be reported and restarted."""

import ast
import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.health import FAILED_S, Health
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.threads import Worker, start_task, start_worker, workers

RUNTIME = Path(__file__).parents[2] / "runtime" / "seisedge"
# Whatever starts a thread; only `threads.py` may.
STARTS_A_THREAD = {
    "Thread",
    "Timer",
    "start_new_thread",
    "start_joinable_thread",
    "ThreadPoolExecutor",
    "ThreadPool",
    "ThreadingHTTPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "Dummy",
    "to_thread",
    "QueueListener",
}


class Killed(BaseException):
    """Not an Exception: no handler of the code catches it."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("seisedge.runtime.threads.RESTART_FIRST_S", 0.001)
    yield
    assert workers() == []


def _started_threads(source: str) -> set[str]:
    """Names that are called, imported, or a base of a class, and start a thread."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        parts = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
        for part in parts:
            names.add(part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", ""))
    return names & STARTS_A_THREAD


def test_a_hidden_thread_is_found() -> None:
    assert _started_threads("import threading as t\nt.Thread(target=f)") == {"Thread"}
    assert _started_threads("from threading import Timer as T") == {"Timer"}
    assert _started_threads("class S(socketserver.ThreadingMixIn): pass") == {"ThreadingMixIn"}


def test_threads_start_in_one_place() -> None:
    found = {
        str(path.relative_to(RUNTIME)): names
        for path in RUNTIME.rglob("*.py")
        if (names := _started_threads(path.read_text(encoding="utf-8")))
    }
    assert found == {
        "runtime/threads.py": {"Thread"},
        "runtime/safe_mode.py": {"Thread"},  # instead of a station, with the standard library only
        "runtime/flash/fleet.py": {"ThreadPoolExecutor"},  # on a workstation
        "runtime/bench/_peak.py": {"ThreadPoolExecutor"},  # in a measurement
    }


def test_a_worker_that_fails_is_restarted_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    runs, steady, ending = [], threading.Event(), threading.Event()

    def target() -> None:
        runs.append(True)
        if len(runs) < 4:
            raise Killed("by a test")
        steady.set()
        ending.wait(30)

    worker = start_worker("the worker", target)
    assert steady.wait(30)
    assert worker.alive and worker.up and (worker.failures, worker.error) == (3, "Killed: by a test")
    assert [r.levelname for r in caplog.records if "the thread has failed" in r.getMessage()] == ["ERROR"]
    health = Health()
    reason = "thread the worker has failed 3 times; the last time: Killed: by a test"
    assert health.condition() == ("degraded", [reason])
    text = text_from_health(health)
    assert 'seisedge_thread_failures_total{thread="the worker"} 3' in text
    assert 'seisedge_thread_up{thread="the worker"} 1' in text
    assert worker.failed_s is not None
    worker.failed_s -= FAILED_S
    assert health.condition() == ("ok", [])
    ending.set()
    worker.join(30)
    assert not worker.alive and not worker.up


def test_a_worker_that_pauses_after_a_failure_is_not_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.threads.RESTART_FIRST_S", 60.0)
    failed = threading.Event()

    def target() -> None:
        failed.set()
        raise Killed

    worker = start_worker("the worker", target)
    assert failed.wait(30)
    while worker.up:
        failed.wait(0.001)
    assert worker.alive and "thread the worker has failed 1 times" in Health().condition()[1][0]
    worker.stop()
    worker.join(30)
    assert not worker.alive


def test_a_task_that_fails_reports_to_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []

    def target() -> None:
        raise Killed

    start_task("a task", target, failures.append).join(30)
    assert [type(error) for error in failures] == [Killed]

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    start_task("a task", target, failures.append)
    assert str(failures[1]) == "can't start new thread"
    with pytest.raises(RuntimeError, match="can't start"):
        start_worker("a worker", target)


def test_a_name_that_no_resolver_accepts_is_a_lost_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Python's own look-up raises UnicodeError, which is no OSError, for an empty or overlong label."""
    from seisedge.runtime.sources import open_source

    caplog.set_level(logging.WARNING)
    try:
        source = open_source(f"seedlink://{'a' * 70}.invalid/XX_STA")
    except Exception as error:  # refused at the start: no look-up is made
        assert "a" * 20 in str(error)
        return
    with source:
        for item in source.packets():
            assert item is None
            if caplog.records:
                break
    assert "; retrying" in caplog.records[0].getMessage()


# A station in a process of its own. Its threads are listed, and each gets an exception that nothing catches; a file
# receives what `/healthz` and `/metrics` show then.
STATION = r"""
import ctypes, json, os, re, signal, sys, threading, time, traceback, urllib.error, urllib.request
from seisedge.cli import main
from seisedge.runtime import threads
from seisedge.runtime.sinks import _drain

port, report, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
_drain.POLL_S = 0.1  # an exception reaches a thread when its wait ends
signal.signal(signal.SIGUSR1, lambda *_: None)  # wakes whoever waits for signals


class Killed(BaseException):
    pass


def get(path):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 429:  # too many requests
            time.sleep(0.2)
            return get(path)
        return error.read().decode()
    except OSError:
        return ""


def until(holds):
    for _ in range(600):
        if (found := holds()):
            return found
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.05)
    raise TimeoutError(f"{holds}: {threading.enumerate()}, {get('/healthz')}")


def of_others():
    return [t for t in threading.enumerate() if t not in (threading.main_thread(), threading.current_thread())]


def kill(thread):
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Killed))


def attack():
    wanted = {"stop limit", "metrics", *arguments_workers}
    until(lambda: get("/healthz") and wanted <= {w.name for w in threads.workers()})
    until(lambda: not [t for t in of_others() if t.name.endswith(" dial")])
    known = {w.ident: w for w in threads.workers()}
    uncovered = [t.name for t in of_others() if t.ident not in known and not t.name.startswith("paho-mqtt-client-")]
    result = {"workers": sorted(w.name for w in known.values()), "uncovered": uncovered, "failed": {}}
    paho = [t for t in of_others() if t.name.startswith("paho-mqtt-client-")]
    for worker in known.values():
        before = restarts(worker.name)
        kill(next(t for t in of_others() if t.ident == worker.ident))
        until(lambda: restarts(worker.name) > before)
        until(lambda: worker.up and worker.alive)
        result["failed"][worker.name] = [r for r in json.loads(get("/healthz"))["reasons"] if worker.name in r]
    for thread in paho:
        kill(thread)
        until(lambda: not thread.is_alive())
        until(lambda: [t for t in of_others() if t.name == thread.name])
        result["failed"]["paho"] = ["restarted"]
    until(lambda: all(w.up for w in threads.workers()))
    with open(report, "w") as file:
        json.dump(result, file)
    os.kill(os.getpid(), signal.SIGTERM)


def restarts(name):
    # of a sink's thread, which handles most failures itself, or of any worker
    text = get("/metrics")
    key = name.removeprefix("sink ")
    found = [re.escape(f'seisedge_sink_restarts_total{{sink="{key}"}}')]
    found += [re.escape(f'seisedge_thread_failures_total{{thread="{name}"}}')]
    return sum(int(count) for count in re.findall(f"(?:{'|'.join(found)}) ([0-9]+)", text))


arguments_workers = json.loads(os.environ["WORKERS"])


def run():
    try:
        attack()
    except BaseException:
        traceback.print_exc()
        os._exit(3)


threading.Thread(target=run, daemon=True).start()
main(["run", *arguments])
"""
SINKS = """
[sinks.jsonl]
path = "{folder}/sink.jsonl"
[sinks.quakeml]
folder = "{folder}"
authority = "org.example"
[sinks.webhook]
url = "http://127.0.0.1:{port}/"
"""
MQTT = '[sinks.mqtt]\nhost = "127.0.0.1"\nport = {port}\nheartbeat_s = 1.0\n'  # the thread of the health wakes as often


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("kind", ["seedlink", pytest.param("datalink", marks=pytest.mark.long), "shake-udp"])
def test_every_thread_of_a_station(tmp_path: Path, kind: str) -> None:
    text = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8") + SINKS.format(folder=tmp_path, port=_free_port())
    threads = [
        "page",
        "sink standard output",
        f"sink jsonl {tmp_path}/sink.jsonl",
        f"sink jsonl {tmp_path}/events.jsonl",
        f"sink quakeml {tmp_path}",
        *(["shake-udp"] if kind == "shake-udp" else []),
    ]
    if kind != "shake-udp" and importlib.util.find_spec("paho"):  # the thread of paho starts again with the next line
        text += MQTT.format(port=_free_port())
    station, report, port = tmp_path / "station.toml", tmp_path / "report.json", _free_port()
    station.write_text(text, encoding="utf-8")
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 360])
    with Digitizer([part], speed=0.0) as digitizer:
        source = f"shake-udp://127.0.0.1:{_free_port()}?station=PB_B918"
        if kind != "shake-udp":
            source = f"{digitizer.url_for(kind)}/PB_B918?from=earliest"
        done = subprocess.run(
            [
                *(sys.executable, "-c", STATION, str(port), str(report), str(station), "--source", source),
                *("--state", str(tmp_path / "state"), "--events", str(tmp_path / "events.jsonl")),
                *("--metrics", f"127.0.0.1:{port}", "--page", "127.0.0.1:0"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"WORKERS": json.dumps(threads)},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(report.read_text(encoding="utf-8"))
    assert result["uncovered"] == [], "start it with seisedge.runtime.threads, so that its end is noticed"
    assert set(threads) | {"metrics", "stop limit"} <= set(result["workers"])
    assert set(result["workers"]) <= set(result["failed"])
    for name, reasons in result["failed"].items():
        if not name.startswith("sink ") and name != "paho":  # a sink may work again before it is asked
            assert any("has failed" in reason for reason in reasons), name


def test_a_worker_is_listed_until_it_ends() -> None:
    ending = threading.Event()
    worker = start_worker("the worker", lambda: _wait(ending))
    assert isinstance(worker, Worker) and workers() == [worker]
    ending.set()
    worker.join(30)
    assert workers() == []


def _wait(event: threading.Event) -> None:
    event.wait(30)

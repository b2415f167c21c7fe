"""No secret of a station is written anywhere: a run with marked secrets in every place, and all that it wrote."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.paths import RECORDING
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.cli import main
from seisedge.runtime.config import JournalConfig
from seisedge.runtime.journal.database import Database, Transaction
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.line import Line
from seisedge.runtime.journal.reader import DatabaseReader
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.replay import Digitizer

MARK = "s3cr3t"
STATION = """
state = "{folder}/state"
source = "seedlink://{mark}-user:{mark}-password@127.0.0.1:{port}/PB_B918?from=earliest"
metrics = "127.0.0.1:{metrics}"
[station]
network = "PB"
station = "B918"
[sinks.jsonl]
path = "{folder}/events.jsonl"
[sinks.quakeml]
folder = "{folder}/quakeml"
[sinks.webhook]
url = "http://127.0.0.1:{webhook}/{mark}-path?token={mark}-query"
token_file = "{folder}/token-file"
[sinks.mqtt]
host = "127.0.0.1"
port = {closed}
username = "{mark}-mqtt-user"
"""


def seisedge(*args: object, **environment: str) -> tuple[int, str]:
    """Exit status and output of a command, run in this process."""
    done = CliRunner(env=environment).invoke(main, ["-vv", *map(str, args)])
    return done.exit_code, done.output


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def fetched(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_run_writes_no_secret(tmp_path: Path) -> None:
    """The webhook fails, refuses and accepts; MQTT is down; records are damaged; a proxy with a password is in use."""
    data = tmp_path / "part.mseed"
    data.write_bytes(RECORDING.read_bytes()[: 512 * 360])
    (tmp_path / "token-file").write_text(f"{MARK}-token\n")
    status = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver = Receiver()
    receiver.codes = [500, 400, 302]
    with status, serving(receiver), Digitizer([data], speed=0, faults=["poison:every=40"]) as digitizer:
        status.bind(str(tmp_path / "notify"))
        status.settimeout(60)
        webhook, metrics = receiver.server_address[1], free_port()
        ports = {"port": digitizer.port, "webhook": webhook, "metrics": metrics, "closed": free_port()}
        (tmp_path / "station.toml").write_text(STATION.format(folder=tmp_path, mark=MARK, **ports))
        proxy = f"http://{MARK}-proxy-user:{MARK}-proxy-password@127.0.0.1:{webhook}"
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "SEISEDGE_MQTT_PASSWORD": f"{MARK}-mqtt-password"}
        environment |= {"http_proxy": proxy, "https_proxy": proxy, "all_proxy": proxy}
        command = [sys.executable, "-m", "seisedge.cli", "-vv", "run", str(tmp_path / "station.toml")]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
        )
        try:
            notified = status.recv(1000).decode()
            while len(receiver.got) < 4:
                assert process.poll() is None
                time.sleep(0.02)
            served = fetched(f"http://127.0.0.1:{metrics}/metrics") + fetched(f"http://127.0.0.1:{metrics}/healthz")
            process.terminate()
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    code, shown = seisedge("state", "show", tmp_path / "state")
    assert code == 0 == process.returncode, output

    # the secrets were in use, and their places were written without them
    assert any(MARK in str(headers) for headers, _ in receiver.got)
    place = f"seedlink://127.0.0.1:{ports['port']}/PB_B918?from=earliest"
    lines = (tmp_path / "events.jsonl").read_text()
    assert f"reading {place}" in notified and place in lines and place in shown and place in output
    assert f"http://127.0.0.1:{webhook}/…" in output and f"http://127.0.0.1:{webhook}/…" in served
    assert f"webhook http://127.0.0.1:{webhook}/… #" in shown
    assert place in (tmp_path / "state" / "dead-letters.jsonl").read_text()
    for what, text in {"log": output, "status": notified, "metrics, health": served, "state show": shown}.items():
        assert MARK not in text, what
    inputs = {tmp_path / "station.toml", tmp_path / "token-file"}
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path not in inputs]
    assert {FILE_NAME, "events.jsonl"} <= {path.name for path in written}
    for path in written:
        assert MARK.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "source",
    [
        f"seedlink://u:{MARK}@127.0.0.1:1/PB_B918",  # refused
        f"seedlink://u:{MARK}@127.0.0.1:99999/PB_B918",
        f"seedlink://u:{MARK}/{MARK}@127.0.0.1/PB_B918",
        f"seedlink://u:{MARK}@127.0.0.1/B918",
        f"seedlink://127.0.0.1/PB_B918?token={MARK}",
        f"seedlink://127.0.0.1/PB_B918#{MARK}",
        f"seedlink://u:{MARK}@dig..example.org/PB_B918",
        f"seedlink://u:{MARK}@[::1/PB_B918",
        f"datalink://u:{MARK}@127.0.0.1/PB_B918?from=yesterday",
        f"shake-udp://u:{MARK}@127.0.0.1:8888",
        f"shake-udp://:8888?station=AM_R1234&password={MARK}",
        f"https://u:{MARK}@example.org/{MARK}",
        f"seedlinc://u:{MARK}@example.org/PB_B918",
        f"user:{MARK}@example.org/PB_B918",
    ],
)
def test_a_refused_source_is_named_without_its_secrets(source: str) -> None:
    code, output = seisedge("run", "--source", source, "--connect-timeout", "0.1")
    assert code in (1, 2) and MARK not in output and "Traceback" not in output
    assert output.strip().splitlines()[-1].startswith(f"Error: {source.partition(':')[0]}:")


@pytest.mark.parametrize(
    "url", [f"ftp://u:{MARK}@example.org/{MARK}", f"//u:{MARK}@example.org", f"u:{MARK}@example.org"]
)
def test_a_refused_webhook_is_named_without_its_secrets(url: str, tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(f'[station]\nnetwork = "PB"\nstation = "B918"\n[sinks.webhook]\nurl = "{url}"\n')
    code, output = seisedge("run", path, RECORDING)
    assert code == 2 and "sinks.webhook.url" in output and "Traceback" not in output
    assert MARK not in output


@pytest.mark.parametrize("token", [f"“{MARK}”", f"{MARK}é", f"{MARK}\x07"])
def test_a_token_that_no_header_carries_is_refused_at_the_start(token: str, tmp_path: Path) -> None:
    path, file = tmp_path / "station.toml", tmp_path / "token-file"
    text = '[station]\nnetwork = "PB"\nstation = "B918"\n[sinks.webhook]\nurl = "http://127.0.0.1:1/"\n'
    file.write_text(token, encoding="utf-8")
    path.write_text(f'{text}token_file = "{file}"\n')
    code, output = seisedge("run", path, RECORDING)
    assert code == 2 and MARK not in output
    assert output.startswith(f"Error: {file}: character ") and output.count("\n") == 1
    path.write_text(text)
    code, output = seisedge("run", path, RECORDING, SEISEDGE_WEBHOOK_TOKEN=token)
    assert code == 2 and MARK not in output and output.startswith("Error: SEISEDGE_WEBHOOK_TOKEN: ")


def test_a_state_folder_of_an_earlier_release_keeps_its_rows_and_loses_its_secrets(tmp_path: Path) -> None:
    old, hook = f"seedlink://u:{MARK}@host/PB_B918", f"https://host/{MARK}?{MARK}"
    body = b'{"source":"%s","id":"x"}' % old.encode()
    Database(tmp_path / FILE_NAME).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as link:
        link.execute("INSERT INTO stations VALUES (?, 'PB.B918', '000007', 5, '{}', '{}', 'f', 1)", (old,))
        link.execute("INSERT INTO hops VALUES (?, 'PB.B918', 'then')", (old,))
        link.execute("INSERT INTO sinks VALUES (?, 3, 1)", (f"webhook {hook}",))
        link.execute("INSERT INTO sinks VALUES ('mqtt host:1883/a', 4, 1)")
        link.execute("INSERT INTO outbox VALUES (4, 'PB.B918', 'event', ?, 1)", (body,))
    link.close()
    with DatabaseReader(tmp_path) as reader:  # `state show` before the first run of this release
        assert MARK not in str([*reader.stations(), *reader.sinks()])
    shown = "seedlink://host/PB_B918"
    journal = Journal(tmp_path, shown, JournalConfig(keep_days=1e5))
    assert journal.resume == {"PB.B918": "000007"}
    names = ["mqtt host:1883/a", "webhook https://host/… #e9c44d24"]
    assert [journal.outbox.subscribe(name, lambda: None) for name in names] == [4, 3]
    assert journal.outbox.lines_after(3) == [Line(4, "PB.B918", "event", body.replace(old.encode(), shown.encode()))]
    journal.close()
    for path in tmp_path.iterdir():
        assert MARK.encode() not in path.read_bytes(), path
    database = Database(tmp_path / FILE_NAME)  # nothing is left to change
    assert database.contents(shown).hops == {"PB.B918": "then"}
    database.write(Transaction(shown, [], [], [], {}, dict.fromkeys(names, 4), 2, 2))
    database.close()

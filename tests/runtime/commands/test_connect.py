"""`seisedge config check --connect` against real servers: a digitizer, a broker, a receiver of webhooks."""

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.runtime.sinks.mosquitto import Broker, Listener
from tests.runtime.sinks.receiver import Receiver, serving
from tests.waiting import wait_until

from seisedge.cli import main
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer

STATION = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")


def _check(*arguments: object) -> Result:
    words = ["config", "check", *map(str, arguments), "--connect", "--seconds", "2"]
    return CliRunner().invoke(main, words)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 480])
    with Digitizer([part], listen=("127.0.0.1", 0), speed=20.0) as digitizer:
        yield digitizer.url


def test_all_that_works(url: str, broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    with serving(Receiver()) as receiver:
        path.write_text(
            f'{STATION}\n[sinks.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[sinks.webhook]\nurl = "{receiver.url}"\n'
            f'[sinks.jsonl]\npath = "{tmp_path}/new/events.jsonl"\n'
            f'[snippets]\nfolder = "{tmp_path}/waves"\nmin_free_mb = 0\n'
            '[page]\nlisten = "127.0.0.1:8080"\n',
            encoding="utf-8",
        )
        listener = Listener(broker.port)
        result = _check(path, "--source", f"{url}/PB_B918", "--send-test")
        wait_until(lambda: len(listener.received) == 1)
        listener.close()
        plain = _check(path, "--source", f"{url}/PB_B918")
        assert plain.exit_code == 0 and len(receiver.got) == 1, plain.output
        assert "is reached (it answers 501 to HEAD)" in plain.output
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f"{path}: PB.B918 can be used"
    assert "connected, read for" in next(line for line in lines if " source " in line)
    for code in ("EHZ", "EH1", "EH2"):  # of the year 2019, which is what the warning says
        line = next(line for line in lines if f"PB.B918 {code}" in line)
        assert line.startswith("warning  ") and "100 Hz, " in line and "d old: a clock is wrong, or" in line
    assert any(line.startswith("ok       sinks.mqtt") and "accepted a test message on" in line for line in lines)
    assert any(line.startswith("ok       sinks.webhook") and "accepted a test message" in line for line in lines)
    assert f"ok       sinks.jsonl       {tmp_path}/new can be created" in lines and not (tmp_path / "new").exists()
    assert "ok       page              127.0.0.1:8080, for this machine only" in lines
    assert any(line.startswith(f"ok       snippets          {tmp_path}/waves can be created; ") for line in lines)
    (topic, body, retained) = listener.received[0]  # no status of the station was touched
    assert (topic, retained) == ("seisedge/PB.B918/test", False)
    assert msgspec.json.decode(body)["schema"] == msgspec.json.decode(receiver.got[0][1])["schema"] == "seisedge.test/1"


def test_what_does_not_work(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.commands._connect.CONNECT_S", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "station.toml"
    path.write_text(
        f'[station]\nnetwork = "PB"\nstation = "B918"\n[channels.EHZ]\n[channels.EHN]\n'
        f'[sinks.mqtt]\nhost = "127.0.0.1"\nport = {port}\n[sinks.webhook]\nurl = "http://127.0.0.1:{port}/x"\n'
        f'[sinks.quakeml]\nfolder = "{RECORDING}"\n[snippets]\nfolder = "{RECORDING}"\n'
        f'[archive]\nfolder = "{tmp_path}"\nmin_free_mb = 1e8\n'
        f'[page]\nlisten = "0.0.0.0:8080"\ntoken_file = "{tmp_path}/token"\n',
        encoding="utf-8",
    )
    result = _check(path, "--source", f"{url}/PB_B918")
    assert result.exit_code == 1 and "6 fault(s) found" in result.output
    for row in (
        "warning  PB.B918 EHZ       100 Hz, ",
        "; no gain in the station file or StationXML: magnitudes are provisional",
        "warning  PB.B918 EHN       it is configured, and no packet of it arrived within 2 s",
        "not used: the station file lists the channels EHZ, EHN, not EH1",
        f"fault    sinks.mqtt        127.0.0.1:{port}: not connected: connection refused: no broker listens there",
        f"fault    sinks.webhook     http://127.0.0.1:{port}/…: connection refused",
        f"fault    sinks.quakeml     {RECORDING} is not a folder",
        f"fault    snippets          {RECORDING} is not a folder",
        f"fault    page              {tmp_path}/token: cannot read the secret from this file",
        "MB are free, min_free_mb is 1e+08: nothing can be written; free some space",
    ):
        assert row in result.output, row
    result = _check(path, "--source", f"{url}/PB_B999")
    assert (
        "fault    source            " in result.output
        and "the server has none of the requested stations" in result.output
    )
    result = _check(path, "--source", f"seedlink://127.0.0.1:{port}/PB_B918")
    assert "fault    source            " in result.output and "connection refused" in result.output

"""Revisions of one synthetic event, as sinks receive them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.fakes import ListSource, burst, classic_config, fake_models, packets_of

from seisedge.runtime.config import ChannelConfig, StationIdentity
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink

PASSWORD = "not in the station file"

MakeEvent = Callable[..., Event]


class Kept(Sink):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


@pytest.fixture(scope="session")
def events() -> list[Event]:
    """The revisions new, update and final of a calibrated event."""
    traces = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}
    config = classic_config(
        station=StationIdentity("XX", "STA"), channels={c: ChannelConfig(sensitivity=1e9) for c in traces}
    )
    kept = Kept()
    Loop(fake_models(), [kept], {"XX.STA": config}).run(ListSource(list(packets_of(traces))))
    found = [line for line in kept.lines if isinstance(line, Event)]
    assert [event.status for event in found] == ["new", "update", "final"]
    return found


@pytest.fixture
def revision(events: list[Event]) -> MakeEvent:
    """The first revision with changes."""
    return lambda **changes: msgspec.structs.replace(events[0], **changes)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test authorities, ca.pem and other.pem; broker.pem is for 127.0.0.1, signed by the first; a password."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed; apt-get install openssl")
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("ca", "other"):
        openssl(
            "req",
            "-x509",
            *curve,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
            "-subj",
            f"/CN=seisedge {name}",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        )
    openssl("req", *curve[:-2], "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=broker")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n", encoding="utf-8")
    openssl(
        "x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "broker.pem",
    )  # fmt: skip
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    return folder

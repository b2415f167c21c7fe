"""Secrets in station files: found, and the files that seisedge ships contain none."""

from pathlib import Path

import pytest

from seisedge.runtime.flash.secrets import secrets_in

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2"',
        "# old: passwd: hunter2",
        "token = abc",
        'api_key = "1"',
        "Authorization: Bearer abc.def.0123",
        'uri = "https://user:pw@host/path"',
        'source = "seedlink://user@host/XX_STA"',
        'url = "https://hooks.example/x?token=abc"',
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "see ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "key AKIAIOSFODNN7EXAMPLE",
        'url = "https://ntfy.example/zQ4v8LmT1xYbN7cRk2WfHs9DpJ6gAeUo"',
    ],
)
def test_found_and_not_repeated(line: str) -> None:
    found = list(secrets_in(f"# a comment\n{line}\n"))
    assert len(found) == 1 and found[0].startswith("line 2: ")
    assert not [word for word in ("hunter2", "ghp_0123", "AKIA", "zQ4v8LmT", "abc.def") if word in found[0]]


@pytest.mark.parametrize(
    "line",
    [
        'password_file = "/run/credentials/seisedge/mqtt"',
        'token_file = "/etc/seisedge/token"',
        'password = "$MQTT_PASSWORD"',
        'source = "seedlink://geofon.gfz.de:18000/GE_WLF?select=BH?"',
        'network = "XX"',
        "# the password is read from a file",
        "sensitivity = 781398000.0",
        'stationxml = "a-long-name-of-a-station-xml-file-of-this-network.xml"',
        'ca_file = "/etc/ssl/certs/0123456789abcdef0123456789abcdef01234567.pem"',
    ],
)
def test_no_false_alarm(line: str) -> None:
    assert list(secrets_in(line)) == []


@pytest.mark.parametrize(
    "path", [*(ROOT / "firmware_configs").rglob("*.toml"), *(ROOT / "runtime").rglob("*.toml")], ids=lambda p: p.name
)
def test_shipped_files_contain_none(path: Path) -> None:
    assert list(secrets_in(path.read_text(encoding="utf-8"))) == []

"""What systemd would hear."""

import os
import socket
from pathlib import Path

import pytest

from seisedge.runtime.service.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    link.bind(str(tmp_path / "notify"))
    link.setblocking(False)
    return link


def _heard(link: socket.socket) -> list[str]:
    heard = []
    while True:
        try:
            heard.append(link.recv(1000).decode())
        except BlockingIOError:
            return heard


def test_ready_watchdog_and_stopping(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "60000000"})
    notifier.ready("reading x")
    for _ in range(1000):
        notifier.ping()
    notifier.stopping()
    notifier.close()
    assert _heard(systemd) == ["READY=1\nSTATUS=reading x", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid() + 1)}])
def test_no_watchdog(systemd: socket.socket, watchdog: dict[str, str]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(systemd.getsockname())} | watchdog)
    notifier.ping()
    assert _heard(systemd) == []


def test_pings_go_on(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "1"})
    for _ in range(3):
        notifier.ping()
    assert _heard(systemd) == ["WATCHDOG=1"] * 3


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(f"\0seisedge-test-{os.getpid()}")
        Notifier({"NOTIFY_SOCKET": f"@seisedge-test-{os.getpid()}"}).ready("x")
        assert link.recv(100) == b"READY=1\nSTATUS=x"


def test_nobody_listens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1"}):
        notifier = Notifier(environment)
        notifier.ready("x")
        notifier.ping()
        notifier.close()


def test_a_supervisor_that_does_not_read_holds_up_nobody(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "1"})
    for _ in range(2000):
        notifier.ping()
    assert 0 < len(_heard(systemd)) < 2000

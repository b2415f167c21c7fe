"""Messages that systemd receives."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from seisedge.runtime.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.setblocking(False)
        yield link


def _received(link: socket.socket) -> list[str]:
    received = []
    while True:
        try:
            received.append(link.recv(1000).decode())
        except BlockingIOError:
            return received


def test_ready_watchdog_and_stopping(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "60000000"})
    notifier.ready("reading x")
    for _ in range(1000):
        notifier.ping()
    notifier.stopping()
    notifier.close()
    assert _received(systemd) == ["READY=1\nSTATUS=reading x", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid() + 1)}])
def test_no_watchdog(systemd: socket.socket, watchdog: dict[str, str]) -> None:
    with closing(Notifier({"NOTIFY_SOCKET": str(systemd.getsockname())} | watchdog)) as notifier:
        notifier.ping()
    assert _received(systemd) == []


def test_the_watchdog_is_notified_repeatedly(systemd: socket.socket) -> None:
    with closing(Notifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "1"})) as notifier:
        for _ in range(3):
            notifier.ping()
    assert _received(systemd) == ["WATCHDOG=1"] * 3


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(f"\0seisedge-test-{os.getpid()}")
        with closing(Notifier({"NOTIFY_SOCKET": f"@seisedge-test-{os.getpid()}"})) as notifier:
            notifier.ready("x")
        assert link.recv(100) == b"READY=1\nSTATUS=x"


def test_without_a_socket_nothing_is_sent(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1"}):
        notifier = Notifier(environment)
        notifier.ready("x")
        notifier.ping()
        notifier.close()


def test_a_supervisor_that_does_not_read_does_not_block(systemd: socket.socket) -> None:
    with closing(Notifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "1"})) as notifier:
        for _ in range(2000):
            notifier.ping()
    assert 0 < len(_received(systemd)) < 2000

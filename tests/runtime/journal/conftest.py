"""Models, a part of the bundled recording, and a view of every SQL statement."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.journal.runs import PART_RECORDS

from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.inference.infer import Models


@pytest.fixture(scope="session")
def models() -> Models:
    return Models.load(ModelsConfig())


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * PART_RECORDS])
    return path


class Connections(list[sqlite3.Connection]):
    """Connections opened by a test, oldest first, and with `traced` the statements that SQLite ran on them.

    Only a test without other threads may trace: SQLite calls back with the connection's mutex held, and a thread that
    waits for that mutex may hold the interpreter's lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.traced = False
        self.statements: list[str] = []
        self.on_open: dict[int, Callable[[sqlite3.Connection], None]] = {}  # by number


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    opened = Connections()
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def recorded(*args: Any, **settings: Any) -> sqlite3.Connection:
        link = connect(*args, **settings)
        if opened.traced:
            link.set_trace_callback(opened.statements.append)
        opened.append(link)
        prepare = opened.on_open.get(len(opened) - 1)
        if prepare is not None:
            prepare(link)
        return link

    monkeypatch.setattr(sqlite3, "connect", recorded)
    return opened


@pytest.fixture
def traced(connections: Connections) -> Connections:
    connections.traced = True
    return connections

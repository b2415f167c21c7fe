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
    """Connections opened by a test, oldest first, and the statements that SQLite ran on them."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[str] = []
        self.on_open: dict[int, Callable[[sqlite3.Connection], None]] = {}  # by number


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    opened = Connections()
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(*args: Any, **settings: Any) -> sqlite3.Connection:
        link = connect(*args, **settings)
        link.set_trace_callback(opened.statements.append)
        opened.append(link)
        opened.on_open.get(len(opened) - 1, lambda _link: None)(link)
        return link

    monkeypatch.setattr(sqlite3, "connect", traced)
    return opened

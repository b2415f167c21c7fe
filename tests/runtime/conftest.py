"""What tests of several rooms use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runtime.sinks.mosquitto import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto; the test is skipped where it is not installed."""
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()

"""Revisions of one synthetic event, as sinks receive them."""

from collections.abc import Callable

import msgspec
import pytest
from tests.fakes import ListSource, burst, fake_models, packets_of

from seisedge.runtime.config import ChannelConfig, StationConfig, StationIdentity
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink

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
    config = StationConfig(
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

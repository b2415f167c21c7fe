"""Which revisions a sink receives by the conditions of the station file."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.runtime.sinks.conftest import MakeEvent
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.runtime.config import (
    MqttConfig,
    QuakeMLConfig,
    SinksConfig,
    StationConfig,
    StationIdentity,
    WebhookConfig,
)
from seisedge.runtime.config.conditions import Conditions
from seisedge.runtime.event import Event, MagnitudeEstimate
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.sinks._build import Context, build_drains
from seisedge.runtime.sinks._conditions import MAX_EVENTS, Filter

Life = Callable[..., list[Event]]
LIFE = ("new", "update", "update", "final")


def size(value: float) -> MagnitudeEstimate:
    return MagnitudeEstimate(
        label="bin", bin=(1.9, 2.0), probability=0.1, type="M", value=value, interval_90=(value - 0.8, value + 0.8),
        model="magnitude", sha256="0",
    )  # fmt: skip


@pytest.fixture
def life(revision: MakeEvent) -> Life:
    """The revisions of one event with these statuses. magnitudes: of each."""

    def make(*statuses: str, magnitudes: tuple[float, ...] = (), **changes: Any) -> list[Event]:
        sizes: list[MagnitudeEstimate | None] = [*map(size, magnitudes)] or [None] * len(statuses)
        return [
            revision(status=status, revision=n, magnitude=one, **({"emitted": "2026-11-29T12:00:00.0Z"} | changes))
            for n, (status, one) in enumerate(zip(statuses, sizes, strict=True))
        ]

    return make


def passed(conditions: Conditions, *events: Event) -> list[str]:
    chosen = Filter(conditions, "webhook")
    found = []
    for event in events:
        answers = {chosen.passes(event), chosen.passes(event)}  # also of a repetition
        assert len(answers) == 1
        found += [f"{event.status} {event.revision}"] * answers.pop()
    return found


def test_the_defaults() -> None:
    """A machine subscribes to all of MQTT; webhook and QuakeML get a notice and the result."""
    assert WebhookConfig("http://h").status == QuakeMLConfig("a").status == ("new", "final")
    assert MqttConfig("h").status == ("new", "update", "final")


def test_statuses(life: Life) -> None:
    assert passed(Conditions(), *life(*LIFE)) == ["new 0", "update 1", "update 2", "final 3"]
    assert passed(Conditions(status=("new", "final")), *life(*LIFE)) == ["new 0", "final 3"]
    assert passed(Conditions(status=("final",)), *life(*LIFE)) == ["final 3"]


def test_an_event_that_has_passed_is_followed_to_its_end(life: Life) -> None:
    """A receiver that has M 2.1 must learn that it became 1.7; until 2.0 is reached nothing is sent."""
    revisions = life(*LIFE, magnitudes=(1.5, 2.1, 1.9, 1.7))
    assert passed(Conditions(min_magnitude=2.0), *revisions) == ["update 1", "update 2", "final 3"]
    assert passed(Conditions(min_magnitude=2.0, status=("new", "final")), *revisions) == []
    assert passed(Conditions(min_magnitude_lower=1.2), *revisions) == ["update 1", "update 2", "final 3"]


def test_a_magnitude_above_all_bins_reaches_each_limit(life: Life) -> None:
    """It has no value, and it is the event that nobody may miss; a provisional one, without a gain, is no number."""
    (event,) = life("final", magnitudes=(2.0,))
    inside = size(2.0)
    above = msgspec.structs.replace(inside, label=">3.0", bin=(3.0, None), value=None, interval_90=None)
    below = msgspec.structs.replace(above, label="≤0.0", bin=(None, 0.0))
    limits = (
        Conditions(min_magnitude=4.0),
        Conditions(min_magnitude_lower=3.5),
        Conditions(quiet_hours="11:00-13:00", quiet_min_magnitude=4.0),
    )
    provisional = msgspec.structs.replace(above, provisional=True)
    for one, expected in ((above, ["final 0"]), (below, []), (provisional, []), (inside, [])):
        large = msgspec.structs.replace(event, magnitude=one)
        assert [passed(limit, large) for limit in limits] == [expected] * 3


def test_a_retraction_follows_what_was_sent(life: Life) -> None:
    gone = life("new", "retracted")
    assert passed(Conditions(status=("new",)), *gone) == ["new 0", "retracted 1"]
    assert passed(Conditions(status=("final",)), *gone) == []  # nothing of it was sent
    assert passed(Conditions(types=("non-tectonic",)), *gone) == []
    after_a_restart = gone[1:]
    assert passed(Conditions(types=("non-tectonic",)), *after_a_restart) == ["retracted 1"]


def test_types_and_probability(life: Life) -> None:
    (event,) = life("final")  # tectonic with 0.9
    bare = msgspec.structs.replace(event, event_type=None)
    assert [bool(passed(Conditions(types=(kind,)), event)) for kind in ("tectonic", "noise")] == [True, False]
    assert [bool(passed(Conditions(min_probability=p), event)) for p in (0.9, 0.91)] == [True, False]
    assert passed(Conditions(), bare) and not passed(Conditions(types=("tectonic",)), bare)
    assert not passed(Conditions(min_probability=0.1), bare)


def test_quiet_hours_and_the_hourly_limit(life: Life) -> None:
    (event,) = life("final", magnitudes=(3.0,))
    assert not passed(Conditions(quiet_hours="11:00-13:00"), event)
    assert passed(Conditions(quiet_hours="11:00-13:00", quiet_min_magnitude=3.0), event)
    hour = [
        one
        for minute in (0, 10, 20, 59)
        for one in life("new", "final", id=f"event {minute}", emitted=f"2026-11-29T12:{minute:02}:00.0Z")
    ]
    later = life("new", id="later", emitted="2026-11-29T13:00:00.0Z")
    limited = Conditions(max_per_hour=2)
    assert passed(limited, *hour, *later) == ["new 0", "final 1"] * 2 + ["new 0"]
    assert passed(limited, *hour, *life("retracted", id="event 59")) == ["new 0", "final 1"] * 2


def test_the_memory_is_bounded(revision: MakeEvent) -> None:
    chosen = Filter(Conditions(), "webhook")
    for number in range(MAX_EVENTS + 10):
        chosen.passes(revision(id=f"event {number}"))
    assert len(chosen._known) == MAX_EVENTS


def _station(name: str, sinks: SinksConfig) -> StationConfig:
    return StationConfig(station=StationIdentity("XX", name), sinks=sinks)


def test_a_webhook_gets_two_lines_of_an_event_in_order(events: list[Event]) -> None:
    """new, update and final were emitted; one that it does not get counts as handled."""
    with serving(Receiver()) as receiver:
        outbox = Outbox()
        station = _station("STA", SinksConfig(webhook=WebhookConfig(receiver.url)))
        (drain,) = build_drains([station], outbox, Context())
        for event in events:
            outbox.add(event)
        drain.start()
        assert drain.close(10) == 0
    got = [msgspec.json.decode(body, type=Event) for _, body in receiver.got]
    assert got == [events[0], events[2]]
    assert (drain.counters.delivered, drain.counters.left_out) == (2, 1)


def test_one_address_with_two_settings_has_two_places() -> None:
    """Else the place of one sink would be stored for the other, which would miss lines after a restart."""
    sinks = [WebhookConfig("http://h/a"), WebhookConfig("http://h/a", status=("final",)), WebhookConfig("http://h/b")]
    stations = [_station(f"S{n}", SinksConfig(webhook=sink)) for n, sink in enumerate(sinks)]
    names = [drain.name for drain in build_drains(stations, Outbox(), Context())]
    assert len(set(names)) == 3 and [name.partition(" (")[2] for name in names] == ["XX.S0)", "XX.S1)", ""]

"""Which places in a stream are kept, and which one a station resumes from."""

import msgspec
import pytest
from tests.fakes import T0_NS, fake_models, packets_of
from tests.runtime.journal.runs import PLAIN, TRACES

from seisedge.runtime.journal.points import Point, Points
from seisedge.runtime.station.station import Station


class Placed(Station):
    """A station whose data reach as far, and whose lines need as much, as a test sets."""

    def __init__(self) -> None:
        super().__init__("XX.STA", PLAIN, fake_models(), "triggered")
        for item in packets_of(TRACES, 3.0)[:30]:
            self.add(item)
        list(self.step())
        self.needed = 0
        self.token = ""

    @property
    def resume_token(self) -> str:
        return self.token

    @property
    def needed_ns(self) -> int | None:
        return self.needed


@pytest.fixture(scope="module")
def station() -> Placed:
    return Placed()


def _at(station: Placed, points: Points, ns: int, token: str = "") -> None:
    """A packet after which the data of the station reach to `ns`."""
    station.last_ns = ns
    station.token = token or str(ns)
    points.add(station)


STEP_NS = 5_000_000_000
MAX_POINTS = 64


def test_a_candidate_every_five_seconds(station: Placed) -> None:
    points = Points()
    for k in range(5):
        for ns in (T0_NS + k * STEP_NS, T0_NS + k * STEP_NS + 1, T0_NS + (k + 1) * STEP_NS - 1):
            _at(station, points, ns, f"{k} {ns - T0_NS}")
    found = []
    for k in range(5):
        station.needed = T0_NS + k * STEP_NS
        point = points.resume_point(station)
        assert point is not None and point.newest_ns == station.needed
        found.append(point.token)
    assert found == [f"{k} {k * STEP_NS}" for k in range(5)]


def test_the_newest_candidate_that_is_not_after_what_is_needed(station: Placed) -> None:
    points = Points()
    for k in range(4):
        _at(station, points, T0_NS + k * STEP_NS, str(k))
    station.needed = T0_NS - 1
    assert points.resume_point(station) is None
    station.needed = T0_NS + 2 * STEP_NS - 1
    point = points.resume_point(station)
    assert point is not None and (point.token, point.newest_ns) == ("1", T0_NS + STEP_NS)
    assert msgspec.json.decode(point.front)["packets"] == station.counters.packets
    station.needed = T0_NS + 100 * STEP_NS
    point = points.resume_point(station)
    assert point is not None and point.token == "3"
    station.needed = T0_NS + 2 * STEP_NS  # what was passed over is gone: a station never needs older samples again
    assert points.resume_point(station) is None


def test_packets_without_a_token_are_no_candidates(station: Placed) -> None:
    points = Points()
    station.last_ns, station.token = T0_NS, ""
    points.add(station)
    station.needed = T0_NS + 100 * STEP_NS
    assert points.resume_point(station) is None
    fresh = Station("XX.STA", PLAIN, fake_models(), "triggered")
    fresh._token = "x"
    points.add(fresh)  # no data: no front, no time
    assert points.resume_point(fresh) is None


def test_candidates_are_bounded_and_the_oldest_stays(station: Placed) -> None:
    points = Points()
    for k in range(MAX_POINTS):
        _at(station, points, T0_NS + k * STEP_NS, str(k))
    station.needed = T0_NS + 1 * STEP_NS
    _at(station, points, T0_NS + MAX_POINTS * STEP_NS, str(MAX_POINTS))
    point = points.resume_point(station)
    assert point is not None and point.token == "0"  # number 1 was removed
    kept = []
    for k in range(MAX_POINTS + 1):
        station.needed = T0_NS + k * STEP_NS
        point = points.resume_point(station)
        assert point is not None
        kept.append(int(point.token))
    assert sorted(set(kept)) == list(range(0, MAX_POINTS + 1, 2))


def test_sixty_four_candidates_are_all_kept(station: Placed) -> None:
    points = Points()
    for k in range(MAX_POINTS):
        _at(station, points, T0_NS + k * STEP_NS, str(k))
    for k in range(MAX_POINTS):
        station.needed = T0_NS + k * STEP_NS
        point = points.resume_point(station)
        assert point is not None and point.token == str(k)


def test_candidates_of_an_earlier_epoch_are_useless() -> None:
    station, points = Placed(), Points()
    _at(station, points, T0_NS + 100 * STEP_NS, "before")
    station.epoch = 1
    station.needed = T0_NS + 200 * STEP_NS
    assert points.resume_point(station) is None
    _at(station, points, T0_NS + STEP_NS, "after")  # the clock was set back
    point = points.resume_point(station)
    assert point is not None and (point.token, point.epoch) == ("after", 1)


def test_a_restored_station_has_the_point_it_resumed_from() -> None:
    station, points = Placed(), Points()
    station.epoch = 2
    points.restore(station, Point("earlier", T0_NS, b"{}", 2))
    station.needed = T0_NS
    assert points.resume_point(station) == Point("earlier", T0_NS, b"{}", 2)
    _at(station, points, T0_NS + STEP_NS - 1, "too soon")
    station.needed = T0_NS + STEP_NS
    point = points.resume_point(station)
    assert point is not None and point.token == "earlier"


def test_stations_do_not_share_candidates() -> None:
    points, one, other = Points(), Placed(), Placed()
    other.station_id = "XX.OTHER"
    _at(one, points, T0_NS, "one")
    one.needed = other.needed = T0_NS
    assert points.resume_point(other) is None
    point = points.resume_point(one)
    assert point is not None and point.token == "one"


def test_what_is_read_again_for_snippets_is_older(station: Placed) -> None:
    """But without a point so old, the oldest one before what is needed is better than none."""
    points = Points()
    for k in range(2, 8):
        _at(station, points, T0_NS + k * STEP_NS, str(k))
    station.needed = T0_NS + 6 * STEP_NS
    for back, token in ((100, "2"), (2, "4"), (0, "6")):
        point = points.resume_point(station, lambda _, needed_ns, back=back: needed_ns - back * STEP_NS)  # type: ignore[misc]
        assert point is not None and point.token == token
    station.needed = T0_NS
    assert points.resume_point(station, lambda _, needed_ns: needed_ns) is None

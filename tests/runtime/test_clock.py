import pytest

from seisedge.runtime.clock import duration_text, iso_from_ns, ns_from_iso, ns_from_s, seconds_text


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00.000000Z", 0),
        ("2019-07-07T08:16:25.290000Z", 1_562_487_385_290_000_000),
        ("1969-12-31T23:59:59.500000Z", -500_000_000),
        ("2016-12-31T23:59:59.999999Z", 1_483_228_799_999_999_000),
    ],
)
def test_times_are_formatted_and_parsed(text: str, ns: int) -> None:
    assert iso_from_ns(ns) == text
    assert ns_from_iso(text) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2019-07-07T08:16:25", 1_562_487_385_000_000_000),
        ("2019-07-07T08:16:25.123456789Z", 1_562_487_385_123_456_789),
        ("2019-07-07T10:16:25.5+02:00", 1_562_487_385_500_000_000),
        ("2019-07-07", 1_562_457_600_000_000_000),
    ],
)
def test_other_iso_8601_forms_are_parsed(text: str, ns: int) -> None:
    assert ns_from_iso(text) == ns


def test_invalid_times_are_refused() -> None:
    with pytest.raises(ValueError):
        ns_from_iso("yesterday")


def test_seconds() -> None:
    assert ns_from_s(0.025) == 25_000_000


def test_durations() -> None:
    times_s = (0, 61.4, 3600, 90_061)
    assert [seconds_text(s) for s in times_s] == ["0:00:00", "0:01:01", "1:00:00", "1 d 1:01:01"]
    assert [duration_text(s) for s in times_s] == ["0 s", "61 s", "60 min", "25 h"]

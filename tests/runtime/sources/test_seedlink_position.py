"""Sequence numbers of both versions, and their tokens."""

from __future__ import annotations

import pytest

from seisedge.runtime.sources._seedlink_position import Position, Span, position_from_token


def test_version_3_wraps_around() -> None:
    assert Position(3, 0xFFFFFF).following == 0
    assert Position(3, 0).is_after(Position(3, 0xFFFFFF)) and not Position(3, 0xFFFFFF).is_after(Position(3, 0))
    assert Position(3, 2).is_after(Position(3, 1)) and not Position(3, 1).is_after(Position(3, 1))


def test_version_4_does_not_wrap() -> None:
    assert Position(4, 0xFFFFFF).following == 0x1000000
    assert Position(4, 0x1000000).is_after(Position(4, 0xFFFFFF))
    assert not Position(4, 0).is_after(Position(4, (1 << 64) - 2))


@pytest.mark.parametrize(
    ("token", "place"),
    [
        ("0001F3", Position(3, 0x1F3)),
        ("v4:499", Position(4, 499)),
        ("v4:18446744073709551614", Position(4, (1 << 64) - 2)),
    ],
)
def test_tokens(token: str, place: Position) -> None:
    assert position_from_token(token) == place
    assert place.token == token


@pytest.mark.parametrize(
    "token", ["", "1F3", "499", "xyzxyz", "v4:", "v4:0x1", "v4:-1", "v5:1", "v4:18446744073709551615", "0001F3\n"]
)
def test_invalid_tokens(token: str) -> None:
    assert position_from_token(token) is None


@pytest.mark.parametrize(
    ("first", "last", "position", "continues"),
    [
        (Position(3, 100), Position(3, 200), Position(3, 99), True),  # the next packet is the first of the server
        (Position(3, 100), Position(3, 200), Position(3, 200), True),  # the next packet is the next one of the server
        (Position(3, 100), Position(3, 200), Position(3, 98), False),
        (Position(3, 100), Position(3, 200), Position(3, 201), False),  # numbers of another server
        (Position(3, 0xFFFFF0), Position(3, 5), Position(3, 0xFFFFEF), True),
        (Position(3, 0xFFFFF0), Position(3, 5), Position(3, 5), True),
        (Position(3, 0xFFFFF0), Position(3, 5), Position(3, 6), False),
        (Position(3, 0), Position(3, 5), Position(3, 0xFFFFFF), True),
        (Position(4, 1), Position(4, 5), Position(4, 0), True),
        (Position(4, 1 << 40), Position(4, 1 << 41), Position(4, 7), False),
    ],
)
def test_whether_a_server_has_the_next_packet(
    first: Position, last: Position, position: Position, continues: bool
) -> None:
    assert Span(first, last).continues(position) == continues


def test_the_packets_of_a_server_by_its_reply() -> None:
    assert Span.from_texts(3, "0000FF", "000100", 16) == Span(Position(3, 0xFF), Position(3, 0x100))
    assert Span.from_texts(3, "255", "16777217", 10) == Span(Position(3, 0xFF), Position(3, 1))  # ringserver, 64 bits
    assert Span.from_texts(4, "7", "8") == Span(Position(4, 7), Position(4, 8))
    for version, first, last in [(3, "000000", "000000"), (3, None, "1"), (3, "x", "1"), (4, "-1", "3"), (4, "0", "0")]:
        assert Span.from_texts(version, first, last, 16 if version == 3 else 10) is None

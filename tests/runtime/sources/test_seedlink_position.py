"""Sequence numbers of both versions, and their tokens."""

from __future__ import annotations

import pytest

from seisedge.runtime.sources._seedlink_position import Position, position_from_token


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

"""Sequence numbers of both versions, and tokens made of them."""

from __future__ import annotations

import pytest

from seisedge.runtime.sources._seedlink_place import Place, place_from_token


def test_version_3_goes_round() -> None:
    assert Place(3, 0xFFFFFF).following == 0
    assert Place(3, 0).is_after(Place(3, 0xFFFFFF)) and not Place(3, 0xFFFFFF).is_after(Place(3, 0))
    assert Place(3, 2).is_after(Place(3, 1)) and not Place(3, 1).is_after(Place(3, 1))


def test_version_4_does_not() -> None:
    assert Place(4, 0xFFFFFF).following == 0x1000000
    assert Place(4, 0x1000000).is_after(Place(4, 0xFFFFFF))
    assert not Place(4, 0).is_after(Place(4, (1 << 64) - 2))


@pytest.mark.parametrize(
    ("token", "place"),
    [
        ("0001F3", Place(3, 0x1F3)),
        ("v4:499", Place(4, 499)),
        ("v4:18446744073709551614", Place(4, (1 << 64) - 2)),
    ],
)
def test_tokens(token: str, place: Place) -> None:
    assert place_from_token(token) == place
    assert place.token == token


@pytest.mark.parametrize(
    "token", ["", "1F3", "499", "xyzxyz", "v4:", "v4:0x1", "v4:-1", "v5:1", "v4:18446744073709551615", "0001F3\n"]
)
def test_no_tokens(token: str) -> None:
    assert place_from_token(token) is None

"""Events with the same origin under different ids."""

from __future__ import annotations

from seisedge.runtime.clock import NS_PER_S
from seisedge.train.dataset.origins import same_origin


def test_an_event_in_two_catalogues() -> None:
    times = [100 * NS_PER_S, 101 * NS_PER_S, 101 * NS_PER_S, 110 * NS_PER_S, None]
    names = same_origin(["b", "a", "far", "later", "untimed"], times, [45.0, 45.1, 46.0, 45.0, 45.0], [7.0] * 5)
    assert names == {"a": "a", "b": "a", "far": "far", "later": "later", "untimed": "untimed"}


def test_chains_are_joined_and_order_does_not_matter() -> None:
    times = [0, int(1.5 * NS_PER_S), 3 * NS_PER_S]
    for order in ([0, 1, 2], [2, 0, 1]):
        names = same_origin([f"e{i}" for i in order], [times[i] for i in order], [45.0] * 3, [7.0] * 3)
        assert set(names.values()) == {"e0"}

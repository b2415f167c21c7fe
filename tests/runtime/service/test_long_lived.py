import gc
from collections.abc import Iterator

import pytest
from tests.fakes import ListSource, burst, classic_config, fake_models, packets_of

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import ChannelConfig, StationIdentity
from seisedge.runtime.service.long_lived import LongLived
from seisedge.runtime.service.loop import Loop


@pytest.fixture(autouse=True)
def _searched_again() -> Iterator[None]:
    yield
    gc.unfreeze()


class Kept:
    """An object that the collector sees."""

    def __init__(self) -> None:
        self.own = self


def test_what_exists_is_left_out_at_the_start_and_while_stations_are_new() -> None:
    kept = Kept()
    assert _is_searched(kept)
    long_lived = LongLived()
    assert not _is_searched(kept)
    left_out: list[int] = []
    for second in range(300):
        kept = Kept()
        long_lived.note(1 if second < 150 else 2, second * NS_PER_S)
        if not _is_searched(kept):
            left_out.append(second)
    assert left_out == [*range(0, 70, 10), *range(150, 220, 10)]
    long_lived.close()
    assert not gc.get_freeze_count()


def test_the_loop_leaves_out_its_stations() -> None:
    traces = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}
    config = classic_config(
        station=StationIdentity("XX", "STA"), channels={c: ChannelConfig(sensitivity=1e9) for c in traces}
    )
    loop = Loop(fake_models(), [], {"XX.STA": config}, long_lived=LongLived())
    loop.run(ListSource(list(packets_of(traces, 0.5)), live=True))
    (station,) = loop.report.stations.values()
    assert not _is_searched(station)


def _is_searched(kept: object) -> bool:
    return any(each is kept for each in gc.get_objects())

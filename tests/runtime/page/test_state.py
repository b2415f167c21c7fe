"""The state on the page: of each station, in the words of `/healthz`."""

import json
import re
import time
from typing import Any

from tests.fakes import T0_NS, ListSource, burst, classic_config, fake_models, packet, packets_of

from seisedge.runtime.http_server.message import Request
from seisedge.runtime.page.page import Page
from seisedge.runtime.page.state import GAP_STEPS, GapCount
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop

TRACES = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}


def _state(packets: list[Packet], reasons: list[str] | None = None) -> dict[str, Any]:
    """The state after a run over these packets."""
    health = Health()
    page = Page(health)
    loop = Loop(fake_models(), [], {}, default=classic_config(), health=health, observer=page.feed)
    health.report = loop.report
    page.work()
    loop.run(ListSource(list(packets), live=True))
    while page.work() == 0.0:
        pass
    if reasons is not None:
        health.condition = lambda: ("degraded", reasons)  # type: ignore[method-assign]
    response = page.answer(Request("GET", "/api/state", {}, {"host": "localhost"}))
    found: dict[str, Any] = json.loads(response.body)
    return found


def test_the_state_of_a_station() -> None:
    state = _state(list(packets_of(TRACES)))
    (station,) = state["stations"]
    assert (station["station"], station["status"], station["reasons"]) == ("XX.STA", "ok", [])
    assert station["components"] == ["Z", "N", "E"] and station["sampling_rate_hz"] == 100.0
    assert station["channels"] == {"Z": "HHZ", "N": "HHN", "E": "HHE"} and station["clock"] == "ok"
    assert (station["events_24h"], station["gaps_last_hour"], station["curves"]) == (1, 0, True)
    assert station["last_event_ms"] == T0_NS // 10**6 + 39_800
    assert state["health"]["engines"] == {} and state["health"]["status"] == "ok"
    assert state["sentence"] == "ok: recorded data arrive, the newest of 2020-09-13 12:28 UTC"


def test_the_sentence_of_live_data_has_their_age() -> None:
    start_s = time.time() - T0_NS / 1e9 - 123.0
    state = _state([packet(burst(4, []), start_s, f"HH{c}") for c in "ZNE"])
    assert re.fullmatch(r"ok: the newest data are (1[12]\d s|2 min) old", state["sentence"])


def test_reasons_are_those_of_the_station_and_of_the_whole_run() -> None:
    packets = list(packets_of(TRACES)) + [packet(burst(4, []), channel=f"HH{c}", station="B") for c in "ZNE"]
    state = _state(packets, ["XX.STA: channel HHZ is missing", "the journal cannot be written"])
    assert state["sentence"] == "degraded: XX.STA: channel HHZ is missing (and 1 more)"
    by_id = {one["station"]: one for one in state["stations"]}
    assert by_id["XX.STA"]["reasons"] == ["channel HHZ is missing", "the journal cannot be written"]
    assert by_id["XX.B"]["reasons"] == ["the journal cannot be written"]
    assert by_id["XX.B"]["sentence"] == "degraded: the journal cannot be written"


def test_gaps_and_the_clock_of_a_station() -> None:
    packets = [one for one in packets_of(TRACES) if not T0_NS + 50 * 10**9 <= one.starttime_ns < T0_NS + 54 * 10**9]
    last = [packet(burst(4, []), 100.0, f"HH{c}", flags=RecordFlag.CLOCK_UNLOCKED) for c in "ZNE"]
    (station,) = _state(packets + last)["stations"]
    assert station["gaps_last_hour"] >= 3 and station["clock"] == "unlocked"


def test_gaps_older_than_an_hour_are_not_counted() -> None:
    gaps = GapCount()
    assert gaps.last_hour(3) == 3
    for minute in range(GAP_STEPS + 1):
        gaps.note(5 if minute >= 1 else 0)
    assert gaps.last_hour(7) == 7
    gaps.note(5)
    assert gaps.last_hour(7) == 2
    gaps.note(1)  # new timelines count from zero
    assert gaps.last_hour(1) == 0 and len(gaps.counts) == 1

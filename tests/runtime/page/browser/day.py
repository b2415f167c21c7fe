"""A page that is open for a day, at sixty times real time: is its memory flat, and is it true at every look?

The station reads a synthetic day with gaps, cut connections and repeated records. At each look the page is compared
with the state of the station and with its file of events.

Run from the repository, for 25 minutes: `python -m tests.runtime.page.browser.day [--hours 24] [--speed 60]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.runtime.page.browser.conftest import CHROMIUM, Station, Tab, open_browser

from seisedge.runtime.demo.made_day import write_day

NAME = "PB.B921"
FAULTS = ("gap:at=900,length=40", "gap:at=30000,length=1500", "cut:every=2000", "duplicate:every=200")
EVENTS_PER_HOUR = 6.0
IDLE_LOOKS = 3  # without new data: they have ended
LISTED = 500  # most events in the list
ROWS = """[...document.querySelectorAll('#event-list a.row')].map(row => [
  row.dataset.event, row.classList.contains('final'), row.querySelector('.type').textContent])"""


@dataclass(frozen=True)
class Look:
    """The page at one moment. heap_mb: after a collection of garbage. untrue: what differs from the station."""

    stream_h: float
    heap_mb: float
    nodes: int
    listeners: int
    listed: int
    untrue: tuple[str, ...]


class Watch:
    """Looks at an open page."""

    def __init__(self, tab: Tab) -> None:
        self._tab, self._station = tab, tab.station
        self._protocol = tab.context.new_cdp_session(tab.page)
        self._protocol.send("Performance.enable")
        self._began_ms: float | None = None

    def look(self) -> Look:
        self._protocol.send("HeapProfiler.collectGarbage")
        found = self._protocol.send("Performance.getMetrics")["metrics"]
        metrics = {one["name"]: one["value"] for one in found}
        rows: list[tuple[str, bool, str]] = self._tab.page.evaluate(ROWS)
        end_ms = self._tab.page.evaluate("document.getElementById('live-canvas').dataset.end") or 0
        self._began_ms = self._began_ms or float(end_ms)
        return Look(
            stream_h=(float(end_ms) - self._began_ms) / 3_600_000,
            heap_mb=metrics["JSHeapUsedSize"] / 1e6,
            nodes=int(metrics["Nodes"]),
            listeners=int(metrics["JSEventListeners"]),
            listed=len(rows),
            untrue=(*self._of_events(rows), *self._of_health()),
        )

    def _of_events(self, rows: list[tuple[str, bool, str]]) -> Iterator[str]:
        """Rows that no revision of the file has; and, among the newest, events of the file without a row."""
        revisions: dict[str, list[dict[str, Any]]] = {}
        for line in self._station.events.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            revisions.setdefault(event["id"], []).append(event)
        for name, is_final, text in rows:
            known = revisions.get(name, [])
            if text not in [_type(event) for event in known]:
                yield f"{name} is shown as {text}, not as {[_type(event) for event in known]}"
            elif is_final and text != _type(known[-1]):
                yield f"{name} is shown as final with {text}, the last revision is {_type(known[-1])}"
        settled = [name for name, known in revisions.items() if known[-1]["status"] == "final"]
        missing = set(sorted(settled)[-LISTED + 20 : -3]) - {name for name, _, _ in rows}
        if missing:
            yield f"not shown: {sorted(missing)}"

    def _of_health(self) -> Iterator[str]:
        before = self._station.get("/api/state")["health"]["status"]
        shown = self._tab.page.evaluate("document.querySelector('#sentence .sign').className")
        if before not in shown:
            self._tab.page.wait_for_timeout(5000)
            after = self._station.get("/api/state")["health"]["status"]
            shown = self._tab.page.evaluate("document.querySelector('#sentence .sign').className")
            if after not in shown:
                yield f"the sentence has {shown}, the station is {after}"


def _type(event: dict[str, Any]) -> str:
    estimate = event.get("event_type")
    # rounded as Math.round does
    return f"{estimate['label']} {int(100 * estimate['probability'] + 0.5)} %" if estimate else "not classified"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--speed", type=float, default=60.0)
    options = parser.parse_args()
    assert CHROMIUM is not None, "there is no Chromium: apt-get install chromium"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = write_day(folder / "day.mseed", [NAME], options.hours, EVENTS_PER_HOUR)
        browser = stack.enter_context(open_browser(CHROMIUM))
        station = Station(folder, options.speed, data=data, faults=FAULTS)
        stack.callback(station.close)
        tab = Tab(browser, station.open())
        tab.open().wait_for_selector("#facts dd", timeout=60_000)
        watch, stream_h, idle_looks = Watch(tab), 0.0, 0
        print("stream h  heap MB  nodes  listeners  events listed  untrue", flush=True)
        while idle_looks < IDLE_LOOKS:  # to the end of the data, however busy the machine is
            tab.page.wait_for_timeout(30_000)
            one = watch.look()
            idle_looks = 0 if one.stream_h > stream_h else idle_looks + 1
            stream_h = one.stream_h
            print(
                f"{one.stream_h:8.2f} {one.heap_mb:8.2f} {one.nodes:6d} {one.listeners:10d} {one.listed:14d}  "
                f"{'; '.join(one.untrue) or 'nothing'}",
                flush=True,
            )
        print("errors of the console:", tab.errors, "foreign requests:", tab.foreign)


if __name__ == "__main__":
    main()

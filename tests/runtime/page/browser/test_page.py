"""The page of a station in a real browser: what it shows is what the station reports."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.page.browser.conftest import AXE, OpenStation, Station, Tab
from tests.runtime.page.browser.day import NAME, Watch

from seisedge.runtime.demo.made_day import write_day

pytestmark = pytest.mark.long

INK = """(id) => {
  const canvas = document.getElementById(id);
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add([...data.slice(i, i + 3)].join());
  return [...seen];
}"""  # the colours that are drawn
TRACE, P, S, TECTONIC = "29,60,74", "10,99,184", "122,63,176", "181,48,42"


def _drawn(canvas: str, colour: str) -> str:
    return f"({INK})('{canvas}').includes('{colour}')"


@pytest.fixture
def tab(browser: Any, station: Station) -> Iterator[Tab]:
    opened = Tab(browser, station)
    yield opened
    opened.close()


def test_events_appear_and_are_those_of_the_station(tab: Tab, station: Station) -> None:
    page = tab.open()
    page.wait_for_selector("#event-list a.row.final", timeout=60_000)
    page.wait_for_selector('#link[data-state="live"]')
    assert page.inner_text("#title") == "PB.B921" and page.title() == "PB.B921 – seisedge"
    first = page.locator("#event-list a.row.final").last
    name, text = first.get_attribute("data-event"), first.inner_text()
    written = [json.loads(line) for line in station.events.read_text().splitlines()]
    event = [one for one in written if one["id"] == name][-1]
    low, high = event["magnitude"]["bin"]
    assert event["status"] == "final" and f"M {low:.1f}–{high:.1f}" in text
    assert f"{event['event_type']['label']} {int(100 * event['event_type']['probability'] + 0.5)} %" in text
    assert f"{event['distance_km']:.0f} ± {event['distance_uncertainty_km']:.0f} km" in text
    assert "uncalibrated" in text


def test_the_health_is_that_of_the_station(tab: Tab, station: Station) -> None:
    page = tab.open()
    page.wait_for_selector("#facts dd")
    state = station.get("/api/state")
    sentence = page.inner_text("#sentence")
    recorded = "recorded data arrive, the newest of 2019-07-07 08:"
    assert sentence.startswith(f"● OK: {recorded}") and state["sentence"].startswith(f"ok: {recorded}")
    facts = dict(
        page.locator("#facts div").evaluate_all("all => all.map(one => [...one.children].map(n => n.textContent))")
    )
    assert facts["Components"] == "Z N E, 100 Hz" and facts["Gaps, last hour"] == "0"
    assert facts["Models on"] == "onnxruntime-cpu"
    page.click("#more summary")
    tab.until("document.getElementById('inner').textContent.includes('EH1')")


def test_traces_marks_and_probabilities_are_drawn(tab: Tab) -> None:
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    page.select_option("#window", "600")
    for colour in (TRACE, P, S):
        tab.until(_drawn("live-canvas", colour))
    tab.until(_drawn("helicorder-canvas", TECTONIC))
    page.click("#spectrogram")
    tab.until(f"({INK})('spectrogram-canvas').length > 200")
    page.select_option("#component", "E")
    tab.until("document.getElementById('spectrogram-note').textContent.startsWith('component E')")
    tab.until("document.getElementById('helicorder-canvas').getAttribute('aria-label').includes('component E')")
    tab.until("document.getElementById('helicorder-note').textContent.startsWith('a row is')")
    assert any("component=E" in path for path in tab.paths if path.startswith("/api/helicorder"))


def test_an_event_is_opened_and_closed_with_the_keyboard(tab: Tab) -> None:
    page = tab.open()
    page.wait_for_selector("#marks a", timeout=60_000)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    row = page.locator("#event-list a.row").first
    row.focus()
    chosen = row.get_attribute("data-event")
    page.keyboard.press("Enter")
    page.wait_for_selector("#event:not([hidden]) h2")
    assert page.evaluate("document.activeElement.id") == "event" and chosen in page.url
    assert "Latency by stage" in page.inner_text("#event")
    page.keyboard.press("Escape")
    page.wait_for_selector("#event", state="hidden")
    assert page.evaluate("document.activeElement.closest('#event-list') !== null") and "event=" not in page.url
    page.go_back()
    page.wait_for_selector("#event:not([hidden]) h2")
    page.keyboard.press("Escape")
    page.locator('#marks a[tabindex="0"]').focus()
    before = page.evaluate("document.activeElement.dataset.event")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.event") < before
    assert page.locator('#marks a[tabindex="0"]').count() == 1


def test_the_address_of_an_event_opens_it(tab: Tab, station: Station) -> None:
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    name = page.locator("#event-list a.row").last.get_attribute("data-event")
    page.goto(f"{station.url}/?station=PB.B921&event={name}")
    page.wait_for_selector("#event:not([hidden]) h2")
    assert name in page.inner_text("#event")
    page.goto(f"{station.url}/?station=PB.B921&event=PB.B921-19990101T000000.000")
    tab.until("document.getElementById('notice').textContent.startsWith('No event PB.B921-1999')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_gets_everything(browser: Any, station: Station, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("there is no axe-core: run .ci/page-check with npm")
    tab = Tab(browser, station, color_scheme=scheme)
    page = tab.open()
    page.wait_for_selector("#event-list a.row.final", timeout=60_000)
    page.click("#more summary")
    page.click("#event-list a.row")
    page.click("#spectrogram")
    page.wait_for_selector("#event:not([hidden]) h2")
    page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20
    tab.close()


def test_a_phone(browser: Any, station: Station) -> None:
    tab = Tab(browser, station, viewport={"width": 360, "height": 640}, device_scale_factor=2, has_touch=True)
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    sentence = page.locator("#sentence").bounding_box()
    assert sentence["y"] + sentence["height"] < 320
    page.tap("#event-list a.row")
    page.wait_for_selector("#event:not([hidden]) h2")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    tab.until("document.querySelector('#event h2').getBoundingClientRect().top < 640")
    tab.close()


def test_local_time_where_asked(browser: Any, station: Station) -> None:
    tab = Tab(browser, station, timezone_id="Asia/Kolkata")
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    tab.until("document.querySelector('#event-list a.row:last-child .time').textContent.startsWith('08:16')")
    page.click("#local")
    assert page.inner_text("#zone") == "UTC+5:30"
    tab.until("document.querySelector('#event-list a.row:last-child .time').textContent.startsWith('13:46')")
    page.reload()
    tab.until("document.getElementById('zone').textContent === 'UTC+5:30'")
    tab.close()


def test_text_of_the_station_is_never_markup(tab: Tab) -> None:
    evil = "<img src=x onerror=alert(1)>"

    def altered(route: Any) -> None:
        answer = route.fetch()
        document = answer.json()
        for event in document["events"]:
            event["event_type"]["label"] = evil
            event["quality"] = [{"code": "ok", "reason": evil}]
        route.fulfill(response=answer, json=document)

    tab.page.route("**/api/events*", altered)
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    page.locator("#event-list a.row").last.click()
    page.wait_for_selector("#event:not([hidden]) h2")
    assert evil in page.inner_text("#event") and page.locator("img").count() == 0


def test_low_rate_needs_no_stream(tab: Tab) -> None:
    page = tab.open("/?low")
    tab.until("document.getElementById('link').textContent === 'every minute'")
    tab.until(_drawn("live-canvas", TRACE))
    assert not any(path.startswith("/api/updates") for path in tab.paths)
    assert page.get_attribute("#low", "aria-pressed") == "true"
    page.click("#low")
    page.wait_for_selector('#link[data-state="live"]')


def test_without_a_place_for_live_updates_it_polls(browser: Any, station: Station) -> None:
    taken: list[socket.socket] = []
    answer = b"HTTP/1.1 200"
    while answer.startswith(b"HTTP/1.1 200"):
        taken.append(socket.create_connection(("127.0.0.1", station.port)))
        taken[-1].sendall(b"GET /api/updates HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = taken[-1].recv(100)
    assert answer.startswith(b"HTTP/1.1 503") and len(taken) > 8
    tab = Tab(browser, station)
    page = tab.open()
    page.wait_for_selector('#link[data-state="polling"]')
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    assert page.inner_text("#notice") == "Live updates are not available now: this page asks every 10 s."
    for link in taken:
        link.close()
    tab.close(unreachable=True)


def test_a_restart_of_the_station(browser: Any, open_station: OpenStation) -> None:
    own = open_station(20)
    tab = Tab(browser, own)
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    before = page.locator("#event-list a.row").count()
    own.stop()
    page.wait_for_selector('#link[data-state="lost"]')
    assert page.inner_text("#notice") == "The station does not answer."
    assert page.locator("#event-list a.row").count() >= before  # what it had stays on the screen
    assert TRACE in page.evaluate(INK, "live-canvas")
    own.start()
    page.wait_for_selector('#link[data-state="live"]', timeout=60_000)
    tab.until("document.getElementById('notice').hidden || document.getElementById('notice').textContent")
    assert page.inner_text("#notice") == ""
    tab.until(f"document.querySelectorAll('#event-list a.row').length > {before}")
    tab.close(unreachable=True)


def test_without_a_network_it_keeps_what_it_has(browser: Any, station: Station) -> None:
    tab = Tab(browser, station)
    page = tab.open()
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    tab.until(_drawn("live-canvas", TRACE))
    tab.context.set_offline(True)
    page.select_option("#window", "180")
    page.click("#event-list a.row")
    page.wait_for_selector("#event:not([hidden]) h2")
    assert TRACE in page.evaluate(INK, "live-canvas")
    tab.context.set_offline(False)
    page.wait_for_selector('#link[data-state="live"]', timeout=60_000)
    tab.close(unreachable=True)


def test_several_stations_are_a_table_first(browser: Any, open_station: OpenStation) -> None:
    own = open_station(20, source="PB_B918,PB_B921")
    tab = Tab(browser, own)
    page = tab.open()
    page.wait_for_selector("#rows tr:nth-child(2)", timeout=60_000)
    assert page.inner_text("#title") == "2 stations" and page.locator("#traces").is_hidden()
    names = page.locator("#rows th").all_inner_texts()
    assert sorted(names) == ["PB.B918", "PB.B921"]
    page.wait_for_selector("#event-list a.row", timeout=60_000)
    page.click("#rows a")
    page.wait_for_selector("#live-canvas")
    tab.until(f"document.getElementById('title').textContent === '{names[0]}'")
    assert f"station={names[0]}" in page.url
    tab.close()


def test_the_memory_of_an_open_page_is_flat(browser: Any, tmp_path: Path, open_station: OpenStation) -> None:
    """Two hours of stream time; `python -m tests.runtime.page.browser.day` does the same for a day."""
    data = write_day(tmp_path / "day.mseed", [NAME], 3.0, 30.0)
    own = open_station(120, data=data)
    tab = Tab(browser, own)
    tab.open().wait_for_selector("#event-list a.row", timeout=60_000)
    watch = Watch(tab)
    looks = []
    for _ in range(4):
        tab.page.wait_for_timeout(15_000)
        looks.append(watch.look())
    tab.close()
    assert [one.untrue for one in looks] == [()] * 4
    assert looks[-1].stream_h > 1 and looks[-1].listed > looks[0].listed
    assert looks[-1].heap_mb < looks[0].heap_mb + 1.5, looks  # a row of the list is about 10 kB
    assert looks[-1].listeners == looks[0].listeners


def _with_folders(folder: Path) -> Path:
    """A station file with snippets and a rolling archive."""
    file = folder / "station.toml"
    tables = {"snippets": folder / "snippets", "archive": folder / "archive"}
    written = "".join(f'[{table}]\nfolder = "{path}"\n' for table, path in tables.items())
    file.write_text(f'[station]\nnetwork = "PB"\nstation = "B921"\n{written}', encoding="utf-8")
    return file


def test_the_waveform_of_an_event(browser: Any, tmp_path: Path, open_station: OpenStation) -> None:
    own = open_station(20, files=(_with_folders(tmp_path),))
    tab = Tab(browser, own)
    page = tab.open()
    page.wait_for_selector("#event-list a.row.final", timeout=60_000)
    page.locator("#event-list a.row.final").last.click()
    tab.until("document.querySelector('#event canvas').getAttribute('aria-label').endsWith('EHZ, EH1, EH2')")
    page.evaluate("document.querySelector('#event canvas').id = 'event-canvas'")
    for colour in (TRACE, P, S):
        tab.until(_drawn("event-canvas", colour))
    with page.expect_download() as download:
        page.click("#event .download a")
    data = Path(download.value.path()).read_bytes()
    name = page.locator("#event-list a[aria-current]").get_attribute("data-event")
    assert download.value.suggested_filename == f"{name}.mseed"
    assert len(data) % 512 == 0 and data in [path.read_bytes() for path in (tmp_path / "snippets").rglob("*.mseed")]
    tab.until("/ % of 7 days, to 2019-07-07/.test(document.getElementById('availability-note').textContent)")
    tab.close()


def test_the_archive_is_asked_for_again_with_the_first_samples(
    browser: Any, tmp_path: Path, open_station: OpenStation
) -> None:
    tab = Tab(browser, open_station(20, files=(_with_folders(tmp_path),)))
    states = iter([None])

    def before_the_first_sample(route: Any) -> None:
        answer = route.fetch()
        state = answer.json()
        if next(states, "later") is None:
            state["stations"][0] |= {"data_age_s": None}
        route.fulfill(response=answer, json=state)

    tab.page.route("**/api/state", before_the_first_sample)
    tab.open()
    tab.until("/ % of 7 days, to 2019-07-07/.test(document.getElementById('availability-note').textContent)")
    asked = [path for path in tab.paths if path.startswith("/api/availability")]
    assert "to=1562" not in asked[0] and "to=1562" in asked[-1]
    tab.close()


def test_an_answer_that_is_no_json_is_said_and_asked_for_again(tab: Tab) -> None:
    answers = iter(["<html>a portal</html>"])

    def altered(route: Any) -> None:
        text = next(answers, None)
        if text is None:
            route.continue_()
        else:
            route.fulfill(status=200, content_type="text/html", body=text)

    tab.page.route("**/api/state", altered)
    page = tab.open()
    page.wait_for_selector('#link[data-state="lost"]')
    assert page.inner_text("#notice") == "The answer is not from a station of this kind."
    page.wait_for_selector('#link[data-state="live"]')
    assert page.locator("#notice").is_hidden()

"""No secret, no URL of a sink and no path is in any answer of the page, whatever setting holds it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect as types
from tests.fakes import ListSource, classic_config, fake_models, packets_of
from tests.runtime.config.test_hostile_values import LEAVES, bare, form_of
from tests.runtime.service.test_metrics import TRACES

from seisedge.runtime.config import StationConfig
from seisedge.runtime.http_server.message import Request
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.page.page import Page, PageSettings
from seisedge.runtime.page.privacy import Privacy, shown_sinks
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.terminal import TerminalSink

MARK = "s3cr3t"
VALUES = {
    "path": [f"/var/lib/{MARK}/x", f"{MARK}/models/x", f"~/.{MARK}"],
    "hostname": [f"{MARK}.example.org", f"{MARK}-broker"],
    "uri": [f"https://user:{MARK}@h.{MARK}.example/{MARK}?a={MARK}"],
    "source": [f"seedlink://user:{MARK}@{MARK}.example:18000/XX_STA", f"sds:/data/{MARK}", f"/data/{MARK}.mseed"],
}
PUBLIC = ("station", "channels", "sensors")
# Texts that are shown: names that the operator chose for messages, and codes.
SHOWN = {("alerts[0]", "name"), ("state_of_health.EHZ", "unit"), ("page", "name")}


def _private_leaves() -> Iterator[tuple[str, str, str]]:
    """Table, key and value of each setting that can hold a private text."""
    for table, key, kind in LEAVES:
        form = form_of(kind)
        public = not isinstance(bare(kind), types.StrType) or (table, key) in SHOWN
        if form != "path" and (public or table.partition(".")[0] in PUBLIC):
            continue
        if form in VALUES:
            yield from ((table, key, value) for value in VALUES[form])
        elif key == "username":
            yield table, key, f"{MARK}-name"


def _config(table: str, key: str, value: str) -> StationConfig:
    """A station file with this setting and what else its table needs."""
    needed: dict[str, dict[str, Any]] = {
        "sinks.jsonl": {"path": "x"},
        "sinks.quakeml": {"folder": "x"},
        "sinks.webhook": {"url": "http://x"},
        "sinks.mqtt": {"host": "x"},
        "station": {"network": "XX", "station": "STA"},
        "alerts[0]": {"name": "phone", "urls_file": "x"},
    }
    plain: dict[str, Any] = {}
    inner = plain
    for part in [part for part in table.split(".") if part]:
        name = part.removesuffix("[0]")
        inner[name] = [{}] if name != part else {}
        inner = inner[name][0] if name != part else inner[name]
    inner.update(needed.get(table, {}) | {key: value})
    return msgspec.convert(plain, StationConfig)


class Stored:
    """A recorder with one folder for each kind."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def faults(self) -> list[str]:
        return [f"archive {self._folder}: full; 3 MB wait"]

    def document(self) -> list[dict[str, object]]:
        return [{"kind": "snippets", "folder": self._folder, "free_bytes": 3}]

    def values(self) -> list[tuple[str, float | None, dict[str, str]]]:
        folders = (self._folder, self._folder + "-2")
        return [("archive_waiting_bytes", 3.0, {"folder": folder}) for folder in folders]


LEAVES_HERE = list(_private_leaves())


def test_the_settings_with_private_texts_are_found() -> None:
    found = {f"{table}.{key}".lstrip(".") for table, key, _ in LEAVES_HERE}
    assert {"state", "source", "models.onset", "station.stationxml", "sinks.webhook.url", "sinks.mqtt.host",
            "sinks.mqtt.password_file", "sinks.mqtt.username", "page.token_file",
            "alerts[0].urls_file"} <= found  # fmt: skip


@pytest.mark.parametrize(("table", "key", "value"), LEAVES_HERE, ids=lambda x: str(x).replace("/", "_"))
def test_no_setting_is_in_an_answer(table: str, key: str, value: str) -> None:
    config = _config(table, key, value)
    health = Health()
    journal = MemoryJournal("list:")
    health.drains = [Drain(TerminalSink(lambda _line: None), f"webhook {value}", journal.outbox)]
    texts = [value, f"{table}.{key}: {value}: Connection refused", f"webhook {value}: down for 3 s: ({value}); 2 lines"]
    texts += [f"cannot write {value}/x.tmp, try again", f"thread sink webhook {value} has failed: OSError: '{value}'"]
    health.condition = lambda: ("degraded", texts)  # type: ignore[method-assign]
    health.recorder = Stored(value)  # type: ignore[assignment]
    page = Page(health, [config], settings=PageSettings(metrics=True))
    for path in ("/", "/api/state", "/api/events", "/api/availability", "/healthz", "/metrics", "/api/nothing"):
        response = page.answer(Request("GET", path, {}, {"host": "localhost"}))
        whole = response.encoded(head=False).decode()
        assert MARK not in whole, (path, whole[whole.index(MARK) - 100 :][:200])
    metrics = page.answer(Request("GET", "/metrics", {}, {"host": "localhost"})).body.decode()
    assert all(f'seisedge_archive_waiting_bytes{{folder="{number}"}} 3\n' in metrics for number in (1, 2))
    assert "Connection refused" in page.answer(Request("GET", "/healthz", {}, {"host": "localhost"})).body.decode()


def test_the_source_is_not_in_an_event() -> None:
    health, page = Health(), Page(Health())
    source = ListSource(list(packets_of(TRACES)), live=True)
    source.url = f"/data/{MARK}.mseed"
    Loop(fake_models(), [], {}, default=classic_config(), health=health, observer=page.feed).run(source)
    page.work()
    body = page.answer(Request("GET", "/api/events", {}, {"host": "localhost"})).body.decode()
    assert MARK not in body and '"id":"XX.STA-' in body


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("PB.B918: no usable packet for 130 s", "PB.B918: no usable packet for 130 s"),
        ("EHZ is in m/s**2, not in m/s", "EHZ is in m/s**2, not in m/s"),
        ("the source is waiting for 127.0.0.1:18000", "the source is waiting for …"),
        ("see /healthz, please", "see …, please"),
        ("50 % of 3/4 lines", "50 % of 3/4 lines"),
        ("file:/etc/passwd, sds:/data", "… …"),
    ],
)
def test_messages_stay_readable(message: str, shown: str) -> None:
    assert Privacy().shown(message) == shown


def test_sinks_of_one_kind_have_numbers() -> None:
    names = ["standard output", "jsonl /a", "webhook https://a", "webhook https://b"]
    assert list(shown_sinks(names).values()) == ["standard output", "jsonl", "webhook", "webhook 2"]

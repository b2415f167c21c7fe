"""Against a real HTTP server that answers with given status codes."""

import threading
from collections.abc import Iterator

import msgspec
import pytest
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.runtime.event import Event
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.sinks import Refused
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.webhook import WebhookSink


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(Receiver()) as server:
        yield server


def test_one_post_per_revision(receiver: Receiver, events: list[Event]) -> None:
    sink = WebhookSink(receiver.url, token="hush")
    sink.write(events[1])
    ((headers, body),) = receiver.got
    assert msgspec.json.decode(body, type=Event) == events[1]
    assert headers["Idempotency-Key"] == f"{events[1].id}/1"
    assert headers["Content-Type"] == "application/json" and headers["Authorization"] == "Bearer hush"


@pytest.mark.parametrize(
    ("code", "error"),
    [(200, None), (204, None), (409, None), (400, Refused), (422, Refused),
     (302, ConnectionError), (401, ConnectionError), (404, ConnectionError), (429, ConnectionError),
     (503, ConnectionError)],
)  # fmt: skip
def test_status_codes(receiver: Receiver, events: list[Event], code: int, error: type[Exception] | None) -> None:
    receiver.codes = [code]
    if error is None:
        WebhookSink(receiver.url).write(events[0])
    else:
        with pytest.raises(error, match=str(code)):
            WebhookSink(receiver.url).write(events[0])
    assert len(receiver.got) == 1


def test_a_refused_connection(events: list[Event]) -> None:
    with Receiver() as server:
        url = server.url
    with pytest.raises(ConnectionError, match="refused"):
        WebhookSink(url).write(events[0])


def test_down_and_back_in_order(receiver: Receiver, events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    receiver.codes = [503, 503, 400]
    journal = MemoryJournal("list:")
    drain = Drain(WebhookSink(receiver.url), "webhook", journal.outbox, backoff_first_s=0.01)
    drain.start()
    for event in events:
        journal.add(event)
    journal.step()
    done = threading.Event()
    for _ in range(500):
        if journal.outbox.undelivered("webhook") == 0 or done.wait(0.01):
            break
    assert drain.close(5) == 0
    keys = [headers["Idempotency-Key"].rpartition("/")[2] for headers, _ in receiver.got]
    assert keys == ["0", "0", "0", "1", "2"]
    assert (drain.counters.delivered, drain.counters.failures, drain.counters.refused) == (2, 2, 1)
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len([text for text in warned if "retrying" in text]) == 1
    assert any("refused" in text and "XX.STA" in text for text in warned)

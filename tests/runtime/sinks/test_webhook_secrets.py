"""Errors of a webhook contain neither its URL nor that of a proxy, whatever the libraries put into theirs."""

from __future__ import annotations

import pytest
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.runtime.event import Event
from seisedge.runtime.sinks import Refused
from seisedge.runtime.sinks.webhook import WebhookSink

MARK = "s3cr3t"


@pytest.mark.parametrize("code", [302, 400, 401, 503])
def test_a_refusal(code: int, events: list[Event]) -> None:
    with serving(Receiver()) as receiver:
        receiver.codes = [code]
        sink = WebhookSink(f"{receiver.url}/{MARK}?token={MARK}", token=f"{MARK}-token")
        with pytest.raises((ConnectionError, Refused), match=f"http://127.0.0.1:[0-9]+/… answered {code}") as caught:
            sink.write(events[0])
    assert MARK not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        f"http:/u:{MARK}@127.0.0.1:1",
        f"http://u:{MARK}@127.0.0.1:x",
        f"u:{MARK}@a..b:1",
        f"http://u:{MARK}@127.0.0.1:1",
    ],
)
def test_a_proxy_that_cannot_be_used(proxy: str, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    sink = WebhookSink(f"http://127.0.0.1:1/{MARK}")
    with pytest.raises(ConnectionError) as caught:
        sink.write(events[0])
    assert MARK not in str(caught.value)

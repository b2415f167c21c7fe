"""The log of a sink's connection."""

import pytest

from seisedge.runtime.sinks._link_log import STEADY_S, LinkLog


def test_a_connection_that_is_lost_again_and_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three short connections are logged, then nothing until one lasts, then everything again."""
    caplog.set_level("INFO")
    now_s = 1000.0
    monkeypatch.setattr("seisedge.runtime.sinks._link_log.time.monotonic", lambda: now_s)
    link = LinkLog("hook")
    for number in range(10):
        link.changed(None)
        now_s += 1.0
        link.changed(f"lost {number}")
        link.check()
    link.changed(None)
    link.check()
    now_s += STEADY_S
    link.check()
    link.check()
    link.changed("lost")
    now_s += 190.0
    link.changed(None)
    assert [f"{record.levelname} {record.message}" for record in caplog.records] == [
        "INFO hook: connected",
        "WARNING hook: not connected: lost 0; retrying",
        "INFO hook: connected after 0 s",
        "WARNING hook: not connected: lost 1; retrying",
        "INFO hook: connected after 0 s",
        "WARNING hook: not connected: lost 2; retrying; no further change is logged until a connection lasts 2 min",
        "INFO hook: the connection lasts",
        "WARNING hook: not connected: lost; retrying",
        "INFO hook: connected after 3 min",
    ]

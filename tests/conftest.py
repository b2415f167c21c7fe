"""Settings of all tests."""

import os
import signal

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import onnxruntime by themselves; it sends usage data


@pytest.fixture(autouse=True)
def default_signal_handlers() -> None:
    """As in a process of its own: a command that an earlier test has run here may have left its handlers."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)

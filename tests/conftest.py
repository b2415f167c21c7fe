"""Settings of all tests."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # some tests import onnxruntime by themselves; it sends usage data

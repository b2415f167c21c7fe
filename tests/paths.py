"""Where the tests find what the repository ships."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "runtime/seisedge/runtime/demo/data/ridgecrest.mseed"

"""The first start with the real library in real child processes, on a machine with a fake driver.

The engine is built, TensorRT-RTX refuses to load it for want of a driver, and that is what the station must survive.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seisedge.runtime.bench.recorded import trial_windows
from seisedge.runtime.engines import _cuda, open_engine
from seisedge.runtime.errors import EngineError
from seisedge.runtime.inference.infer import bundled_model

DRIVER = '''
"""The part of pycuda.driver that finds a device."""
class Error(Exception): ...
class Context:
    def push(self): ...
    def pop(self): ...
class Device:
    def __init__(self, number): ...
    @staticmethod
    def count(): return 1
    def compute_capability(self): return CAPABILITY
    def name(self): return "pretended"
    def retain_primary_context(self): return Context()
class Stream:
    handle = 1
def init(): ...
def get_driver_version(): return 12090
'''


@pytest.fixture(params=[(8, 6), (8, 7)], ids=["sm86", "sm87"])
def capability(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, int]]:
    """A GPU that TensorRT-RTX supports, and one that it does not."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU here; this is about a machine without")
    package = tmp_path / "path" / "pycuda"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "driver.py").write_text(DRIVER.replace("CAPABILITY", repr(request.param)), encoding="utf-8")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delitem(sys.modules, "pycuda", raising=False)
    monkeypatch.delitem(sys.modules, "pycuda.driver", raising=False)
    _cuda.open_device.cache_clear()
    yield request.param
    _cuda.open_device.cache_clear()


def test_the_library_refuses_and_the_station_uses_onnxruntime(
    capability: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, folder = bundled_model("event_type"), tmp_path / "engines"
    engine = open_engine(model, "tensorrt-rtx", folder, trial_windows=trial_windows)
    assert (engine.name, engine.instead_of) == ("onnxruntime-cpu", "tensorrt-rtx")
    if capability == (8, 7):
        assert engine.reason == f"tensorrt-rtx {_version()} does not build for sm87"
        assert [path.name.partition(".engine")[2] for path in folder.iterdir()] == [".tried.json"]
        return
    assert "tensorrt-rtx cannot load it: " in engine.reason and "CUDA driver version is insufficient" in engine.reason
    built, sidecar, tried = sorted(path for path in folder.iterdir())
    assert built.stat().st_size > 1e6 and json.loads(sidecar.read_text())["driver"] == "12.9"
    assert engine.reason.startswith(json.loads(tried.read_text())["reason"])
    before = built.stat().st_mtime_ns
    with pytest.raises(EngineError, match="CUDA driver version is insufficient"):
        open_engine(model, "tensorrt-rtx", folder, trial_windows=trial_windows, allow_fallback=False)
    assert built.stat().st_mtime_ns == before  # neither built nor tried again


def _version() -> str:
    from seisedge.runtime.engines._library import load_library

    return load_library("tensorrt-rtx").version

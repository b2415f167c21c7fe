"""The real library if installed (TensorRT-RTX can be imported without a GPU), and machines without it."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.fake_tensorrt import FakeCuda, fake_library

from seisedge.runtime.engines import _cuda
from seisedge.runtime.engines._library import (
    HOW_TO_INSTALL,
    Here,
    Library,
    Log,
    examine,
    l4t_release,
    load_library,
    make_logger,
    no_collection,
)
from seisedge.runtime.errors import EngineError


@pytest.fixture
def real() -> Library:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    return load_library("tensorrt-rtx")


def _parameters(documentation: str) -> list[list[str]]:
    """Parameter names of each overload in a pybind docstring, without self."""
    found = re.findall(r"^(?:\d+\. )?\w+\(self: [\w.]+(?:, (.*))?\) -> ", documentation, re.MULTILINE)
    return [re.findall(r"(?:^|, )(\w+): ", inner or "") for inner in found]


FAKES = fake_library(FakeCuda(), graphs=True)
CALLS = [
    (kind, name)
    for kind in ("Runtime", "ICudaEngine", "IExecutionContext")
    for name in vars(getattr(FAKES, kind))
    if not name.startswith("_")
]


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_the_library_has_the_methods_that_the_engine_calls(real: Library, kind: str, name: str) -> None:
    """test_tensorrt.py uses fakes: the real library must have each of their methods, with the same parameters."""
    theirs = inspect.getattr_static(getattr(real.module, kind), name)
    ours = getattr(FAKES, kind).__dict__[name]
    if isinstance(ours, property):
        assert isinstance(theirs, property)
        return
    parameters = list(inspect.signature(ours).parameters)[1:]
    assert parameters in _parameters(getattr(real.module, kind).__dict__[name].__doc__), theirs.__doc__


def test_a_cuda_graph_is_requested_with_existing_names(real: Library) -> None:
    module: Any = real.module
    assert isinstance(inspect.getattr_static(module.IRuntimeConfig, "cuda_graph_strategy"), property)
    assert "WHOLE_GRAPH_CAPTURE" in module.CudaGraphStrategy.__members__


def test_no_flag_or_calibrator_sets_a_precision() -> None:
    """The model file sets the precision; TensorRT 11 has no such flags."""
    sources = Path(inspect.getfile(load_library)).parent.glob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert not re.search(r"BuilderFlag\.(FP16|INT8|BF16|FP8)|[Cc]alibrator\(|set_calibration", text)


def test_compute_capabilities_of_the_library(real: Library) -> None:
    assert real.builds_for_others and "sm86" in real.capabilities and real.capabilities[0] == "sm75"
    assert re.fullmatch(r"[\d.]+", real.version)


def test_errors_of_the_library_are_logged(real: Library) -> None:
    logger, log = make_logger(real)
    with no_collection():
        runtime = real.module.Runtime(logger)
    assert runtime.deserialize_cuda_engine(b"no engine" * 100) is None
    assert log.errors and "/_src/" not in log.reason() and "\n" not in log.reason()


GARBAGE = """
import gc
from seisedge.runtime.engines._library import load_library, no_collection

module = load_library("tensorrt-rtx").module


class Logger(module.ILogger):
    def __init__(self):
        module.ILogger.__init__(self)

    def log(self, severity, message):  # that an earlier builder has another logger
        gc.collect()  # as the collector does when it runs here


cycle = [module.Builder(Logger())]
cycle.append(cycle)
del cycle
with no_collection():
    module.Builder(Logger())
assert gc.isenabled()
"""


@pytest.mark.usefixtures("real")
def test_garbage_of_an_earlier_builder_does_not_block_the_next() -> None:
    subprocess.run([sys.executable, "-c", GARBAGE], check=True, timeout=60, stdin=subprocess.DEVNULL)


def test_reason_is_the_first_error_in_one_line() -> None:
    log = Log("tensorrt-rtx")
    assert log.reason() == "the library gave no reason"
    log.add(2, "a warning")
    log.add(1, "Error Code 1: it broke (In parse at /_src/runtime/plan.cpp:780 (and so on)\nmore")
    log.add(1, "another")
    assert log.reason().startswith("Error Code 1: it broke") and "more" not in log.reason()


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}[name]
    for absent in (None, ModuleType(module)):  # not installed; only its type stubs are
        monkeypatch.setitem(sys.modules, module, absent)  # None: cannot be imported
        with pytest.raises(EngineError) as caught:
            load_library(name)
        assert str(caught.value) == f"{name} is not installed; {HOW_TO_INSTALL[name]}"


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "tensorrt_rtx"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libnvinfer.so.10: cannot open\\nshared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt_rtx", raising=False)
    with pytest.raises(EngineError, match=r"^tensorrt-rtx does not load: libnvinfer\.so\.10: cannot open$"):
        load_library("tensorrt-rtx")


def test_here_is_library_device_and_system(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_library(cuda))
    monkeypatch.setattr(_cuda, "open_device", lambda: cuda)
    monkeypatch.setattr("seisedge.runtime.engines._library.l4t_release", lambda: "36.4.3")
    assert examine("tensorrt") == Here("tensorrt", "10.16.2", "sm87", "Fake Orin", "12.6", "36.4.3")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n", "36.4.3"),
        ("something else\n", "something else"),
        ("", None),
        (None, None),
    ],
)
def test_release_of_jetson_linux(tmp_path: Path, text: str | None, release: str | None) -> None:
    path = tmp_path / "nv_tegra_release"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert l4t_release(path) == release


def test_only_capabilities_of_the_library_are_accepted() -> None:
    members = dict.fromkeys(["NONE", "CURRENT", "SM120", "SM75"])
    module: Any = SimpleNamespace(ComputeCapability=SimpleNamespace(__members__=members))
    assert Library("tensorrt-rtx", module, "1").capabilities == ["sm75", "sm120"]
    assert Library("tensorrt", ModuleType("tensorrt"), "1").capabilities == []

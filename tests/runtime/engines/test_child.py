"""Jobs in a child process that crashes, hangs or fails."""

import os
from pathlib import Path

import pytest

from seisedge.runtime.engines._child import Build, Tried, Try, in_child, save_windows
from seisedge.runtime.errors import EngineError
from seisedge.runtime.inference.infer import bundled_model

MODEL = str(bundled_model("event_type"))
TRY = Try(model=MODEL, library="tensorrt-rtx", engine="x.engine", windows="x.npz")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", r"^x\.engine: loading the engine: the process was killed by SIGABRT$"),
        ("import os; os.kill(os.getpid(), 11)", r"^x\.engine: loading the engine: the process was killed by SIGSEGV$"),
        (
            "raise SystemExit(7)",
            r"^x\.engine: loading the engine: the process ended with status 7 and without a result$",
        ),
        ("import sys; open(sys.argv[1], 'w').write('{')", "status 0 and without a result"),
    ],
)
def test_a_process_that_ends_without_a_result(code: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        in_child(TRY, 60, code)


def test_a_process_that_hangs_is_killed(tmp_path: Path) -> None:
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(EngineError, match=r"x\.engine: loading the engine: no result within 1 s"):
        in_child(TRY, 1.0, code)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_standard_output_of_a_library_is_ignored() -> None:
    code = "import sys; print('noise'); open(sys.argv[1], 'w').write('{\"type\":\"Tried\",\"difference\":0.5}')"
    assert in_child(TRY, 60, code) == Tried(difference=0.5)


def test_a_failed_job_raises_its_own_message(tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(Path(MODEL).read_bytes()[:1000])
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    job = Build(
        model=str(half), library="tensorrt-rtx", compute_capability="sm86", max_batch=1, workspace_mb=64,
        timing_cache=None, out=str(tmp_path / "engine"),
    )  # fmt: skip
    with pytest.raises(EngineError, match=r"half\.onnx: tensorrt-rtx [\d.]+ cannot parse it: "):
        in_child(job, 120)
    with pytest.raises(EngineError, match=r"gone\.onnx"):
        in_child(Try(model=str(tmp_path / "gone.onnx"), library="tensorrt-rtx", engine="x", windows="x.npz"), 120)
    assert not (tmp_path / "engine").exists()


def test_a_trial_without_a_window_is_refused(tmp_path: Path) -> None:
    """The largest difference over no windows would be 0, and the engine would pass."""
    with pytest.raises(EngineError, match="no window to compare"):
        save_windows(tmp_path / "windows.npz", [])

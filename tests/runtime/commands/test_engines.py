"""Choosing an engine on the command line and in the station file, on a machine that has no GPU."""

import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.fake_tensorrt import FakeCuda, fake_library
from tests.fakes import classic_config, fake_models

from seisedge.cli import main
from seisedge.runtime.commands.doctor import _version
from seisedge.runtime.config import ModelsConfig, settings_of
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.engines import _cuda
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.service.health import Health
from seisedge.runtime.station.station import Station

RECORD = 512
ABSENT = "tensorrt is not installed"


@pytest.fixture(autouse=True)
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = ModuleType("tensorrt")  # as where only type stubs are installed
    stubs.__spec__ = ModuleSpec("tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt", stubs)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: RECORD * 240])
    return path


def _seisedge(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_without_its_engine_uses_onnxruntime_and_reports_it(tmp_path: Path, part: Path) -> None:
    events, plain = tmp_path / "events.jsonl", tmp_path / "plain.jsonl"
    result = _seisedge("run", part, "--engine", "tensorrt", "--events", events)
    assert result.exit_code == 0, result.output
    for model in ("event-type", "magnitude"):
        assert f"  {model} runs on onnxruntime-cpu, not on tensorrt: {ABSENT}" in result.stderr
    lines = _lines(events)
    assert {line["cost"]["engine"] for line in lines if line["cost"]["inferences"]} == {"onnxruntime-cpu"}
    result = _seisedge("run", part, "--events", plain)
    assert "not on tensorrt" not in result.output
    untimed = ("latency_ms", "cost", "emitted")
    for line in (*lines, *(others := _lines(plain))):
        for key in untimed:
            del line[key]
    assert lines == others


def test_engine_of_the_station_file_and_of_the_command_line(tmp_path: Path, part: Path) -> None:
    text = next(STATIONS.glob("*.toml")).read_text(encoding="utf-8")
    station = tmp_path / "station.toml"
    station.write_text(f'{text}\n[models]\nengine = "tensorrt"\nengine_cache = "{tmp_path}"\n', encoding="utf-8")
    result = _seisedge("run", station, part)
    assert result.exit_code == 0 and f"not on tensorrt: {ABSENT}" in result.stderr
    result = _seisedge("run", station, part, "--engine", "onnxruntime")
    assert result.exit_code == 0 and "not on tensorrt" not in result.output
    station.write_text(f'{text}\n[models]\nengine = "tensorrt-rx"\n', encoding="utf-8")
    result = _seisedge("run", station, part)
    assert result.exit_code == 2 and "models.engine" in result.output and "tensorrt-rx" in result.output
    assert _seisedge("run", part, "--engine", "cuda").exit_code == 2


def test_health_is_degraded_without_the_requested_engine() -> None:
    health = Health()
    health.models = Models.load(ModelsConfig(engine="tensorrt"))
    document = health.document()
    assert document["engines"] == dict.fromkeys(["event-type", "magnitude", "onset"], "onnxruntime-cpu")
    assert [reason for reason in document["reasons"] if ABSENT in reason] == health.models.stand_ins
    assert len(health.models.stand_ins) == 3
    health.models = Models.load(ModelsConfig())
    assert not any("tensorrt" in reason for reason in health.document()["reasons"])


def test_a_state_belongs_to_the_engine_that_ran(tmp_path: Path) -> None:
    asked = classic_config(models=ModelsConfig(engine="tensorrt", engine_cache=str(tmp_path)))
    assert settings_of(asked) == settings_of(classic_config())
    plain, other = fake_models(), fake_models()
    assert other.event_type is not None
    other.event_type.name = "tensorrt"
    same, changed = (Station("XX.STA", classic_config(), models, "triggered").fingerprint for models in (plain, other))
    assert same == Station("XX.STA", asked, fake_models(), "triggered").fingerprint != changed


def test_bench_measures_only_the_requested_engine() -> None:
    result = _seisedge("bench", "model", "event-type", "--engine", "tensorrt", "--rounds", "1")
    assert result.exit_code == 1 and f"Error: {ABSENT}" in result.output and "p50" not in result.output


def test_doctor_reports_the_state_of_each_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = json.loads(_seisedge("doctor", "--json").output)["engines"]
    assert engines["onnxruntime"] == "ready" and engines["tensorrt"].startswith(ABSENT)
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_library(cuda))
    monkeypatch.setattr(_cuda, "open_device", lambda: cuda)
    engines = json.loads(_seisedge("doctor", "--json").output)["engines"]
    assert engines["tensorrt"] == "ready: 10.16.2 on Fake Orin (sm87), driver 12.6"


def test_type_stubs_are_not_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onlystubs").mkdir()
    (tmp_path / "onlystubs" / "__init__.pyi").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert _version("onlystubs") is None


def test_a_station_can_compile_without_the_workstations_libraries() -> None:
    script = (
        "import sys\nimport seisedge.export.commands.compile\n"
        "print(sorted({'torch', 'onnx', 'seisedge.train', 'tensorrt', 'tensorrt_rtx', 'pycuda'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

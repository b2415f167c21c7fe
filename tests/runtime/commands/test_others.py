"""inspect, doctor, bench and demo on the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seisedge.cli import main
from seisedge.runtime.bench.start import MEMORY_TARGET_MIB
from seisedge.runtime.commands import doctor
from seisedge.runtime.demo import CATALOGUE, RECORDING
from seisedge.runtime.inference.infer import bundled_model


def _seisedge(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize("task", ["event_type", "magnitude"])
def test_inspect(task: str) -> None:
    path = bundled_model(task)
    result = _seisedge("inspect", path)
    assert result.exit_code == 0, result.output
    for word in ("task:", "FLOP by operator", "Not suitable for", "licence:", "Accuracy on events"):
        assert word in result.output
    assert _seisedge("inspect", path.stem).output == result.output
    card = json.loads(_seisedge("inspect", path, "--json").output)
    assert card["task"] == task and card["flops"] == sum(card["flops_by_operator"].values())


def test_inspect_refuses_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_text("no", encoding="utf-8")
    result = _seisedge("inspect", path)
    assert result.exit_code == 2 and "no.onnx" in result.output and "Traceback" not in result.output


def test_doctor_reports_the_cost_of_a_start() -> None:
    result = _seisedge("doctor")
    assert result.exit_code == 0, result.output
    assert "This machine can run a station." in result.output and "libraries   none loaded" in result.output
    facts = json.loads(_seisedge("doctor", "--json").output)
    assert facts["start"]["heavy"] == []
    assert facts["start"]["resident_mib"] < MEMORY_TARGET_MIB


def test_doctor_fails_if_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "STATION_PACKAGES", (*doctor.STATION_PACKAGES, "no-such-package"))
    result = _seisedge("doctor")
    assert result.exit_code == 1 and "Missing: no-such-package" in result.output


def test_doctor_reports_a_station_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.bench.start._SCRIPT", "raise RuntimeError('no numpy')")
    result = _seisedge("doctor")
    assert result.exit_code == 1 and "cannot start on this machine: RuntimeError: no numpy" in result.output


SHORT = ("--rounds", 1, "--max-rounds", 1, "--row-s", 0.05, "--pace", 0)


def test_bench_model() -> None:
    result = _seisedge("bench", "model", bundled_model("event_type"), *SHORT)
    assert result.exit_code == 0, result.output
    for word in ("p99", "GFLOP/s", "real windows", "cold start", "memory", "energy", "tectonic", "not an MLPerf"):
        assert word in result.output


def test_bench_needs_windows(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.mseed"
    quiet.write_bytes(RECORDING.read_bytes()[: 512 * 12])
    result = _seisedge("bench", "model", "--data", quiet, *SHORT)
    assert result.exit_code == 2 and "the trigger finds no onset" in result.output


def test_demo_at_full_speed(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    result = _seisedge("demo", "--speed", 0, "--events", events)
    assert result.exit_code == 0, result.output
    quakes = len(CATALOGUE.read_text(encoding="utf-8").splitlines()) - 1
    rows = re.findall(r"^[0-9:.]{10}  M .* km ", result.output, re.MULTILINE)
    assert len(rows) == quakes
    for words in (
        "was used for training, fitting",
        f"of {quakes} catalogued earthquakes",
        "only in the automatic catalogue",
        "2733 packets",
        "total in the station",
        "MFLOP",
        "imports without numpy",
        "resident memory",
    ):
        assert words in result.output, words
    assert " 0 times real time" not in result.output
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert {line["station"] for line in lines} == {"PB.B918", "PB.B921"}
    assert any("value" in line.get("magnitude", {}) for line in lines)


@pytest.mark.parametrize("command", ["demo", "run", "replay", "inspect", "bench", "doctor"])
def test_every_help_ends_with_examples(command: str) -> None:
    result = _seisedge(command, "--help")
    assert result.exit_code == 0
    examples = [line.strip() for line in result.output.splitlines() if line.strip().startswith("seisedge ")]
    assert len(examples) >= 2


WITHOUT_EXTRAS = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        absent = "torch h5py obspy matplotlib scipy onnx onnxscript distributed fsspec pyarrow"
        if name.partition(".")[0] in absent.split():
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Absent())
from seisedge.cli import main
main()
"""


@pytest.mark.parametrize("command", ["dataset build", "prune", "archive"])
def test_help_needs_no_extra(command: str) -> None:
    """On a station, where torch and h5py are not installed."""
    words = command.split()
    asked = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS, *words, "--help"], capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith(f"Usage: seisedge {command} [OPTIONS] ")
    assert f"'seisedge {words[0]}' needs " in asked.stdout.splitlines()[-1]
    used = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS, *words], capture_output=True, text=True)
    assert used.returncode == 1 and used.stdout == "" and " needs " in used.stderr


def test_a_reader_that_closes_standard_output_is_named(tmp_path: Path) -> None:
    """As `| head -1` does: the run ends with a sentence; with --events or --state it continues, and states that."""
    part, events = tmp_path / "part.mseed", tmp_path / "events.jsonl"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 240])
    state = ["--state", str(tmp_path / "state")]
    for arguments, status in (([], 1), (["--events", str(events)], 0), (state, 0)):
        command = [sys.executable, "-m", "seisedge.cli", "run", str(part), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == status, said
        sentence = "Error: standard output: its reader has closed it, and no other output has the events; the run ends"
        assert (sentence in said) is (status == 1), said
        goes_on = said.count("WARNING standard output: its reader has closed it; the run continues")
        assert goes_on == (status == 0), said
    assert events.read_text(encoding="utf-8").count("\n") > 5

"""Reports of streams and archives: reading them, comparing and filing them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.runtime.bench.made import made_report, made_stream_run
from tests.runtime.bench.test_archive import made_archive_report, made_round
from tests.runtime.bench.test_stream import made_stream_report

from seisedge.cli import main


def _bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def _stored(path: Path, report: Any) -> Path:
    path.write_bytes(msgspec.json.encode(report))
    return path


def stream(slower: float, runs: int = 5, **changes: Any) -> Any:
    latencies = [[slower * (10 + 0.05 * k)] * 400 + [slower * 30] * 20 for k in range(runs)]
    return msgspec.structs.replace(
        made_stream_report([made_stream_run(each, **changes) for each in latencies]),
        method={"latency": "", "seconds": 10.0},
    )


def archive(slower: float) -> Any:
    return made_archive_report([made_round(wall_s=slower * (2 + 0.01 * k)) for k in range(5)])


def test_streams_and_archives_are_compared_by_their_rounds(tmp_path: Path) -> None:
    for name, make in (("stream", stream), ("archive", archive)):
        old, same, slow = (_stored(tmp_path / f"{name}-{x}.json", make(x)) for x in (1.0, 1.01, 1.5))
        found = _bench("compare", old, same, "--fail-over", "mean=10%", "--fail-over", "memory=10%")
        assert found.exit_code == 0 and found.output.count("same") == 3, found.output
        worse = _bench("compare", old, slow, "--fail-over", "mean=10%")
        assert worse.exit_code == 1 and "verdict: worse" in worse.output


def test_compare_refuses_other_kinds_and_conditions(tmp_path: Path) -> None:
    old = _stored(tmp_path / "old.json", stream(1.0))
    other = msgspec.structs.replace(stream(1.0), protocol="datalink")
    longer = msgspec.structs.replace(stream(1.0), method={"latency": "", "seconds": 60.0})
    data = msgspec.structs.replace(stream(1.0), windows="mine")
    for name, report, sentence in (
        ("model", made_report(), "compare reports of one kind"),
        ("protocol", other, "different protocols"),
        ("longer", longer, "different durations"),
        ("data", data, "different windows"),
    ):
        found = _bench("compare", old, _stored(tmp_path / f"{name}.json", report))
        assert found.exit_code == 2 and sentence in found.output, found.output
    one = _stored(tmp_path / "one.json", stream(1.0, runs=1))
    found = _bench("compare", old, one, "--fail-over", "mean=10%")
    assert found.exit_code == 3 and "fewer than two valid runs" in found.output
    files = msgspec.structs.replace(stream(1.0), models={"made": "b" * 64})
    assert "DIFFERENT FILES of the model made" in _bench("compare", old, _stored(tmp_path / "f.json", files)).output
    bad = _stored(tmp_path / "bad.json", stream(1.0, invalid=["the digitizer was late"]))
    assert "INVALID: 5 runs of the new report" in _bench("compare", old, bad).output


def test_import_files_each_kind_and_refuses_edited_figures(tmp_path: Path) -> None:
    for name, report in (("stream", stream(1.0)), ("archive", archive(1.0))):
        path = _stored(tmp_path / f"{name}.json", report)
        done = _bench("import", path, "--hardware", "Box 1", "-o", tmp_path / "measured")
        assert done.exit_code == 0 and (tmp_path / "measured" / f"box-1.{name}.measured.json").is_file(), done.output
        edited = msgspec.json.decode(path.read_bytes())
        figure = edited["rows"][0]["figures"]["mean" if name == "stream" else "rate"]
        figure["value"] = figure["value"] / 2
        path.write_bytes(msgspec.json.encode(edited))
        refused = _bench("import", path, "--hardware", "Box 2", "-o", tmp_path / "measured")
        assert refused.exit_code == 2 and "the report was edited or is damaged" in refused.output
    report = msgspec.json.decode(msgspec.json.encode(stream(1.0)))
    report["rows"][0]["stages"]["infer"][0] = 0.5
    path.write_bytes(msgspec.json.encode(report))
    refused = _bench("import", path, "--hardware", "Box 2", "-o", tmp_path / "measured")
    assert refused.exit_code == 2 and "stages differ" in refused.output


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "seisedge.bench-stream/2"}', '{"schema": "seisedge.bench-stream/1"}']
)
def test_what_is_not_a_report_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    done = _bench("import", path, "--hardware", "Box", "-o", tmp_path / "measured")
    assert done.exit_code == 2 and "not a report of 'seisedge bench'" in done.output
    assert len(done.output.strip().splitlines()) == 1

"""Comparing reports of made samples, and filing them."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.runtime.bench.made import made_report

from seisedge.cli import main
from seisedge.runtime.bench.compare import compare, overall
from seisedge.runtime.bench.report import PAYLOAD_TYPE, Report, figures_of, packed, read_report
from seisedge.runtime.bundle.envelope import Envelope
from seisedge.runtime.flash.signing import new_key, sign


def _bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def _stored(path: Path, report: Report) -> Path:
    path.write_bytes(msgspec.json.encode(report))
    return path


@pytest.mark.parametrize(
    ("seed", "slower", "verdict"), [(0, 1.0, "same"), (1, 1.0, "same"), (1, 1.3, "worse"), (1, 0.7, "better")]
)
def test_verdicts(seed: int, slower: float, verdict: str) -> None:
    rows = compare(made_report(), made_report(seed, slower=slower), {"p99": 0.1, "mean": 0.1})
    assert overall(rows) == verdict and {row.figure for row in rows} == {"p99", "mean"}


def test_too_few_rounds_are_inconclusive_and_the_detectable_change_is_stated(tmp_path: Path) -> None:
    old = _stored(tmp_path / "old.json", made_report(2, rounds=2))
    new = _stored(tmp_path / "new.json", made_report(3, rounds=2, slower=1.05))
    result = _bench("compare", old, new, "--fail-over", "p99=2%")
    assert result.exit_code == 3 and "verdict: inconclusive" in result.output and "smallest change" in result.output
    assert _bench("compare", old, new, "--fail-over", "p99=2%", "--allow-inconclusive").exit_code == 0


def test_false_alarms_and_detections_on_made_rounds() -> None:
    """40 pairs of the same build, and 10 with a build that is 25 % slower; rounds differ by 3 %."""
    reports = [made_report(seed) for seed in range(20, 40)]
    alike = [overall(compare(a, b, {"p99": 0.1})) for a in reports[:10] for b in reports[10:14]]
    assert alike.count("worse") == 0 and alike.count("same") >= 38
    slow = [overall(compare(reports[0], made_report(seed, slower=1.25), {"p99": 0.1})) for seed in range(60, 70)]
    assert slow == ["worse"] * 10


def test_several_figures_are_corrected() -> None:
    alone = compare(made_report(), made_report(1, slower=1.02), {"p99": 0.01})
    together = compare(made_report(), made_report(1, slower=1.02), {"p99": 0.01, "p50": 0.01, "mean": 0.01})
    assert together[0].figure == "p99" and together[0].p_value > alone[0].p_value


def test_cold_start_and_memory_are_compared() -> None:
    rows = compare(made_report(), made_report(), {"cold": 0.1, "memory": 0.1})
    assert [(row.figure, row.verdict) for row in rows] == [("cold", "same"), ("memory", "same")]


def _with_paced_row(report: Report, n: int) -> Report:
    """The report with a second row, of n inferences in each round, one every second."""
    setting = report.settings[0]
    row = setting.rows[0]
    samples = [each.latencies_ns[:n] for each in row.rounds]
    rounds = [msgspec.structs.replace(r, samples=packed(x)) for r, x in zip(row.rounds, samples, strict=True)]
    paced = msgspec.structs.replace(row, pace_ms=1000.0, rounds=rounds, figures=figures_of(samples, 1))
    return msgspec.structs.replace(report, settings=[msgspec.structs.replace(setting, rows=[row, paced])])


def test_a_row_without_a_p99_does_not_hide_the_verdict_of_the_others(tmp_path: Path) -> None:
    old = _stored(tmp_path / "old.json", _with_paced_row(made_report(), 5))
    result = _bench("compare", old, _stored(tmp_path / "new.json", _with_paced_row(made_report(1), 5)))
    assert result.exit_code == 0 and "verdict: same" in result.output
    assert "NOT COMPARED: p99 of made" in result.output and "every 1000 ms" in result.output
    few = _stored(tmp_path / "few.json", _only_paced(_with_paced_row(made_report(), 5)))
    result = _bench("compare", few, few)
    assert result.exit_code == 2 and "the old report carries none of p99" in result.output


def _only_paced(report: Report) -> Report:
    setting = report.settings[0]
    return msgspec.structs.replace(report, settings=[msgspec.structs.replace(setting, rows=setting.rows[1:])])


def test_what_was_not_measured_again_does_not_pass(tmp_path: Path) -> None:
    complete = _with_paced_row(made_report(), 1000)
    old = _stored(tmp_path / "old.json", complete)
    result = _bench("compare", old, _stored(tmp_path / "row.json", made_report(1)))
    assert result.exit_code == 3 and "the new report does not have this row" in result.output
    result = _bench("compare", old, _stored(tmp_path / "figure.json", _with_paced_row(made_report(1), 5)))
    assert result.exit_code == 3 and "p99 needs 100 in each" in result.output


def test_what_is_not_comparable(tmp_path: Path) -> None:
    old = _stored(tmp_path / "old.json", made_report())
    other = _stored(tmp_path / "model.json", made_report(name="another"))
    result = _bench("compare", old, other)
    assert result.exit_code == 2 and "different models: made in the old one, another in the new" in result.output
    machine = msgspec.structs.replace(made_report().machine, processor="y")
    elsewhere = _stored(tmp_path / "machine.json", msgspec.structs.replace(made_report(), machine=machine))
    result = _bench("compare", old, elsewhere)
    assert result.exit_code == 2 and "different machines (processor 'x' and 'y')" in result.output
    result = _bench("compare", old, elsewhere, "--other-machine")
    assert result.exit_code == 0 and "DIFFERENT MACHINES" in result.output
    result = _bench("compare", old, _stored(tmp_path / "file.json", made_report(sha256="b" * 64)))
    assert result.exit_code == 0 and "DIFFERENT FILES of the model made" in result.output
    for words in ("p99=10", "p98=10%", "p99=0%"):
        assert _bench("compare", old, old, "--fail-over", words).exit_code == 2


def test_import_files_a_report_beside_the_projection(tmp_path: Path) -> None:
    report = _stored(tmp_path / "report.json", made_report())
    result = _bench("import", report, "--hardware", "Jetson Orin Nano", "-o", tmp_path / "measured")
    assert result.exit_code == 0, result.output
    assert "measured p50 0.2" in result.output and "projected floor" in result.output
    assert read_report(tmp_path / "measured" / "jetson-orin-nano.measured.json") == made_report()
    again = _bench("import", report, "--hardware", "Jetson Orin Nano", "-o", tmp_path / "measured")
    assert again.exit_code == 2 and "already exists" in again.output


def test_import_refuses_an_edited_report(tmp_path: Path) -> None:
    content = msgspec.json.decode(msgspec.json.encode(made_report()))
    content["settings"][0]["rows"][0]["figures"]["p99"]["value"] *= 0.9
    path = tmp_path / "edited.json"
    path.write_bytes(msgspec.json.encode(content))
    result = _bench("import", path, "--hardware", "x", "-o", tmp_path)
    assert result.exit_code == 2 and "edited or is damaged" in result.output
    assert _bench("compare", path, path).exit_code == 2


def test_a_signed_report(tmp_path: Path) -> None:
    key = new_key(tmp_path / "key", "", "")
    other = new_key(tmp_path / "other", "", "")
    data = msgspec.json.encode(made_report())
    envelope, _ = sign(Envelope(PAYLOAD_TYPE, data), (tmp_path / "key").read_bytes(), "", "key")
    path = tmp_path / "signed.json"
    path.write_bytes(envelope.to_bytes())
    assert read_report(path) == made_report() and key != other
    arguments = ("import", path, "--hardware", "x", "-o", tmp_path / "m")
    result = _bench(*arguments, "--key", tmp_path / "other.pub")
    assert result.exit_code == 2 and "no valid signature" in result.output
    result = _bench(*arguments, "--key", tmp_path / "key.pub")
    assert result.exit_code == 0, result.output
    unsigned = _stored(tmp_path / "unsigned.json", made_report())
    result = _bench("import", unsigned, "--hardware", "y", "-o", tmp_path / "m", "--key", tmp_path / "key.pub")
    assert result.exit_code == 2 and "not a report that was signed" in result.output

"""`bench archive`: figures and outputs of made rounds; a real measurement of a part of the recording."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.runtime.bench.made import made_machine

from seisedge.cli import main
from seisedge.runtime.bench import archive_text
from seisedge.runtime.bench.archive_report import ArchiveReport, ArchiveRound, ArchiveRow, archive_figures
from seisedge.runtime.commands._bench_archive import _cases, _write
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.sources import open_source


def made_round(**changes: Any) -> ArchiveRound:
    facts: dict[str, Any] = {"station_s": 7200.0, "wall_s": 2.0, "processor_s": 1.0, "ready_s": 0.5, "peak_mib": 90.0}
    facts |= {"events": 4, "triggers": 8, "inferences": 20, "began": "2026-01-01T00:00:00Z"}
    return ArchiveRound(**(facts | {"conditions": {"marks": ["steal 0.2 above 0.01"]}} | changes))


def made_archive_report(rounds: list[ArchiveRound]) -> ArchiveReport:
    row = ArchiveRow(
        data="quiet",
        mode="triggered",
        processes=2,
        stations=1,
        hours=1.0,
        rounds=rounds,
        figures=archive_figures(rounds),
    )
    return ArchiveReport(
        created="2026-01-01T00:00:00Z",
        seisedge="0.2",
        command=["seisedge"],
        machine=made_machine(),
        method={"rate": "r", "processes": "p", "rounds": "2"},
        windows="quiet",
        models={"made": "a" * 64},
        rows=[row],
    )


def test_figures_are_geometric_means_between_rounds() -> None:
    figures = archive_figures([made_round(), made_round(wall_s=8.0, peak_mib=90.0)])
    assert figures["rate"].value == 1800.0 and figures["processor_rate"].value == 7200.0
    assert figures["rate"].low is not None and figures["rate"].low < 900
    assert archive_figures([made_round()])["rate"].reason == "one round has no interval"


def test_outputs_have_each_row_and_the_disturbance() -> None:
    report = made_archive_report([made_round(), made_round(wall_s=2.1)])
    for text in (
        "\n".join(archive_text.terminal_lines(report)),
        "\n".join(archive_text.markdown_lines(report)),
        archive_text.page(report),
    ):
        assert "3,513" in text and "2.0" in text and "DISTURBED: 2 of 2 rounds (steal)" in text
        assert "not an MLPerf result" in text


def test_rows_have_parts_of_the_hours_and_copies_of_the_stations(tmp_path: Path) -> None:
    cases = _cases([Path(RECORDING)], tmp_path, 3, 1.0)
    assert {(case.mode, case.processes, case.stations, round(case.hours / cases[0].hours, 2)) for case in cases} == {
        *((mode, n, 2, 1.0) for mode in ("triggered", "continuous") for n in (1, 3)),
        ("triggered", 1, 2, 0.25),
        ("triggered", 1, 2, 0.5),
        ("triggered", 1, 4, 1.0),
        ("triggered", 1, 8, 1.0),
    }
    part = _write(Recording([RECORDING], 512), tmp_path / "part.mseed", 0.1)
    with open_source([str(part)]) as source:
        packets = [packet for packet in source.packets() if packet is not None]
    span_ns = max(p.endtime_ns for p in packets) - min(p.starttime_ns for p in packets)
    assert span_ns / 3.6e12 == pytest.approx(0.1 * cases[0].hours, abs=0.005)
    assert len({packet.source_id.station for packet in packets}) == 2


@pytest.mark.long
def test_measures_a_file(tmp_path: Path) -> None:
    part = _write(Recording([RECORDING], 512), tmp_path / "part.mseed", 0.1)
    out = tmp_path / "report.json"
    done = CliRunner().invoke(
        main, ["bench", "archive", str(part), "--rounds", "2", "--processes", "2", "-o", str(out)]
    )
    assert done.exit_code == 0, done.output
    report = msgspec.json.decode(out.read_bytes(), type=ArchiveReport)
    assert len(report.rows) == 8 and all(len(row.rounds) == 2 for row in report.rows)
    one, two = report.rows[0], report.rows[1]
    assert one.rounds[0].events * 2 == two.rounds[0].events > 0 and two.rounds[0].station_s > 500


def test_a_missing_file_is_one_sentence() -> None:
    done = CliRunner().invoke(main, ["bench", "archive", "missing.mseed"])
    assert done.exit_code == 2 and "missing.mseed" in done.output and len(done.output.strip().splitlines()) == 1

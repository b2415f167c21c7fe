"""`seisedge config check`: every fault of every file, exit status 2."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from tests.paths import ROOT

from seisedge.cli import main

EXAMPLE = ROOT / "firmware_configs/stations/example.toml"


def test_files_that_can_be_used() -> None:
    result = CliRunner().invoke(main, ["config", "check", str(EXAMPLE)])
    assert (result.exit_code, result.output) == (0, f"{EXAMPLE}: PB.B918 can be used\n")


def test_every_fault_of_every_file_is_listed(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(
        EXAMPLE.read_text(encoding="utf-8") + "\n[sinks.webhook]\nurl = 'http://h:99999/'\ntimeout_s = inf\n"
    )
    result = CliRunner().invoke(main, ["config", "check", str(bad), str(tmp_path / "none.toml"), str(EXAMPLE)])
    assert result.exit_code == 2 and f"{EXAMPLE}: PB.B918 can be used" in result.stdout
    assert f"{bad}: 2 faults" in result.stderr
    assert "sinks.webhook.url: the port must be a number from 1 to 65535" in result.stderr
    assert "sinks.webhook.timeout_s: Expected `float` <= 600.0; got inf" in result.stderr
    assert f"{tmp_path / 'none.toml'}: no such station file" in result.stderr
